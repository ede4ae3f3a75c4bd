//! Service hooks.

use super::jobs::{finish_run, run_of};
use super::{Around, Draft, id, int, string, time};
use crate::decode::json::Fields;
use crate::model::{Body, Job, Pool, Queue, Run};

pub(super) fn draft(fields: &Fields<'_>, around: &Around<'_>) -> Option<Draft> {
    if !fields.has("publisherId") || !fields.has("resource") {
        return None;
    }
    // An older form of the documentation names the type `eventId`.
    let event = fields.text("eventType").or_else(|| fields.text("eventId"))?.to_ascii_lowercase();
    let resource = fields.object("resource").unwrap_or_default();
    let mut draft =
        Draft::new(&format!("hook.{event}"), id(fields, "id").unwrap_or_default(), Body::Other, around);
    let containers = fields.object("resourceContainers").unwrap_or_default();
    let container = |name: &str| containers.object(name).unwrap_or_default();
    // An audit record's scope is the collection host, which is what an organisation is.
    draft.organization.id = id(&container("collection"), "id").or_else(|| id(&container("account"), "id"));
    if draft.organization.name.is_none() {
        let base = ["collection", "account", "project"].iter().find_map(|c| container(c).text("baseUrl"));
        draft.organization.name = base.and_then(|b| super::Address::parse(&b).organization);
    }
    draft.project_id =
        id(&container("project"), "id").or_else(|| id(&resource, "projectId")).or(draft.project_id);
    draft.occurred = time(fields, "createdDate");
    match event.as_str() {
        "build.complete" => finish_run(&mut draft, run_of(&resource), &resource),
        e if e.contains("run-state-changed") => {
            let run = resource.object("run").unwrap_or_default();
            finish_run(&mut draft, run_with_pipeline(&run, &resource), &run);
        }
        e if e.contains("stage-state-changed") => stage(&mut draft, &resource),
        e if e.contains("job-state-changed") => job(&mut draft, &resource),
        e if e.starts_with("agentqueue.") => {
            if let Some(queue_id) = int(&resource, "queueId") {
                let pool_id = int(&resource, "poolId");
                draft.body = Body::Queue(Queue { queue_id, name: string(&resource, "queueName"), pool_id });
            }
        }
        e if e.starts_with("elasticagentpool.") => {
            if let Some(pool_id) = int(&resource, "poolId") {
                draft.body = Body::Pool(Pool {
                    pool_id,
                    name: string(&resource, "poolName"),
                    options: Some("elasticPool".to_owned()),
                    size: int(&resource, "newSize"),
                    azure_id: string(&resource, "resourceId"),
                    ..Pool::default()
                });
            }
        }
        e if e.starts_with("ms.vss-release.") || e.starts_with("ms.azure-devops-release.") => {
            release(&mut draft, &resource)
        }
        _ => {}
    }
    Some(draft)
}

fn run_with_pipeline(run: &Fields<'_>, resource: &Fields<'_>) -> Run {
    let mut out = run_of(run);
    if out.pipeline_id.is_none() {
        let pipeline = resource.object("pipeline").unwrap_or_default();
        (out.pipeline_id, out.pipeline_name) = (int(&pipeline, "id"), string(&pipeline, "name"));
    }
    out
}

fn stage(draft: &mut Draft, resource: &Fields<'_>) {
    if let Some(run) = resource.object("run").filter(|r| r.has("id")) {
        finish_run(draft, run_with_pipeline(&run, resource), &run);
    }
    let stage = resource.object("stage").unwrap_or_default();
    draft.occurred = time(&stage, "finishTime").or_else(|| time(&stage, "startTime")).or(draft.occurred);
}

/// A job's state: no agent, pool, plan or request in it; those come from the pool afterwards.
fn job(draft: &mut Draft, resource: &Fields<'_>) {
    let job = resource.object("job").unwrap_or_default();
    let stage = resource.object("stage").unwrap_or_default();
    let run = resource.object("run").unwrap_or_default();
    let pipeline = resource.object("pipeline").or_else(|| run.object("pipeline")).unwrap_or_default();
    let (started, finished) = (time(&job, "startTime"), time(&job, "finishTime"));
    draft.occurred = finished.or(started).or(draft.occurred);
    draft.body = Body::Job(Box::new(Job {
        job_id: id(&job, "id"),
        name: string(&job, "name"),
        stage: string(&stage, "name"),
        attempt: int(&job, "attempt"),
        plan_type: Some("Build".to_owned()),
        run_id: int(&run, "id"),
        run_name: string(&run, "name"),
        pipeline_id: int(&pipeline, "id"),
        pipeline_name: string(&pipeline, "name"),
        received: started,
        finished,
        result: string(&job, "result"),
        state: string(&job, "state"),
        ..Job::default()
    }));
}

fn release(draft: &mut Draft, resource: &Fields<'_>) {
    let release = resource
        .object("release")
        .or_else(|| resource.object("deployment").and_then(|d| d.object("release")))
        .or_else(|| resource.object("environment").and_then(|e| e.object("release")));
    if let Some(release) = release.filter(|r| r.has("id")) {
        let mut run = run_of(&release);
        run.run_kind = "release".to_owned();
        finish_run(draft, run, &release);
    }
}
