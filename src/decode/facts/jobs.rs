//! Job requests, timeline records, runs.

use std::borrow::Cow;

use super::{Around, Draft, digest, id, int, own_address, short, string, time};
use crate::decode::json::Fields;
use crate::model::{Body, Job, Run};

pub(super) fn draft(fields: &Fields<'_>, around: &Around<'_>) -> Option<Draft> {
    let has = |name: &str| fields.has(name);
    if has("requestId") && (has("planId") || has("planType") || has("jobId")) {
        return Some(request(fields, around));
    }
    let in_timeline = has("parentId") || around.address.names("timeline");
    if has("type") && in_timeline && (has("startTime") || has("workerName") || has("state")) {
        return Some(timeline(fields, around));
    }
    if let Some(release) = fields.object("release").filter(|r| r.has("id") && has("releaseDefinition")) {
        return Some(of_release(&release, fields, around));
    }
    if has("buildNumber") && has("id") || has("releaseDefinition") && has("id") {
        return Some(run_draft("run", fields, around));
    }
    if has("pipeline") && has("createdDate") && has("id") && has("state") {
        return Some(run_draft("run", fields, around));
    }
    None
}

/// A pool's job request: the one record that ties job, run and agent together.
fn request(fields: &Fields<'_>, around: &Around<'_>) -> Draft {
    let job = job_of_request(fields, around);
    let state = [
        fields.get("assignTime"),
        fields.get("receiveTime"),
        fields.get("finishTime"),
        fields.get("result"),
        fields.object("reservedAgent").and_then(|a| a.get("id")),
        fields.get("jobName"),
    ];
    let mut draft = Draft::new(
        "job_request",
        job.request_id.map(|n| n.to_string()).unwrap_or_default(),
        Body::Other,
        around,
    );
    draft.state = short(&state.map(|s| s.unwrap_or("-")).join("\0"));
    draft.organization.id = id(fields, "hostId").or(draft.organization.id);
    let address = fields.object("reservedAgent").and_then(|a| own_address(&a));
    let address = address.or_else(|| fields.object("owner").and_then(|o| own_address(&o)));
    if draft.organization.name.is_none() {
        draft.organization.name = address.and_then(|a| a.organization);
    }
    draft.project_id = id(fields, "scopeId").or(draft.project_id);
    draft.occurred = job.finished.or(job.received).or(job.assigned).or(job.queued);
    draft.body = Body::Job(Box::new(job));
    draft
}

