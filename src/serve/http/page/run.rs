//! A run: its stages and jobs, the agents they ran on, the actions.

use std::sync::Arc;

use axum::extract::State;

use super::ask::{Ask, number};
use super::html::{Html, html};
use super::layout::{Page, page};
use super::parts::{Part, sections, seen};
use super::table::{facts_of, text};
use super::turns::Turns;
use super::{Failed, Visitor, unknown};
use crate::serve::http::Desk;
use crate::serve::http::problem::At;

const RUN: &str = "
    select coalesce(organization, organization_id) as organization, run_id, run_kind, name, pipeline_name, pipeline_id, state, result, queued, started,
      finished, requested_for, requested_for_id as identity, requested_by, reason, source_branch, source_version, record_hash
    from runs where run_id = $run and run_kind = $kind";
const JOBS: &str = "
    select coalesce(organization, organization_id) as organization, stage, name, result, agent_id, agent_name, pool_id, pool_name, received, finished,
      queued, attempt, request_id, record_hash
    from jobs_of_run($run) where run_kind = $kind order by queued, received, stage, name, request_id";
const ACTIONS: &str = "
    select occurred, coalesce(organization, organization_id) as organization, action, grade, agent_id, agent_name, actor_id, actor_name, details, event_id
    from actions_of_run($run) where run_kind = $kind order by occurred, event_id";
const AGENTS: &str = "
    select coalesce(organization, organization_id) as organization, agent_id, agent_name, max(pool_id) as pool_id, max(pool_name) as pool_name,
      count(*) as jobs, min(received) as first, max(finished) as last
    from jobs_of_run($run) where run_kind = $kind and agent_name is not null group by 1, 2, 3 order by 3, 1, 2";

fn asks(kind: &str, run: i64) -> [Part; 4] {
    let own = |sql: &'static str| Ask::new(sql).text("kind", kind).int("run", run);
    [
        ("Run", own(RUN), ""),
        (
            "Stages and jobs",
            own(JOBS),
            "No job of it is known: job requests are heard once [azure_devops] may read pools.",
        ),
        ("Agents", own(AGENTS), "No agent is known to have taken a job of it."),
        ("Actions", own(ACTIONS), "No audit event is known to be of this run."),
    ]
}

pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    Visitor(signed): Visitor,
    At((kind, id)): At<(String, String)>,
    turns: Turns,
) -> Result<Page, Failed> {
    let run = number(&id, "a run")?;
    let asked = asks(&kind, run);
    let text_of = format!("page run {kind} {run}");
    let seen = seen(&desk, &signed, text_of, &asked, &turns).await?;
    if seen.iter().all(|rows| rows.rows.is_empty()) {
        return Err(unknown("the run", &format!("{kind} {id}")));
    }
    let known: Html = seen[0]
        .rows
        .iter()
        .map(|row| {
            facts_of(
                row,
                &[
                    "organization",
                    "pipeline_name",
                    "pipeline_id",
                    "state",
                    "result",
                    "queued",
                    "started",
                    "finished",
                    "requested_for",
                    "requested_by",
                    "reason",
                    "source_branch",
                    "source_version",
                    "record_hash",
                ],
            )
        })
        .collect();
    let known = match known.is_empty() {
        true => html!(
            "<p class=\"empty\">No record of the run itself came; what follows is what its jobs and actions say.</p>"
        ),
        false => known,
    };
    let name = seen[0].rows.first().map(|row| text(row, "name")).unwrap_or_default();
    let sections = sections(seen.iter().zip(&asked).skip(1), &turns);
    let main = html!(
        "<p class=\"over\">{} {}</p><h1>{}</h1>{}{}",
        kind,
        id,
        if name.is_empty() { format!("{kind} {id}") } else { name },
        known,
        sections
    );
    Ok(page(&signed.person, &format!("Run {kind} {id}"), "/search", &format!("{kind}:{id}"), main))
}
