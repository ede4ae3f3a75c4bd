//! The agents of one organisation: their versions over time, who registered them and from where.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::bindings::Binding;
use super::newest::Source;
use crate::model::{Agent, ElasticNode, Job, RecordHash, Time};

/// Things in the order of time, and of their records within a moment.
pub(super) type InTime<V> = BTreeMap<(Time, RecordHash), V>;

#[derive(Default)]
pub(super) struct Agents {
    /// Versions of an agent by its id, in the order of their observation.
    versions: HashMap<i64, BTreeMap<Source, Arc<Agent>>>,
    /// Agents by the names they ever bore.
    named: HashMap<String, BTreeSet<i64>>,
    /// Machines of scale sets as they were told of, by the agent on them.
    nodes: HashMap<i64, BTreeMap<Source, ElasticNode>>,
    /// Who registered an agent, by agent id, in the order of time.
    registrants: HashMap<i64, InTime<Binding>>,
    /// Agents that were registered from an address, since when, and the record of that.
    addresses: HashMap<String, BTreeMap<i64, (Time, Source)>>,
    /// Who is in a pool, as far as its lists say, and when each was seen last.
    there: HashMap<i64, BTreeMap<i64, (Arc<Agent>, Time)>>,
    /// When an agent, by its pool and id, was missing in a list for the first time.
    missed: HashMap<(i64, i64), Time>,
}

impl Agents {
    /// Adds a sighting of an agent; what it said before or after is not held twice.
    pub fn seen(&mut self, agent: &Agent, source: Source) {
        if let Some(name) = &agent.name {
            self.named.entry(name.clone()).or_default().insert(agent.agent_id);
        }
        let all = self.versions.entry(agent.agent_id).or_default();
        let beside = [all.range(..source).next_back(), all.range(source..).next()];
        let same = beside.into_iter().flatten().map(|(_, known)| known).find(|known| ***known == *agent);
        let agent = same.cloned().unwrap_or_else(|| Arc::new(agent.clone()));
        all.insert(source, Arc::clone(&agent));
        self.is_there(agent, source.known);
    }

    /// Adds that an agent was in its pool at a moment.
    pub fn is_there(&mut self, agent: Arc<Agent>, at: Time) {
        let Some(pool) = agent.pool_id.filter(|_| is_of_pool(&agent)) else { return };
        let slot = self.there.entry(pool).or_default().entry(agent.agent_id);
        let slot = slot.or_insert_with(|| (Arc::clone(&agent), at));
        if slot.1 < at {
            *slot = (agent, at);
        }
    }

    /// Takes in a whole list of a pool's agents. Those that are missing in it for the first time come back,
    /// each with when it was seen last.
    pub fn listed(&mut self, pool: i64, ids: &[i64], at: Time) -> Vec<(Arc<Agent>, Time)> {
        let Some(there) = self.there.get_mut(&pool) else { return Vec::new() };
        // A list that comes late says nothing of who came since.
        let ids: HashSet<&i64> = ids.iter().collect();
        let left = |id: &i64, (_, seen): &mut (Arc<Agent>, Time)| *seen < at && !ids.contains(id);
        let gone: Vec<(i64, (Arc<Agent>, Time))> = there.extract_if(.., left).collect();
        self.missed.extend(gone.iter().map(|(id, _)| ((pool, *id), at)));
        gone.into_iter().map(|(_, last)| last).collect()
    }

    /// Adds what a scale set says of a machine of its.
    pub fn node(&mut self, node: &ElasticNode, source: Source) {
        if let Some(agent) = node.agent_id {
            self.nodes.entry(agent).or_default().insert(source, node.clone());
        }
    }

    pub fn registered_from(&mut self, ip: &str, agent: i64, at: Time, source: Source) {
        let of_address = self.addresses.entry(ip.to_owned()).or_default();
        let first = of_address.entry(agent).or_insert((at, source));
        if (at, source.hash) < (first.0, first.1.hash) {
            *first = (at, source);
        }
    }

