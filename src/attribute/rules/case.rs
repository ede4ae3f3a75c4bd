//! One event on its way through the rules: what is asked of the known, and the verdict so far.

use std::borrow::Cow;

use crate::attribute::Tolerance;
use crate::attribute::job::{JobKnown, is_release};
use crate::attribute::known::Known;
use crate::attribute::newest::Source;
use crate::model::{
    ActorKind, Agent, AgentSeen, Candidate, Event, Evidence, Executor, Grade, IdentitySeen, Job, JobSeen,
    RunSeen, Statement, Subject, Text, Time, Verdict,
};

pub(super) struct Case<'e, 'k> {
    pub event: &'e Event<'e>,
    pub known: &'k Known,
    /// What is known beyond the organisation.
    pub tenant: &'k Known,
    pub tolerance: Tolerance,
    /// The rule at work, which evidence names.
    pub rule: &'static str,
    pub verdict: Verdict,
}

impl<'e, 'k> Case<'e, 'k> {
    pub fn new(
        event: &'e Event<'e>,
        known: &'k Known,
        tenant: &'k Known,
        tolerance: Tolerance,
    ) -> Case<'e, 'k> {
        let mut verdict = Verdict { raised_by: raised_by(event), ..Verdict::default() };
        verdict.subjects = subjects(event);
        let mut case = Case { event, known, tenant, tolerance, rule: "", verdict };
        case.actors();
        case
    }

    /// Settles that no agent did it.
    pub fn not_agent(&mut self, executor: Executor, says: impl Into<String>) {
        self.verdict.executor = executor;
        self.verdict.grade = Grade::NotAgent;
        self.verdict.provisional = false;
        self.cite_event(says);
    }

    /// Cites a record.
    pub fn cite(&mut self, source: Source, says: impl Into<String>) {
        let evidence = Evidence {
            kind: self.rule.to_owned(),
            record: source.hash,
            says: says.into(),
            known: source.known,
        };
        if !self.verdict.evidence.contains(&evidence) {
            self.verdict.evidence.push(evidence);
        }
    }

    /// What evidence is given meanwhile is named after another rule.
    pub fn under<T>(&mut self, rule: &'static str, gives: impl FnOnce(&mut Self) -> T) -> T {
        let own = std::mem::replace(&mut self.rule, rule);
        let given = gives(self);
        self.rule = own;
        given
    }

    /// Cites the event itself.
    pub fn cite_event(&mut self, says: impl Into<String>) {
        let source = Source { known: self.event.observed, hash: self.event.hash };
        self.cite(source, says);
    }

    pub fn missing(&mut self, says: impl Into<String>) {
        let says = says.into();
        if !self.verdict.missing.contains(&says) {
            self.verdict.missing.push(says);
        }
    }

    /// Names one job as the one that did it.
    pub fn chose(&mut self, job: &JobKnown, grade: Grade) {
        self.verdict.executor = if job.job.agent_id.is_some() || job.job.agent_name.is_some() {
            Executor::Agent
        } else if job.job.finished.is_some() && job.job.received.is_none() {
            // It ended without an agent ever taking it: an agentless job, or one never started.
            Executor::Service
        } else {
            Executor::Unknown
        };
        self.verdict.grade = match self.verdict.executor {
            Executor::Agent => grade,
            Executor::Service => Grade::NotAgent,
            _ => Grade::Run,
        };
        if self.verdict.executor == Executor::Unknown {
            self.missing("the job was not given to an agent yet when it was last seen");
            self.verdict.provisional = true;
        }
        self.verdict.job = Some(JobSeen {
            job_id: job.job.job_id.clone(),
            request_id: job.job.request_id,
            name: job.name().map(str::to_owned).or_else(|| job.job.identifier.clone()),
            attempt: job.attempt(),
        });
        self.run_of(job);
        self.agent_of(job);
        self.cite(job.source, job.course());
        if let Some(told) = &job.timeline {
            let says = match &told.agent_name {
                Some(name) if job.job.agent_name.is_none() => {
                    format!("the timeline of the run has this job on {name}")
                }
                Some(_) => "the timeline of the run has this job on the same agent".to_owned(),
                None if told.is_hook => {
                    "a service hook told of a job of this run and id; it names no agent".to_owned()
                }
                None => "the timeline of the run has this job".to_owned(),
            };
            self.cite(told.source, says);
        }
    }

