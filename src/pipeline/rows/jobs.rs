//! Rows of `jobs` and `runs`.

use super::{end_dated, kind_of_run, organization};
use crate::model::{Fact, Job, Run};
use crate::store::Builder;

pub(super) fn job(row: &mut Builder, fact: &Fact<'_>, job: &Job, hash: &str) {
    row.text(Some(&fact.key));
    organization(row, fact);
    row.text(fact.project_id.as_deref());
    row.int(job.request_id);
    row.text(job.job_id.as_deref());
    row.text(job.name.as_deref());
    row.text(job.identifier.as_deref());
    row.text(job.stage.as_deref());
    row.int(job.attempt);
    row.text(job.plan_id.as_deref());
    row.text(job.plan_type.as_deref());
    row.int(job.run_id);
    row.text(kind_of_run(job.plan_type.as_deref()));
    row.text(job.run_name.as_deref());
    row.int(job.pipeline_id);
    row.text(job.pipeline_name.as_deref());
    row.int(job.pool_id);
    row.text(job.pool_name.as_deref());
    row.int(job.queue_id);
    row.text(job.state.as_deref().or(Some(state(job))));
    row.text(job.result.as_deref());
    row.time(job.queued);
    row.time(job.assigned);
    row.time(job.received);
    row.time(job.finished);
    row.int(job.agent_id);
    row.text(job.agent_name.as_deref());
    row.text(job.agent_version.as_deref());
    row.text(job.agent_os.as_deref());
    row.text(job.image.as_deref());
    row.text(job.service_owner.as_deref());
    row.text(job.orchestration_id.as_deref());
    row.texts(job.demands.iter().map(String::as_str));
    row.text(Some(&fact.kind));
    row.time(Some(fact.observed));
    end_dated(row, fact, hash);
}

/// A job request has no state field: its times say how far it got.
fn state(job: &Job) -> &'static str {
    match (job.finished.is_some() || job.result.is_some(), job.received, job.assigned) {
        (true, _, _) => "finished",
        (false, Some(_), _) => "running",
        (false, None, Some(_)) => "assigned",
        (false, None, None) => "queued",
    }
}

pub(super) fn run(row: &mut Builder, fact: &Fact<'_>, run: &Run, hash: &str) {
    row.text(Some(&fact.key));
    organization(row, fact);
    row.text(fact.project_id.as_deref());
    row.int(run.run_id);
    row.text(Some(&run.run_kind));
    row.text(run.name.as_deref());
    row.int(run.pipeline_id);
    row.text(run.pipeline_name.as_deref());
    row.text(run.state.as_deref());
    row.text(run.result.as_deref());
    row.time(run.queued);
    row.time(run.started);
    row.time(run.finished);
    row.texts(run.plan_ids.iter().map(String::as_str));
    row.int(run.pool_id);
    row.text(run.pool_name.as_deref());
    row.int(run.queue_id);
    row.text(run.requested_for_id.as_deref());
    row.text(run.requested_for.as_deref());
    row.text(run.requested_by_id.as_deref());
    row.text(run.requested_by.as_deref());
    row.text(run.reason.as_deref());
    row.text(run.source_branch.as_deref());
    row.text(run.source_version.as_deref());
    row.text(Some(&fact.kind));
    row.time(Some(fact.observed));
    end_dated(row, fact, hash);
}