    pub fn binding(&mut self, binding: Binding) {
        if let (Some(agent), "registrant") = (binding.agent_id, binding.role.as_str()) {
            let all = self.registrants.entry(agent).or_default();
            all.insert((binding.from, binding.record), binding);
        }
    }

    /// The version of an agent in force at a moment: of those seen since it was registered last, the
    /// last one by then, else the first after; one seen after that says it has been online since before, and
    /// since the last one was seen, is the one: an agent tells of its machine when it connects. A machine seen
    /// before that may be another's.
    pub fn at(&self, agent: i64, pool: Option<i64>, at: Time) -> Option<(&Agent, Source)> {
        let versions = self.versions.get(&agent)?;
        // A deployment group says less of its machine than the pool behind it.
        let by_pool = versions.values().any(|a| is_of_pool(a));
        let fits = |a: &Agent| {
            (pool.is_none() || a.pool_id.is_none() || a.pool_id == pool) && (is_of_pool(a) || !by_pool)
        };
        let registered = self.registrants(agent, at).map(|binding| binding.from).next();
        let since = |s: &Source| registered.is_none_or(|from| s.known >= from);
        let mut by_then = versions.range(..=Source { known: at, hash: RecordHash([0xff; 32]) }).rev();
        let before = by_then.find(|(_, a)| fits(a)).filter(|(s, _)| since(s));
        let next =
            versions.range(Source { known: at, hash: RecordHash([0xff; 32]) }..).find(|(_, a)| fits(a));
        let online = next.filter(|(_, a)| {
            let connected = a.status_changed.filter(|_| a.status.as_deref() == Some("online"));
            connected.is_some_and(|then| then <= at && before.is_none_or(|(s, _)| s.known < then))
        });
        let (found, agent) =
            online.or(before).or_else(|| versions.iter().find(|(s, a)| since(s) && fits(a)))?;
        // Seen like that again is no news: the first such sighting of its day counts, as later ones may
        // not be kept. Earlier days are not asked: they need not be in memory.
        let day = found.known.date();
        let counts = |s: &Source, a: &Agent| since(s) && s.known.date() == day && *a == **agent;
        let same = versions.range(..=found).rev().take_while(|(s, a)| counts(s, a));
        same.last().map(|(s, a)| (&**a, *s))
    }

    /// The agents that bore a name at a moment, as far as lists tell. A pool has one of a name at a time.
    pub fn named(&self, name: &str, at: Time) -> Vec<&Agent> {
        let ids = self.named.get(name).into_iter().flatten();
        let then = ids.filter_map(|id| self.at(*id, None, at));
        let is = |a: &Agent| a.name.as_deref() == Some(name) && a.created.is_none_or(|made| made <= at);
        let mut all: Vec<(&Agent, Source)> = then.filter(|(agent, _)| is(agent)).collect();
        all.sort_by_key(|(agent, _)| (agent.pool_id, agent.created, agent.agent_id));
        // One made since it was seen last took its place.
        let follows = |(agent, seen): (&Agent, Source), next: Option<&(&Agent, Source)>| {
            next.is_some_and(|(next, _)| {
                next.pool_id == agent.pool_id && next.created.is_some_and(|made| seen.known < made)
            })
        };
        let left = all.iter().enumerate().filter(|(at, own)| !follows(**own, all.get(at + 1)));
        left.map(|(_, (agent, _))| *agent).collect()
    }

    /// Whether an agent was ever seen in a pool of a known id.
    pub fn is_placed(&self, agent: i64) -> bool {
        self.versions.get(&agent).is_some_and(|all| all.values().any(|agent| agent.pool_id.is_some()))
    }

    /// Whether an agent was ever seen.
    pub fn is_listed(&self, agent: i64) -> bool {
        self.versions.contains_key(&agent)
    }

    /// The version before another one, where that had another key or machine.
    pub fn replaced(&self, agent: &Agent, at: Source) -> Option<(&Agent, Source)> {
        let before = self.versions.get(&agent.agent_id)?.range(..at).rev();
        let (source, before) =
            before.filter(|(_, a)| a.pool_id == agent.pool_id).find(|(_, a)| differs(agent, a))?;
        Some((before, *source))
    }

