//! Search: one answer is shown at once, several are listed.

use std::sync::Arc;

use axum::extract::State;
use futures::future::ready;
use futures::{StreamExt as _, stream};

use super::ask::{Ask, PART_ROWS, Rows};
use super::html::{Html, address, html};
use super::layout::{Page, page};
use super::table::{Source, name_of, section, text};
use super::turns::Turns;
use super::{DOOR, Failed, Visitor};
use crate::query::{Object, QueryError, Session};
use crate::serve::http::Desk;
use crate::serve::http::question::take;

const MOST_TEXT: usize = 500;

macro_rules! actions {
    ($filter:literal) => {
        concat!(
            "select occurred, coalesce(organization, organization_id) as organization, action, grade, agent_id, agent_name, \
             actor_id, actor_name, executor, ip, event_id from actions where ",
            $filter
        )
    };
}

const BY_ID: &str = actions!(
    "event_id = $q or correlation_id = $q or authorization_id = $q order by occurred desc, event_id"
);
const BY_IP: &str = actions!("ip = $q order by occurred desc, event_id");
const BY_TIME: &str = actions!(
    "occurred >= cast($q as timestamp) and occurred < cast($until as timestamp) order by occurred, event_id"
);
const RUNS: &str = "
    select distinct coalesce(organization, organization_id) as organization, run_kind, run_id, run_name, pipeline_name
    from jobs_of_run($q)
    union
    select distinct coalesce(organization, organization_id), run_kind, run_id, name, pipeline_name from runs where run_id = $q
    order by 1, 2, 3, 4, 5";
const RUNS_BY_NAME: &str = "
    select coalesce(organization, organization_id) as organization, run_kind, run_id, name, pipeline_name, started, finished, result
    from runs where name = $q or lower(pipeline_name) = lower($q) order by started desc, organization, run_id";
const AGENTS: &str = "
    select coalesce(organization, organization_id) as organization, agent_id, name as agent_name, pool_id, pool_name, machine, version, gone
    from agents_now where strpos(lower(name), lower($q)) > 0 or lower(machine) = lower($q) or cast(agent_id as varchar) = $q
    order by lower(name) <> lower($q), name, organization, agent_id, gone";
const IDENTITIES: &str = "
    select organization, id as identity, max(name) as name, max(kind) as kind
    from known_as where lower(alias) = lower($q) or strpos(lower(name), lower($q)) > 0 group by 1, 2 order by 3, 1, 2";
const ACTORS: &str = "
    select coalesce(organization, organization_id) as organization, coalesce(actor_client_id, actor_id) as identity, max(actor_name) as name,
      max(actor_kind) as kind, count(*) as actions, max(occurred) as last
    from lake.events
    where strpos(lower(actor_name), lower($q)) > 0 or lower(actor_upn) = lower($q) or actor_id = lower($q) or actor_client_id = lower($q)
    group by 1, 2 order by 3, 1, 2";
const POOLS: &str = "
    select coalesce(organization, organization_id) as organization, pool_id, max(name) as pool_name
    from pools where queue_id is null and pool_id is not null and strpos(lower(name), lower($q)) > 0 group by 1, 2 order by 3, 1, 2";

/// What is asked of the lake for a text: a title, and the statement with the text bound.
fn asks(q: &str) -> Vec<(&'static str, Ask)> {
    let id = q.rsplit(';').next().unwrap_or(q).trim().to_ascii_lowercase();
    let mut all = Vec::new();
    if id.len() == 36 && id.matches('-').count() == 4 {
        all.push(("Actions", Ask::new(BY_ID).text("q", &id)));
    }
    if q.parse::<std::net::IpAddr>().is_ok() {
        all.push(("Actions from this address", Ask::new(BY_IP).text("q", q)));
    }
    if let Some((from, until)) = span(q) {
        all.push(("Actions at this time", Ask::new(BY_TIME).text("q", &from).text("until", &until)));
    }
    let number = id.trim_start_matches("build:").trim_start_matches("release:");
    if let Ok(number) = number.parse::<i64>() {
        all.push(("Runs", Ask::new(RUNS).int("q", number)));
    }
    all.push(("Agents", Ask::new(AGENTS).text("q", q)));
    all.push(("Identities", Ask::new(IDENTITIES).text("q", q)));
    all.push(("Actors", Ask::new(ACTORS).text("q", q)));
    all.push(("Pools", Ask::new(POOLS).text("q", q)));
    all.push(("Runs by name", Ask::new(RUNS_BY_NAME).text("q", q)));
    all
}

/// The times that a text names: a day, an hour, a minute or a second.
fn span(q: &str) -> Option<(String, String)> {
    let text = q.trim().trim_end_matches('Z').replace(' ', "T");
    let is = |pattern: &str| {
        text.len() == pattern.len()
            && text.bytes().zip(pattern.bytes()).all(|(own, wanted)| match wanted {
                b'0' => own.is_ascii_digit(),
                wanted => own == wanted,
            })
    };
    // What follows the text to name its first and its last moment.
    let (first, last) = match () {
        () if is("0000-00-00") => ("T00:00:00", "T23:59:59.999999"),
        () if is("0000-00-00T00") => (":00:00", ":59:59.999999"),
        () if is("0000-00-00T00:00") => (":00", ":59.999999"),
        () if is("0000-00-00T00:00:00") => ("", ".999999"),
        () => return None,
    };
    Some((format!("{text}{first}"), format!("{text}{last}")))
}

