//! What is known of one organisation over time: its jobs and agents, pools, connections, identities.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use super::agents::{Agents, InTime};
use super::bindings::{bindings_of_event, token_of_event};
use super::jobs::Jobs;
use super::listings::Listings;
use super::newest::{Newest, Source, fold, newest};
use super::pools::{PoolSaid, Pools};
use super::tokens::Tokens;
use crate::model::{
    Body, Connection, ConnectionUse, Event, Fact, Heard, Identity, Job, Key, RecordHash, SignIn, Statement,
    Time,
};

/// Whom a statement is about: pool, agent, machine and identity as patterns, and from when on.
type About = ([Option<String>; 4], Option<Time>);

/// The job request that an event of a correlation names.
#[derive(Clone, Copy)]
struct Correlated {
    request: i64,
    /// Of events that name one, the record with the least hash.
    hash: RecordHash,
    /// Whether all such events name the same.
    one: bool,
}

/// So many records that told something weigh as much as a job.
const TOLD_A_JOB: usize = 16;

/// What is known of one organisation.
#[derive(Default)]
pub(super) struct Known {
    pub jobs: Jobs,
    pub agents: Agents,
    /// Project ids by name, and when an event last paired them: names are used again.
    project_ids: HashMap<String, BTreeMap<String, Time>>,
    pub pools: Pools,
    pub connections: Newest<String, Connection>,
    /// The operator's statements, by whom they are about.
    statements: BTreeMap<About, (Statement, Source)>,
    /// Uses of a service connection, by its id.
    uses: HashMap<String, BTreeMap<Source, ConnectionUse>>,
    pub identities: Newest<String, Identity>,
    pub tokens: Tokens,
    /// Tokens that Entra issued, by application.
    sign_ins: HashMap<String, InTime<(SignIn, Source)>>,
    /// Who held which resource.
    pub listings: Listings,
    /// Job requests that events of a correlation name.
    correlated: HashMap<Key, Correlated>,
    /// Events that told something: one that comes again in another spelling is not kept, so what it
    /// told must not be cited.
    told_events: HashSet<Key>,
    /// Facts, likewise: one that comes again in other words is not kept.
    told_facts: HashSet<Key>,
    /// Records told that are held whole, as a job is: sightings of agents, tokens that Entra issued.
    whole: usize,
}

