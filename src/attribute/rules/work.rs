//! Records that report the work of a job: the ids or names in them lead to the job request.

use super::Step;
use super::case::Case;
use crate::attribute::ends::Ran;
use crate::attribute::job::{JobKnown, is_release, of_one_run, spaces};
use crate::model::{ActorKind, Event, Executor, Grade, Job, Ticks, Time};

/// Actions that report what a job did, though a service writes them. Other actions that name a run
/// (it was queued, retained, deleted) are about the run, not done by it.
const WORK: [&str; 3] =
    ["Library.ServiceConnectionExecuted", "Pipelines.DeploymentJobCompleted", "Release.DeploymentCompleted"];

/// A service writes of a job's work while it runs or soon after.
const SOON: Ticks = Ticks::seconds(300);

/// Whether the ids and names in a record are of the job whose work it reports. In what a person or a job does
/// they are what it was done to: a release that was deleted, a request that was cancelled. So they are where a
/// service writes another action at another time.
fn reports_work(case: &Case<'_, '_>) -> bool {
    let (event, hints) = (case.event, &case.event.hints);
    if WORK.iter().any(|w| event.action.eq_ignore_ascii_case(w)) {
        return true;
    }
    let by_request = |request| case.known.jobs.by_request(request);
    let jobs = hints.request_id.map(by_request).or_else(|| jobs_by_id(case, hints.job_id.as_deref()?));
    let names_job = hints.request_id.is_some() || hints.job_id.is_some();
    let slack = case.tolerance.clock;
    let is_of_its_time = |job: &&JobKnown| {
        job.span().is_none_or(|(from, until)| {
            from <= event.occurred + slack && until.is_none_or(|until| event.occurred <= until + SOON)
        })
    };
    let then = jobs.is_none_or(|jobs| jobs.is_empty() || jobs.iter().any(is_of_its_time));
    names_job && event.actor_kind == ActorKind::Service && then
}

/// The jobs of this id in the plan or the run that the record names; `None` where it names neither, as job ids
/// repeat from run to run.
fn jobs_by_id<'k>(case: &Case<'_, 'k>, id: &str) -> Option<Vec<&'k JobKnown>> {
    let (hints, known) = (&case.event.hints, &case.known.jobs);
    let of_run = |run| known.by_run(is_release(hints.plan_type.as_deref()), run);
    let mut jobs =
        hints.plan_id.as_deref().map(|plan| known.by_plan(plan)).or_else(|| hints.run_id.map(of_run))?;
    jobs.retain(|j| {
        j.job.job_id.as_deref() == Some(id)
            && hints.run_id.is_none_or(|r| j.job.run_id == Some(r))
            && hints.attempt.is_none_or(|a| j.attempt().is_none_or(|b| a == b))
    });
    Some(jobs)
}

/// A request id, or a job id with its plan or run, is one job.
pub(super) fn job_ids(case: &mut Case<'_, '_>) -> Step {
    let hints = &case.event.hints;
    if !reports_work(case) {
        return Step::Next;
    }
    if let Some(request) = hints.request_id {
        let says = format!("the record names job request {request}");
        let mut all = case.known.jobs.by_request(request);
        // It may have been given to one agent after another; until its end is known, the timeline may know
        // of one that no list showed.
        let open = all.first().filter(|_| all.iter().all(|job| job.job.finished.is_none()));
        all.extend(open.map(|job| case.known.jobs.elsewhere(job)).unwrap_or_default());
        let fitting: Vec<&JobKnown> = all.iter().copied().filter(|job| overlaps(case, job)).collect();
        match (all.as_slice(), fitting.as_slice()) {
            ([], _) => case.missing(format!("job request {request} is not known")),
            ([job], _) | (_, [job]) if job.is_only_assigned() => {
                case.missing("whether the agent that it was given to took it up");
                case.verdict.provisional = true;
                return several(case, &[job], says);
            }
            ([job], _) | (_, [job]) => return one(case, job, says, Grade::Exact),
            (_, []) => return several(case, &all, says),
            (_, fitting) => return several(case, fitting, says),
        }
    }
    if let Some(id) = hints.job_id.as_deref() {
        let Some(jobs) = jobs_by_id(case, id) else {
            case.missing(format!("the run or plan of job {id}, whose id repeats from run to run"));
            return Step::Next;
        };
        match jobs.as_slice() {
            [] => case.missing(format!("no job request with job id {id} of that run is known")),
            [job] => {
                let says = format!("the record names job {id} of one plan or run");
                // Attempts share the id: at another time it was another one.
                return match overlaps(case, job) {
                    true => one(case, job, says, Grade::Exact),
                    false => some_of_run(case, &jobs, says),
                };
            }
            jobs => return several(case, jobs, format!("the record names job {id}")),
        }
    }
    Step::Next
}

