//! The trace of one action: the verdict, its chain, evidence and history, in the words of `agentrail trace`.

use std::sync::Arc;

use axum::extract::State;
use serde_json::Value as Json;

use super::ask::{Ask, Rows};
use super::html::{Html, address, html};
use super::layout::{Page, page};
use super::prose::prose;
use super::table::{Source, badge, lasting, section, table, text, time};
use super::turns::Turns;
use super::{DOOR, Failed, Visitor, chain, unknown};
use crate::model::Time;
use crate::query::{Object, QueryError, Session, Told, Trace, how_sure, story};
use crate::serve::http::Desk;
use crate::serve::http::problem::At;

/// Actions within an hour that are shown around one.
const NEAR: usize = 40;
/// Actions of an id that are more than one are listed, and no more than these.
const MOST: usize = 50;

const NEIGHBOURS: &str = "
    select occurred, coalesce(organization, organization_id) as organization, action, grade, actor_id, actor_name, run_kind, run_id, details, event_id
    from actions
    where agent_id = $agent and coalesce(organization, organization_id) = $organization and event_id <> $event
      and occurred between cast($at as timestamp) - interval '1 hour' and cast($at as timestamp) + interval '1 hour'
    order by occurred, event_id";

/// What a page has from the trace, as rows to download.
const CANDIDATES: &str = "
    select c['agent_id'] as agent_id, c['agent_name'] as agent_name, c['pool_id'] as pool_id, c['job_id'] as job_id, c['run_id'] as run_id, c['why'] as why
    from (select unnest(candidates) as c from actions where event_id = $event)";
const EVIDENCE: &str = "
    select e['kind'] as kind, e['record'] as record, e['says'] as says, e['known'] as known
    from (select unnest(evidence) as e from actions where event_id = $event)";
const IDENTITIES: &str = "
    select i['role'] as role, i['id'] as id, i['name'] as name, i['kind'] as kind
    from (select unnest(identities) as i from actions where event_id = $event)";

/// Other actions of the agent of a verdict, where it names one.
fn neighbours(action: &Object) -> Option<Ask> {
    let agent = action.get("agent_id").and_then(Json::as_i64)?;
    let ask = Ask::new(NEIGHBOURS).int("agent", agent).text("organization", &organization(action));
    Some(ask.text("event", &text(action, "event_id")).text("at", &text(action, "occurred")))
}

pub(super) fn organization(row: &Object) -> String {
    let name = text(row, "organization");
    if name.is_empty() { text(row, "organization_id") } else { name }
}

async fn see(session: &Session, id: &str) -> Result<(Trace, Rows), QueryError> {
    let trace = session.trace(id, MOST).await?;
    let near = match trace.actions.as_slice() {
        [action] => neighbours(action),
        _ => None,
    };
    let near = match near {
        Some(ask) => ask.most(session, NEAR).await?,
        None => Rows::default(),
    };
    Ok((trace, near))
}

pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    Visitor(signed): Visitor,
    At(id): At<String>,
) -> Result<Page, Failed> {
    let own = id.clone();
    let work =
        desk.work(&signed, DOOR, format!("trace {id}"), async move |session| see(&session, &own).await);
    let (trace, near) = work.await?;
    let main = match trace.actions.as_slice() {
        [] if trace.kind == "agent" || trace.kind == "run" => {
            return Err(Failed::Elsewhere(address(&["search"], &[("q", &id)])));
        }
        [] if trace.tokens.is_empty() => return Err(unknown("the trace of", &id)),
        [action] => one(action, &near),
        _ => several(&trace),
    };
    Ok(page(&signed.person, &format!("Trace of {id}"), "/search", &id, main))
}

/// All actions of an id that is not of one.
fn several(trace: &Trace) -> Html {
    let rows = |columns: &[&str], all: &[Object]| Rows::of(columns, all.to_vec());
    const ACTION: [&str; 8] =
        ["occurred", "organization", "action", "grade", "agent_name", "actor_name", "executor", "event_id"];
    const TOKEN: [&str; 6] = ["name", "kind", "principal_name", "scopes", "valid_from", "valid_until"];
    let mut out = html!("<h1>Trace of the {} <span class=\"id\">{}</span></h1>", trace.kind, trace.asked);
    if !trace.tokens.is_empty() {
        out.push(html!("<section><h2>Token</h2>{}</section>", table("Token", &rows(&TOKEN, &trace.tokens))));
    }
    let json = address(&["api", "trace", &trace.asked], &[]);
    out.push(html!(
        "<section><div class=\"title\"><h2>Actions</h2><p class=\"downloads\"><a href=\"{}\">JSON</a></p></div>{}</section>",
        json,
        match trace.actions.is_empty() {
            true => html!("<p class=\"empty\">No action of it is known.</p>"),
            false => table("Actions", &rows(&ACTION, &trace.actions)),
        }
    ));
    out
}

