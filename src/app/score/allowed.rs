//! What the records of a lake allow for an event: a plain walk over all of its jobs, without `attribute`.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value as Json;

use super::gaps::Gaps;
use crate::model::{Ticks, Time};
use crate::query::Object;

/// A lock holds for so long after it was renewed last: an abandoned job may have stopped this long before.
const LOCK: Ticks = Ticks::seconds(600);
/// Later than everything.
const NEVER: Time = Time(i64::MAX / 2);

/// The rows of the lake that `Allowed` walks over, as they come from its queries.
pub(super) struct Rows {
    /// All states of all jobs.
    pub jobs: Vec<Object>,
    /// Names of runs, by kind and id, and what each record says of when they were under way.
    pub runs: Vec<Object>,
    /// Ids of pools that were listed.
    pub pools: Vec<Object>,
    /// Audit events of agents and pools, which tell of pools that no list has.
    pub pool_events: Vec<Object>,
    /// Ids of projects by name.
    pub projects: Vec<Object>,
    /// Our own records of lists of job requests, and of timelines read.
    pub heard: Vec<Object>,
}

/// Everything that the walk needs to know.
pub(super) struct Allowed {
    jobs: Vec<Job>,
    by_day: HashMap<i32, Vec<usize>>,
    projects: HashMap<String, BTreeSet<String>>,
    /// Pools, and since and until when each is there.
    pools: HashMap<i64, (Time, Time)>,
    heard: Vec<List>,
    /// When the timeline of a build was seen last.
    timelines: HashMap<i64, Time>,
    gaps: Gaps,
    slack: Ticks,
}

/// A job on an agent, or one of a timeline that ran on none.
pub(super) struct Job {
    pub project: String,
    pub release: bool,
    pub run: i64,
    run_name: String,
    plan: String,
    id: String,
    /// `None` for a job that only a timeline tells of.
    request: Option<i64>,
    pipeline: Option<i64>,
    pipeline_name: String,
    stage: String,
    names: [String; 2],
    pool: Option<i64>,
    /// Empty for a job without one.
    pub agent: String,
    pub from: Time,
    pub until: Time,
    /// Until when it certainly ran.
    sure: Time,
    /// When it was last seen at work.
    open: Time,
}

/// A list of the job requests of a pool: it speaks for a span, and had these that were not finished.
struct List {
    pool: i64,
    from: Time,
    until: Time,
    open: Option<Vec<i64>>,
}

/// What is allowed for one event.
pub(super) struct Found<'j> {
    /// The agents that can have done it, without those that appear twice.
    pub agents: Vec<&'j str>,
    /// Whether the records leave no doubt: one agent, who was certainly at work, and nothing unheard of.
    pub is_determined: bool,
}

pub(super) fn text(row: &Object, name: &str) -> String {
    row.get(name).and_then(Json::as_str).unwrap_or_default().to_owned()
}

pub(super) fn time(row: &Object, name: &str) -> Option<Time> {
    Time::parse(row.get(name)?.as_str()?)
}

