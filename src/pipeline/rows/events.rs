//! Rows of `events`: one audit event with its first verdict.

use crate::model::{Event, Time, Verdict};
use crate::store::{Builder, Cell, RowKey};

/// Appends the row of `event`.
pub(super) fn append(row: &mut Builder, event: &Event<'_>, verdict: &Verdict, decided: Time) {
    row.text(Some(&event.id));
    row.time(Some(event.occurred));
    row.time(Some(event.observed));
    row.text(event.organization_id.as_deref());
    row.text(event.organization.as_deref());
    row.text(event.project_id.as_deref());
    row.text(event.project.as_deref());
    row.text(Some(&event.action));
    row.text(event.area.as_deref());
    row.text(event.category.as_deref());
    row.text(event.actor_id.as_deref());
    row.text(event.actor_cuid.as_deref());
    row.text(event.actor_name.as_deref());
    row.text(Some(event.actor_kind.as_str()));
    row.text(event.actor_upn.as_deref());
    row.text(event.actor_client_id.as_deref());
    row.text(event.author_id.as_deref());
    row.text(event.auth_mechanism.as_deref());
    row.text(event.authorization_id.as_deref());
    row.text(event.ip.as_deref());
    row.text(event.user_agent.as_deref());
    row.text(event.correlation_id.as_deref());
    row.text(event.activity_id.as_deref());
    row.text(event.details.as_deref());
    row.text(event.data.as_deref());
    verdict_columns(row, verdict, decided);
    row.hash(&event.hash);
    row.text(std::str::from_utf8(&event.raw).ok());
    row.end_row(key(event), Some(event.occurred.date()));
}

/// What stood before a revision.
pub(in crate::pipeline) struct Old<'a> {
    /// How often the verdict was revised before.
    pub revision: i64,
    pub executor: Option<&'a str>,
    pub grade: Option<&'a str>,
    pub agent_id: Option<i64>,
    pub agent_name: Option<&'a str>,
}

/// Appends the row of a revised verdict.
pub(super) fn revision(
    row: &mut Builder,
    event: &Event<'_>,
    verdict: &Verdict,
    decided: Time,
    old: &Old<'_>,
    why: &str,
) {
    let revision = old.revision + 1;
    // The same revision decided again, after a crash or by another process, is the same row.
    let key = format!("{}/{revision}/{}", event.id, verdict.digest());
    row.text(Some(&key));
    row.text(Some(&event.id));
    row.time(Some(event.occurred));
    row.text(event.organization_id.as_deref());
    row.text(event.organization.as_deref());
    row.text(event.project_id.as_deref());
    row.int(Some(revision));
    row.text(Some(why));
    row.text(old.executor);
    row.text(old.grade);
    row.int(old.agent_id);
    row.text(old.agent_name);
    verdict_columns(row, verdict, decided);
    row.hash(&event.hash);
    row.end_row(RowKey::new(&key), Some(event.occurred.date()));
}

/// The columns that a verdict fills, in the order that `events` and `revisions` share.
fn verdict_columns(row: &mut Builder, verdict: &Verdict, decided: Time) {
    row.text(Some(verdict.executor.as_str()));
    row.text(Some(verdict.raised_by.as_str()));
    row.text(Some(verdict.grade.as_str()));
    let agent = verdict.agent.as_ref();
    row.int(agent.and_then(|a| a.id));
    row.text(agent.and_then(|a| a.name.as_deref()));
    row.text(agent.and_then(|a| a.version.as_deref()));
    row.int(agent.and_then(|a| a.pool_id));
    row.text(agent.and_then(|a| a.pool_name.as_deref()));
    row.text(agent.and_then(|a| a.machine.as_deref()));
    let job = verdict.job.as_ref();
    row.text(job.and_then(|j| j.job_id.as_deref()));
    row.int(job.and_then(|j| j.request_id));
    let run = verdict.run.as_ref();
    row.int(run.and_then(|r| r.id));
    row.text(run.and_then(|r| r.kind.as_deref()));
    row.int(job.and_then(|j| j.attempt));
    row.int(run.and_then(|r| r.pipeline_id));
    row.items(verdict.identities.iter().map(|i| {
        [
            Cell::Text(Some(&i.id)),
            Cell::Text(i.name.as_deref()),
            Cell::Text(Some(&i.kind)),
            Cell::Text(Some(&i.role)),
        ]
    }));
    row.items(verdict.candidates.iter().map(|c| {
        [
            Cell::Int(c.agent_id),
            Cell::Text(c.agent_name.as_deref()),
            Cell::Int(c.pool_id),
            Cell::Text(c.job_id.as_deref()),
            Cell::Int(c.run_id),
            Cell::Text(Some(&c.why)),
        ]
    }));
    row.items(verdict.evidence.iter().map(|e| {
        [
            Cell::Text(Some(&e.kind)),
            Cell::Hash(e.record),
            Cell::Text(Some(&e.says)),
            Cell::Time(Some(e.known)),
        ]
    }));
    row.texts(verdict.missing.iter().map(String::as_str));
    row.items(
        verdict
            .subjects
            .iter()
            .map(|s| [Cell::Text(Some(&s.kind)), Cell::Text(Some(&s.id)), Cell::Text(s.name.as_deref())]),
    );
    row.flag(Some(verdict.blind));
    row.flag(Some(verdict.provisional));
    row.time(Some(decided));
}

/// The event's key; time, action and actor must agree when it comes again.
fn key(event: &Event<'_>) -> RowKey {
    RowKey::checked(
        &event.id,
        &[
            Cell::Time(Some(event.occurred)),
            Cell::Text(Some(&event.action)),
            Cell::Text(event.actor_id.as_deref()),
            Cell::Text(event.actor_client_id.as_deref()),
        ],
    )
}