    /// Names the agent that did it, though not in which of its jobs.
    pub fn chose_agent(&mut self, job: &JobKnown) {
        self.verdict.executor = Executor::Agent;
        self.verdict.grade = Grade::Sole;
        self.agent_of(job);
    }

    /// Names the run a job belongs to.
    pub fn run_of(&mut self, job: &JobKnown) {
        let release = is_release(job.job.plan_type.as_deref());
        // A timeline names neither its run nor its pipeline; the run's own record does.
        let run = job.job.run_id.and_then(|id| self.known.jobs.runs.get(&(release, id))).map(|(run, _)| run);
        let name = |own: &Option<String>, of: fn(&crate::model::Run) -> &Option<String>| {
            own.clone().or_else(|| of(run?).clone())
        };
        self.verdict.run = Some(RunSeen {
            id: job.job.run_id,
            kind: Some(if release { "release" } else { "build" }.to_owned()),
            name: name(&job.job.run_name, |run| &run.name),
            pipeline_id: job.job.pipeline_id.or_else(|| run?.pipeline_id),
            pipeline_name: name(&job.job.pipeline_name, |run| &run.pipeline_name),
        });
    }

    /// The agent of a job as it was then, with the identities it is tied to.
    fn agent_of(&mut self, job: &JobKnown) {
        if job.job.agent_id.is_none() && job.job.agent_name.is_none() {
            return;
        }
        let known = self.known;
        let at = self.taken(&job.job);
        let job = &*self.told_apart(&job.job);
        let mut seen = AgentSeen {
            id: job.agent_id,
            name: job.agent_name.clone(),
            version: job.agent_version.clone(),
            pool_id: job.pool_id,
            pool_name: known.pool_of(job).map(str::to_owned),
            machine: known.agents.machine(job, at).map(str::to_owned),
        };
        if let Some((agent, source)) = job.agent_id.and_then(|id| known.agents.at(id, job.pool_id, at)) {
            seen.version = seen.version.or_else(|| agent.version.clone());
            let machine = agent.machine.as_deref().map_or_else(String::new, |m| format!(" on {m}"));
            self.cite(
                source,
                format!("agent {} was seen{machine}", agent.name.as_deref().unwrap_or("without a name")),
            );
            let machine = |of: &Agent| of.machine.clone().unwrap_or_else(|| "a machine not named".to_owned());
            let key = |of: &Agent| {
                if of.key_fingerprint == agent.key_fingerprint { "the same" } else { "another" }
            };
            if let Some((before, source)) =
                known.agents.replaced(agent, source).filter(|(_, s)| s.known >= at - self.tolerance.window)
            {
                let (machine, key) = (machine(before), key(before));
                self.cite(
                    source,
                    format!("the agent was replaced: it was on {machine} with {key} key before"),
                );
            }
            let (by, until) = (self.tolerance.clock, self.tolerance.window);
            if let Some((after, source)) =
                known.agents.replaced_by(agent, source, self.event.occurred + until)
            {
                let (machine, key) = (machine(after), key(after));
                let says = if source.known <= self.event.occurred + by {
                    format!("the agent was replaced since it took the job: it is on {machine} now")
                } else {
                    format!(
                        "seen otherwise for the first time after that, the agent was on {machine} with {key} key"
                    )
                };
                self.cite(source, says);
            }
            if let Some(client) = &agent.client_id {
                self.identity(client, seen.name.clone(), "listener", "listener");
            }
            if let Some(machine) = &agent.machine {
                self.identity(machine, None, "host", "machine");
            }
        } else if job.agent_id.is_some_and(|id| known.agents.is_listed(id)) {
            self.missing("a listing of the agent since it was registered last");
        }
        if let Some((node, source)) = job.agent_id.and_then(|id| known.agents.node_of(id, at)) {
            let machine = node.machine.as_deref().unwrap_or("a machine without a name");
            self.under("scale_set", |case| {
                case.cite(source, format!("the scale set has the agent on its machine {machine}"));
            });
            if let Some(compute) = &node.compute_id {
                self.identity(compute, node.machine.clone(), "vm", "machine");
            }
        }
        let registrant = job.agent_id.and_then(|id| {
            known.agents.registrants(id, at).find(|b| b.pool_id.is_none() || b.pool_id == job.pool_id)
        });
        match registrant {
            Some(binding) => {
                self.identity(
                    &binding.identity_id,
                    binding.identity_name.clone(),
                    &binding.identity_kind,
                    "registrant",
                );
                let who = binding.identity_name.as_deref().unwrap_or(&binding.identity_id);
                let how = match binding.identity_kind.as_str() {
                    "pat" => " with a personal access token",
                    "application" => " as a service principal or managed identity",
                    _ => "",
                };
                self.cite(
                    Source { known: binding.known, hash: binding.record },
                    format!("the agent was registered by {who}{how} at {}", binding.from.brief()),
                );
            }
            None => self.missing("a record of who registered the agent"),
        }
        self.stated(job, at);
        self.verdict.agent = Some(seen);
    }