impl Known {
    pub fn learn(&mut self, fact: &Fact<'_>) {
        if !self.told_facts.insert(Key::of(&fact.key)) {
            return;
        }
        let source = Source { known: fact.observed, hash: fact.hash };
        match &fact.body {
            Body::Job(job) => {
                if let Some(pool) = job.pool_id {
                    self.pools.named(pool, None, source);
                    self.pools.bears(job.pool_name.as_deref());
                }
                let is_hook = fact.kind.starts_with("hook.");
                self.jobs.learn(job, fact.project_id.as_deref(), source, is_hook);
            }
            Body::Run(run) => self.jobs.run(run, fact.project_id.as_deref(), source),
            Body::Agent(agent) => {
                if let Some(pool) = agent.pool_id {
                    self.pools.named(pool, None, source);
                }
                self.agents.seen(agent, source);
                self.whole += 1;
            }
            Body::Pool(pool) => self.pools.learn(pool, source, fact.kind == "pool"),
            Body::ElasticNode(node) => self.agents.node(node, source),
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
                if let Some(application) = sign_in.application_id.as_ref().filter(|_| opens(sign_in)) {
                    let all = self.sign_ins.entry(application.clone()).or_default();
                    all.insert((fact.when(), fact.hash), ((**sign_in).clone(), source));
                    self.whole += 1;
                }
            }
            Body::Stated(statement) => self.stated(statement, source),
            Body::Holding(holding) => self.listings.learn(holding, fact.observed),
            // A queue may be of a pool that the list of pools does not show to its reader.
            Body::Queue(queue) => {
                if let Some(pool) = queue.pool_id {
                    self.pools.named(pool, None, source);
                }
            }
            Body::Permissions(_) | Body::Other => {}
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

    /// What the operator states of the agent of a job, which was on this machine of this pool.
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

    /// A job of an agent that only its name tells, as timelines do: one for each agent known to have borne that
    /// name at a moment, with its id and pool. Any other job as it is.
    pub fn by_name<'j>(&self, job: &'j Job, at: Time) -> Vec<Cow<'j, Job>> {
        let name = job.agent_name.as_deref().filter(|_| job.agent_id.is_none());
        let named = name.map_or_else(Vec::new, |name| self.agents.named(name, at));
        if named.is_empty() {
            return vec![Cow::Borrowed(job)];
        }
        let as_of = |agent: &&crate::model::Agent| {
            Cow::Owned(Job { agent_id: Some(agent.agent_id), pool_id: agent.pool_id, ..job.clone() })
        };
        named.iter().map(as_of).collect()
    }

    /// The name of a job's pool.
    pub fn pool_of<'k>(&'k self, job: &'k Job) -> Option<&'k str> {
        job.pool_id.and_then(|pool| self.pools.name(pool)).or(job.pool_name.as_deref())
    }

    pub fn heard(&mut self, heard: &Heard) {
        let (from, until, listed) = (heard.from, heard.until, heard.listed.as_deref());
        match (heard.source.as_str(), heard.pool_id) {
            ("jobs", Some(pool)) => {
                self.pools.jobs_heard(pool, from, until);
                self.jobs.ends.listed(pool, until, listed);
            }
            ("pools", _) => self.pools.heard(from, until, listed),
            ("runs", _) => self.jobs.runs_heard(from, until),
            ("timeline", _) => heard.run_id.into_iter().for_each(|run| self.jobs.timeline_read(run, until)),
            _ => {}
        }
    }

    /// Registrations and project names, which audit events tell.
    pub fn learn_event(&mut self, event: &Event<'_>) {
        if let (Some(name), Some(id)) = (&event.project, &event.project_id) {
            self.project(name, event.occurred, id);
        }
        let source = Source { known: event.observed, hash: event.hash };
        self.pool_event(event, source);
        let (token, bindings) = (token_of_event(event), bindings_of_event(event));
        let request = event.hints.request_id.zip(event.correlation_id.as_deref());
        let tells = token.is_some() || !bindings.is_empty() || request.is_some();
        if !tells || !self.told_events.insert(Key::of(&event.id)) {
            return;
        }
        if let Some(token) = token {
            self.tokens.learn(&token, source);
        }
        if let Some((request, correlation)) = request {
            self.correlate(Key::of(correlation), Correlated { request, hash: event.hash, one: true });
        }
        if let (Some(ip), Some(agent), "Library.AgentAdded") =
            (&event.ip, event.hints.agent_id, event.action.as_ref())
        {
            self.agents.registered_from(ip, agent, event.occurred, source);
        }
        bindings.into_iter().for_each(|binding| self.agents.binding(binding));
    }

    /// A pool that the audit log names may be one that no list shows.
    fn pool_event(&mut self, event: &Event<'_>, source: Source) {
        let said = match event.action.as_ref() {
            "Library.AgentPoolCreated" => PoolSaid::Made,
            "Library.AgentPoolDeleted" => PoolSaid::Deleted,
            "Library.AgentAdded" => PoolSaid::There,
            _ => return,
        };
        let hints = &event.hints;
        let pool = (hints.pool_id, hints.pool_name.as_deref());
        self.pool_said(pool, hints.agent_id, said, event.occurred, source);
    }

    /// Takes in what a record says of a pool that it calls by its id, its name or both, and the agent it is about.
    pub fn pool_said(
        &mut self,
        pool: (Option<i64>, Option<&str>),
        agent: Option<i64>,
        said: PoolSaid,
        at: Time,
        source: Source,
    ) {
        self.pools.said(pool, agent, said, at);
        if let (Some(id), name) = pool {
            self.pools.named(id, name, source);
        }
    }

    /// Adds what another event of a correlation names.
    fn correlate(&mut self, correlation: Key, told: Correlated) {
        let slot = self.correlated.entry(correlation).or_insert(told);
        slot.one &= told.one && slot.request == told.request;
        if (told.hash, told.request) < (slot.hash, slot.request) {
            (slot.hash, slot.request) = (told.hash, told.request);
        }
    }

    pub fn identity(&mut self, identity: &Identity, source: Source) {
        if identity.kind == "pat" {
            return self.tokens.learn(identity, source);
        }
        // Audit records name a build identity by its storage key.
        let key = identity.object_id.as_ref().filter(|_| is_build_identity(identity));
        let ids = [Some(&identity.id), identity.application_id.as_ref(), identity.cuid.as_ref(), key];
        for id in ids.into_iter().flatten() {
            newest(&mut self.identities, id.clone(), identity, source);
        }
    }

    /// Pairs a project's name with its id.
    pub fn project(&mut self, name: &str, at: Time, id: &str) {
        if !self.project_ids.contains_key(name) {
            self.project_ids.insert(name.to_owned(), BTreeMap::new());
        }
        let Some(ids) = self.project_ids.get_mut(name) else { return };
        match ids.get_mut(id) {
            Some(last) => *last = at.max(*last),
            None => drop(ids.insert(id.to_owned(), at)),
        }
    }

    /// The ids of the projects that had this name, which may be one after another.
    pub fn projects_named(&self, name: &str) -> Vec<&str> {
        self.project_ids.get(name).into_iter().flat_map(BTreeMap::keys).map(String::as_str).collect()
    }

    /// Whether an id is known to be a project's.
    pub fn is_project(&self, id: &str) -> bool {
        self.jobs.is_project(id) || self.project_ids.values().any(|ids| ids.contains_key(id))
    }

    /// The build identity that Graph has under the id of an event's actor, with the record of it.
    pub fn build_identity(&self, event: &Event<'_>) -> Option<(&Identity, Source)> {
        let ids = [&event.actor_id, &event.actor_cuid];
        let found = ids.into_iter().flatten().find_map(|id| self.identities.get(id.as_ref()));
        found
            .filter(|(identity, _)| is_build_identity(identity))
            .map(|(identity, source)| (identity, *source))
    }

    /// The last token that Entra issued to an application within a span.
    pub fn signed_in(&self, application: &str, from: Time, until: Time) -> Option<(Time, &SignIn, Source)> {
        let span = (from, RecordHash([0; 32]))..(until, RecordHash([0xff; 32]));
        let ((at, _), (sign_in, source)) = self.sign_ins.get(application)?.range(span).next_back()?;
        Some((*at, sign_in, *source))
    }

    /// The job request that other events of a correlation name, when it is one.
    pub fn correlated(&self, correlation: &str) -> Option<(i64, RecordHash)> {
        let told = self.correlated.get(&Key::of(correlation)).filter(|told| told.one)?;
        Some((told.request, told.hash))
    }

    /// How much is held, in jobs: what is not held whole weighs little.
    pub fn held(&self) -> usize {
        let told = self.told_events.len() + self.told_facts.len();
        self.jobs.len() + self.whole + told / TOLD_A_JOB
    }

    /// The uses of a service connection.
    pub fn uses(&self, connection: &str) -> impl Iterator<Item = (&ConnectionUse, Source)> {
        self.uses.get(connection).into_iter().flatten().map(|(source, usage)| (usage, *source))
    }

    /// Pools whose job requests were not heard over all of `from..=until`; `None` when it is not
    /// even known which pools there are.
    pub fn unheard(&self, from: Time, until: Time) -> Option<Vec<String>> {
        let lost = |pool| self.jobs.lost(pool, from, until);
        self.pools.unheard(from, until, lost, |agent| self.agents.is_placed(agent))
    }

    /// Takes over everything another body of knowledge holds.
    pub fn absorb(&mut self, other: Known) {
        self.jobs.absorb(other.jobs);
        self.agents.absorb(other.agents);
        self.pools.absorb(other.pools);
        fold(&mut self.connections, other.connections);
        fold(&mut self.identities, other.identities);
        self.tokens.absorb(other.tokens);
        for (name, ids) in other.project_ids {
            ids.iter().for_each(|(id, at)| self.project(&name, *at, id));
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
        for (correlation, told) in other.correlated {
            self.correlate(correlation, told);
        }
        self.listings.absorb(other.listings);
        self.told_events.extend(other.told_events);
        self.told_facts.extend(other.told_facts);
        self.whole += other.whole;
    }
}

/// Azure DevOps as a resource of Entra.
const AZURE_DEVOPS: &str = "499b84ac-1321-427f-aa17-267ca6975798";

/// Whether a sign-in gave a token for Azure DevOps, as far as it says.
fn opens(sign_in: &SignIn) -> bool {
    sign_in.result.as_deref().is_none_or(|result| result.trim() == "0")
        && sign_in.resource_id.as_deref().is_none_or(|resource| resource == AZURE_DEVOPS)
}

/// Whether Graph has an identity as that of the builds of a project or collection.
fn is_build_identity(identity: &Identity) -> bool {
    identity.id.starts_with("svc.")
}
