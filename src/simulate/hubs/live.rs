//! The connections and links that are up, so that commands from outside can reach them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use fe2o3_amqp_types::definitions::Error;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::address::Node;
use super::refusal::held;
use super::wire::Switch;

/// What a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The client reads events.
    Reads,
    /// The client sends events.
    Sends,
    /// The client asks `$cbs` or `$management`.
    Asks,
}

/// A link as it was attached, kept for assertions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub id: u64,
    pub connection: u64,
    pub name: String,
    pub node: Node,
    pub role: Role,
    /// The owner level of a reader.
    pub level: Option<i64>,
    /// Where a reader wanted to start, as it wrote it.
    pub filter: Option<String>,
}

struct Up {
    link: Link,
    orders: UnboundedSender<Error>,
}

struct Connection {
    switch: Arc<Switch>,
    orders: UnboundedSender<Error>,
}

#[derive(Default)]
struct Connections {
    /// Whether a connection that comes now is cut: it was accepted before the server was stopped.
    stopped: bool,
    up: BTreeMap<u64, Connection>,
}

/// All that is up, and the history of links.
#[derive(Default)]
pub struct Live {
    ids: AtomicU64,
    connections: Mutex<Connections>,
    links: Mutex<BTreeMap<u64, Up>>,
    history: Mutex<Vec<Link>>,
}

/// Takes an entry out when the task that serves it ends, however it ends.
pub struct Presence {
    live: Arc<Live>,
    id: u64,
    /// Each order is to end with an error.
    pub orders: UnboundedReceiver<Error>,
}

impl Drop for Presence {
    fn drop(&mut self) {
        held(&self.live.connections).up.remove(&self.id);
        held(&self.live.links).remove(&self.id);
    }
}

impl Live {
    /// A number that nothing else has.
    pub fn id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    pub fn connect(self: &Arc<Self>, id: u64, switch: Arc<Switch>) -> Presence {
        let (order, orders) = unbounded_channel();
        let mut connections = held(&self.connections);
        if connections.stopped {
            switch.cut();
        }
        connections.up.insert(id, Connection { switch, orders: order });
        Presence { live: Arc::clone(self), id, orders }
    }

    pub fn attach(self: &Arc<Self>, link: Link) -> Presence {
        let (order, orders) = unbounded_channel();
        let id = link.id;
        held(&self.history).push(link.clone());
        held(&self.links).insert(id, Up { link, orders: order });
        Presence { live: Arc::clone(self), id, orders }
    }

    /// Tells the links that `chosen` picks to end with an error; how many there were.
    pub fn detach(&self, chosen: impl Fn(&Link) -> bool, error: &Error) -> usize {
        let links = held(&self.links);
        links.values().filter(|up| chosen(&up.link) && up.orders.send(error.clone()).is_ok()).count()
    }

    /// Tells all connections to close with an error; how many there were.
    pub fn close(&self, error: &Error) -> usize {
        held(&self.connections).up.values().filter(|c| c.orders.send(error.clone()).is_ok()).count()
    }

    /// Does something with the wire of each connection; how many there were.
    pub fn wires(&self, act: impl Fn(&Switch)) -> usize {
        let connections = held(&self.connections);
        connections.up.values().for_each(|connection| act(&connection.switch));
        connections.up.len()
    }

    /// Does something with the wires that carry links which `chosen` picks; how many there were.
    pub fn wires_of(&self, chosen: impl Fn(&Link) -> bool, act: impl Fn(&Switch)) -> usize {
        let picked: BTreeSet<u64> =
            self.links().iter().filter(|link| chosen(link)).map(|link| link.connection).collect();
        let connections = held(&self.connections);
        let wires = picked.iter().filter_map(|id| connections.up.get(id));
        wires.inspect(|connection| act(&connection.switch)).count()
    }

    /// Cuts every wire, and those that still come until [`Live::start`].
    pub fn stop(&self) {
        held(&self.connections).stopped = true;
        self.wires(Switch::cut);
    }

    pub fn start(&self) {
        held(&self.connections).stopped = false;
    }

    /// The links that are up.
    pub fn links(&self) -> Vec<Link> {
        held(&self.links).values().map(|up| up.link.clone()).collect()
    }

    /// Every link that ever was, in order.
    pub fn history(&self) -> Vec<Link> {
        held(&self.history).clone()
    }
}
