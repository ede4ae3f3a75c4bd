//! What is known of one organisation: jobs, agents, pools, connections, identities, over time.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::bindings::{Binding, bindings_of_event, token_of_event};
use super::coverage::Spans;
use super::job::JobKnown;
use super::occupancy::Occupancy;
use crate::model::{
    Agent, Body, Connection, ConnectionUse, ElasticNode, Event, Fact, Heard, Identity, Job, Key, RecordHash,
    Run, SignIn, Statement, Ticks, Time,
};

/// Where something was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Source {
    pub known: Time,
    pub hash: RecordHash,
}

/// Whom a statement is about: pool, agent, machine and identity as patterns, and from when on.
type About = ([Option<String>; 4], Option<Time>);

/// A job as a timeline tells of it. Few have more than one, so it is not held in the list itself.
pub(super) type Timed = (Job, Source);

/// The job request that an event of a correlation names.
#[derive(Clone, Copy)]
struct Correlated {
    request: i64,
    /// Of events that name one, the record with the least hash.
    hash: RecordHash,
    /// Whether all such events name the same.
    one: bool,
}

/// What is known of one organisation.
#[derive(Default)]
pub(super) struct Known {
    #[expect(clippy::vec_box, reason = "a job is large: a list that grows would copy all of them")]
    pub jobs: Vec<Box<JobKnown>>,
    by_request: HashMap<i64, usize>,
    /// Job ids repeat from run to run, so they only count together with their run.
    by_job: HashMap<(i64, String), Vec<usize>>,
    by_plan: HashMap<String, Vec<usize>>,
    by_run: HashMap<(bool, i64), Vec<usize>>,
    by_run_name: HashMap<String, Vec<usize>>,
    occupancy: Occupancy,
    projects: HashMap<String, u32>,
    /// Project ids by name, as the newest event pairs them: names are used again.
    project_ids: HashMap<String, (Time, String)>,
    /// Timeline records of jobs by run and job id.
    timelines: HashMap<(i64, String), Vec<Arc<Timed>>>,
    /// Job ids of the timeline of a run.
    timeline_of: HashMap<i64, BTreeSet<String>>,
    /// Jobs as timelines tell of them, by run, job id and attempt: they count where no request does.
    told: HashMap<(i64, String, Option<i64>), usize>,
    /// Versions of an agent by its id, in the order of their observation.
    agents: HashMap<i64, BTreeMap<Source, Arc<Agent>>>,
    pub nodes: HashMap<i64, (ElasticNode, Source)>,
    /// When a pool was made, where its record says so.
    pools_made: HashMap<i64, Time>,
    /// Pool names, and the record that gave them.
    pub pools: BTreeMap<i64, (Option<String>, Source)>,
    pub runs: HashMap<(bool, i64), (Run, Source)>,
    /// Runs of a name, which is not unique.
    runs_named: HashMap<String, BTreeSet<(bool, i64)>>,
    pub connections: HashMap<String, (Connection, Source)>,
    /// The operator's statements, by whom they are about.
    statements: BTreeMap<About, (Statement, Source)>,
    /// Uses of a service connection, by its id.
    uses: HashMap<String, BTreeMap<Source, ConnectionUse>>,
    pub identities: HashMap<String, (Identity, Source)>,
    /// Who registered an agent, by agent id, in the order of time.
    registrants: HashMap<i64, InTime<Binding>>,
    /// Tokens that Entra issued, by application.
    sign_ins: HashMap<String, InTime<(SignIn, Source)>>,
    /// Agents that were registered from an address, and since when.
    addresses: HashMap<String, BTreeMap<i64, Time>>,
    /// Job requests that events of a correlation name.
    correlated: HashMap<Key, Correlated>,
    /// Events that told something: one that comes again in another spelling is not kept, so what it
    /// told must not be cited.
    told_events: HashSet<Key>,
    /// Facts, likewise: one that comes again in other words is not kept.
    told_facts: HashSet<Key>,
    /// When the job requests of a pool were heard.
    pub jobs_heard: HashMap<i64, Spans>,
    /// When the list of pools was heard.
    pub pools_heard: Spans,
}