/// A member of a JSON text under one of its names in any casing, as text.
fn said(data: &Object, names: &[&str]) -> Option<String> {
    let found = |name: &&str| data.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
    match names.iter().find_map(found)?.1 {
        Json::String(text) if !text.is_empty() => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

pub(super) fn object(row: &Object, name: &str) -> Object {
    serde_json::from_str(row.get(name).and_then(Json::as_str).unwrap_or_default()).unwrap_or_default()
}

impl Allowed {
    pub fn new(rows: &Rows, slack: Ticks) -> Allowed {
        let heard: Vec<List> = rows.heard.iter().filter_map(list).collect();
        let mut projects: HashMap<String, BTreeSet<String>> = HashMap::new();
        for row in &rows.projects {
            projects.entry(text(row, "project")).or_default().insert(text(row, "project_id"));
        }
        let seen = |row: &Object, run: &str, at: &str| {
            Some((row.get(run)?.as_i64()?, time(row, at).unwrap_or_default()))
        };
        let is = |kind: &'static str| move |row: &&Object| text(row, "kind") == kind;
        let told = rows.jobs.iter().filter(is("timeline_record"));
        let read = rows.heard.iter().filter(is("heard.timeline")).map(|row| object(row, "raw"));
        let told = told.filter_map(|row| seen(row, "run_id", "observed"));
        let mut timelines: HashMap<i64, Time> = HashMap::new();
        for (run, at) in told.chain(read.filter_map(|raw| seen(&raw, "runId", "until"))) {
            let last = timelines.entry(run).or_insert(at);
            *last = at.max(*last);
        }
        let mut jobs = merged(&rows.jobs);
        close(&mut jobs, &heard);
        let names: HashMap<(bool, i64), String> = rows
            .runs
            .iter()
            .filter_map(|row| {
                Some(((text(row, "run_kind") == "release", row.get("run_id")?.as_i64()?), text(row, "name")))
            })
            .collect();
        for job in jobs.iter_mut().filter(|job| job.run_name.is_empty()) {
            job.run_name = names.get(&(job.release, job.run)).cloned().unwrap_or_default();
        }
        let last = heard.iter().map(|list| list.until).max().unwrap_or_default();
        let mut by_day: HashMap<i32, Vec<usize>> = HashMap::new();
        for (index, job) in jobs.iter().enumerate() {
            let until = job.until.min(last.max(job.from));
            (job.from.date().0..=until.date().0 + 1)
                .for_each(|day| by_day.entry(day).or_default().push(index));
        }
        let gaps = Gaps::new(rows, &jobs, slack);
        Allowed { jobs, by_day, projects, pools: pools(rows), heard, timelines, gaps, slack }
    }

    /// What is allowed for an event.
    pub fn find(&self, action: &Object) -> Found<'_> {
        let word = |name: &str| action.get(name).and_then(Json::as_str).unwrap_or_default();
        let at = Time::parse(word("occurred")).unwrap_or_default();
        let data = object(action, "data");
        let is_work = matches!(
            word("action"),
            "Library.ServiceConnectionExecuted"
                | "Pipelines.DeploymentJobCompleted"
                | "Release.DeploymentCompleted"
        );
        let days = self.by_day.get(&at.date().0).into_iter().flatten().map(|index| &self.jobs[*index]);
        let seen = |run: i64, until: Time| self.timelines.get(&run).is_some_and(|seen| *seen >= until);
        let mut is_told = true;
        let (fitting, span): (Vec<&Job>, (Time, Time)) = if is_work {
            self.reported(at, &data, word("project_id"), days)
        } else if word("actor_kind").ends_with("build_service") {
            let home = word("actor_name").split(" Build Service (").next().unwrap_or_default();
            let homes = self.projects.get(home).filter(|_| word("actor_kind") != "collection_build_service");
            let in_scope = |project: &str| homes.is_none_or(|homes| homes.contains(project));
            is_told = !self.gaps.any(at, in_scope, seen);
            let fits = |job: &&Job| {
                in_scope(&job.project) && job.from <= at + self.slack && job.until + self.slack >= at
            };
            (days.filter(fits).collect(), (at - self.slack, at + self.slack))
        } else {
            return Found { agents: Vec::new(), is_determined: false };
        };
        let with_agent = fitting.iter().filter(|job| !job.agent.is_empty());
        let mut agents: Vec<&str> = with_agent.map(|job| job.agent.as_str()).collect();
        agents.sort_unstable();
        agents.dedup();
        let names_job = said(&data, &["RequestId", "JobId"]).is_some();
        // A job without an agent is in no list, only in the timeline of its run, and a release has none.
        let by_number = is_work && !names_job && said(&data, &["OwnerId"]).is_some();
        let in_timeline = |job: &&Job| !job.release && seen(job.run, span.1);
        // Nor is one known that the record does not call by its own name.
        let plain = |text: &str| text.replace(' ', "_").to_lowercase();
        let name = said(&data, &["JobName"]).map(|name| plain(&name));
        let is_called = |job: &&Job| job.names.iter().any(|own| name.as_deref() == Some(&plain(own)));
        let is_whole = match (is_work && !names_job, by_number) {
            (false, _) => true,
            (_, true) => fitting.iter().all(in_timeline),
            (_, false) => fitting.iter().all(|job| is_called(job) || in_timeline(job)),
        };
        let sure =
            fitting.iter().all(|job| !job.agent.is_empty() && span.1 <= job.sure + self.slack + self.slack);
        let is_determined = fitting.len() == 1
            && agents.len() == 1
            && is_whole
            && is_told
            && (names_job && is_work && fitting[0].request.is_some()
                || sure && self.all_heard(span.0, span.1));
        Found { agents, is_determined }
    }

    /// The jobs whose work a record can report, and when that was.
    fn reported<'j>(
        &'j self,
        at: Time,
        data: &Object,
        project: &str,
        days: impl Iterator<Item = &'j Job>,
    ) -> (Vec<&'j Job>, (Time, Time)) {
        let moment = |name: &str| said(data, &[name]).as_deref().and_then(Time::parse);
        let until = moment("FinishTime").unwrap_or(at);
        // Without times it was written after the work, at any time.
        let from = moment("StartTime").or(moment("FinishTime"));
        let number = |names: &[&str]| said(data, names).and_then(|n| n.parse::<i64>().ok());
        let (run, pipeline) = (number(&["OwnerId", "RunId"]), number(&["PipelineId", "DefinitionId"]));
        let release_name = said(data, &["ReleaseName"]);
        let release = release_name.is_some()
            || said(data, &["PlanType"]).is_some_and(|kind| kind.eq_ignore_ascii_case("release"));
        let run_name = said(data, &["RunName"]).or(release_name);
        let (stage, name) = (said(data, &["StageName"]), said(data, &["JobName"]));
        let pipeline_name = said(data, &["PipelineName"]);
        let (plan, id, request) = (said(data, &["PlanId"]), said(data, &["JobId"]), number(&["RequestId"]));
        let same = |said: &Option<String>, own: &str| {
            let plain = |text: &str| text.replace(' ', "_").to_lowercase();
            own.is_empty() || said.as_ref().is_none_or(|said| plain(said) == plain(own))
        };
        // Times and numbers first: names are compared for the few that are left.
        let in_time = |job: &&Job| {
            job.from <= until + self.slack && from.is_none_or(|from| job.until + self.slack >= from)
        };
        let of_number = |job: &&Job| {
            request.is_none_or(|request| job.request == Some(request))
                && run.is_none_or(|run| run == job.run)
                && (job.release == release || request.is_some() || id.is_some())
                && pipeline.is_none_or(|p| job.pipeline.is_none_or(|own| own == p || run.is_some()))
        };
        let of_id = |job: &&Job| {
            id.as_ref().is_none_or(|id| *id == job.id)
                && plan.as_ref().is_none_or(|plan| job.plan.is_empty() || *plan == job.plan)
                && run_name.as_ref().is_none_or(|name| *name == job.run_name)
                && (job.project.is_empty() || project.is_empty() || job.project == project)
        };
        let is_named = |job: &&Job| {
            (run.is_some() || same(&pipeline_name, &job.pipeline_name))
                && same(&stage, &job.stage)
                && (job.names.iter().all(String::is_empty)
                    || job.names.iter().any(|own| !own.is_empty() && same(&name, own)))
        };
        let fits = |job: &&Job| in_time(job) && of_number(job) && of_id(job) && is_named(job);
        let fitting: Vec<&Job> = days.filter(fits).collect();
        let began = fitting.iter().map(|job| job.from).min().unwrap_or(until).min(until);
        (fitting, (from.unwrap_or(began), until))
    }

    /// Whether of each pool that was there one list speaks for a span.
    fn all_heard(&self, from: Time, until: Time) -> bool {
        let was_there = |(since, to): &(Time, Time)| *since <= until && *to >= from;
        let there = self.pools.iter().filter(|(_, life)| was_there(life)).map(|(pool, _)| *pool);
        let heard = |pool: i64| {
            self.heard.iter().any(|list| list.pool == pool && list.from <= from && list.until >= until)
        };
        there.into_iter().all(heard)
    }
}