async fn find(session: &Session, asks: &[(Ask, usize)]) -> Result<Vec<Rows>, QueryError> {
    let mut all = Vec::new();
    let part = |(ask, from): &(Ask, usize)| ask.part(session, *from, PART_ROWS);
    // Where the first finds the event of an id, nothing else is asked.
    let (first, others) = asks.split_at(asks.len().min(1));
    let others = stream::once(ready(())).flat_map(|()| session.together(others.iter().map(part)));
    let mut answers = session.together(first.iter().map(part)).chain(others);
    while let Some(answer) = answers.next().await {
        let rows = match answer {
            // A text in the form of a time need not be one.
            Err(QueryError::Plan(_)) => Rows::default(),
            rows => rows?,
        };
        let is_event = !rows.rows.is_empty() && rows.columns.iter().any(|column| column == "event_id");
        all.push(rows);
        if is_event {
            break;
        }
    }
    Ok(all)
}

/// The page of what a row is about.
fn place(row: &Object) -> Option<String> {
    let whole = |column: &str| row.get(column)?.as_i64().map(|id| id.to_string());
    let organization = text(row, "organization");
    let named = |column: &str| Some(text(row, column)).filter(|text| !text.is_empty());
    if let Some(event) = named("event_id") {
        return Some(address(&["trace", &event], &[]));
    }
    if let Some(identity) = named("identity") {
        return Some(address(&["identity", &identity], &[]));
    }
    if let Some(run) = whole("run_id") {
        return Some(address(&["run", &named("run_kind")?, &run], &[]));
    }
    let (kind, id) = match (whole("agent_id"), whole("pool_id")) {
        (Some(agent), _) => ("agent", agent),
        (None, pool) => ("pool", pool?),
    };
    named("organization").map(|_| address(&[kind, &organization, &id], &[]))
}

pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    Visitor(signed): Visitor,
    turns: Turns,
) -> Result<Page, Failed> {
    let q = take(&mut turns.given(), "q").unwrap_or_default();
    let q: String = q.trim().chars().take(MOST_TEXT).collect();
    if q.is_empty() {
        let main = html!(
            "<h1>Search</h1><p class=\"empty\">Type into the box above (press <kbd>/</kbd>): an event, correlation, authorization or run id; \
             the name of an agent, a pool, a person or an identity; an IP address; or a time such as <code>2026-03-05 09:30</code>.</p>"
        );
        return Ok(page(&signed.person, "Search", "/search", "", main));
    }
    let asked = asks(&q);
    let own: Vec<(Ask, usize)> =
        asked.iter().map(|(title, ask)| (ask.clone(), turns.at(&name_of(title)))).collect();
    let work =
        desk.work(&signed, DOOR, format!("search {q}"), async move |session| find(&session, &own).await);
    let found = work.await?;
    let mut places: Vec<String> = found.iter().flat_map(|rows| &rows.rows).filter_map(place).collect();
    places.dedup();
    let is_first = found.iter().all(|rows| rows.from == 0);
    if let (true, [only]) = (is_first, places.as_slice()) {
        return Err(Failed::Elsewhere(only.clone()));
    }
    let lists: Html = found
        .iter()
        .zip(&asked)
        .filter(|(rows, _)| !rows.rows.is_empty() || rows.from > 0)
        .map(|(rows, (title, ask))| section(title, rows, &Source::Ask(ask), &turns, ""))
        .collect();
    let lists = match lists.is_empty() {
        false => lists,
        true => html!(
            "<p class=\"empty\">Nothing that you may see is known of it. It is no event, correlation, authorization or run id, no address \
             and no name of an agent, pool or identity of this lake. Is it newer than what was <a href=\"/\">heard</a>? \
             Parts of names are found; parts of ids are not.</p>"
        ),
    };
    let main = html!("<h1>Search: <span class=\"id\">{}</span></h1>{}", q, lists);
    Ok(page(&signed.person, "Search", "/search", &q, main))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_a_time_or_not() {
        let from = |q: &str| span(q).map(|(from, _)| from);
        assert_eq!(from("2026-03-05").as_deref(), Some("2026-03-05T00:00:00"));
        assert_eq!(from("2026-03-05 09:30").as_deref(), Some("2026-03-05T09:30:00"));
        assert_eq!(from("2026-03-05T09:30:07Z").as_deref(), Some("2026-03-05T09:30:07"));
        for other in ["", "20260305", "2026-03-05'; drop", "a026-03-05", "2026-03-05T", "\u{661}026-03-05"] {
            assert_eq!(from(other), None, "{other}");
        }
    }
}
