//! Tables of rows: what a cell shows and where it leads follows from the name of its column.

use serde_json::Value as Json;

use super::ask::{Ask, Rows};
use super::html::{Html, address, html};
use super::turns::Turns;
use crate::query::Object;

/// The longest text that a cell shows.
const MOST_TEXT: usize = 400;

/// Where all rows of a table can be had.
pub(super) enum Source<'s> {
    Ask(&'s Ask),
    /// A path with a query, to which the form is added.
    Path(&'s [&'s str], &'s [(&'s str, &'s str)]),
}

impl Source<'_> {
    fn download(&self, form: &str, name: &str) -> String {
        match self {
            Source::Ask(ask) => ask.download(form, name),
            Source::Path(path, query) => {
                let mut query = query.to_vec();
                query.extend([("format", form), ("download", name)]);
                address(path, &query)
            }
        }
    }
}

/// A section with a table. Where there are no rows, `empty` says what that means and what to do.
pub(super) fn section(title: &str, rows: &Rows, source: &Source<'_>, turns: &Turns, empty: &str) -> Html {
    let name = name_of(title);
    if rows.rows.is_empty() {
        let says = match rows.from {
            0 => html!("{}", empty),
            from => html!(
                "There are no more than {} rows. <a href=\"{}\">From the first</a>",
                from,
                turns.first(&name)
            ),
        };
        return html!("<section id=\"{}\"><h2>{}</h2><p class=\"empty\">{}</p></section>", name, title, says);
    }
    html!(
        "<section id=\"{}\"><div class=\"title\"><h2>{}</h2>{}</div>{}{}</section>",
        name,
        title,
        downloads(title, rows, source),
        table(title, rows),
        turns.links(&name, title, rows)
    )
}

/// What a table is called in addresses and files.
pub(super) fn name_of(title: &str) -> String {
    title.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

/// How many rows are shown, and the links to all of them.
pub(super) fn downloads(title: &str, rows: &Rows, source: &Source<'_>) -> Html {
    let links: Html = [("csv", "CSV"), ("ndjson", "NDJSON"), ("arrow", "Arrow")]
        .map(|(form, label)| {
            let href = source.download(form, &name_of(title));
            html!("<a href=\"{}\" aria-label=\"Download {} as {}\">{}</a> ", href, title, label, label)
        })
        .into_iter()
        .collect();
    let of = match same_organization(rows) {
        Some(organization) => format!(" of {organization}"),
        None => String::new(),
    };
    let count = match (rows.from, rows.more, rows.rows.len()) {
        (0, true, count) => format!("first {count} rows{of}"),
        (0, false, 1) => format!("1 row{of}"),
        (0, false, count) => format!("{count} rows{of}"),
        (from, _, count) => format!("rows {} to {}{of}", from + 1, from + count),
    };
    html!("<p class=\"downloads\"><span>{}</span> {}</p>", count, links)
}

/// The organisation of all rows, which then needs no column.
fn same_organization(rows: &Rows) -> Option<&str> {
    let first = rows.rows.first()?.get("organization")?.as_str()?;
    let is_same = |row: &Object| row.get("organization").and_then(Json::as_str) == Some(first);
    (!rows.chosen && rows.columns.len() > 2 && rows.rows.iter().all(is_same)).then_some(first)
}

/// The table itself.
pub(super) fn table(title: &str, rows: &Rows) -> Html {
    let without = same_organization(rows).is_some();
    let is_shown =
        |column: &str| rows.chosen || !(is_helper(column, rows) || without && column == "organization");
    let columns: Vec<&String> = rows.columns.iter().filter(|column| is_shown(column)).collect();
    let is_number = |column: &str| {
        rows.rows.iter().filter_map(|row| row.get(column)).any(Json::is_number) && !column.ends_with("_id")
    };
    let head: Html = columns
        .iter()
        .map(|column| {
            let class = if is_number(column) { "n" } else { "" };
            let says = if rows.chosen { (*column).clone() } else { named(column) };
            html!("<th scope=\"col\" class=\"{}\">{}</th>", class, says)
        })
        .collect();
    let body: Html = rows
        .rows
        .iter()
        .map(|row| {
            let cells: Html = columns
                .iter()
                .map(|column| {
                    let class = match text(row, column).len() {
                        _ if is_number(column) => "n",
                        0..=32 => "short",
                        33..=80 => "",
                        _ => "long",
                    };
                    html!("<td class=\"{}\">{}</td>", class, cell(column, row))
                })
                .collect();
            html!("<tr>{}</tr>", cells)
        })
        .collect();
    html!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\"><table>\
         <caption class=\"hidden\">{}</caption><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>",
        title,
        title,
        head,
        body
    )
}

