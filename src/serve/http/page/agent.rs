//! An agent: what it is, its versions over time, its identities, what changed, its jobs and actions of some days.

use std::sync::Arc;

use axum::extract::State;

use super::ask::{Ask, number};
use super::days::{Days, OfDays, seen};
use super::html::{address, html};
use super::layout::{Page, page};
use super::parts::{Part, sections};
use super::table::{facts_of, text};
use super::turns::Turns;
use super::{Failed, Visitor, unknown};
use crate::serve::http::Desk;
use crate::serve::http::problem::At;

const NOW: &str = "
    select coalesce(organization, organization_id) as organization, agent_id, name, pool_id, pool_name, machine, version, os, enabled, status,
      created, client_id, key_fingerprint, observed, gone, deleted_by, record_hash
    from agents_now where agent_id = $agent and coalesce(organization, organization_id) = $organization";
const VERSIONS: &str = "
    select \"from\", until, machine, version, os, enabled, name, coalesce(organization, organization_id) as organization, pool_id, pool_name, key_fingerprint,
      client_id, event, record_hash
    from agents where agent_id = $agent and coalesce(organization, organization_id) = $organization order by \"from\" desc, record_hash";
const IDENTITIES: &str = "
    select role, identity_id, identity_name, identity_kind, machine, \"from\", until, record_hash
    from bindings where coalesce(organization, organization_id) = $organization and (agent_id = $agent
      or agent_id is null and machine in (select machine from agents where agent_id = $agent and coalesce(organization, organization_id) = $organization))
    order by \"from\" desc, role, identity_id, record_hash";
const ACTIONS: &str = "
    select occurred, action, grade, actor_id, actor_name, project, run_kind, run_id, details, event_id
    from actions_of_agent(cast($agent as varchar), $since, $until) where agent_id = $agent and coalesce(organization, organization_id) = $organization
    order by occurred desc, event_id";
const JOBS: &str = "
    select coalesce(organization, organization_id) as organization, received, finished, result, pipeline_name, run_kind, run_id, run_name, stage, name, request_id
    from jobs_of_agent(cast($agent as varchar), $since, $until) where agent_id = $agent and coalesce(organization, organization_id) = $organization order by received desc, request_id desc";
/// Its days with jobs or actions.
const NEWEST: &str = "
    select max(date) as day from (
      select max(date) as date from lake.jobs where agent_id = $agent and coalesce(organization, organization_id) = $organization
      union all
      select max(date) from lake.events where agent_id = $agent and coalesce(organization, organization_id) = $organization
      union all
      select max(date) from lake.revisions where agent_id = $agent and coalesce(organization, organization_id) = $organization
    )";

fn asks(own: impl Fn(Ask) -> Ask, days: Days) -> Vec<Part> {
    let of_days = |ask: Ask| own(ask).of_days(days);
    vec![
        ("Agent", own(Ask::new(NOW)), ""),
        (
            "Versions",
            own(Ask::new(VERSIONS)),
            "No version of it was ever listed; agents are listed once [azure_devops] may read pools.",
        ),
        (
            "What changed",
            own(Ask::of_report(
                "agent_drift",
                "at, changed, before, now",
                "where organization = $organization and agent_id = $agent order by at desc, changed, now",
            )),
            "Nothing of it changed: the same key, machine, system, address and pipelines all along.",
        ),
        (
            "Identities",
            own(Ask::new(IDENTITIES)),
            "Nobody is known to have registered it, and its machine has no identity in the inventory.",
        ),
        (
            "Actions",
            of_days(Ask::new(ACTIONS)),
            "No action of these days is certain to be of this agent; it may still be a candidate of others: search its name.",
        ),
        ("Jobs", of_days(Ask::new(JOBS)), "No job is known to have run on it in these days."),
    ]
}

pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    Visitor(signed): Visitor,
    At((organization, id)): At<(String, String)>,
    turns: Turns,
) -> Result<Page, Failed> {
    let agent = number(&id, "an agent")?;
    let text_of = format!("page agent {organization} {agent}");
    let of = organization.clone();
    let own = move |ask: Ask| ask.text("organization", &of).int("agent", agent);
    let newest = own(Ask::new(NEWEST));
    let seen = seen(&desk, &signed, text_of, newest, |days| asks(own, days), &turns).await?;
    if seen.is_empty() {
        return Err(unknown("the agent", &id));
    }
    let form = seen.form(&["agent", &organization, &id]);
    let OfDays { asked, rows: seen, .. } = seen;
    let now = seen.first().and_then(|rows| rows.rows.first());
    let name = now.map_or_else(|| format!("agent {agent}"), |now| text(now, "name"));
    let known = now.map_or_else(
        || html!("<p class=\"empty\">No list of agents showed it; what follows is what jobs and actions say.</p>"),
        |now| {
            facts_of(now, &[
                "organization", "agent_id", "pool_name", "machine", "version", "os", "enabled", "status", "created", "client_id",
                "key_fingerprint", "observed", "gone", "deleted_by", "record_hash",
            ])
        },
    );
    let parts: Vec<_> = seen.iter().zip(&asked).skip(1).collect();
    let (of_all_times, of_days) = parts.split_at(3);
    let [of_all_times, of_days] =
        [of_all_times, of_days].map(|parts| sections(parts.iter().copied(), &turns));
    let may_have = address(&["reports", "several_candidates"], &[]);
    let reach = address(&["reports", "blast_radius"], &[("who", &name)]);
    let main = html!(
        "<p class=\"over\">Agent</p><h1>{}</h1>{}<p class=\"more\"><a href=\"{}\">What it reaches</a> \
         <a href=\"{}\">Actions that several agents can have done</a></p>{}{}{}",
        name,
        known,
        reach,
        may_have,
        of_all_times,
        form,
        of_days
    );
    Ok(page(&signed.person, &format!("Agent {name}"), "/search", &name, main))
}