/// The owner id with its plan type is one run; stage, job name and times pick among its jobs.
pub(super) fn run_ids(case: &mut Case<'_, '_>) -> Step {
    let hints = &case.event.hints;
    let Some(run) = hints.run_id.filter(|_| reports_work(case)) else { return Step::Next };
    // Builds and releases are numbered apart.
    let spaces = spaces(hints.plan_type.as_deref());
    let of_space = |release: &bool| case.known.jobs.by_run(*release, run);
    // Releases are numbered within their project, and a number of another pipeline is of the other kind.
    let jobs: Vec<&JobKnown> = spaces
        .iter()
        .flat_map(of_space)
        .filter(|job| !is_release(job.job.plan_type.as_deref()) || same_project(case.event, job))
        .filter(|job| hints.pipeline_id.is_none_or(|p| job.job.pipeline_id.is_none_or(|own| p == own)))
        .collect();
    let kind = match spaces {
        [true] => "release",
        [false] => "build",
        _ => "build or release",
    };
    for release in spaces {
        if let Some((known, source)) = case.known.jobs.runs.get(&(*release, run)) {
            let kind = if *release { "release" } else { "build" };
            case.cite(*source, format!("{kind} {run} is {}", known.name.as_deref().unwrap_or("known")));
        }
    }
    if jobs.is_empty() {
        case.missing(format!("no job request of {kind} {run} is known"));
        case.verdict.provisional = true;
        return Step::Next;
    }
    let says = format!("the record names {kind} {run}");
    let named = named_jobs(case.event, &jobs);
    let fitting: Vec<&JobKnown> = named.iter().copied().filter(|j| overlaps(case, j)).collect();
    let (from, until) = span(case);
    let from = from.unwrap_or_else(|| began(&named, until));
    let step = match (fitting.as_slice(), named.as_slice()) {
        ([job], _) => {
            let deaf = case.deaf(from, until);
            let alone = only_agents(case, spaces, run, from, until) && !deaf;
            let says = format!("{says}; one of its jobs fits what it says and when");
            match alone {
                true => one(case, job, says, Grade::Sole),
                false => some_of_run(case, &[job], says),
            }
        }
        ([], []) => some_of_run(case, &jobs, says),
        ([], named) => some_of_run(case, named, says),
        (fitting, _) => some_of_run(case, fitting, format!("{says}; these of its jobs ran at the time")),
    };
    // A job on the server may have done it, which acts for no agent.
    if case.verdict.grade == Grade::Run && !only_agents(case, spaces, run, from, until) {
        case.verdict.executor = Executor::Unknown;
    }
    if spaces.len() > 1 {
        case.missing("whether it is a build or a release: both are numbered, and the record does not say");
        no_run(case);
    }
    step
}

/// Whether the timeline of a run rules out that a job without an agent did it: no pool lists those. Of
/// releases there is no timeline.
fn only_agents(case: &mut Case<'_, '_>, spaces: &[bool], run: i64, from: Time, until: Time) -> bool {
    let slack = case.tolerance.clock;
    let timeline = case.known.jobs.timeline(run);
    if spaces != [false] || !case.known.jobs.is_read(run, until) {
        case.missing(format!("the timeline of run {run}, which would tell of jobs without an agent"));
        return false;
    }
    // One that was seen at work only is over once it is tried again.
    let again = |own: &Job| {
        let later =
            timeline.iter().filter(|told| told.job.job_id == own.job_id && told.job.attempt > own.attempt);
        later.map(|told| told.job.received.unwrap_or(told.source.known)).min()
    };
    let agentless = timeline.iter().map(|told| &told.job).any(|job| {
        job.agent_name.is_none()
            && job.received.is_some_and(|start| start <= until + slack)
            && job.finished.or_else(|| again(job)).is_none_or(|end| end + slack >= from)
    });
    // Earlier attempts of a job on the server are in the timelines of then.
    let agentless = agentless || case.known.jobs.lacks_attempts(run);
    if agentless {
        case.missing("which it was: a job of the run without an agent ran as well");
    }
    !agentless
}

