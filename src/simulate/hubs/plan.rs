//! The faults that wait for their occasion, and the count of those that have happened.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use tokio::sync::watch;

use super::refusal::held;

/// The kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A socket ended without a word.
    Drop,
    /// A socket stayed open, and nothing went through it.
    Freeze,
    /// A connection was refused before anything was said.
    Refuse,
    /// A connection was closed with an error.
    Close,
    /// A link was detached with an error.
    Detach,
    /// A link was detached because a stranger took its partition.
    Steal,
    /// An attach, a send or a question was answered with "server busy".
    Busy,
    /// A token was refused, or was declared over.
    Token,
    /// A partition was stalled.
    Stall,
    /// A reader got events again that it had read before.
    Replay,
    /// A send was taken and never answered.
    Silence,
}

/// What "server busy" is said to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Occasion {
    Attach,
    Send,
    /// A question to `$management`.
    Ask,
}

#[derive(Default)]
struct Waiting {
    busy: BTreeMap<Occasion, u32>,
    tokens: u32,
    connections: u32,
    silences: u32,
    /// By hub and partition: how many events a reader gets again.
    replays: BTreeMap<(String, String), u32>,
    /// By hub and partition; without a partition, it is the sends to the hub.
    stalls: BTreeSet<(String, Option<String>)>,
}

/// The plan of one server.
pub struct Plan {
    waiting: Mutex<Waiting>,
    counts: Mutex<BTreeMap<Fault, usize>>,
    /// Changes whenever a stall begins or ends.
    stalls: watch::Sender<()>,
}

impl Default for Plan {
    fn default() -> Self {
        Self { waiting: Mutex::default(), counts: Mutex::default(), stalls: watch::Sender::new(()) }
    }
}

/// Takes one of what is left, if anything is.
fn take(left: &mut u32) -> bool {
    let any = *left > 0;
    *left = left.saturating_sub(1);
    any
}

impl Plan {
    pub fn count(&self, fault: Fault, times: usize) -> usize {
        if times > 0 {
            *held(&self.counts).entry(fault).or_default() += times;
        }
        times
    }

    pub fn counts(&self) -> BTreeMap<Fault, usize> {
        held(&self.counts).clone()
    }

    pub fn add_busy(&self, occasion: Occasion, times: u32) {
        *held(&self.waiting).busy.entry(occasion).or_default() += times;
    }

    pub fn add_token_refusals(&self, times: u32) {
        held(&self.waiting).tokens += times;
    }

    pub fn add_connection_refusals(&self, times: u32) {
        held(&self.waiting).connections += times;
    }

    pub fn add_silences(&self, times: u32) {
        held(&self.waiting).silences += times;
    }

    pub fn add_replay(&self, hub: &str, partition: &str, events: u32) {
        let key = (hub.to_ascii_lowercase(), partition.to_owned());
        held(&self.waiting).replays.insert(key, events);
    }

    pub fn stall(&self, hub: &str, partition: Option<&str>) -> bool {
        let key = (hub.to_ascii_lowercase(), partition.map(str::to_owned));
        let new = held(&self.waiting).stalls.insert(key);
        self.stalls.send_replace(());
        new
    }

    pub fn resume(&self, hub: &str, partition: Option<&str>) {
        let key = (hub.to_ascii_lowercase(), partition.map(str::to_owned));
        held(&self.waiting).stalls.remove(&key);
        self.stalls.send_replace(());
    }

    /// Forgets what has not happened yet, and ends all stalls.
    pub fn clear(&self) {
        *held(&self.waiting) = Waiting::default();
        self.stalls.send_replace(());
    }

    pub fn is_busy(&self, occasion: Occasion) -> bool {
        let busy = held(&self.waiting).busy.get_mut(&occasion).is_some_and(take);
        self.count(Fault::Busy, usize::from(busy)) > 0
    }

    pub fn refuses_token(&self) -> bool {
        let refused = take(&mut held(&self.waiting).tokens);
        self.count(Fault::Token, usize::from(refused)) > 0
    }

    pub fn refuses_connection(&self) -> bool {
        let refused = take(&mut held(&self.waiting).connections);
        self.count(Fault::Refuse, usize::from(refused)) > 0
    }

    pub fn is_silent(&self) -> bool {
        let silent = take(&mut held(&self.waiting).silences);
        self.count(Fault::Silence, usize::from(silent)) > 0
    }

    /// How many events before the place it asked for the next reader starts.
    pub fn replayed(&self, hub: &str, partition: &str) -> u32 {
        let key = (hub.to_ascii_lowercase(), partition.to_owned());
        let events = held(&self.waiting).replays.remove(&key).unwrap_or_default();
        self.count(Fault::Replay, usize::from(events > 0));
        events
    }

    pub fn is_stalled(&self, hub: &str, partition: Option<&str>) -> bool {
        let waiting = held(&self.waiting);
        !waiting.stalls.is_empty()
            && waiting.stalls.contains(&(hub.to_ascii_lowercase(), partition.map(str::to_owned)))
    }

    /// Returns when the partition is not stalled, or no longer is.
    pub async fn flowing(&self, hub: &str, partition: Option<&str>) {
        let mut changes = self.stalls.subscribe();
        while self.is_stalled(hub, partition) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}
