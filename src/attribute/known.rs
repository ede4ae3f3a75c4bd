//! What is known of one organisation: jobs, agents, pools, connections, identities, over time.

use std::collections::{BTreeMap, HashMap};

use super::Tolerance;
use super::bindings::{Binding, bindings_of_event};
use super::coverage::Spans;
use super::occupancy::Occupancy;
use crate::model::{
    Agent, Body, Connection, ConnectionUse, ElasticNode, Event, Fact, Identity, Job, RecordHash, Run, Ticks,
    Time,
};

/// Where something was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Source {
    pub known: Time,
    pub hash: RecordHash,
}

/// A job with everything its records said so far.
#[derive(Clone, Debug)]
pub(super) struct JobKnown {
    pub job: Job,
    pub project_id: Option<String>,
    /// The record that says most.
    pub source: Source,
    /// A timeline record of it, when one was seen.
    pub timeline: Option<Source>,
}

impl JobKnown {
    /// From when it ran, and until when if that is known. A job that no agent took has none.
    pub fn span(&self) -> Option<(Time, Option<Time>)> {
        let from = self.job.received.or(self.job.assigned)?;
        Some((from, self.job.finished.map(|f| f.max(from))))
    }

    /// Whether it can have been running at `at`, give or take `slack`.
    pub fn runs_at(&self, at: Time, slack: Ticks) -> bool {
        let Some((from, until)) = self.span() else { return false };
        from <= at + slack && until.is_none_or(|until| at <= until + slack)
    }
}

/// What is known of one organisation.
#[derive(Default)]
pub(super) struct Known {
    pub jobs: Vec<JobKnown>,
    by_request: HashMap<i64, usize>,
    /// Job ids repeat from run to run, so they only count together with their run.
    by_job: HashMap<(i64, String), Vec<usize>>,
    by_plan: HashMap<String, Vec<usize>>,
    by_run: HashMap<(bool, i64), Vec<usize>>,
    by_run_name: HashMap<String, Vec<usize>>,
    occupancy: Occupancy,
    projects: HashMap<String, u32>,
    /// Project ids by name, as events pair them.
    pub project_ids: HashMap<String, String>,
    /// Timeline records of jobs by run and job id.
    timelines: HashMap<(i64, String), Vec<(Job, Source)>>,
    /// Versions of an agent by its id, in the order of their observation.
    agents: HashMap<i64, BTreeMap<Source, Agent>>,
    pub nodes: HashMap<i64, (ElasticNode, Source)>,
    /// Pool names, and the record that gave them.
    pub pools: BTreeMap<i64, (Option<String>, Source)>,
    pub runs: HashMap<(bool, i64), (Run, Source)>,
    pub connections: HashMap<String, (Connection, Source)>,
    pub uses: Vec<(ConnectionUse, Source)>,
    pub identities: HashMap<String, (Identity, Source)>,
    /// Who registered an agent, by agent id.
    pub registrants: HashMap<i64, BTreeMap<Time, Binding>>,
    /// When the job requests of a pool were heard.
    pub jobs_heard: HashMap<i64, Spans>,
    /// When the list of pools was heard.
    pub pools_heard: Spans,
}

impl Known {
    pub fn learn(&mut self, fact: &Fact<'_>, tolerance: Tolerance) {
        let source = Source { known: fact.observed, hash: fact.hash };
        match &fact.body {
            Body::Job(job) if job.request_id.is_some() => {
                self.job(job, fact.project_id.as_deref(), source, tolerance);
            }
            Body::Job(job) => self.timeline(job, source),
            Body::Run(run) => {
                if let Some(id) = run.run_id {
                    let slot = self
                        .runs
                        .entry((run.run_kind == "release", id))
                        .or_insert_with(|| ((**run).clone(), source));
                    if slot.1 < source {
                        *slot = ((**run).clone(), source);
                    }
                }
            }
            Body::Agent(agent) => {
                for job in [&agent.assigned, &agent.last_completed].into_iter().flatten() {
                    let mut job = (**job).clone();
                    job.agent_id.get_or_insert(agent.agent_id);
                    job.agent_name = job.agent_name.or_else(|| agent.name.clone());
                    job.pool_id = job.pool_id.or(agent.pool_id);
                    self.job(&job, fact.project_id.as_deref(), source, tolerance);
                }
                if let Some(pool) = agent.pool_id {
                    self.pools.entry(pool).or_insert((None, source));
                }
                self.agents.entry(agent.agent_id).or_default().insert(source, (**agent).clone());
            }
            Body::Pool(pool) => {
                let slot = self.pools.entry(pool.pool_id).or_insert((None, source));
                if pool.name.is_some() && (slot.0.is_none() || slot.1 <= source) {
                    *slot = (pool.name.clone(), source);
                }
            }
            Body::ElasticNode(node) => {
                if let Some(agent) = node.agent_id {
                    let slot = self.nodes.entry(agent).or_insert_with(|| (node.clone(), source));
                    if slot.1 < source {
                        *slot = (node.clone(), source);
                    }
                }
            }
            Body::Connection(connection) => {
                self.connections.insert(connection.connection_id.clone(), (connection.clone(), source));
            }
            Body::ConnectionUse(usage) => {
                if !self.uses.iter().any(|(_, s)| s.hash == source.hash) {
                    self.uses.push((usage.clone(), source));
                }
            }
            Body::Identity(identity) => {
                let ids = [Some(&identity.id), identity.application_id.as_ref(), identity.cuid.as_ref()];
                for id in ids.into_iter().flatten() {
                    self.identities.insert(id.clone(), (identity.clone(), source));
                }
            }
            Body::Heard(heard) => match (heard.source.as_str(), heard.pool_id) {
                ("jobs", Some(pool)) => self.jobs_heard.entry(pool).or_default().add(heard.from, heard.until),
                ("pools", _) => self.pools_heard.add(heard.from, heard.until),
                _ => {}
            },
            Body::Queue(_) | Body::Permissions(_) | Body::SignIn(_) | Body::Other => {}
        }
    }