    /// The first version after another one and by a moment that has another key or machine.
    pub fn replaced_by(&self, agent: &Agent, at: Source, until: Time) -> Option<(&Agent, Source)> {
        let until = Source { known: until, hash: RecordHash([0xff; 32]) };
        let after =
            self.versions.get(&agent.agent_id)?.range(at..).take_while(|(source, _)| **source <= until);
        let mut after = after.filter(|(_, a)| a.pool_id == agent.pool_id);
        let (source, after) = after.find(|(_, a)| differs(agent, a))?;
        Some((after, *source))
    }

    /// Whether an agent was seen just like that before on the same day, and was not gone meanwhile.
    pub fn repeats(&self, agent: &Agent, source: Source) -> bool {
        let mut before = self.versions.get(&agent.agent_id).into_iter().flat_map(|v| v.range(..source).rev());
        let alike = |a: &Agent| a.pool_id == agent.pool_id && is_of_pool(a) == is_of_pool(agent);
        let Some((seen, last)) = before.find(|(_, a)| alike(a)) else { return false };
        let missed = agent.pool_id.and_then(|pool| self.missed.get(&(pool, agent.agent_id)));
        let stayed = missed.is_none_or(|at| *at <= seen.known || source.known < *at);
        **last == *agent && seen.known.date() == source.known.date() && stayed
    }

    /// The machine of a scale set that an agent was on at a moment: as it was told last by then, else first
    /// after.
    pub fn node_of(&self, agent: i64, at: Time) -> Option<(&ElasticNode, Source)> {
        let all = self.nodes.get(&agent)?;
        let by_then = all.range(..=Source { known: at, hash: RecordHash([0xff; 32]) }).next_back();
        by_then.or_else(|| all.iter().next()).map(|(source, node)| (node, *source))
    }

    /// The machine that the agent of a job was on at a moment.
    pub fn machine(&self, job: &Job, at: Time) -> Option<&str> {
        let id = job.agent_id?;
        let listed = self.at(id, job.pool_id, at).and_then(|(agent, _)| agent.machine.as_deref());
        listed.or_else(|| self.node_of(id, at)?.0.machine.as_deref())
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

    /// Agents that were registered from an address by then, each with the record of it, first ones first.
    pub fn at_address(&self, ip: &str, by: Time) -> Vec<(i64, Source)> {
        let all = self.addresses.get(ip).into_iter().flatten();
        let mut by_then: Vec<_> = all.filter(|(_, (first, _))| *first <= by).collect();
        by_then.sort_by_key(|(agent, (first, _))| (*first, **agent));
        by_then.into_iter().map(|(agent, (_, source))| (*agent, *source)).collect()
    }

    /// Takes over everything another organisation's agents hold.
    pub fn absorb(&mut self, other: Agents) {
        for (agent, versions) in other.versions {
            self.versions.entry(agent).or_default().extend(versions);
        }
        for (name, agents) in other.named {
            self.named.entry(name).or_default().extend(agents);
        }
        for (agent, nodes) in other.nodes {
            self.nodes.entry(agent).or_default().extend(nodes);
        }
        for (agent, bindings) in other.registrants {
            self.registrants.entry(agent).or_default().extend(bindings);
        }
        for (agent, at) in other.there.into_values().flat_map(BTreeMap::into_values) {
            self.is_there(agent, at);
        }
        self.missed.extend(other.missed);
        for (ip, agents) in other.addresses {
            for (agent, (first, source)) in agents {
                self.registered_from(&ip, agent, first, source);
            }
        }
    }
}

/// Whether two versions are known to have different keys or machines.
fn differs(one: &Agent, other: &Agent) -> bool {
    let key = matches!((&one.key_fingerprint, &other.key_fingerprint), (Some(a), Some(b)) if a != b);
    key || matches!((&one.machine, &other.machine), (Some(a), Some(b)) if a != b)
}

/// Whether a record of an agent is its pool's, and not that of a deployment group.
fn is_of_pool(agent: &Agent) -> bool {
    agent.deployment_group_id.is_none()
}
