//! Faults on command: what a test says to make the service misbehave.
//!
//! Some happen at once to all that is up, some wait for their next occasion. Each is counted when it
//! happens, by kind.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::HubsError;
use super::live::{Link, Role};
use super::plan::{Fault, Occasion};
use super::refusal::refusal;
use super::server::Shared;
use super::wire::Switch;

/// The command over one server; clones command the same one.
#[derive(Clone)]
pub struct Faults {
    shared: Arc<Shared>,
}

impl Faults {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// What has happened so far.
    pub fn counts(&self) -> BTreeMap<Fault, usize> {
        self.shared.plan.counts()
    }

    /// How often one kind has happened.
    pub fn count(&self, fault: Fault) -> usize {
        self.counts().get(&fault).copied().unwrap_or_default()
    }

    /// Forgets all that waits for an occasion, ends stalls, thaws sockets. Counts stay.
    pub fn clear(&self) {
        self.shared.plan.clear();
        self.thaw();
    }

    // == at once; each returns how many it has hit ==

    /// Ends every socket without a word.
    pub fn drop_sockets(&self) -> usize {
        let hit = self.shared.live.wires(Switch::cut);
        self.shared.plan.count(Fault::Drop, hit)
    }

    /// Ends the sockets that carry links which `chosen` picks.
    pub fn drop_sockets_of(&self, chosen: impl Fn(&Link) -> bool) -> usize {
        let hit = self.shared.live.wires_of(chosen, Switch::cut);
        self.shared.plan.count(Fault::Drop, hit)
    }

    /// Lets nothing through any socket, in either direction, and keeps it open.
    pub fn freeze(&self) -> usize {
        let hit = self.shared.live.wires(Switch::freeze);
        self.shared.plan.count(Fault::Freeze, hit)
    }

    /// Lets frozen sockets go on where they stopped.
    pub fn thaw(&self) {
        self.shared.live.wires(Switch::thaw);
    }

    /// Closes every connection, as the service does before it moves an entity elsewhere.
    pub fn close_connections(&self) -> usize {
        let error = refusal(
            "amqp:connection:forced",
            "The connection was closed by container '0'. Reason: the gateway is going away.",
        );
        let hit = self.shared.live.close(&error);
        self.shared.plan.count(Fault::Close, hit)
    }

    /// Detaches the links that `chosen` picks, with any condition.
    pub fn detach(&self, chosen: impl Fn(&Link) -> bool, condition: &str) -> usize {
        let error = refusal(condition, "The link was detached on command.");
        let hit = self.shared.live.detach(chosen, &error);
        self.shared.plan.count(Fault::Detach, hit)
    }

    /// Detaches the readers of a partition, with any condition.
    pub fn detach_readers(&self, hub: &str, partition: &str, condition: &str) -> usize {
        let hub = hub.to_ascii_lowercase();
        let reads = |link: &Link| {
            link.role == Role::Reads
                && link.node.hub() == Some(&hub)
                && link.node.partition() == Some(partition)
        };
        self.detach(reads, condition)
    }

    /// Detaches the senders to a hub and its partitions, with any condition.
    pub fn detach_senders(&self, hub: &str, condition: &str) -> usize {
        let hub = hub.to_ascii_lowercase();
        self.detach(|link| link.role == Role::Sends && link.node.hub() == Some(&hub), condition)
    }

    /// A stranger takes a partition with an owner level, and keeps it until someone comes with the same or a
    /// higher one, or until [`Faults::release`].
    pub fn steal(&self, hub: &str, group: &str, partition: &str, level: i64) -> Result<usize, HubsError> {
        let found = self.shared.namespace.partition(hub, partition)?;
        let owners = found.owners(group).ok_or_else(|| HubsError::NoGroup(group.to_owned()))?;
        let lost = owners.usurp(level);
        let tell = |(id, error)| self.shared.live.detach(|link| link.id == id, &error);
        let hit = lost.into_iter().map(tell).sum();
        Ok(self.shared.plan.count(Fault::Steal, hit))
    }

    /// The stranger leaves.
    pub fn release(&self, hub: &str, group: &str, partition: &str) -> Result<(), HubsError> {
        let found = self.shared.namespace.partition(hub, partition)?;
        found.owners(group).ok_or_else(|| HubsError::NoGroup(group.to_owned()))?.release();
        Ok(())
    }

    /// Every token is over: rights are gone, and links that relied on them are detached.
    pub fn expire_tokens(&self) -> usize {
        let error = refusal("amqp:unauthorized-access", "ExpiredToken: The token is expired.");
        self.shared.rights.expire();
        let hit = self.shared.live.detach(|link| link.role != Role::Asks, &error);
        self.shared.plan.count(Fault::Token, hit)
    }

    /// A partition delivers nothing. [`Faults::resume`] ends it.
    pub fn stall(&self, hub: &str, partition: &str) {
        let new = self.shared.plan.stall(hub, Some(partition));
        self.shared.plan.count(Fault::Stall, usize::from(new));
    }

    pub fn resume(&self, hub: &str, partition: &str) {
        self.shared.plan.resume(hub, Some(partition));
    }

    /// Sends to a hub are neither taken nor answered, and credit runs out. [`Faults::resume_sends`] ends it.
    pub fn stall_sends(&self, hub: &str) {
        let new = self.shared.plan.stall(hub, None);
        self.shared.plan.count(Fault::Stall, usize::from(new));
    }

    pub fn resume_sends(&self, hub: &str) {
        self.shared.plan.resume(hub, None);
    }

    // == at the next occasions ==

    /// The next `times` connections are dropped as soon as they come.
    pub fn refuse_connections(&self, times: u32) {
        self.shared.plan.add_connection_refusals(times);
    }

    /// The next `times` tokens are answered with 401.
    pub fn refuse_tokens(&self, times: u32) {
        self.shared.plan.add_token_refusals(times);
    }

    /// The next `times` occasions are answered with "server busy".
    pub fn busy(&self, occasion: Occasion, times: u32) {
        self.shared.plan.add_busy(occasion, times);
    }

    /// The next `times` sends are stored and never answered: a client that sends again stores twice.
    pub fn lose_outcomes(&self, times: u32) {
        self.shared.plan.add_silences(times);
    }

    /// The next reader of a partition starts `events` before the place it asked for, as after a hand-over
    /// within the service: events come again, and sequence numbers go back once.
    pub fn replay(&self, hub: &str, partition: &str, events: u32) {
        self.shared.plan.add_replay(hub, partition, events);
    }
}
