//! A pool: its agents, how busy they were hour by hour of some days, who waited.

use std::sync::Arc;

use axum::extract::State;

use super::ask::{Ask, Rows, number};
use super::html::{Html, address, html};
use super::layout::{Page, page};
use super::parts::{Part, rows_of, sections};
use super::table::{facts_of, text};
use super::turns::Turns;
use super::{DOOR, Failed, Visitor, chart, unknown};
use crate::model::{Date, Time};
use crate::query::{QueryError, Session};
use crate::serve::http::Desk;
use crate::serve::http::problem::{At, Problem};
use crate::serve::http::question::Pairs;

/// Days that are shown where no others are asked for: the last ones with jobs. All of them can have millions.
const DAYS: i32 = 3;

const POOL: &str = "
    select coalesce(organization, organization_id) as organization, pool_id, name, is_hosted, pool_type, size, observed, record_hash
    from pools where queue_id is null and coalesce(organization, organization_id) = $organization and pool_id = $pool";
const AGENTS: &str = "
    select coalesce(organization, organization_id) as organization, agent_id, name as agent_name, machine, version, enabled, status, observed, gone, os
    from agents_now where coalesce(organization, organization_id) = $organization and pool_id = $pool order by gone is not null, name, agent_id, gone";
const NEWEST: &str = "
    select max(coalesce(finished, received, assigned, queued)) as at
    from lake.jobs where coalesce(organization, organization_id) = $organization and pool_id = $pool";
const BUSY: &str = "select * from busy_of_pool($pool, $since, $until)";
const JOBS: &str = "
    select coalesce(organization, organization_id) as organization, queued, agent_id, agent_name, result, pipeline_name, name, run_kind, run_id, received, finished
    from jobs_of_pool($pool, $since, $until) where coalesce(organization, organization_id) = $organization order by queued desc, request_id desc";

/// From the first of them on, before the second.
type Days = (Date, Date);

/// The days that an address asks for.
fn days(given: &Pairs) -> Result<Option<Days>, Problem> {
    let day = |name: &str| {
        let own = given.iter().rev().find(|(own, text)| own == name && !text.is_empty());
        let parsed = own.map(|(_, text)| {
            Date::parse(text)
                .ok_or_else(|| Problem::bad(format!("understand `{text}` as a day; write it as 2026-03-05")))
        });
        parsed.transpose()
    };
    Ok(match (day("since")?, day("until")?) {
        (None, None) => None,
        (Some(since), None) => Some((since, since.plus_days(DAYS))),
        (None, Some(until)) => Some((until.plus_days(-DAYS), until)),
        (Some(since), Some(until)) => Some((since, until)),
    })
}

fn asks(organization: &str, pool: i64, (since, until): Days) -> [Part; 4] {
    let own = |ask: Ask| ask.text("organization", organization).int("pool", pool);
    let of_days = |ask: Ask| own(ask).between(since, until);
    [
        ("Pool", own(Ask::new(POOL)), ""),
        (
            "Utilisation",
            of_days(Ask::of_report(
                "pool_utilisation",
                "hour, jobs, agents, busy_minutes, mean_wait_seconds",
                "where organization = $organization order by hour desc",
            ))
            .with("busy", BUSY),
            "No job is known to have run in it in these days.",
        ),
        ("Agents", own(Ask::new(AGENTS)), "No agent of it was ever listed."),
        ("Jobs", of_days(Ask::new(JOBS)), "No job is known to have asked for it in these days."),
    ]
}

/// What is asked of a pool, and the rows.
struct Seen {
    /// Whether any job of it was ever heard of.
    has_jobs: bool,
    /// None where none are asked for, nor known.
    days: Option<Days>,
    asked: [Part; 4],
    rows: Vec<Rows>,
}

async fn see(
    session: &Session,
    (organization, pool): (&str, i64),
    days: Option<Days>,
    turns: &Turns,
) -> Result<Seen, QueryError> {
    let newest =
        Ask::new(NEWEST).text("organization", organization).int("pool", pool).most(session, 1).await?;
    let newest = newest.rows.first().and_then(|row| Time::parse(&text(row, "at")));
    let last_days = || {
        let until = newest?.date().plus_days(1);
        Some((until.plus_days(-DAYS), until))
    };
    let (has_jobs, days) = (newest.is_some(), days.or_else(last_days));
    let asked = asks(organization, pool, days.unwrap_or((Date(0), Date(0))));
    let rows = rows_of(session, &asked, turns).await?;
    Ok(Seen { has_jobs, days, asked, rows })
}

/// The form in which other days are asked for.
fn form(organization: &str, id: &str, (since, until): Days) -> Html {
    let field = |name: &str, title: &str, says: &str, day: Date| {
        html!(
            "<div><label for=\"{}\">{} <small>{}</small></label><input id=\"{}\" name=\"{}\" type=\"date\" value=\"{}\"></div>",
            name,
            title,
            says,
            name,
            name,
            day.to_string()
        )
    };
    html!(
        "<form class=\"ask\" action=\"{}\">{}{}<button>Show these days</button></form>",
        address(&["pool", organization, id], &[]),
        field("since", "Since", "day", since),
        field("until", "Until", "day, exclusive", until)
    )
}

pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    Visitor(signed): Visitor,
    At((organization, id)): At<(String, String)>,
    turns: Turns,
) -> Result<Page, Failed> {
    let pool = number(&id, "a pool")?;
    let text_of = format!("page pool {organization} {pool}");
    let (days, own, own_turns) = (days(&turns.given())?, organization.clone(), turns.clone());
    let work = async move |session| see(&session, (&own, pool), days, &own_turns).await;
    let Seen { has_jobs, days, asked, rows: seen } = desk.work(&signed, DOOR, text_of, work).await?;
    if !has_jobs && seen.iter().all(|rows| rows.rows.is_empty()) {
        return Err(unknown("the pool", &id));
    }
    let form = days.map(|days| form(&organization, &id, days)).unwrap_or_default();
    let known: Html = seen[0]
        .rows
        .iter()
        .map(|row| {
            facts_of(
                row,
                &["organization", "pool_id", "is_hosted", "pool_type", "size", "observed", "record_hash"],
            )
        })
        .collect();
    let name = seen[0].rows.first().map(|row| text(row, "name")).filter(|name| !name.is_empty());
    let name = name.unwrap_or_else(|| format!("pool {id}"));
    let mut busy: Vec<(String, f64)> = seen[1]
        .rows
        .iter()
        .take(24)
        .filter_map(|row| {
            Some((text(row, "hour").get(..16)?.replace('T', " "), row.get("busy_minutes")?.as_f64()?))
        })
        .collect();
    busy.reverse();
    let picture = match busy.is_empty() {
        true => Html::default(),
        false => html!(
            "<section><h2>How busy</h2>{}</section>",
            chart::bars("Busy minutes in each of these hours with jobs", &busy)
        ),
    };
    let sections = sections(seen.iter().zip(&asked).skip(1), &turns);
    let main = html!("<p class=\"over\">Pool</p><h1>{}</h1>{}{}{}{}", name, known, form, picture, sections);
    Ok(page(&signed.person, &format!("Pool {name}"), "/search", &name, main))
}
