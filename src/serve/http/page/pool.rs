//! A pool: its agents, how busy they were hour by hour of some days, who waited.

use std::sync::Arc;

use axum::extract::State;

use super::ask::{Ask, number};
use super::days::{Days, OfDays, seen};
use super::html::{Html, html};
use super::layout::{Page, page};
use super::parts::{Part, sections};
use super::table::{facts_of, text};
use super::turns::Turns;
use super::{Failed, Visitor, chart, unknown};
use crate::serve::http::Desk;
use crate::serve::http::problem::At;

const POOL: &str = "
    select coalesce(organization, organization_id) as organization, pool_id, name, is_hosted, pool_type, size, observed, record_hash
    from pools where queue_id is null and pool_id = $pool and coalesce(organization, organization_id) = $organization";
const AGENTS: &str = "
    select coalesce(organization, organization_id) as organization, agent_id, name as agent_name, machine, version, enabled, status, observed, gone, os
    from agents_now where pool_id = $pool and coalesce(organization, organization_id) = $organization order by gone is not null, name, agent_id, gone";
const NEWEST: &str = "
    select max(date) as day from lake.jobs where pool_id = $pool and coalesce(organization, organization_id) = $organization";
const BUSY: &str = "select * from busy_of_pool($pool, $since, $until)";
const JOBS: &str = "
    select coalesce(organization, organization_id) as organization, queued, agent_id, agent_name, result, pipeline_name, name, run_kind, run_id, received, finished
    from jobs_of_pool($pool, $since, $until) where coalesce(organization, organization_id) = $organization order by queued desc, request_id desc";

fn asks(own: impl Fn(Ask) -> Ask, days: Days) -> Vec<Part> {
    let of_days = |ask: Ask| own(ask).of_days(days);
    vec![
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

pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    Visitor(signed): Visitor,
    At((organization, id)): At<(String, String)>,
    turns: Turns,
) -> Result<Page, Failed> {
    let pool = number(&id, "a pool")?;
    let text_of = format!("page pool {organization} {pool}");
    let of = organization.clone();
    let own = move |ask: Ask| ask.text("organization", &of).int("pool", pool);
    let newest = own(Ask::new(NEWEST));
    let seen = seen(&desk, &signed, text_of, newest, |days| asks(own, days), &turns).await?;
    if seen.is_empty() {
        return Err(unknown("the pool", &id));
    }
    let form = seen.form(&["pool", &organization, &id]);
    let OfDays { asked, rows: seen, .. } = seen;
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