fn one(action: &Object, near: &Rows) -> Html {
    let told = story(action);
    let of = |label: &str| told.iter().filter(|told| told.label == label).cloned().collect::<Vec<_>>();
    let (grade, executor) = (text(action, "grade"), text(action, "executor"));
    let candidates = objects(action, "candidates");
    let flag = |name: &str, label: &str| match action.get(name).and_then(Json::as_bool) {
        Some(true) => html!("<span class=\"badge flag\">{}</span>", label),
        _ => Html::default(),
    };
    let id = text(action, "event_id");
    let record = text(action, "record_hash");
    let details = text(action, "details");
    let mut out = html!(
        "<section class=\"verdict\"><p class=\"over\">{} <a class=\"id\" href=\"{}\">{}</a></p><h1>{}</h1><p class=\"lead\">{}</p>\
         <p class=\"sure\">{} <strong>{}</strong> {}{} <span>{}</span></p>\
         <p class=\"downloads\"><a href=\"{}\">Raw record</a> <a href=\"{}\">All of this as JSON</a></p></section>",
        time(&text(action, "occurred")),
        address(&["trace", &id], &[]),
        id,
        text(action, "action"),
        if details == text(action, "action") { String::new() } else { details },
        badge(&grade),
        executor.replace('_', " "),
        flag("provisional", "provisional"),
        flag("blind", "blind window"),
        how_sure(&grade, &executor, candidates.len()),
        address(&["record", &record], &[]),
        address(&["api", "trace", &id], &[]),
    );
    out.push(chain::figure(action));
    let blind: Html = of("blind").iter().map(|window| html!("<li>{}</li>", prose(&window.says))).collect();
    if !blind.is_empty() {
        out.push(html!(
            "<section class=\"notice warn\"><h2>Not everything was heard</h2><ul>{}</ul></section>",
            blind
        ));
    }
    for unusual in of("unusual") {
        out.push(html!("<p class=\"notice bad\" role=\"note\">{}</p>", prose(&unusual.says)));
    }
    out.push(html!("<div class=\"columns\"><div>"));
    out.push(told_all(&told));
    out.push(html!("</div><div>"));
    out.push(evidence(action, &of("evidence")));
    out.push(list("What is missing", &of("missing"), "Nothing that the rules looked for is missing."));
    out.push(list("What was believed before", &of("was"), "The verdict was never revised."));
    out.push(html!("</div></div>"));
    out.push(self::candidates(action, &candidates));
    out.push(identities(action));
    if let Some(ask) = neighbours(action) {
        out.push(section(
            "On the same agent within an hour",
            &away(near, &text(action, "occurred")),
            &Source::Ask(&ask),
            &Turns::default(),
            "Nothing else is known of this agent within an hour.",
        ));
    }
    out
}

/// How far from the action each of the others was.
fn away(near: &Rows, at: &str) -> Rows {
    let mut rows = near.clone();
    let Some(at) = Time::parse(at) else { return rows };
    for row in &mut rows.rows {
        let Some(other) = Time::parse(&text(row, "occurred")) else { continue };
        let seconds = (other.0 - at.0) as f64 / 1e7;
        let word = if seconds < 0.0 { "before" } else { "after" };
        row.insert("away".to_owned(), Json::String(format!("{} {word}", lasting(seconds.abs()))));
    }
    if !rows.columns.is_empty() {
        rows.columns.insert(1, "away".to_owned());
    }
    rows
}

/// The story line by line, but for what has a place of its own.
fn told_all(told: &[Told]) -> Html {
    const ELSEWHERE: [&str; 7] = ["action", "evidence", "missing", "was", "candidate", "blind", "sure"];
    let mut skipped = false;
    let lines: Html = told
        .iter()
        .filter(|told| {
            // A line without a label goes on with the one before.
            skipped = if told.label.is_empty() { skipped } else { ELSEWHERE.contains(&told.label) };
            !skipped
        })
        .map(|told| {
            let says = match told.strong {
                true => html!("<strong>{}</strong>", prose(&told.says)),
                false => prose(&told.says),
            };
            html!("<div><dt>{}</dt><dd>{}</dd></div>", told.label, says)
        })
        .collect();
    html!("<section><h2>The story</h2><dl class=\"story\">{}</dl></section>", lines)
}

