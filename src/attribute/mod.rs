//! Which agent acted, decided over time: timelines, occupancy, rules, evidence.
//!
//! Invariants:
//! 1. A verdict uses only what was learnt before it was asked for.
//! 2. The same facts in any order give the same verdict.
//! 3. `exact` and `sole` are given only where no other job can have done it.
//! 4. Pools, agents and names are taken with their organisation.

mod agents;
mod bindings;
mod coverage;
mod ends;
mod job;
mod jobs;
mod known;
mod listings;
mod newest;
mod occupancy;
mod organizations;
mod pools;
mod rules;
mod stated;
mod tokens;
mod told;
mod touch;

pub use bindings::{Binding, bindings_of_event, bindings_of_fact, token_of_event};
pub use told::{Stamp, Tellers};
pub use touch::{EVER, PoolsHeard, Standing, Touched};

use crate::model::{Agent, Body, Event, Fact, Heard, Identity, Org, RecordHash, Ticks, Time, Verdict};
use organizations::Organizations;
use pools::PoolSaid;
use std::sync::Arc;

/// How far times of different services are trusted, and how far back jobs matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tolerance {
    /// By how much the clocks of two services may differ.
    pub clock: Ticks,
    /// Around an event, jobs within this span are looked at.
    pub window: Ticks,
}

impl Default for Tolerance {
    fn default() -> Tolerance {
        Tolerance { clock: Ticks::seconds(5), window: Ticks::days(1) }
    }
}

/// Learns facts, decides events.
pub struct Engine {
    tolerance: Tolerance,
    organizations: Organizations,
}

impl Engine {
    pub fn new(tolerance: Tolerance) -> Engine {
        Engine { tolerance, organizations: Organizations::default() }
    }

    /// Takes in one fact. The same fact again changes nothing.
    pub fn learn(&mut self, fact: &Fact<'_>) {
        self.organizations.of_fact(&fact.organization).learn(fact);
    }

    /// Takes in that a source was heard.
    pub fn heard(&mut self, organization: &Org, heard: &Heard) {
        self.organizations.of_fact(organization).heard(heard);
    }

    /// Takes in who registered an agent, as it was stored.
    pub fn binding(&mut self, binding: Binding) {
        let known = self.organizations.of_fact(&binding.organization.clone());
        if binding.role == "registrant" {
            let source = newest::Source { known: binding.known, hash: binding.record };
            let pool = (binding.pool_id, binding.pool_name.as_deref());
            known.pool_said(pool, binding.agent_id, PoolSaid::There, binding.from, source);
        }
        known.agents.binding(binding);
    }

    /// Takes in that the audit log has a pool deleted, by its id, its name or both, as it was kept.
    pub fn pool_deleted(&mut self, organization: &Org, pool: (Option<i64>, Option<&str>), at: Time) {
        self.organizations.of_fact(organization).pools.said(pool, None, PoolSaid::Deleted, at);
    }

    /// Takes in an identity as it was stored, and the record it is from.
    pub fn identity(&mut self, organization: &Org, identity: &Identity, known: Time, record: RecordHash) {
        let source = newest::Source { known, hash: record };
        self.organizations.of_fact(organization).identity(identity, source);
    }

    /// Whether a fact says of an agent, or of all who hold a resource, what the one before it said on the
    /// same day.
    pub fn repeats(&self, fact: &Fact<'_>) -> bool {
        let organization = (fact.organization.id.as_deref(), fact.organization.name.as_deref());
        let known = || self.organizations.of(organization.0, organization.1);
        match &fact.body {
            Body::Agent(agent) => {
                let source = newest::Source { known: fact.observed, hash: fact.hash };
                fact.key.contains('@') && known().agents.repeats(agent, source)
            }
            Body::Holding(holding) => known().listings.repeats(holding, fact.observed),
            _ => false,
        }
    }

    /// Takes in that an agent was in its pool at a moment, as it was kept.
    pub fn is_there(&mut self, organization: &Org, agent: Agent, at: Time) {
        self.organizations.of_fact(organization).agents.is_there(Arc::new(agent), at);
    }

    /// The agents that a whole list of their pool lacks for the first time, each with when it was seen last.
    pub fn gone(&mut self, organization: &Org, pool: i64, ids: &[i64], at: Time) -> Vec<(Arc<Agent>, Time)> {
        self.organizations.of_fact(organization).agents.listed(pool, ids, at)
    }

    /// Takes in that an id and a name are one organisation's: what is known under either is one.
    pub fn organization(&mut self, organization: &Org) {
        self.organizations.of_fact(organization);
    }

    /// Takes in which id the name of a project stood for, as it was kept.
    pub fn project(&mut self, organization: &Org, name: &str, at: Time, id: &str) {
        self.organizations.of_fact(organization).project(name, at, id);
    }

    /// How much is held, in job requests: they are most of what the engine remembers.
    pub fn held(&self) -> usize {
        self.organizations.held()
    }

    /// An organisation with both its id and its name, where any record paired the two.
    pub fn label(&self, organization: &Org) -> Org {
        self.organizations.label(organization)
    }

    /// Takes in what an event tells of the world: who registered an agent, what a project is called.
    pub fn learn_event(&mut self, event: &Event<'_>) {
        self.organizations.of_event(event).learn_event(event);
    }

    /// Decides with what is known now.
    pub fn decide(&self, event: &Event<'_>) -> Verdict {
        rules::decide(event, self.organizations.known_of(event), self.organizations.tenant(), self.tolerance)
    }
}

#[cfg(test)]
mod tests;