    /// Registrations and project names, which audit events tell.
    pub fn learn_event(&mut self, event: &Event<'_>) {
        if let (Some(name), Some(id)) = (&event.project, &event.project_id)
            && !self.project_ids.contains_key(name.as_ref())
        {
            self.project_ids.insert(name.to_string(), id.to_string());
        }
        for binding in bindings_of_event(event) {
            if let (Some(agent), "registrant") = (binding.agent_id, binding.role.as_str()) {
                self.registrants.entry(agent).or_default().insert(binding.from, binding);
            }
        }
    }

    fn job(&mut self, job: &Job, project: Option<&str>, source: Source, tolerance: Tolerance) {
        let Some(request) = job.request_id else { return };
        if let Some(pool) = job.pool_id {
            self.pools.entry(pool).or_insert((None, source));
        }
        let index = match self.by_request.get(&request) {
            Some(&index) => {
                merge(&mut self.jobs[index], job, project, source);
                index
            }
            None => {
                let index = self.jobs.len();
                let project_id = project.map(str::to_owned);
                self.jobs.push(JobKnown { job: job.clone(), project_id, source, timeline: None });
                self.by_request.insert(request, index);
                index
            }
        };
        let known = &self.jobs[index];
        let enter = |list: &mut Vec<usize>| {
            if !list.contains(&index) {
                list.push(index);
            }
        };
        if let (Some(run), Some(id)) = (known.job.run_id, &known.job.job_id) {
            enter(self.by_job.entry((run, id.clone())).or_default());
        }
        if let Some(plan) = &known.job.plan_id {
            enter(self.by_plan.entry(plan.clone()).or_default());
        }
        if let Some(run) = known.job.run_id {
            enter(self.by_run.entry((is_release(known.job.plan_type.as_deref()), run)).or_default());
        }
        if let Some(name) = &known.job.run_name {
            enter(self.by_run_name.entry(name.clone()).or_default());
        }
        let next = self.projects.len() as u32;
        let project = known.project_id.clone().map(|p| *self.projects.entry(p).or_insert(next));
        self.occupancy.enter(index, &self.jobs[index], project, tolerance.window);
        self.apply_timeline(index);
    }

    fn timeline(&mut self, job: &Job, source: Source) {
        let (Some(run), Some(id)) = (job.run_id, job.job_id.clone()) else { return };
        let list = self.timelines.entry((run, id.clone())).or_default();
        if !list.iter().any(|(_, s)| s.hash == source.hash) {
            list.push((job.clone(), source));
            list.sort_by_key(|(_, s)| *s);
        }
        for index in self.by_job.get(&(run, id)).cloned().unwrap_or_default() {
            self.apply_timeline(index);
        }
    }

    /// A timeline knows a job's display name and attempt, which its request does not.
    fn apply_timeline(&mut self, index: usize) {
        let known = &mut self.jobs[index];
        let (Some(run), Some(id)) = (known.job.run_id, known.job.job_id.clone()) else { return };
        if is_release(known.job.plan_type.as_deref()) {
            return;
        }
        for (job, source) in self.timelines.get(&(run, id)).into_iter().flatten() {
            // Attempts share the job id: the one that ran on the same agent at the same time counts.
            let other_agent =
                matches!((&known.job.agent_name, &job.agent_name), (Some(a), Some(b)) if a != b);
            let apart = matches!((known.job.finished, job.received), (Some(end), Some(start)) if start > end)
                || matches!((known.job.assigned, job.finished), (Some(start), Some(end)) if end < start);
            if other_agent || apart {
                continue;
            }
            known.job.name = known.job.name.take().or_else(|| job.name.clone());
            known.job.attempt = known.job.attempt.or(job.attempt);
            known.timeline = Some(*source);
        }
    }

    pub fn by_request(&self, request: i64) -> Option<&JobKnown> {
        self.by_request.get(&request).map(|i| &self.jobs[*i])
    }

    pub fn by_plan(&self, plan: &str) -> Vec<&JobKnown> {
        self.select(self.by_plan.get(plan))
    }

    pub fn by_run(&self, release: bool, run: i64) -> Vec<&JobKnown> {
        self.select(self.by_run.get(&(release, run)))
    }