fn list(row: &Object) -> Option<List> {
    let raw = object(row, "raw");
    Some(List {
        pool: raw.get("poolId")?.as_i64()?,
        from: time(&raw, "from")?,
        until: time(&raw, "until")?,
        open: raw.get("open").and_then(|ids| serde_json::from_value(ids.clone()).ok()),
    })
}

/// Since and until when each pool is there: the audit log tells of those that come and go.
fn pools(rows: &Rows) -> HashMap<i64, (Time, Time)> {
    let mut pools: HashMap<i64, (Time, Time)> = HashMap::new();
    for pool in rows.pools.iter().filter_map(|row| row.get("pool_id")?.as_i64()) {
        pools.insert(pool, (Time(0), NEVER));
    }
    for row in &rows.pool_events {
        let pool = said(&object(row, "data"), &["AgentPoolId", "PoolId"]).and_then(|id| id.parse().ok());
        let (Some(pool), Some(at)) = (pool, time(row, "occurred")) else { continue };
        let life = pools.entry(pool).or_insert((Time(0), NEVER));
        match text(row, "action").as_str() {
            "Library.AgentPoolCreated" => life.0 = at,
            "Library.AgentPoolDeleted" => life.1 = at,
            _ => {}
        }
    }
    pools
}

/// The states of one job on one agent as one: it began when the first that knows says so.
fn merged(rows: &[Object]) -> Vec<Job> {
    let mut jobs: Vec<Job> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for row in rows {
        let number = |name: &str| row.get(name).and_then(Json::as_i64);
        let (request, agent) = (number("request_id"), text(row, "agent_name"));
        let is_timeline = text(row, "kind") == "timeline_record";
        let Some(run) = number("run_id") else { continue };
        let began = time(row, "received").or_else(|| time(row, "assigned"));
        let Some(from) = began.filter(|_| is_timeline || request.is_some() && !agent.is_empty()) else {
            continue;
        };
        let key = match request {
            Some(request) => format!("{request}/{agent}"),
            None => format!("{run}/{}/{:?}/{agent}", text(row, "job_id"), number("attempt")),
        };
        let index = *places.entry(key).or_insert(jobs.len());
        if index == jobs.len() {
            jobs.push(Job {
                project: text(row, "project_id"),
                release: text(row, "run_kind") == "release",
                run,
                run_name: text(row, "run_name"),
                plan: text(row, "plan_id"),
                id: text(row, "job_id"),
                request,
                pipeline: number("pipeline_id"),
                pipeline_name: text(row, "pipeline_name"),
                stage: text(row, "stage"),
                names: [text(row, "name"), String::new()],
                pool: number("pool_id"),
                agent,
                from,
                until: NEVER,
                sure: Time(0),
                open: Time(0),
            });
        }
        let job = &mut jobs[index];
        if job.names[1].is_empty() {
            let identifier = text(row, "identifier");
            job.names[1] = identifier.rsplit('.').next().unwrap_or_default().to_owned();
        }
        if time(row, "received").is_some() {
            job.from = from;
        }
        match time(row, "finished") {
            Some(end) if text(row, "result") == "abandoned" => (job.until, job.sure) = (end, end - LOCK),
            Some(end) => (job.until, job.sure) = (end, end),
            None => job.open = time(row, "observed").unwrap_or_default().max(job.open),
        }
    }
    jobs
}

