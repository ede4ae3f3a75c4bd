//! What the readers of partitions are at: numbers for logs and for `agentrail status`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::checkpoints::Mark;
use crate::model::{Ticks, Time};

/// All hubs of this process; clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Status(Arc<Mutex<BTreeMap<String, Hub>>>);

/// One hub as one group reads it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Hub {
    /// What this process is called in ownerships.
    pub owner: String,
    /// What is wrong with the hub as a whole, if anything is.
    pub fault: Option<String>,
    /// Partitions that the hub has.
    pub count: usize,
    /// Those that are read here, and those that were.
    pub partitions: BTreeMap<String, Partition>,
}

/// One partition.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Partition {
    /// Whether it is read by this process.
    pub owned: bool,
    /// Sequence number of the last event handed on.
    pub read: Option<i64>,
    /// That of the last one committed with all before it, and when it was enqueued.
    pub committed: Option<i64>,
    pub committed_enqueued: Option<String>,
    /// That of the checkpoint.
    pub checkpoint: Option<i64>,
    /// The last one there is.
    pub last: Option<i64>,
    /// Events enqueued and not committed yet.
    pub lag: Option<i64>,
    /// Seconds between the enqueuing of the last committed event and now, as long as there is a lag.
    pub lag_seconds: Option<i64>,
    /// Handed on, by this process.
    pub events: u64,
    pub bytes: u64,
    /// Came again, and went no further.
    pub repeated: u64,
    /// Connections made anew after a fault.
    pub reconnects: u64,
    /// The last fault.
    pub fault: Option<String>,
}

impl Status {
    fn state(&self) -> MutexGuard<'_, BTreeMap<String, Hub>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn hub(&self, name: &str, change: impl FnOnce(&mut Hub)) {
        let mut state = self.state();
        // Once for each event: names are copied only when they are new.
        match state.get_mut(name) {
            Some(hub) => change(hub),
            None => change(state.entry(name.to_owned()).or_default()),
        }
    }

    pub(super) fn partition(&self, name: &str, partition: &str, change: impl FnOnce(&mut Partition)) {
        self.hub(name, |hub| match hub.partitions.get_mut(partition) {
            Some(partition) => change(partition),
            None => change(hub.partitions.entry(partition.to_owned()).or_default()),
        });
    }

    /// All of it as of `now`, by hub.
    pub fn snapshot(&self, now: Time) -> BTreeMap<String, Hub> {
        let mut hubs = self.state().clone();
        for partition in hubs.values_mut().flat_map(|hub| hub.partitions.values_mut()) {
            partition.measure(now);
        }
        hubs
    }
}

impl Partition {
    pub(super) fn commit(&mut self, mark: &Mark) {
        self.committed = Some(mark.sequence);
        self.committed_enqueued = mark.enqueued.map(|at| at.to_string());
    }

    fn measure(&mut self, now: Time) {
        // What was committed since the hub was asked makes no lag below zero.
        self.lag =
            self.last.zip(self.committed.or(self.read)).map(|(last, committed)| (last - committed).max(0));
        let enqueued = self.committed_enqueued.as_deref().and_then(Time::parse);
        let seconds = enqueued.map(|at| (now.0 - at.0).max(0) / Ticks::seconds(1).0);
        self.lag_seconds = match self.lag {
            Some(0) => Some(0),
            Some(_) => seconds,
            None => None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_what_is_enqueued_and_not_committed() {
        let status = Status::default();
        let mark = Mark { sequence: 7, offset: None, enqueued: Some(Time::from_unix_millis(1_000)) };
        status.partition("h", "0", |p| {
            p.last = Some(9);
            p.commit(&mark);
        });
        let now = Time::from_unix_millis(61_000);
        let partition = status.snapshot(now)["h"].partitions["0"].clone();
        assert_eq!((partition.lag, partition.lag_seconds), (Some(2), Some(60)));
        status.partition("h", "0", |p| p.last = Some(5));
        let partition = status.snapshot(now)["h"].partitions["0"].clone();
        assert_eq!((partition.lag, partition.lag_seconds), (Some(0), Some(0)));
    }
}