    /// Whether the operator stated anything.
    pub fn has_statements(&self) -> bool {
        self.known.has_statements() || self.tenant.has_statements()
    }

    /// A job with the id and pool of its agent, where its record has the agent's name only and one agent bore
    /// that then.
    fn told_apart<'j>(&self, job: &'j Job) -> Cow<'j, Job> {
        match <[_; 1]>::try_from(self.of_that_name(job)) {
            Ok([one]) => one,
            Err(_) => Cow::Borrowed(job),
        }
    }

    /// A job of an agent that only its name tells, once for each that it can be: in a pool that was heard while
    /// it ran its request would be known.
    fn of_that_name<'j>(&self, job: &'j Job) -> Vec<Cow<'j, Job>> {
        let mut all = self.known.by_name(job, self.taken(job));
        if job.agent_id.is_none() && job.request_id.is_none() {
            let (from, until) = (self.taken(job), job.finished.unwrap_or(self.event.occurred));
            all.retain(|own| !own.pool_id.is_some_and(|pool| self.known.pools.is_heard(pool, from, until)));
        }
        if all.is_empty() { vec![Cow::Borrowed(job)] } else { all }
    }

    /// When an agent took a job.
    fn taken(&self, job: &Job) -> Time {
        job.received.or(job.assigned).unwrap_or(self.event.occurred)
    }

    /// The operator's statements about the agent of a job, as it was at a moment: those of its
    /// organisation, and those of none. Where only its name is known, about whoever bore it.
    pub fn statements(&self, job: &Job, at: Time) -> Vec<&'k (Statement, Source)> {
        let mut all: Vec<&'k (Statement, Source)> = self.of_each(job, at).into_iter().flatten().collect();
        all.sort_by_key(|(_, source)| *source);
        all.dedup_by(|one, other| std::ptr::eq(*one, *other));
        all
    }

    /// The same, apart for each agent that the job can be of.
    fn of_each(&self, job: &Job, at: Time) -> Vec<Vec<&'k (Statement, Source)>> {
        // Most lakes have no inventory, and every event asks.
        if !self.has_statements() {
            return Vec::new();
        }
        self.known.by_name(job, at).iter().map(|job| self.of_one(job, at)).collect()
    }

    fn of_one(&self, job: &Job, at: Time) -> Vec<&'k (Statement, Source)> {
        let (machine, pool) = (self.known.agents.machine(job, at), self.known.pool_of(job));
        let of = |known: &'k Known| known.statements(job, machine, pool, at).collect::<Vec<_>>();
        [of(self.known), of(self.tenant)].concat()
    }

    /// The statements that give the agent of a job addresses, when the request came from none of them.
    /// Only the operator's word excludes: an address that was merely seen proves no other impossible.
    fn elsewhere(&self, job: &Job) -> Option<(&'e str, Vec<Source>)> {
        let mut each = self.of_each(job, self.taken(job));
        each.iter_mut().for_each(|stated| stated.retain(|(statement, _)| !statement.addresses.is_empty()));
        if each.is_empty() || each.iter().any(Vec::is_empty) {
            return None;
        }
        let ip = self.own_address()?;
        let mut stated = each.into_iter().flatten();
        let given = stated.clone().any(|(statement, _)| statement.has_address(ip));
        (!given).then(|| (ip, stated.by_ref().map(|(_, source)| *source).collect()))
    }

    /// Whether the request came from where the inventory says that the agent of a job is not: then the
    /// job's token may have been taken out of it, and the job is a hint only.
    pub fn doubts(&mut self, job: &JobKnown) -> bool {
        let Some((ip, sources)) = self.elsewhere(&job.job) else { return false };
        let agent = job.job.agent_name.as_deref().unwrap_or("the agent");
        for source in sources {
            self.cite(source, format!("the inventory gives {agent} addresses, and {ip} is none of them"));
        }
        self.missing(format!(
            "why it came from {ip}, which the inventory does not give the agent: the token of the job was used outside it, or the inventory lacks an address of {agent}"
        ));
        true
    }

    /// Leaves open who did it where the inventory speaks against each of these jobs.
    pub fn doubt_all(&mut self, jobs: &[&JobKnown]) {
        let doubted = jobs.iter().filter(|job| self.doubts(job)).count();
        if doubted == jobs.len() {
            self.only_hints();
        }
    }

    /// Leaves open who did it: the candidates are hints.
    pub fn only_hints(&mut self) {
        self.verdict.executor = Executor::Unknown;
        self.verdict.grade = Grade::Corroborated;
    }

    /// The address of the request itself: a record that a service wrote comes from the service.
    pub fn own_address(&self) -> Option<&'e str> {
        let event: &'e Event<'e> = self.event;
        let service = matches!(event.actor_kind, ActorKind::Service | ActorKind::AgentPoolService);
        event.ip.as_deref().filter(|ip| !service && ip.parse::<core::net::IpAddr>().is_ok())
    }

    /// What the operator states of the agent, and whether the request came from where that says.
    fn stated(&mut self, job: &Job, at: Time) {
        let ip = self.own_address();
        for (statement, source) in self.statements(job, at) {
            let mut says = Vec::new();
            if let Some(id) = &statement.identity {
                self.identity(id, statement.identity_name.clone(), &statement.identity_kind, "machine");
                says.push(format!("the identity {}", statement.identity_name.as_deref().unwrap_or(id)));
            }
            if let Some(resource) = &statement.resource {
                self.identity(resource, None, "resource", "machine");
                says.push(format!("the resource {resource}"));
            }
            if let Some(ip) = ip.filter(|ip| statement.has_address(ip)) {
                says.push(format!("the address {ip}"));
            }
            if !says.is_empty() {
                self.cite(*source, format!("the inventory gives the agent {}", says.join(", ")));
            }
        }
    }

    /// Lists a job among those that can have done it.
    pub fn candidate(&mut self, job: &JobKnown, why: impl Into<String>) {
        let job = self.told_apart(&job.job);
        let candidate = Candidate {
            agent_id: job.agent_id,
            agent_name: job.agent_name.clone(),
            pool_id: job.pool_id,
            job_id: job.job_id.clone(),
            run_id: job.run_id,
            why: why.into(),
        };
        self.verdict.candidates.push(candidate);
    }

    pub fn identity(&mut self, id: &str, name: Option<String>, kind: &str, role: &str) {
        let seen = IdentitySeen { id: id.to_owned(), name, kind: kind.to_owned(), role: role.to_owned() };
        if !self.verdict.identities.contains(&seen) {
            self.verdict.identities.push(seen);
        }
    }

    /// The identities the record itself names.
    fn actors(&mut self) {
        let event = self.event;
        let name = event.actor_name.as_deref().or(event.actor_upn.as_deref()).map(str::to_owned);
        let known_name = |id: &str| self.known.identities.get(id).and_then(|(i, _)| i.name.clone());
        if let Some(id) = event.actor_client_id.as_deref() {
            let name = name.or_else(|| known_name(id));
            self.identity(id, name, "application", "actor");
        } else if let Some(id) = event.actor_id.as_deref().or(event.actor_cuid.as_deref()) {
            self.identity(id, name, event.actor_kind.as_str(), "actor");
        }
        if let Some(id) = event.author_id.as_deref() {
            self.identity(id, None, "user", "author");
        }
        if let Some(id) = event.hints.requester_id.as_deref() {
            self.identity(id, None, "user", "requester");
        }
        if let Some(id) = event.authorization_id.as_deref() {
            let is_pat = event.auth_mechanism.as_deref().is_some_and(|m| m.starts_with("PAT"));
            let token = self.known.tokens.at(id, event.occurred + self.tolerance.clock);
            let name = token.and_then(|token| token.name.map(str::to_owned));
            self.identity(id, name, if is_pat { "pat" } else { "session" }, "credential");
        }
    }

    /// What keeps a negative from being certain: pools that were not heard around the event.
    pub fn deaf(&mut self, from: Time, until: Time) -> bool {
        match self.known.unheard(from, until) {
            None => {
                self.missing("the list of pools was not heard, so other agents may have been at work: collect the organisation over REST, or ingest recorded lists of its pools and their job requests");
                true
            }
            Some(pools) if pools.is_empty() => false,
            Some(pools) => {
                let (first, more) = pools.split_at(pools.len().min(5));
                let (names, more) = (first.join(", "), if more.is_empty() { "" } else { ", ..." });
                self.missing(format!(
                    "job requests were not heard around the event for pool {names}{more}: other jobs may have run there"
                ));
                true
            }
        }
    }

    pub fn finish(mut self) -> Verdict {
        self.verdict
            .candidates
            .sort_by(|a, b| (a.agent_id, &a.job_id, a.run_id).cmp(&(b.agent_id, &b.job_id, b.run_id)));
        self.verdict
    }
}