    pub fn by_run_name(&self, name: &str) -> Vec<&JobKnown> {
        self.select(self.by_run_name.get(name))
    }

    fn select(&self, indexes: Option<&Vec<usize>>) -> Vec<&JobKnown> {
        let mut out: Vec<&JobKnown> = indexes.into_iter().flatten().map(|i| &self.jobs[*i]).collect();
        out.sort_by_key(|j| j.job.request_id);
        out
    }

    /// Jobs that can have been running then; `project` `None` means in all projects. A project of
    /// which no job was ever seen has none.
    pub fn running(&self, project: Option<&str>, at: Time, slack: Ticks) -> Vec<&JobKnown> {
        let scope = match project {
            None => None,
            Some(id) => match self.projects.get(id) {
                Some(index) => Some(*index),
                None => return Vec::new(),
            },
        };
        let mut out: Vec<&JobKnown> = self
            .occupancy
            .around(scope, at)
            .into_iter()
            .map(|i| &self.jobs[i])
            .filter(|job| job.runs_at(at, slack))
            .collect();
        out.sort_by_key(|j| j.job.request_id);
        out
    }

    /// The version of an agent in force at a moment: the last one seen by then, else the first.
    pub fn agent_at(&self, agent: i64, pool: Option<i64>, at: Time) -> Option<(&Agent, Source)> {
        let versions = self.agents.get(&agent)?;
        let fits = |a: &Agent| pool.is_none() || a.pool_id.is_none() || a.pool_id == pool;
        let before = versions.iter().rev().find(|(s, a)| s.known <= at && fits(a));
        before.or_else(|| versions.iter().find(|(_, a)| fits(a))).map(|(s, a)| (a, *s))
    }

    /// Pools whose job requests were not heard over all of `from..=until`; `None` when it is not
    /// even known which pools there are.
    pub fn unheard(&self, from: Time, until: Time) -> Option<Vec<i64>> {
        if self.pools_heard.last().is_none_or(|last| last < from) {
            return None;
        }
        let deaf = |pool: &&i64| !self.jobs_heard.get(pool).is_some_and(|spans| spans.hold(from, until));
        Some(self.pools.keys().filter(deaf).copied().collect())
    }

    /// Takes over everything another body of knowledge holds.
    pub fn absorb(&mut self, other: Known) {
        let tolerance = Tolerance::default();
        for known in other.jobs {
            self.job(&known.job, known.project_id.as_deref(), known.source, tolerance);
        }
        for ((run, id), list) in other.timelines {
            for (job, source) in list {
                let job = Job { run_id: Some(run), job_id: Some(id.clone()), ..job };
                self.timeline(&job, source);
            }
        }
        for (agent, versions) in other.agents {
            self.agents.entry(agent).or_default().extend(versions);
        }
        for (pool, slot) in other.pools {
            let own = self.pools.entry(pool).or_insert((None, slot.1));
            if own.0.is_none() {
                *own = slot;
            }
        }
        for (pool, spans) in other.jobs_heard {
            self.jobs_heard.entry(pool).or_default().absorb(spans);
        }
        self.pools_heard.absorb(other.pools_heard);
        self.nodes.extend(other.nodes);
        self.runs.extend(other.runs);
        self.connections.extend(other.connections);
        self.identities.extend(other.identities);
        self.project_ids.extend(other.project_ids);
        for (usage, source) in other.uses {
            if !self.uses.iter().any(|(_, s)| s.hash == source.hash) {
                self.uses.push((usage, source));
            }
        }
        for (agent, bindings) in other.registrants {
            self.registrants.entry(agent).or_default().extend(bindings);
        }
    }
}

/// Which of the two id spaces a plan type belongs to.
pub(super) fn is_release(plan_type: Option<&str>) -> bool {
    plan_type.is_some_and(|t| t.eq_ignore_ascii_case("release"))
}

/// Lays a further record of a job onto what is known: later states fill in and win, whatever the
/// order in which they arrive.
fn merge(known: &mut JobKnown, job: &Job, project: Option<&str>, source: Source) {
    // A record of a later state has at least the times of the earlier ones.
    let rank =
        |j: &Job| (j.finished.is_some(), j.received.is_some(), j.assigned.is_some(), j.agent_id.is_some());
    let newer = (rank(job), source) >= (rank(&known.job), known.source);
    let (mut top, base) = if newer { (job.clone(), &known.job) } else { (known.job.clone(), job) };
    macro_rules! fill {
        ($($field:ident),*) => { $( if top.$field.is_none() { top.$field = base.$field.clone(); } )* };
    }
    fill!(
        job_id,
        name,
        identifier,
        stage,
        attempt,
        plan_id,
        plan_type,
        run_id,
        run_name,
        pipeline_id,
        pipeline_name,
        pool_id,
        pool_name,
        queue_id,
        queued,
        assigned,
        received,
        finished,
        result,
        service_owner,
        agent_id,
        agent_name,
        agent_version,
        agent_os,
        image,
        orchestration_id
    );
    known.job = top;
    if newer {
        known.source = source;
    }
    if known.project_id.is_none() {
        known.project_id = project.map(str::to_owned);
    }
}