fn job_of_request(fields: &Fields<'_>, around: &Around<'_>) -> Job {
    let agent = fields.object("reservedAgent").unwrap_or_default();
    let definition = fields.object("definition").unwrap_or_default();
    let owner = fields.object("owner").unwrap_or_default();
    let orchestration_id = string(fields, "orchestrationId");
    let (stage, identifier) = orchestration_id.as_deref().map(orchestration).unwrap_or_default();
    let demands = fields.get("demands").and_then(|d| serde_json::from_str::<Vec<Cow<'_, str>>>(d).ok());
    Job {
        request_id: int(fields, "requestId"),
        job_id: id(fields, "jobId"),
        name: string(fields, "jobName"),
        identifier,
        stage,
        attempt: int(fields, "attempt"),
        plan_id: id(fields, "planId"),
        plan_type: string(fields, "planType"),
        run_id: int(&owner, "id"),
        run_name: string(&owner, "name"),
        pipeline_id: int(&definition, "id"),
        pipeline_name: string(&definition, "name"),
        pool_id: int(fields, "poolId").or(around.address.pool_id),
        pool_name: None,
        queue_id: int(fields, "queueId"),
        queued: time(fields, "queueTime"),
        assigned: time(fields, "assignTime"),
        received: time(fields, "receiveTime"),
        finished: time(fields, "finishTime"),
        result: string(fields, "result"),
        state: None,
        service_owner: id(fields, "serviceOwner"),
        agent_id: int(&agent, "id"),
        agent_name: string(&agent, "name"),
        agent_version: string(&agent, "version"),
        agent_os: string(&agent, "osDescription"),
        image: fields.object("agentSpecification").and_then(|s| string(&s, "VMImage")),
        orchestration_id,
        demands: demands.unwrap_or_default().into_iter().map(Cow::into_owned).collect(),
    }
}

/// Stage and job of `{plan}.{stage}.{job}`; `__default` stands for one that has no name.
fn orchestration(text: &str) -> (Option<String>, Option<String>) {
    let mut parts = text.splitn(3, '.').skip(1).map(str::to_owned);
    let (first, second) = (parts.next(), parts.next());
    match second {
        Some(job) => (first, Some(job)),
        None => (None, first),
    }
}

/// A record of a build's timeline: of a job it knows the agent's name, not its id.
fn timeline(fields: &Fields<'_>, around: &Around<'_>) -> Draft {
    let kind = fields.text("type").unwrap_or_default();
    let (started, finished) = (time(fields, "startTime"), time(fields, "finishTime"));
    let body = if kind.eq_ignore_ascii_case("job") {
        let is_build = around.address.run_kind == Some("build");
        Body::Job(Box::new(Job {
            job_id: id(fields, "id"),
            name: string(fields, "name"),
            identifier: string(fields, "identifier"),
            attempt: int(fields, "attempt"),
            plan_type: is_build.then(|| "Build".to_owned()),
            run_id: around.address.run_id,
            queue_id: int(fields, "queueId"),
            received: started,
            finished,
            result: string(fields, "result"),
            state: string(fields, "state"),
            agent_name: string(fields, "workerName"),
            ..Job::default()
        }))
    } else {
        Body::Other
    };
    // Ids of timeline records repeat from run to run.
    let run = around.address.run_id.map_or_else(
        || short(around.address.url.as_deref().unwrap_or_default()),
        |run| format!("{}-{run}", around.address.run_kind.unwrap_or("run")),
    );
    let mut draft = Draft::new(
        "timeline_record",
        format!("{run}/{}", id(fields, "id").unwrap_or_default()),
        body,
        around,
    );
    draft.state = digest(
        fields,
        &["_links", "url", "log", "changeId", "lastModified", "percentComplete", "currentOperation"],
    );
    draft.occurred = finished.or(started);
    draft
}

/// A build, a release or a pipeline run, from its REST body.
fn run_draft(kind: &str, fields: &Fields<'_>, around: &Around<'_>) -> Draft {
    let run = run_of(fields);
    let mut draft = Draft::new(kind, "", Body::Other, around);
    finish_run(&mut draft, run, fields);
    draft
}

/// A deployment or a manual intervention of a release: its `id` is its own, not the release's.
fn of_release(release: &Fields<'_>, fields: &Fields<'_>, around: &Around<'_>) -> Draft {
    let kind = if fields.has("taskInstanceId") { "manual_intervention" } else { "release_deployment" };
    let mut draft = Draft::new(kind, string(fields, "id").unwrap_or_default(), Body::Other, around);
    draft.state = digest(fields, &["_links", "url"]);
    let mut run = run_of(release);
    run.run_kind = "release".to_owned();
    let definition = fields.object("releaseDefinition").unwrap_or_default();
    run.pipeline_id = run.pipeline_id.or_else(|| int(&definition, "id"));
    run.pipeline_name = run.pipeline_name.or_else(|| string(&definition, "name"));
    run.state = string(fields, "deploymentStatus").or_else(|| string(fields, "status"));
    finish_run(&mut draft, run, fields);
    draft.occurred = time(fields, "completedOn").or_else(|| time(fields, "startedOn")).or(draft.occurred);
    draft
}

/// Ties a draft to the run it is about.
pub(super) fn finish_run(draft: &mut Draft, run: Run, fields: &Fields<'_>) {
    if draft.id.is_empty() {
        draft.id = format!("{}-{}", run.run_kind, run.run_id.map(|n| n.to_string()).unwrap_or_default());
        let state = [run.state.as_deref(), run.result.as_deref()].map(|s| s.unwrap_or("-")).join("\0");
        let times = [run.queued, run.started, run.finished].map(|t| t.map_or(0, |t| t.0));
        draft.state = short(&format!("{state}{times:?}"));
    }
    if draft.project_id.is_none() {
        draft.project_id = fields.object("project").and_then(|p| id(&p, "id"));
    }
    if draft.organization.name.is_none() {
        draft.organization.name = own_address(fields).and_then(|a| a.organization);
    }
    draft.occurred = run.finished.or(run.started).or(run.queued).or(draft.occurred);
    draft.body = Body::Run(Box::new(run));
}

/// The run of a build body (v1 and v2), a release body, or a pipelines run.
pub(super) fn run_of(fields: &Fields<'_>) -> Run {
    let release = fields.has("releaseDefinition");
    let definition = fields
        .object("definition")
        .or_else(|| fields.object("releaseDefinition"))
        .or_else(|| fields.object("pipeline"))
        .unwrap_or_default();
    let queue = fields.object("queue").unwrap_or_default();
    let pool = queue.object("pool").unwrap_or_default();
    let person = |name: &str| fields.object(name).unwrap_or_default();
    let (requested_for, requested_by) = (person("requestedFor"), person("requestedBy"));
    // The first form of the build hook names the person in a list of requests.
    let first_request = fields
        .get("requests")
        .and_then(|r| serde_json::from_str::<Vec<&serde_json::value::RawValue>>(r).ok())
        .and_then(|r| Fields::parse(r.first()?.get())?.object("requestedFor"))
        .unwrap_or_default();
    let created_by = person("createdBy");
    let mut plan_ids: Vec<String> = Vec::new();
    if let Some(plan) = fields.object("orchestrationPlan").and_then(|p| id(&p, "planId")) {
        plan_ids.push(plan);
    }
    let plans =
        fields.get("plans").and_then(|p| serde_json::from_str::<Vec<&serde_json::value::RawValue>>(p).ok());
    for plan in plans.unwrap_or_default() {
        if let Some(plan) = Fields::parse(plan.get()).and_then(|p| id(&p, "planId"))
            && !plan_ids.contains(&plan)
        {
            plan_ids.push(plan);
        }
    }
    Run {
        run_id: int(fields, "id"),
        run_kind: if release { "release" } else { "build" }.to_owned(),
        name: string(fields, "buildNumber").or_else(|| string(fields, "name")),
        pipeline_id: int(&definition, "id"),
        pipeline_name: string(&definition, "name"),
        state: string(fields, "status").or_else(|| string(fields, "state")),
        result: string(fields, "result"),
        queued: time(fields, "queueTime")
            .or_else(|| time(fields, "createdDate"))
            .or_else(|| time(fields, "createdOn")),
        started: time(fields, "startTime"),
        finished: time(fields, "finishTime").or_else(|| time(fields, "finishedDate")),
        plan_ids,
        pool_id: int(&pool, "id"),
        pool_name: string(&pool, "name"),
        queue_id: int(&queue, "id"),
        requested_for_id: id(&requested_for, "id").or_else(|| id(&first_request, "id")),
        requested_for: string(&requested_for, "displayName")
            .or_else(|| string(&first_request, "displayName")),
        requested_by_id: id(&requested_by, "id").or_else(|| id(&created_by, "id")),
        requested_by: string(&requested_by, "displayName").or_else(|| string(&created_by, "displayName")),
        reason: string(fields, "reason"),
        source_branch: string(fields, "sourceBranch"),
        source_version: string(fields, "sourceVersion").or_else(|| string(fields, "sourceGetVersion")),
    }
}