/// Pipeline, run name, stage and job name; run names are not unique, so this never is `exact`.
pub(super) fn run_names(case: &mut Case<'_, '_>) -> Step {
    let hints = &case.event.hints;
    if !reports_work(case) {
        return Step::Next;
    }
    if let Some(name) = hints.run_name.as_deref() {
        let release = is_release(hints.plan_type.as_deref());
        let jobs: Vec<&JobKnown> = case
            .known
            .jobs
            .by_run_name(name)
            .into_iter()
            .filter(|j| is_release(j.job.plan_type.as_deref()) == release)
            .filter(|j| hints.pipeline_id.is_none_or(|p| j.job.pipeline_id.is_none_or(|q| p == q)))
            .filter(|j| {
                let (said, own) = (hints.pipeline_name.as_deref(), j.job.pipeline_name.as_deref());
                said.zip(own).is_none_or(|(said, own)| said.eq_ignore_ascii_case(own))
            })
            .filter(|j| same_project(case.event, j))
            .collect();
        let named = named_jobs(case.event, &jobs);
        let fitting: Vec<&JobKnown> = named.iter().copied().filter(|j| overlaps(case, j)).collect();
        let says = format!("the record names run {name} of its pipeline");
        match fitting.as_slice() {
            [] if jobs.is_empty() => case.missing(format!("no job request of a run named {name} is known")),
            [] => {
                let then: Vec<&JobKnown> = jobs.iter().copied().filter(|j| overlaps(case, j)).collect();
                let (from, until) = span(case);
                let from = from.unwrap_or_else(|| began(&then, until));
                if then.is_empty() {
                    case.missing(format!("no job request of a run named {name} is known that ran then"));
                } else if named.is_empty()
                    && case.known.unheard(from, until).is_some_and(|pools| pools.is_empty())
                {
                    // It may call stage and job by what people read, which requests do not say.
                    let says = format!("{says}; what it calls stage and job is not known, these ran then");
                    let step = some_of_name(case, &then, says);
                    // Nor what a job on the server is called, which acts for no agent.
                    let run = case.verdict.run.as_ref().and_then(|run| run.id);
                    if run.is_none_or(|run| !only_agents(case, &[release], run, from, until)) {
                        case.verdict.executor = Executor::Unknown;
                    }
                    return step;
                } else {
                    case.missing(format!("which job of run {name} has the stage and name of the record"));
                }
            }
            [job] => {
                let (from, until) = span(case);
                let from = from.unwrap_or_else(|| began(&named, until));
                let says = format!("{says}; one of its jobs fits what it says and when");
                if case.deaf(from, until) {
                    return some_of_name(case, &[job], says);
                }
                if !is_of_pipeline(case, job) {
                    let step = some_of_name(case, &[job], says);
                    case.missing("the pipeline of that run: others may have runs of this name");
                    no_run(case);
                    return step;
                }
                // What is not called by a name that is known may be a job on the server as well.
                let is_called = is_called(case.event, job);
                let runs = |run| only_agents(case, &[release], run, from, until);
                if !is_called && !job.job.run_id.is_some_and(runs) {
                    let step = some_of_name(case, &[job], says);
                    case.verdict.executor = Executor::Unknown;
                    return step;
                }
                return one(case, job, says, Grade::Sole);
            }
            jobs => return some_of_name(case, jobs, says),
        }
    }
    // The record reports a job's work and the job is not known: no guess, and not "the service".
    case.verdict.executor = Executor::Unknown;
    case.verdict.grade = Grade::None;
    case.verdict.provisional = true;
    case.cite_event("the record reports the work of a job");
    case.missing("the job requests of the pool at that time");
    Step::Decided
}

fn one(case: &mut Case<'_, '_>, job: &JobKnown, says: String, grade: Grade) -> Step {
    case.cite_event(says.clone());
    case.candidate(job, says);
    if case.doubts(job) {
        case.cite(job.source, format!("{} is the job it names", job.title()));
        case.only_hints();
        return Step::Decided;
    }
    case.chose(job, grade);
    Step::Decided
}

/// Lists several jobs; of one run, the verdict is exact to the run.
fn several(case: &mut Case<'_, '_>, jobs: &[&JobKnown], says: String) -> Step {
    case.cite_event(says.clone());
    case.verdict.executor = Executor::Agent;
    let one_run = of_one_run(jobs);
    case.verdict.grade = if one_run && jobs[0].job.run_id.is_some() { Grade::Run } else { Grade::Narrowed };
    if one_run {
        case.run_of(jobs[0]);
    }
    for job in jobs {
        case.candidate(job, says.clone());
        case.cite(job.source, job.course());
    }
    case.doubt_all(jobs);
    case.missing(match jobs {
        [_] => "whether another job of the run did it",
        _ => "which of the jobs of the run it was",
    });
    Step::Decided
}

/// Several jobs of what a run's number or name leads to: there may be more where a pool was not heard.
fn some_of_run(case: &mut Case<'_, '_>, jobs: &[&JobKnown], says: String) -> Step {
    let (from, until) = span(case);
    let from = from.unwrap_or_else(|| began(jobs, until));
    let deaf = case.deaf(from, until);
    (case.verdict.blind, case.verdict.provisional) = (deaf, deaf);
    several(case, jobs, says)
}

