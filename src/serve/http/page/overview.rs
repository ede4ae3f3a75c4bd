//! The overview: what was heard and until when, how sure the verdicts are, what is alarming, what is blind.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use futures::TryStreamExt as _;

use super::ask::{Ask, Rows};
use super::chart::{Grades, columns, grouped};
use super::days::newest_day;
use super::html::{Html, html};
use super::layout::{Page, page};
use super::table::{Source, facts, lasting, section, text, time};
use super::timeline::{Line, Strip, lines, strips};
use super::turns::Turns;
use super::{DOOR, Failed, Visitor};
use crate::model::{Date, Ticks, Time};
use crate::query::{Object, QueryError, Session};
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
const LAST_DAY: &str = "select max(date) as day from lake.events";
const BY_DAY: &str = "
    select date_trunc('day', min(occurred)) as at, grade, count(*) as actions
    from actions where occurred >= $since group by cast(occurred as date), grade order by at desc, grade";
/// Of a lake of a few days, hours say more.
const BY_HOUR: &str = "
    select date_trunc('hour', occurred) as at, grade, count(*) as actions from actions where occurred >= $since group by 1, 2 order by 1 desc, 2";
/// How long after it happened an event came.
const LAG: &str = "
    select date_trunc('day', min(occurred)) as at,
      approx_percentile_cont(0.5) within group (order by cast(extract(epoch from (observed - occurred)) as double)) as half,
      approx_percentile_cont(0.95) within group (order by cast(extract(epoch from (observed - occurred)) as double)) as most
    from lake.events where date >= cast($since as date) group by date order by at desc";
const FINDINGS: &str = "
    select occurred, coalesce(organization, organization_id) as organization, severity, detection, says, agent_id, agent_name, grade, event_id
    from findings where status = 'open' order by occurred desc, event_id";

/// What is looked at over time: so many days up to the newest, and hours where there are no more days than that.
const DAYS: i32 = 60;
const ALARM_DAYS: i32 = 7;
const FEW_DAYS: usize = 3;
const STRIPS: usize = 400;
const LISTED: usize = 6;

struct Seen {
    /// Since when alarms are shown.
    alarming: Date,
    newest: Rows,
    heard: Rows,
    by_day: Rows,
    /// Asked where the days are few.
    by_hour: Rows,
    lag: Rows,
    spans: Rows,
    alarms: Rows,
    blind: Rows,
    findings: Rows,
}

fn alarms(since: Date) -> Ask {
    const COLUMNS: &str =
        "occurred, organization, action, grade, actor_name, ip, executor, project, event_id";
    Ask::of_report("build_identity_alarms", COLUMNS, "order by occurred desc, event_id").day("since", since)
}

fn blind() -> Ask {
    const COLUMNS: &str = "organization, source, pool_id, gap_before, heard_from, heard_until";
    Ask::of_report(
        "blind_windows",
        COLUMNS,
        "where gap_before is not null and source = 'jobs' order by heard_from desc, organization, pool_id",
    )
}

fn spans() -> Ask {
    Ask::of_report(
        "blind_windows",
        "organization, source, pool_id, heard_from, heard_until",
        "order by heard_until desc, organization, source, pool_id",
    )
}

/// Whether rows, the newest first, are of a few days in a row.
fn are_few(rows: &Rows) -> bool {
    let at = |row: Option<&Object>| Time::parse(&text(row?, "at"));
    let (newest, oldest) = (at(rows.rows.first()), at(rows.rows.last()));
    newest.zip(oldest).is_none_or(|(newest, oldest)| newest < oldest + Ticks::days(FEW_DAYS as i64))
}