/// The name of a column in words.
fn named(column: &str) -> String {
    match column {
        "lag_minutes" => "lag".to_owned(),
        "record_hash" => "record".to_owned(),
        column if column.ends_with("_name") => column.trim_end_matches("_name").replace('_', " "),
        column => column.replace('_', " "),
    }
}

/// Columns that only tell where another one leads.
fn is_helper(column: &str, rows: &Rows) -> bool {
    let shown_by = match column {
        "run_kind" => "run_id",
        "run_id" => "run_name",
        "actor_id" => "actor_name",
        "identity_id" => "identity_name",
        "agent_id" => "agent_name",
        "pool_id" => "pool_name",
        // What was done leads to its trace.
        "event_id" => "action",
        _ => return false,
    };
    rows.columns.iter().any(|other| other == shown_by)
}

/// What a row says in a column, as a link where there is a page for it.
pub(super) fn cell(column: &str, row: &Object) -> Html {
    let (mut value, mut own) = (row.get(column).unwrap_or(&Json::Null), text(row, column));
    let id = column.strip_suffix("_name").map(|kind| format!("{kind}_id")).and_then(|id| row.get(&id));
    let nameless;
    if let (true, Some(id)) = (own.is_empty(), id.filter(|id| !id.is_null())) {
        nameless = match (id, column.strip_suffix("_name")) {
            (Json::Number(id), Some(kind)) => Json::String(format!("{kind} {id}")),
            _ => id.clone(),
        };
        value = &nameless;
        own = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
    }
    if own.is_empty() {
        return html!(
            "<span class=\"none\"><span aria-hidden=\"true\">-</span><span class=\"hidden\">none</span></span>"
        );
    }
    if column.ends_with("grade") {
        return badge(&own);
    }
    let shown = match value {
        Json::String(text) if is_time(text) => time(text),
        Json::String(text) if column.starts_with("gap") => html!("{}", span(text)),
        Json::String(text) => cut(text),
        Json::Bool(flag) => html!("{}", if *flag { "yes" } else { "no" }),
        Json::Array(items) if items.iter().all(Json::is_string) => {
            let items: Vec<&str> = items.iter().filter_map(Json::as_str).collect();
            cut(&items.join("; "))
        }
        Json::Array(_) | Json::Object(_) => html!("<code>{}</code>", cut(&value.to_string())),
        Json::Number(minutes) if column == "lag_minutes" => {
            html!("{}", span(&format!("PT{}S", minutes.as_f64().unwrap_or(0.0) * 60.0)))
        }
        other => html!("{}", other.to_string()),
    };
    match link(column, row, &own) {
        Some(href) if is_id(column, &own) => html!("<a class=\"id\" href=\"{}\">{}</a>", href, shown),
        Some(href) => html!("<a href=\"{}\">{}</a>", href, shown),
        None if is_id(column, &own) => html!("<span class=\"id\">{}</span>", shown),
        None => shown,
    }
}