/// Several jobs of what a run's name leads to: in a pool that was not heard there may be another run of it.
fn some_of_name(case: &mut Case<'_, '_>, jobs: &[&JobKnown], says: String) -> Step {
    let step = some_of_run(case, jobs, says);
    if case.verdict.blind {
        no_run(case);
    }
    step
}

/// Whether a job is known to be of the pipeline that a record names.
fn is_of_pipeline(case: &Case<'_, '_>, job: &JobKnown) -> bool {
    let hints = &case.event.hints;
    let key = job.job.run_id.map(|run| (is_release(job.job.plan_type.as_deref()), run));
    let run = key.and_then(|key| case.known.jobs.runs.get(&key)).map(|(run, _)| run);
    let id = job.job.pipeline_id.or_else(|| run?.pipeline_id);
    let name = job.job.pipeline_name.as_deref().or_else(|| run?.pipeline_name.as_deref());
    let same_name = || {
        let said = hints.pipeline_name.as_deref().zip(name);
        said.map(|(said, own)| said.eq_ignore_ascii_case(own))
    };
    let names_none = hints.pipeline_id.is_none() && hints.pipeline_name.is_none();
    names_none || hints.pipeline_id.zip(id).map(|(said, own)| said == own).or_else(same_name) == Some(true)
}

/// Takes back that it was of one run for certain.
fn no_run(case: &mut Case<'_, '_>) {
    if case.verdict.grade == Grade::Run {
        case.verdict.grade = Grade::Narrowed;
        case.verdict.run = None;
    }
}

fn same_project(event: &Event<'_>, job: &JobKnown) -> bool {
    match (event.project_id.as_deref(), job.project_id.as_deref()) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    }
}

/// The jobs that stage and job name of the record fit; all of them when it names neither.
fn named_jobs<'k>(event: &Event<'_>, jobs: &[&'k JobKnown]) -> Vec<&'k JobKnown> {
    let stage = event.hints.stage_name.as_deref();
    let in_stage = |job: &JobKnown| stage.is_none_or(|s| job.job.stage.as_deref().is_none_or(|t| same(s, t)));
    let Some(name) = event.hints.job_name.as_deref() else {
        return jobs.iter().copied().filter(|job| in_stage(job)).collect();
    };
    let mut named = jobs.to_vec();
    named.retain(|job| in_stage(job) && is_named(job, name));
    // Where the name is found as an identifier alone, it may be what people call another job.
    if !named.is_empty() && !named.iter().any(|job| shown_names(job).any(|own| same(name, own))) {
        let unnamed = jobs.iter().copied().filter(|job| in_stage(job) && !is_named(job, name));
        named.extend(unnamed.filter(|job| shown_names(job).next().is_none()));
    }
    named
}

/// The names of a job as people read them.
fn shown_names(job: &JobKnown) -> impl Iterator<Item = &str> {
    let told = job.timeline.as_ref().and_then(|told| told.name.as_deref());
    [job.job.name.as_deref(), told].into_iter().flatten()
}

fn is_named(job: &JobKnown, name: &str) -> bool {
    let mut names = shown_names(job).chain(job.job.identifier.as_deref());
    names.any(|own| same(name, own) || tail(own).is_some_and(|tail| same(name, tail)))
}

fn same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b) || a.replace(' ', "_").eq_ignore_ascii_case(b)
}

/// Whether a job is known by the name that a record gives. Of a stage alone, another job may run on the server.
fn is_called(event: &Event<'_>, job: &JobKnown) -> bool {
    event.hints.job_name.as_deref().is_some_and(|name| is_named(job, name))
}

/// The job of `stage.job`.
fn tail(identifier: &str) -> Option<&str> {
    identifier.rsplit_once('.').map(|(_, tail)| tail)
}

/// When the reported work was done, as the record says. One that says nothing was written after the work, at
/// any time: no job that began before is excluded.
fn span(case: &Case<'_, '_>) -> (Option<Time>, Time) {
    let hints = &case.event.hints;
    let until = hints.finished.unwrap_or(case.event.occurred);
    (hints.started.or(hints.finished).map(|from| from.min(until)), until)
}

/// Since when these jobs may have done it.
fn began(jobs: &[&JobKnown], until: Time) -> Time {
    jobs.iter().filter_map(|job| job.span()).map(|(from, _)| from).min().unwrap_or(until).min(until)
}

fn overlaps(case: &Case<'_, '_>, job: &JobKnown) -> bool {
    let slack = case.tolerance.clock;
    match span(case) {
        (Some(from), until) => case.known.jobs.ran(job, from, until, slack) != Ran::Not,
        (None, until) => job.span().is_none_or(|(start, _)| start <= until + slack),
    }
}