async fn see(session: &Session) -> Result<Seen, QueryError> {
    const MOST: usize = DAYS as usize * 7;
    let last = newest_day(&Ask::new(LAST_DAY).most(session, 1).await?).unwrap_or(Date(0));
    let since = last.plus_days(1 - DAYS);
    let alarming = last.plus_days(1 - ALARM_DAYS);
    let over_time = |sql| Ask::new(sql).day("since", since);
    let asks = [
        (over_time(BY_DAY), MOST),
        (Ask::new(NEWEST), 50),
        (Ask::new(HEARD), 50),
        (over_time(LAG), DAYS as usize),
        (spans(), STRIPS),
        (alarms(alarming), LISTED),
        (blind(), LISTED),
        (Ask::new(FINDINGS), LISTED),
    ];
    let answers = session.together(asks.map(|(ask, most)| ask.part(session, 0, most)));
    let [by_day, newest, heard, lag, spans, alarms, blind, findings] =
        answers.try_collect::<Vec<Rows>>().await?.try_into().unwrap_or_else(|_| unreachable!("one of each"));
    let by_hour = match are_few(&by_day) {
        true => over_time(BY_HOUR).most(session, MOST).await?,
        false => Rows::default(),
    };
    Ok(Seen { alarming, newest, heard, by_day, by_hour, lag, spans, alarms, blind, findings })
}

pub(super) async fn show(State(desk): State<Arc<Desk>>, Visitor(signed): Visitor) -> Result<Page, Failed> {
    let work = desk.work(&signed, DOOR, "page /".to_owned(), async move |session| see(&session).await);
    let seen = work.await?;
    let hero = html!(
        "<section class=\"hero\"><h1>Which agent did this, as whom, and how sure are we?</h1>\
         <form role=\"search\" aria-label=\"Search the lake\" action=\"/search\"><label for=\"find\">An event, run or correlation id; the name of an agent, \
         person, pool or pipeline; an address; or a time</label>\
         <div><input id=\"find\" name=\"q\" type=\"search\" placeholder=\"linux-build-01, 2026-03-05 12:47, 198.51.100.20, ...\" autocomplete=\"off\" \
         spellcheck=\"false\" autocapitalize=\"off\" maxlength=\"500\"><button>Trace</button></div></form></section>"
    );
    // There is no page of these: the last of them are shown, and the downloads have all.
    let turns = Turns::default();
    let listed = |title: &str, rows: &Rows, ask: Ask, empty: &str| {
        section(title, rows, &Source::Ask(&ask), &turns, empty)
    };
    let main: Html = [
        hero,
        health(&seen),
        listed(
            "Alarms of the last week",
            &seen.alarms,
            alarms(seen.alarming),
            "No build identity was used while no job of its scope ran, in the week up to the newest event.",
        ),
        listed("Findings", &seen.findings, Ask::new(FINDINGS), "No detection has found anything."),
        html!("<p><a href=\"/detections\">All detections, and what none of them sees</a></p>"),
        over_time(&seen),
        listed(
            "Blind windows",
            &seen.blind,
            blind(),
            "The job requests of no pool fell silent once they were heard.",
        ),
        listed(
            "Heard",
            &seen.heard,
            Ask::new(HEARD),
            "No source was heard yet: without jobs and agents no verdict can be sole. Set [azure_devops] to have them polled.",
        ),
        listed("Events by organisation", &seen.newest, Ask::new(NEWEST), "No audit event yet."),
    ]
    .into_iter()
    .collect();
    Ok(page(&signed.person, "Overview", "/", "", main))
}

/// How much there is, and how late.
fn health(seen: &Seen) -> Html {
    let events: u64 =
        seen.newest.rows.iter().filter_map(|row| row.get("events").and_then(serde_json::Value::as_u64)).sum();
    if events == 0 {
        return html!(
            "<section class=\"notice\"><h2>No audit event yet</h2><p>Nothing was ingested that you may see. Fetch some with \
             <code>agentrail run</code> or <code>agentrail ingest FILE</code>, or ask whoever keeps your scope.</p></section>"
        );
    }
    let latest =
        |column: &str| seen.newest.rows.iter().map(|row| text(row, column)).max().unwrap_or_default();
    let organizations = match seen.newest.rows.as_slice() {
        [only] => html!("{}", text(only, "organization")),
        several => html!("{}", several.len()),
    };
    let heard = seen.heard.rows.iter().filter(|row| text(row, "source") == "jobs");
    let heard = heard.map(|row| text(row, "heard_until")).min().unwrap_or_default();
    html!(
        "<section>{}</section>",
        facts(&[
            ("events", html!("<b class=\"big\">{}</b>", grouped(events))),
            (
                if seen.newest.rows.len() == 1 { "organisation" } else { "organisations" },
                html!("<b class=\"big\">{}</b>", organizations)
            ),
            ("newest event", time(&latest("newest_event"))),
            ("newest came", time(&latest("newest_observed"))),
            ("jobs heard until", time(&heard)),
        ])
    )
}