fn evidence(action: &Object, told: &[Told]) -> Html {
    let items = objects(action, "evidence");
    if items.is_empty() {
        let kept: Html = told.iter().map(|told| html!("<li>{}</li>", told.says)).collect();
        return html!(
            "<section><h2>Evidence</h2><p class=\"empty\">No record bears on who did it.</p><ul>{}</ul></section>",
            kept
        );
    }
    let lines: Html = items
        .iter()
        .map(|item| {
            let record = text(item, "record");
            let link = if record.len() == 64 { cited(&record) } else { Html::default() };
            html!(
                "<li><p>{}</p><p class=\"meta\"><span class=\"kind\">{}</span> known {} {}</p></li>",
                prose(&text(item, "says")),
                text(item, "kind").replace('_', " "),
                time(&text(item, "known")),
                link
            )
        })
        .collect();
    let ask = Ask::new(EVIDENCE).text("event", &text(action, "event_id"));
    let count = if items.len() == 1 { "1 item".to_owned() } else { format!("{} items", items.len()) };
    html!(
        "<section><div class=\"title\"><h2>Evidence</h2><p class=\"downloads\"><span>{}</span> <a href=\"{}\" aria-label=\"Download Evidence as CSV\">CSV</a></p></div>\
         <ol class=\"evidence\">{}</ol></section>",
        count,
        ask.download("csv", "evidence"),
        lines
    )
}

/// A link to the record that says so.
fn cited(record: &str) -> Html {
    html!(
        "<a class=\"id\" href=\"{}\">record {}</a>",
        address(&["record", record], &[]),
        record.get(..12).unwrap_or(record)
    )
}

fn list(title: &str, told: &[Told], empty: &str) -> Html {
    if told.is_empty() {
        return html!("<section><h2>{}</h2><p class=\"empty\">{}</p></section>", title, empty);
    }
    let lines: Html = told
        .iter()
        .map(|told| {
            let record = told.record.as_deref().filter(|record| record.len() == 64);
            html!("<li><p>{}</p>{}</li>", prose(&told.says), record.map_or_else(Html::default, cited))
        })
        .collect();
    html!("<section><h2>{}</h2><ul class=\"lines\">{}</ul></section>", title, lines)
}

fn candidates(action: &Object, candidates: &[Object]) -> Html {
    let mut rows = candidates.to_vec();
    for row in &mut rows {
        row.insert("organization".to_owned(), Json::String(organization(action)));
        let kind = action.get("run_kind").filter(|kind| !kind.is_null()).cloned();
        row.insert("run_kind".to_owned(), kind.unwrap_or_else(|| Json::String("build".to_owned())));
    }
    if rows.is_empty() {
        return Html::default();
    }
    const COLUMNS: [&str; 9] =
        ["agent_name", "agent_id", "pool_name", "pool_id", "machine", "run_kind", "run_id", "gone", "why"];
    let ask = Ask::new(CANDIDATES).text("event", &text(action, "event_id"));
    section("Candidates", &Rows::of(&COLUMNS, rows), &Source::Ask(&ask), &Turns::default(), "")
}

/// Whose names and rights took part, each in its role.
fn identities(action: &Object) -> Html {
    let mut rows = objects(action, "identities");
    for row in &mut rows {
        for (from, to) in [("id", "identity_id"), ("name", "identity_name")] {
            let value = row.get(from).cloned().unwrap_or_default();
            row.insert(to.to_owned(), value);
        }
    }
    if rows.is_empty() {
        return Html::default();
    }
    const COLUMNS: [&str; 4] = ["role", "identity_name", "identity_id", "kind"];
    let ask = Ask::new(IDENTITIES).text("event", &text(action, "event_id"));
    section("Identities", &Rows::of(&COLUMNS, rows), &Source::Ask(&ask), &Turns::default(), "")
}

pub(super) fn objects(row: &Object, name: &str) -> Vec<Object> {
    let items = row.get(name).and_then(Json::as_array).into_iter().flatten();
    items.filter_map(Json::as_object).cloned().collect()
}