impl Known {
    pub fn learn(&mut self, fact: &Fact<'_>) {
        if !self.told_facts.insert(Key::of(&fact.key)) {
            return;
        }
        let source = Source { known: fact.observed, hash: fact.hash };
        match &fact.body {
            Body::Job(job) if job.request_id.is_some() => {
                self.job(job, fact.project_id.as_deref(), source);
            }
            Body::Job(job) => self.timeline_record(job, fact.project_id.as_deref(), source),
            Body::Run(run) => {
                if let Some(id) = run.run_id {
                    if let Some(name) = &run.name {
                        self.runs_named
                            .entry(name.clone())
                            .or_default()
                            .insert((run.run_kind == "release", id));
                    }
                    newest(&mut self.runs, (run.run_kind == "release", id), &**run, source);
                }
            }
            Body::Agent(agent) => {
                if let Some(pool) = agent.pool_id {
                    self.pools.entry(pool).or_insert((None, source));
                }
                self.agent_seen(agent, source);
            }
            Body::Pool(pool) => {
                if let Some(made) = pool.created {
                    self.pools_made.insert(pool.pool_id, made);
                }
                let slot = self.pools.entry(pool.pool_id).or_insert((None, source));
                if pool.name.is_some() && (slot.0.is_none() || slot.1 <= source) {
                    *slot = (pool.name.clone(), source);
                }
            }
            Body::ElasticNode(node) => {
                if let Some(agent) = node.agent_id {
                    newest(&mut self.nodes, agent, node, source);
                }
            }
            Body::Connection(connection) => {
                newest(&mut self.connections, connection.connection_id.clone(), connection, source);
            }
            Body::ConnectionUse(usage) => {
                let uses = self.uses.entry(usage.connection_id.clone()).or_default();
                uses.insert(source, usage.clone());
            }
            Body::Identity(identity) => self.identity(identity, source),
            Body::Heard(heard) => self.heard(heard),
            Body::SignIn(sign_in) => {
                if let Some(application) = &sign_in.application_id {
                    let all = self.sign_ins.entry(application.clone()).or_default();
                    all.insert((fact.when(), fact.hash), ((**sign_in).clone(), source));
                }
            }
            Body::Stated(statement) => self.stated(statement, source),
            Body::Queue(_) | Body::Permissions(_) | Body::Other => {}
        }
    }

    fn stated(&mut self, statement: &Statement, source: Source) {
        let about = [&statement.pool, &statement.agent, &statement.machine, &statement.identity];
        let about = (about.map(Clone::clone), statement.from);
        let slot = self.statements.entry(about).or_insert_with(|| (statement.clone(), source));
        if slot.1 < source {
            *slot = (statement.clone(), source);
        }
    }

    /// Whether the operator stated anything.
    pub fn has_statements(&self) -> bool {
        !self.statements.is_empty()
    }