/// Who wrote the record.
fn raised_by(event: &Event<'_>) -> Executor {
    match event.actor_kind {
        ActorKind::Service | ActorKind::AgentPoolService => Executor::Service,
        ActorKind::ProjectBuildService | ActorKind::CollectionBuildService => Executor::Agent,
        ActorKind::Application => Executor::Client,
        ActorKind::User if super::actors::is_browser(event) => Executor::Human,
        ActorKind::User => Executor::Client,
        ActorKind::Unknown => Executor::Unknown,
    }
}

/// What the record is about, as far as its Data names it.
fn subjects(event: &Event<'_>) -> Vec<Subject> {
    let hints = &event.hints;
    let mut out = Vec::new();
    let mut add = |kind: &str, id: Option<String>, name: &Option<Text<'_>>| {
        let name = name.as_deref().map(str::to_owned);
        if let Some(id) = id.or_else(|| name.clone()) {
            out.push(Subject { kind: kind.to_owned(), id, name });
        }
    };
    let number = |n: Option<i64>| n.map(|n| n.to_string());
    let text = |t: &Option<Text<'_>>| t.as_deref().map(str::to_owned);
    add("agent", number(hints.agent_id), &hints.agent_name);
    add("pool", number(hints.pool_id), &hints.pool_name);
    add("run", number(hints.run_id), &hints.run_name);
    add("pipeline", number(hints.pipeline_id), &hints.pipeline_name);
    add("job", text(&hints.job_id), &hints.job_name);
    add("connection", text(&hints.connection_id), &hints.connection_name);
    add("environment", None, &hints.environment);
    add("credential", text(&hints.authorization_id), &None);
    out
}
