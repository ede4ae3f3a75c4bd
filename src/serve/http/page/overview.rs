//! The overview: what was heard and until when, how sure the verdicts are, what is alarming, what is blind.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;

use super::ask::{Ask, Rows};
use super::html::{Html, html};
use super::layout::{Page, page};
use super::table::{Source, facts, section, text, time};
use super::{DOOR, Failed, Visitor, chart};
use crate::query::{QueryError, Session};
use crate::serve::http::Desk;

const NEWEST: &str = "
    select coalesce(organization, organization_id) as organization, count(*) as events, min(occurred) as oldest_event,
      max(occurred) as newest_event, max(observed) as newest_observed
    from lake.events group by 1 order by 1";
/// How late what was heard of each source is.
const HEARD: &str = "
    select coalesce(organization, organization_id) as organization, source, count(distinct pool_id) as pools, max(until) as heard_until,
      round(cast(extract(epoch from (now() - max(until))) as double) / 60, 1) as lag_minutes
    from coverage group by 1, 2 order by 1, 2";
const GRADES: &str = "
    select date_trunc('day', occurred) as day, grade, count(*) as actions from actions group by 1, 2 order by 1 desc, 2";
const FINDINGS: &str = "
    select occurred, coalesce(organization, organization_id) as organization, severity, detection, says, agent_id, agent_name, grade, event_id
    from findings where status = 'open' order by occurred desc";

struct Seen {
    newest: Rows,
    heard: Rows,
    grades: Rows,
    alarms: Rows,
    blind: Rows,
    findings: Rows,
}

fn asks() -> [Ask; 6] {
    [
        Ask::new(NEWEST),
        Ask::new(HEARD),
        Ask::new(GRADES),
        Ask::of_report("build_identity_alarms", "order by occurred desc"),
        Ask::of_report(
            "blind_windows",
            "where gap_before is not null and source = 'jobs' order by heard_from desc",
        ),
        Ask::new(FINDINGS),
    ]
}

async fn see(session: &Session) -> Result<Seen, QueryError> {
    let [newest, heard, grades, alarms, blind, findings] = asks();
    Ok(Seen {
        newest: newest.rows(session).await?,
        heard: heard.rows(session).await?,
        grades: grades.most(session, 400).await?,
        alarms: alarms.most(session, 10).await?,
        blind: blind.most(session, 10).await?,
        findings: findings.most(session, 10).await?,
    })
}

pub(super) async fn show(State(desk): State<Arc<Desk>>, Visitor(signed): Visitor) -> Result<Page, Failed> {
    let work = desk.work(&signed, DOOR, "page /".to_owned(), async move |session| see(&session).await);
    let seen = work.await?;
    let [newest, heard, _, alarms, blind, findings] = asks();
    let mut days: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for row in &seen.grades.rows {
        let day = text(row, "day").chars().take(10).collect();
        let count = row.get("actions").and_then(serde_json::Value::as_u64).unwrap_or(0);
        *days.entry(day).or_default().entry(text(row, "grade")).or_default() += count;
    }
    while days.len() > 60 {
        days.pop_first();
    }
    let events: u64 =
        seen.newest.rows.iter().filter_map(|row| row.get("events").and_then(serde_json::Value::as_u64)).sum();
    let latest =
        |column: &str| seen.newest.rows.iter().map(|row| text(row, column)).max().unwrap_or_default();
    let hero = html!(
        "<section class=\"hero\"><h1>Which agent did this, as whom, and how sure are we?</h1>\
         <form role=\"search\" aria-label=\"Search the lake\" action=\"/search\"><label for=\"find\">Trace an id, a name, an address or a time</label>\
         <div><input id=\"find\" name=\"q\" type=\"search\" placeholder=\"a1000000-0000-4000-8000-000000000001\" autocomplete=\"off\" \
         spellcheck=\"false\" maxlength=\"500\"><button>Trace</button></div></form></section>"
    );
    let health = match events {
        0 => html!(
            "<section class=\"notice\"><h2>No audit event yet</h2><p>Nothing was ingested that you may see. Fetch some with \
             <code>agentrail run</code> or <code>agentrail ingest FILE</code>, or ask whoever keeps your scope.</p></section>"
        ),
        _ => html!(
            "<section>{}</section>",
            facts(&[
                ("events", html!("<b class=\"big\">{}</b>", grouped(events))),
                ("newest event", time(&latest("newest_event"))),
                ("newest observed", time(&latest("newest_observed"))),
                ("organisations", html!("<b class=\"big\">{}</b>", seen.newest.rows.len())),
            ])
        ),
    };
    let grades = match days.is_empty() {
        true => Html::default(),
        false => html!(
            "<section><div class=\"title\"><h2>How sure</h2><p><a href=\"/reports/grades\">All days</a></p></div>{}</section>",
            chart::by_day("Actions by day and grade", &days)
        ),
    };
    let main: Html = [
        hero,
        health,
        grades,
        section(
            "Alarms",
            &seen.alarms,
            &Source::Ask(&alarms),
            "No build identity was used while no job of its scope ran.",
        ),
        section("Findings", &seen.findings, &Source::Ask(&findings), "No detection has found anything."),
        html!("<p><a href=\"/detections\">All detections, and what none of them sees</a></p>"),
        section(
            "Blind windows",
            &seen.blind,
            &Source::Ask(&blind),
            "The job requests of no pool fell silent once they were heard.",
        ),
        section(
            "Heard",
            &seen.heard,
            &Source::Ask(&heard),
            "No source was heard yet: without jobs and agents no verdict can be sole. Set [azure_devops] to have them polled.",
        ),
        section("Events by organisation", &seen.newest, &Source::Ask(&newest), "No audit event yet."),
    ]
    .into_iter()
    .collect();
    Ok(page(&signed.person, "Overview", "/", "", main))
}

/// A count with its thousands apart.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}
