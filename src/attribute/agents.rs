//! The agents of one organisation: their versions over time, who registered them and from where.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::bindings::Binding;
use super::newest::{Newest, Source, fold, newest};
use crate::model::{Agent, ElasticNode, Job, RecordHash, Time};

/// Things in the order of time, and of their records within a moment.
pub(super) type InTime<V> = BTreeMap<(Time, RecordHash), V>;

#[derive(Default)]
pub(super) struct Agents {
    /// Versions of an agent by its id, in the order of their observation.
    versions: HashMap<i64, BTreeMap<Source, Arc<Agent>>>,
    /// Machines of a scale set, by the agent on them.
    nodes: Newest<i64, ElasticNode>,
    /// Who registered an agent, by agent id, in the order of time.
    registrants: HashMap<i64, InTime<Binding>>,
    /// Agents that were registered from an address, since when, and the record of that.
    addresses: HashMap<String, BTreeMap<i64, (Time, Source)>>,
}

impl Agents {
    /// Adds a sighting of an agent; what it said before or after is not held twice.
    pub fn seen(&mut self, agent: &Agent, source: Source) {
        let all = self.versions.entry(agent.agent_id).or_default();
        let beside = [all.range(..source).next_back(), all.range(source..).next()];
        let same = beside.into_iter().flatten().map(|(_, known)| known).find(|known| ***known == *agent);
        let agent = same.cloned().unwrap_or_else(|| Arc::new(agent.clone()));
        all.insert(source, agent);
    }

    /// Adds what a scale set says of a machine of its.
    pub fn node(&mut self, node: &ElasticNode, source: Source) {
        if let Some(agent) = node.agent_id {
            newest(&mut self.nodes, agent, node, source);
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
    /// last one by then, else the first after. A machine seen before that may be another's.
    pub fn at(&self, agent: i64, pool: Option<i64>, at: Time) -> Option<(&Agent, Source)> {
        let versions = self.versions.get(&agent)?;
        let fits = |a: &Agent| pool.is_none() || a.pool_id.is_none() || a.pool_id == pool;
        let registered = self.registrants(agent, at).map(|binding| binding.from).next();
        let since = |s: &Source| registered.is_none_or(|from| s.known >= from);
        let mut by_then = versions.range(..=Source { known: at, hash: RecordHash([0xff; 32]) }).rev();
        let before = by_then.find(|(_, a)| fits(a)).filter(|(s, _)| since(s));
        let (found, agent) = before.or_else(|| versions.iter().find(|(s, a)| since(s) && fits(a)))?;
        // Seen like that again is no news: the first such sighting counts.
        let same = versions.range(..=found).rev().take_while(|(s, a)| since(s) && ***a == **agent);
        same.last().map(|(s, a)| (&**a, *s))
    }

    /// Whether an agent was ever seen.
    pub fn is_listed(&self, agent: i64) -> bool {
        self.versions.contains_key(&agent)
    }

    /// The version before another one, where that had another key or machine.
    pub fn replaced(&self, agent: &Agent, at: Source) -> Option<(&Agent, Source)> {
        let differs = |a: &Agent| {
            let key = matches!((&a.key_fingerprint, &agent.key_fingerprint), (Some(a), Some(b)) if a != b);
            key || matches!((&a.machine, &agent.machine), (Some(a), Some(b)) if a != b)
        };
        let before = self.versions.get(&agent.agent_id)?.range(..at).rev();
        let (source, before) =
            before.filter(|(_, a)| a.pool_id == agent.pool_id).find(|(_, a)| differs(a))?;
        Some((before, *source))
    }

    /// Whether an agent was seen just like that before on the same day.
    pub fn repeats(&self, agent: &Agent, source: Source) -> bool {
        let before = self.versions.get(&agent.agent_id).and_then(|all| all.range(..source).next_back());
        before.is_some_and(|(s, a)| **a == *agent && s.known.date() == source.known.date())
    }

    /// The machine of a scale set that an agent is on, as it was told last.
    pub fn node_of(&self, agent: i64) -> Option<&(ElasticNode, Source)> {
        self.nodes.get(&agent)
    }

    /// The machine that the agent of a job was on at a moment.
    pub fn machine(&self, job: &Job, at: Time) -> Option<&str> {
        let id = job.agent_id?;
        let listed = self.at(id, job.pool_id, at).and_then(|(agent, _)| agent.machine.as_deref());
        listed.or_else(|| self.nodes.get(&id)?.0.machine.as_deref())
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
        fold(&mut self.nodes, other.nodes);
        for (agent, bindings) in other.registrants {
            self.registrants.entry(agent).or_default().extend(bindings);
        }
        for (ip, agents) in other.addresses {
            for (agent, (first, source)) in agents {
                self.registered_from(&ip, agent, first, source);
            }
        }
    }
}