fn over_time(seen: &Seen) -> Html {
    let few = !seen.by_hour.rows.is_empty();
    let counts = match few {
        true => filled(&seen.by_hour, Ticks::seconds(3600), 13),
        false => filled(&seen.by_day, Ticks::days(1), 10),
    };
    if counts.is_empty() {
        return Html::default();
    }
    let unit = if few { "an hour" } else { "a day" };
    let point = |row: &crate::query::Object, column: &str| {
        Some((Time::parse(&text(row, "at"))?, row.get(column)?.as_f64()?.max(0.0)))
    };
    let line = |name: &str, column: &str| Line {
        name: name.to_owned(),
        points: seen.lag.rows.iter().rev().filter_map(|row| point(row, column)).collect(),
    };
    html!(
        "<section><div class=\"title\"><h2>How sure</h2><p class=\"downloads\"><a href=\"/reports/grades\">By day and executor</a></p></div>{}</section>\
         <section class=\"pair\"><h2 class=\"hidden\">How late and how whole</h2>{}{}</section>",
        columns("Actions by grade", unit, &counts),
        strips("When each source was heard", &heard(&seen.spans)),
        lines(
            "From what happened to its arrival",
            &[line("half within", "half"), line("95 % within", "most")],
            lasting
        )
    )
}

/// The counts of each day or hour, also of those on which nothing happened: a gap is to be seen as one.
fn filled(rows: &Rows, step: Ticks, length: usize) -> Vec<(String, Grades)> {
    let mut all: BTreeMap<Time, Grades> = BTreeMap::new();
    for row in &rows.rows {
        let Some(at) = Time::parse(&text(row, "at")) else { continue };
        let count = row.get("actions").and_then(serde_json::Value::as_u64).unwrap_or(0);
        *all.entry(at).or_default().entry(text(row, "grade")).or_default() += count;
    }
    let Some(last) = all.keys().next_back().copied() else { return Vec::new() };
    let most = if step == Ticks::days(1) { i64::from(DAYS) } else { FEW_DAYS as i64 * 24 };
    let first = all.keys().next().copied().unwrap_or(last).max(last - Ticks(step.0 * (most - 1)));
    let mut at = first;
    let mut out = Vec::new();
    while at <= last {
        let named = at.to_string().replace('T', " ");
        let named = named.get(..length).unwrap_or(&named).to_owned();
        out.push((
            if length == 13 { format!("{named}:00") } else { named },
            all.remove(&at).unwrap_or_default(),
        ));
        at = at + step;
    }
    out
}

/// What was heard of each pool, over the same days.
fn heard(rows: &Rows) -> Vec<Strip> {
    let instant = |row: &crate::query::Object, column: &str| Time::parse(&text(row, column));
    let last = rows.rows.iter().filter_map(|row| instant(row, "heard_until")).max().unwrap_or_default();
    let first = last - Ticks::days(DAYS.into());
    let one = rows.rows.iter().all(|row| text(row, "organization") == text(&rows.rows[0], "organization"));
    let mut all: BTreeMap<String, Vec<(Time, Time)>> = BTreeMap::new();
    for row in &rows.rows {
        let (Some(from), Some(until)) = (instant(row, "heard_from"), instant(row, "heard_until")) else {
            continue;
        };
        let pool = text(row, "pool_id");
        let mut name = text(row, "source");
        if !pool.is_empty() {
            name = format!("{name} of pool {pool}");
        }
        if !one {
            name = format!("{}: {name}", text(row, "organization"));
        }
        if until >= first {
            all.entry(name).or_default().push((from.max(first), until));
        }
    }
    all.into_iter()
        .map(|(name, mut spans)| {
            spans.sort();
            Strip { name, spans }
        })
        .collect()
}