/// When and on which agent a job of a run was, by the run's kind and number and the job's id.
type Spans = HashMap<(bool, i64, String), Vec<(Time, Time, String)>>;

/// Bounds what no record ends: by the next holder of the request, by the timeline of its run, by the next
/// job of its agent, by a list that lacks it. What a timeline tells of a request is not told twice.
fn close(jobs: &mut Vec<Job>, heard: &[List]) {
    let mut by_agent: HashMap<(Option<i64>, String), Vec<Time>> = HashMap::new();
    let mut by_request: HashMap<i64, Vec<(Time, String)>> = HashMap::new();
    let mut told = Spans::new();
    let mut requested = Spans::new();
    for job in jobs.iter() {
        let (key, entry) = ((job.release, job.run, job.id.clone()), (job.from, job.until, job.agent.clone()));
        match job.request {
            Some(request) => {
                by_agent.entry((job.pool, job.agent.clone())).or_default().push(job.from);
                by_request.entry(request).or_default().push((job.from, job.agent.clone()));
                requested.entry(key).or_default().push(entry);
            }
            None => told.entry(key).or_default().push(entry),
        }
    }
    for job in jobs.iter_mut().filter(|job| job.request.is_some()) {
        let after = |times: &mut dyn Iterator<Item = Time>| times.filter(|at| *at > job.from).min();
        let holders = job.request.and_then(|request| by_request.get(&request)).into_iter().flatten();
        let next = after(&mut holders.filter(|(_, agent)| *agent != job.agent).map(|(at, _)| *at));
        if let Some(next) = next {
            (job.until, job.sure) = (job.until.min(next), job.from);
        }
        if job.until < NEVER {
            continue;
        }
        let of_run = told.get(&(job.release, job.run, job.id.clone())).into_iter().flatten();
        let own = of_run.filter(|(from, until, agent)| {
            *agent == job.agent && *until < NEVER && from.0.abs_diff(job.from.0) < Ticks::seconds(60).0 as u64
        });
        if let Some((_, until, _)) = own.min() {
            (job.until, job.sure) = (*until, *until);
            continue;
        }
        let others = by_agent.get(&(job.pool, job.agent.clone())).into_iter().flatten();
        let next = after(&mut others.copied()).unwrap_or(NEVER);
        let lacks = |list: &&List| {
            Some(list.pool) == job.pool
                && list.until > job.open.max(job.from)
                && list.open.as_ref().is_some_and(|open| !job.request.is_some_and(|id| open.contains(&id)))
        };
        let unlisted = heard.iter().filter(lacks).map(|list| list.until).min().unwrap_or(NEVER);
        (job.until, job.sure) = (next.min(unlisted), job.open);
    }
    jobs.retain(|job| {
        let requests = requested.get(&(job.release, job.run, job.id.clone())).into_iter().flatten();
        let mut same = requests
            .filter(|(from, until, agent)| *agent == job.agent && *from <= job.until && job.from <= *until);
        job.request.is_some() || job.agent.is_empty() || same.next().is_none()
    });
}