/// The page of what stands in a cell.
fn link(column: &str, row: &Object, own: &str) -> Option<String> {
    let organization =
        || [text(row, "organization"), text(row, "organization_id")].into_iter().find(|o| !o.is_empty());
    let whole = |column: &str| row.get(column).and_then(Json::as_i64).map(|id| id.to_string());
    let of = |kind: &str, id: &str| Some(address(&[kind, &organization()?, &whole(id)?], &[]));
    let search = || Some(address(&["search"], &[("q", own)]));
    match column {
        "action" => {
            let event = Some(text(row, "event_id")).filter(|event| event.len() == 36);
            event.map(|event| address(&["trace", &event], &[]))
        }
        "event_id" | "event" | "deleted_event" if own.len() == 36 => Some(address(&["trace", own], &[])),
        "correlation_id" | "authorization_id" => search(),
        "record_hash" | "record" if own.len() == 64 => Some(address(&["record", own], &[])),
        "run_id" | "run_name" => {
            let kind = Some(text(row, "run_kind")).filter(|kind| !kind.is_empty());
            Some(address(&["run", &kind.unwrap_or_else(|| "build".to_owned()), &whole("run_id")?], &[]))
        }
        "agent_name" | "agent_id" => of("agent", "agent_id").or_else(search),
        "pool_name" | "pool_id" => of("pool", "pool_id").or_else(search),
        "identity" | "identity_id" | "actor_id" => Some(address(&["identity", own], &[])),
        "identity_name" | "actor_name" => {
            let id = column.replace("_name", "_id");
            let id =
                [text(row, &id), text(row, "identity"), own.to_owned()].into_iter().find(|id| !id.is_empty());
            Some(address(&["identity", &id?], &[]))
        }
        "ip" | "machine" | "pipeline_name" => search(),
        "detection" => Some(address(&["detection", own], &[])),
        "trace" => Some(address(&["trace", own], &[])),
        "report" => Some(address(&["reports", own], &[])),
        _ => None,
    }
}

fn is_id(column: &str, own: &str) -> bool {
    column.ends_with("_id") && own.len() > 20
        || column.ends_with("hash")
        || column.ends_with("fingerprint")
        || ["ip", "record", "key"].contains(&column)
}

/// A grade in its colour and its word.
pub(super) fn badge(grade: &str) -> Html {
    const KNOWN: [&str; 7] = ["exact", "sole", "run", "narrowed", "corroborated", "none", "not_agent"];
    let class = KNOWN.into_iter().find(|known| *known == grade).unwrap_or("none");
    html!("<span class=\"badge g-{}\">{}</span>", class, grade.replace('_', " "))
}

fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 19
        && bytes.len() <= 35
        && bytes[4] == b'-'
        && bytes[7] == b'-'
        && bytes[10] == b'T'
        && bytes[13] == b':'
        && text.is_ascii()
}

/// A time as people read it, to the second.
pub(super) fn time(text: &str) -> Html {
    if !is_time(text) {
        return html!("{}", text);
    }
    html!("<time datetime=\"{}\">{} {}</time>", text, &text[..10], &text[11..19])
}

/// A span of seconds (`PT37800S`) in the words of people.
fn span(text: &str) -> String {
    let seconds = text
        .strip_prefix("PT")
        .and_then(|rest| rest.strip_suffix('S'))
        .and_then(|rest| rest.parse::<f64>().ok());
    seconds.map_or_else(|| text.to_owned(), lasting)
}

/// So many seconds in the words of people.
pub(super) fn lasting(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 120.0 => format!("{seconds:.0} s"),
        seconds if seconds < 7200.0 => format!("{:.0} min", seconds / 60.0),
        seconds if seconds < 172_800.0 => format!("{:.1} h", seconds / 3600.0),
        seconds => format!("{:.1} days", seconds / 86_400.0),
    }
}

fn cut(text: &str) -> Html {
    match text.char_indices().nth(MOST_TEXT) {
        None => html!("{}", text),
        Some((at, _)) => html!(
            "{}<span class=\"none\"> ... {} characters more</span>",
            &text[..at],
            text[at..].chars().count()
        ),
    }
}

/// What a row says in a column, as text; empty where it says nothing.
pub(super) fn text(row: &Object, column: &str) -> String {
    match row.get(column) {
        Some(Json::String(text)) => text.clone(),
        Some(Json::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

/// A list of what is known of one thing.
pub(super) fn facts(pairs: &[(&str, Html)]) -> Html {
    let all: Html = pairs
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| html!("<div><dt>{}</dt><dd>{}</dd></div>", *name, value))
        .collect();
    html!("<dl class=\"facts\">{}</dl>", all)
}

/// Columns of a row as facts.
pub(super) fn facts_of(row: &Object, columns: &[&str]) -> Html {
    let known = columns.iter().filter(|column| !text(row, column).is_empty());
    let pairs: Vec<(String, Html)> = known.map(|column| (named(column), cell(column, row))).collect();
    let pairs: Vec<(&str, Html)> = pairs.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    facts(&pairs)
}