    /// What the operator states of an agent.
    pub fn statements<'k>(
        &'k self,
        job: &Job,
        machine: Option<&str>,
        pool: Option<&str>,
        at: Time,
    ) -> impl Iterator<Item = &'k (Statement, Source)> {
        let agent = job.agent_name.as_deref();
        self.statements.values().filter(move |told| told.0.is_about(agent, machine, pool, at))
    }

    /// The name of a job's pool.
    pub fn pool_of<'k>(&'k self, job: &'k Job) -> Option<&'k str> {
        job.pool_id.and_then(|pool| self.pools.get(&pool)?.0.as_deref()).or(job.pool_name.as_deref())
    }

    pub fn heard(&mut self, heard: &Heard) {
        match (heard.source.as_str(), heard.pool_id) {
            ("jobs", Some(pool)) => self.jobs_heard.entry(pool).or_default().add(heard.from, heard.until),
            ("pools", _) => self.pools_heard.add(heard.from, heard.until),
            _ => {}
        }
    }

    /// Registrations and project names, which audit events tell.
    pub fn learn_event(&mut self, event: &Event<'_>) {
        if let (Some(name), Some(id)) = (&event.project, &event.project_id) {
            self.project(name, event.occurred, id);
        }
        let (token, bindings) = (token_of_event(event), bindings_of_event(event));
        let request = event.hints.request_id.zip(event.correlation_id.as_deref());
        let tells = token.is_some() || !bindings.is_empty() || request.is_some();
        if !tells || !self.told_events.insert(Key::of(&event.id)) {
            return;
        }
        let source = Source { known: event.observed, hash: event.hash };
        if let Some(token) = token {
            newest(&mut self.identities, token.id.clone(), &token, source);
        }
        if let Some((request, correlation)) = request {
            self.correlate(Key::of(correlation), Correlated { request, hash: event.hash, one: true });
        }
        if let (Some(ip), Some(agent), "Library.AgentAdded") =
            (&event.ip, event.hints.agent_id, event.action.as_ref())
        {
            self.registered_from(ip, agent, event.occurred);
        }
        bindings.into_iter().for_each(|binding| self.binding(binding));
    }

    /// Adds a sighting of an agent; what it said before or after is not held twice.
    fn agent_seen(&mut self, agent: &Agent, source: Source) {
        let all = self.agents.entry(agent.agent_id).or_default();
        let beside = [all.range(..source).next_back(), all.range(source..).next()];
        let same = beside.into_iter().flatten().map(|(_, known)| known).find(|known| ***known == *agent);
        let agent = same.cloned().unwrap_or_else(|| Arc::new(agent.clone()));
        all.insert(source, agent);
    }

    /// Adds what another event of a correlation names.
    fn correlate(&mut self, correlation: Key, told: Correlated) {
        let slot = self.correlated.entry(correlation).or_insert(told);
        slot.one &= told.one && slot.request == told.request;
        if (told.hash, told.request) < (slot.hash, slot.request) {
            (slot.hash, slot.request) = (told.hash, told.request);
        }
    }

    fn registered_from(&mut self, ip: &str, agent: i64, at: Time) {
        let first = self.addresses.entry(ip.to_owned()).or_default().entry(agent).or_insert(at);
        *first = at.min(*first);
    }

    pub fn binding(&mut self, binding: Binding) {
        if let (Some(agent), "registrant") = (binding.agent_id, binding.role.as_str()) {
            let all = self.registrants.entry(agent).or_default();
            all.insert((binding.from, binding.record), binding);
        }
    }

    pub fn identity(&mut self, identity: &Identity, source: Source) {
        let ids = [Some(&identity.id), identity.application_id.as_ref(), identity.cuid.as_ref()];
        for id in ids.into_iter().flatten() {
            newest(&mut self.identities, id.clone(), identity, source);
        }
    }

    /// Pairs a project's name with its id; among events of one moment the larger id stands.
    pub fn project(&mut self, name: &str, at: Time, id: &str) {
        match self.project_ids.get_mut(name) {
            Some(slot) if (slot.0, slot.1.as_str()) < (at, id) => *slot = (at, id.to_owned()),
            Some(_) => {}
            None => drop(self.project_ids.insert(name.to_owned(), (at, id.to_owned()))),
        }
    }

    fn job(&mut self, job: &Job, project: Option<&str>, source: Source) {
        let Some(request) = job.request_id else { return };
        if let Some(pool) = job.pool_id {
            self.pools.entry(pool).or_insert((None, source));
        }
        let index = *self.by_request.entry(request).or_insert(self.jobs.len());
        self.tell(index, job, project, source);
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
        self.occupy(index);
        self.apply_timeline(index);
    }

    /// What a record adds to the job at an index, which is new when it is the next one.
    fn tell(&mut self, index: usize, job: &Job, project: Option<&str>, source: Source) {
        match self.jobs.get_mut(index) {
            Some(known) => known.told(job, project, source),
            None => self.jobs.push(Box::new(JobKnown::new(job, project, source))),
        }
    }

    fn timeline_record(&mut self, job: &Job, project: Option<&str>, source: Source) {
        let (Some(run), Some(id)) = (job.run_id, job.job_id.clone()) else { return };
        let list = self.timelines.entry((run, id.clone())).or_default();
        if !list.iter().any(|told| told.1.hash == source.hash) {
            list.push(Arc::new((job.clone(), source)));
        }
        self.timeline_of.entry(run).or_default().insert(id.clone());
        for index in self.by_job.get(&(run, id.clone())).cloned().unwrap_or_default() {
            self.apply_timeline(index);
        }
        if job.agent_name.is_none() {
            return;
        }
        let index = *self.told.entry((run, id, job.attempt)).or_insert(self.jobs.len());
        self.tell(index, job, project, source);
        let list = self.by_run.entry((is_release(job.plan_type.as_deref()), run)).or_default();
        if !list.contains(&index) {
            list.push(index);
        }
        self.occupy(index);
    }

    fn occupy(&mut self, index: usize) {
        let next = self.projects.len() as u32;
        let project = self.jobs[index].project_id.clone();
        let project = project.map(|p| *self.projects.entry(p).or_insert(next));
        self.occupancy.enter(index, &self.jobs[index], project);
    }

    /// Whether a job counts: a request always, a timeline's job only where no request is that job.
    fn counts(&self, job: &JobKnown) -> bool {
        if job.job.request_id.is_some() {
            return true;
        }
        let (Some(run), Some(id)) = (job.job.run_id, job.job.job_id.clone()) else { return false };
        let requests = self.by_job.get(&(run, id)).into_iter().flatten();
        !requests.map(|index| &self.jobs[*index]).any(|request| request.is(&job.job))
    }

    /// The jobs in the timeline of a run, each as it was seen last; empty when none was seen.
    pub fn timeline(&self, run: i64) -> Vec<&Timed> {
        let ids = self.timeline_of.get(&run).into_iter().flatten();
        let newest = |id: &String| self.timelines.get(&(run, id.clone()))?.iter().max_by_key(|told| told.1);
        ids.filter_map(newest).map(|told| &**told).collect()
    }

    fn apply_timeline(&mut self, index: usize) {
        let known = &mut self.jobs[index];
        let (Some(run), Some(id)) = (known.job.run_id, known.job.job_id.clone()) else { return };
        if !is_release(known.job.plan_type.as_deref())
            && let Some(records) = self.timelines.get(&(run, id))
        {
            known.choose_timeline(records);
        }
    }

    pub fn by_request(&self, request: i64) -> Option<&JobKnown> {
        self.by_request.get(&request).map(|i| &*self.jobs[*i])
    }

    pub fn by_plan(&self, plan: &str) -> Vec<&JobKnown> {
        self.select(self.by_plan.get(plan))
    }

    pub fn by_run(&self, release: bool, run: i64) -> Vec<&JobKnown> {
        self.select(self.by_run.get(&(release, run)))
    }

    /// The jobs of all runs of a name: requests that say it, and what timelines tell of such runs.
    pub fn by_run_name(&self, name: &str) -> Vec<&JobKnown> {
        let mut out = self.select(self.by_run_name.get(name));
        for (release, run) in self.runs_named.get(name).into_iter().flatten() {
            let of_run = self.by_run(*release, *run).into_iter();
            out.extend(of_run.filter(|job| job.job.run_name.is_none()));
        }
        out
    }

    fn select(&self, indexes: Option<&Vec<usize>>) -> Vec<&JobKnown> {
        let all = indexes.into_iter().flatten().map(|i| &*self.jobs[*i]);
        let mut out: Vec<&JobKnown> = all.filter(|job| self.counts(job)).collect();
        out.sort_by_key(|j| (j.job.request_id, j.source));
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
            .map(|i| &*self.jobs[i])
            .filter(|job| job.runs_at(at, slack) && self.counts(job))
            .collect();
        out.sort_by_key(|j| (j.job.request_id, j.source));
        out
    }

    /// The id of the project of this name.
    pub fn project_id(&self, name: &str) -> Option<&str> {
        self.project_ids.get(name).map(|(_, id)| id.as_str())
    }

    /// The last token that Entra issued to an application within a span.
    pub fn signed_in(&self, application: &str, from: Time, until: Time) -> Option<(Time, &SignIn, Source)> {
        let span = (from, RecordHash([0; 32]))..(until, RecordHash([0xff; 32]));
        let ((at, _), (sign_in, source)) = self.sign_ins.get(application)?.range(span).next_back()?;
        Some((*at, sign_in, *source))
    }

    /// Agents that were registered from an address by then.
    pub fn at_address(&self, ip: &str, by: Time) -> impl Iterator<Item = i64> {
        let all = self.addresses.get(ip).into_iter().flatten();
        all.filter(move |(_, first)| **first <= by).map(|(agent, _)| *agent)
    }

    /// The job request that other events of a correlation name, when it is one.
    pub fn correlated(&self, correlation: &str) -> Option<(i64, RecordHash)> {
        let told = self.correlated.get(&Key::of(correlation)).filter(|told| told.one)?;
        Some((told.request, told.hash))
    }

    /// How many records told something that is remembered.
    pub fn told(&self) -> usize {
        self.told_events.len() + self.told_facts.len()
    }

    /// The newest version of an agent, by its id alone.
    pub fn agent(&self, id: i64) -> Option<&Agent> {
        self.agents.get(&id)?.last_key_value().map(|(_, agent)| &**agent)
    }

    /// The uses of a service connection.
    pub fn uses(&self, connection: &str) -> impl Iterator<Item = (&ConnectionUse, Source)> {
        self.uses.get(connection).into_iter().flatten().map(|(source, usage)| (usage, *source))
    }

    /// Who registered an agent, the newest registration by then first.
    pub fn registrants(&self, agent: i64, until: Time) -> impl Iterator<Item = &Binding> {
        let all = self.registrants.get(&agent);
        let by_then = all.map(|all| all.range(..(until, RecordHash([0xff; 32]))).rev());
        by_then.into_iter().flatten().map(|(_, binding)| binding)
    }

    /// The agents that were ever registered, with the newest registration by then first.
    pub fn registered(&self, until: Time) -> impl Iterator<Item = (i64, Vec<&Binding>)> {
        self.registrants.keys().map(move |agent| (*agent, self.registrants(*agent, until).collect()))
    }

    /// The version of an agent in force at a moment: of those seen since it was registered last, the
    /// last one by then, else the first after. A machine seen before that may be another's.
    pub fn agent_at(&self, agent: i64, pool: Option<i64>, at: Time) -> Option<(&Agent, Source)> {
        let versions = self.agents.get(&agent)?;
        let fits = |a: &Agent| pool.is_none() || a.pool_id.is_none() || a.pool_id == pool;
        let registered = self.registrants(agent, at).map(|binding| binding.from).next();
        let since = |s: &Source| registered.is_none_or(|from| s.known >= from);
        let before = versions.iter().rev().find(|(s, a)| s.known <= at && fits(a)).filter(|(s, _)| since(s));
        let (found, agent) = before.or_else(|| versions.iter().find(|(s, a)| since(s) && fits(a)))?;
        // Seen like that again is no news: the first such sighting counts.
        let same = versions.range(..=found).rev().take_while(|(s, a)| since(s) && ***a == **agent);
        same.last().map(|(s, a)| (&**a, *s))
    }

    /// Whether an agent was seen just like that before on the same day.
    pub fn repeats(&self, agent: &Agent, source: Source) -> bool {
        let before = self.agents.get(&agent.agent_id).and_then(|all| all.range(..source).next_back());
        before.is_some_and(|(s, a)| **a == *agent && s.known.date() == source.known.date())
    }

    /// The version before another one, where that had another key or machine.
    pub fn replaced(&self, agent: &Agent, at: Source) -> Option<(&Agent, Source)> {
        let differs = |a: &Agent| {
            let key = matches!((&a.key_fingerprint, &agent.key_fingerprint), (Some(a), Some(b)) if a != b);
            key || matches!((&a.machine, &agent.machine), (Some(a), Some(b)) if a != b)
        };
        let before = self.agents.get(&agent.agent_id)?.range(..at).rev();
        let (source, before) =
            before.filter(|(_, a)| a.pool_id == agent.pool_id).find(|(_, a)| differs(a))?;
        Some((before, *source))
    }

    /// Pools whose job requests were not heard over all of `from..=until`; `None` when it is not
    /// even known which pools there are.
    pub fn unheard(&self, from: Time, until: Time) -> Option<Vec<i64>> {
        if self.pools_heard.last().is_none_or(|last| last < from) {
            return None;
        }
        let deaf = |pool: &&i64| !self.jobs_heard.get(pool).is_some_and(|spans| spans.hold(from, until));
        let was_there = |pool: &&i64| self.pools_made.get(pool).is_none_or(|made| *made <= until);
        Some(self.pools.keys().filter(was_there).filter(deaf).copied().collect())
    }

    /// Takes over everything another body of knowledge holds.
    pub fn absorb(&mut self, other: Known) {
        for known in &other.jobs {
            match known.job.request_id {
                Some(_) => self.job(&known.job, known.project_id.as_deref(), known.source),
                None => self.timeline_record(&known.job, known.project_id.as_deref(), known.source),
            }
        }
        for ((run, id), list) in other.timelines {
            for told in list {
                let (job, source) = (told.0.clone(), told.1);
                let job = Job { run_id: Some(run), job_id: Some(id.clone()), ..job };
                self.timeline_record(&job, None, source);
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
        self.pools_made.extend(other.pools_made);
        for (name, runs) in other.runs_named {
            self.runs_named.entry(name).or_default().extend(runs);
        }
        fold(&mut self.nodes, other.nodes);
        fold(&mut self.runs, other.runs);
        fold(&mut self.connections, other.connections);
        fold(&mut self.identities, other.identities);
        for (name, (at, id)) in other.project_ids {
            self.project(&name, at, &id);
        }
        for (connection, uses) in other.uses {
            self.uses.entry(connection).or_default().extend(uses);
        }
        for (application, sign_ins) in other.sign_ins {
            self.sign_ins.entry(application).or_default().extend(sign_ins);
        }
        for (statement, source) in other.statements.into_values() {
            self.stated(&statement, source);
        }
        for (ip, agents) in other.addresses {
            agents.into_iter().for_each(|(agent, first)| self.registered_from(&ip, agent, first));
        }
        for (correlation, told) in other.correlated {
            self.correlate(correlation, told);
        }
        self.told_events.extend(other.told_events);
        self.told_facts.extend(other.told_facts);
        for (agent, bindings) in other.registrants {
            self.registrants.entry(agent).or_default().extend(bindings);
        }
    }
}

/// Things in the order of time, and of their records within a moment.
type InTime<V> = BTreeMap<(Time, RecordHash), V>;

type Newest<K, V> = HashMap<K, (V, Source)>;

/// Keeps the newest of what was said of a thing.
fn newest<K: std::hash::Hash + Eq, V: Clone>(map: &mut Newest<K, V>, key: K, value: &V, source: Source) {
    let slot = map.entry(key).or_insert_with(|| (value.clone(), source));
    if slot.1 < source {
        *slot = (value.clone(), source);
    }
}

fn fold<K: std::hash::Hash + Eq, V: Clone>(own: &mut Newest<K, V>, other: Newest<K, V>) {
    for (key, (value, source)) in other {
        newest(own, key, &value, source);
    }
}

/// Which of the two id spaces a plan type belongs to.
pub(super) fn is_release(plan_type: Option<&str>) -> bool {
    plan_type.is_some_and(|t| t.eq_ignore_ascii_case("release"))
}
