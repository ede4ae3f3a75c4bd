//! The hubs with all that they keep: what survives every cut, and every restart of the listener.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::HubsError;
use super::event::{Event, Wired, partition_key, spread};
use super::log::{Extent, Log};
use super::owners::Owners;
use super::refusal::{held, now};
use super::selector::Start;

/// All hubs, by name in lower case.
#[derive(Default)]
pub struct Namespace {
    hubs: Mutex<BTreeMap<String, Arc<Hub>>>,
}

/// One hub in one of its lives: deleted and made again it is another one, counting from 0.
pub struct Hub {
    pub name: String,
    /// Milliseconds since 1970.
    pub created: i64,
    pub partitions: Vec<Arc<Partition>>,
    /// Where the next event without a key goes.
    turn: AtomicUsize,
}

/// One partition of a hub.
pub struct Partition {
    pub id: String,
    log: Mutex<Log>,
    /// The next sequence number, for those who wait for an event.
    tail: watch::Sender<i64>,
    owners: BTreeMap<String, Owners>,
    settled: bool,
}

impl Namespace {
    /// Makes a hub. `$Default` is among its groups without being named.
    pub fn create(
        &self,
        name: &str,
        partitions: u16,
        groups: &[&str],
        settled: bool,
    ) -> Result<(), HubsError> {
        let mut hubs = held(&self.hubs);
        let key = name.to_ascii_lowercase();
        if hubs.contains_key(&key) {
            return Err(HubsError::Exists(name.to_owned()));
        }
        let partition = |id: u16| {
            let names = groups.iter().copied().chain(["$Default"]);
            Arc::new(Partition {
                id: id.to_string(),
                log: Mutex::default(),
                tail: watch::Sender::new(0),
                owners: names.map(|name| (name.to_ascii_lowercase(), Owners::default())).collect(),
                settled,
            })
        };
        let hub = Hub {
            name: name.to_owned(),
            created: now(),
            partitions: (0..partitions).map(partition).collect(),
            turn: AtomicUsize::new(0),
        };
        hubs.insert(key, Arc::new(hub));
        Ok(())
    }

    /// Forgets a hub and all that it kept.
    pub fn delete(&self, name: &str) -> Result<(), HubsError> {
        let gone = held(&self.hubs).remove(&name.to_ascii_lowercase());
        gone.map(|_| ()).ok_or_else(|| HubsError::NoHub(name.to_owned()))
    }

    pub fn hub(&self, name: &str) -> Option<Arc<Hub>> {
        held(&self.hubs).get(&name.to_ascii_lowercase()).cloned()
    }

    /// One partition of a hub, or what is missing.
    pub fn partition(&self, hub: &str, partition: &str) -> Result<Arc<Partition>, HubsError> {
        let found = self.hub(hub).ok_or_else(|| HubsError::NoHub(hub.to_owned()))?;
        found
            .partition(partition)
            .ok_or_else(|| HubsError::NoPartition { hub: hub.to_owned(), partition: partition.to_owned() })
    }
}

impl Hub {
    pub fn partition(&self, id: &str) -> Option<Arc<Partition>> {
        self.partitions.iter().find(|partition| partition.id == id).cloned()
    }

    /// Where a message goes that names no partition: with its key, or to the next in turn.
    pub fn place(&self, message: &Wired) -> Option<Arc<Partition>> {
        let count = self.partitions.len();
        let index = match partition_key(message) {
            Some(key) => spread(key, count),
            None => self.turn.fetch_add(1, Ordering::Relaxed) % count.max(1),
        };
        self.partitions.get(index).cloned()
    }
}

impl Partition {
    /// Takes a message, and wakes the readers.
    pub fn append(&self, message: Wired, now: i64) -> i64 {
        let mut log = held(&self.log);
        let event = log.append(message, now, self.settled);
        // Within the lock: a reader woken late must never see the count go back.
        self.tail.send_replace(log.next_sequence());
        event.sequence
    }

    pub fn read(&self, from: i64, most: usize) -> Vec<Arc<Event>> {
        held(&self.log).read(from, most)
    }

    pub fn locate(&self, start: &Start) -> Result<i64, String> {
        held(&self.log).locate(start)
    }

    pub fn retire(&self, before: i64) {
        held(&self.log).retire(before);
    }

    pub fn extent(&self) -> Extent {
        held(&self.log).extent()
    }

    /// The next sequence number, as something to wait on.
    pub fn tail(&self) -> watch::Receiver<i64> {
        self.tail.subscribe()
    }

    /// The readers in a group; none if there is no such group.
    pub fn owners(&self, group: &str) -> Option<&Owners> {
        self.owners.get(&group.to_ascii_lowercase())
    }
}
