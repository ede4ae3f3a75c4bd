//! An Event Hubs service within the process: hubs over AMQP, that misbehave on command.
//!
//! ```text
//! socket --> entry --> wire --> server --> asks ----> answers (tokens, properties)
//!            TLS,      cut,     sessions,  senders -> namespace: hubs, partitions, logs
//!            WebSocket frozen   links      readers <- from a position, by owner level
//! ```
//!
//! What a hub keeps outlives every connection and every stop of the listener; only deleting it ends it.
//! Where clients tell faults apart, conditions and texts are those of the service.
//!
//! 1. Nothing from the wire can panic: what cannot be read is refused with a condition.
//! 2. Sequence numbers have no gaps, and neither they nor times go back within one life of a hub.
//! 3. No link waits for an outcome: the service does not, and the library loses one now and then.
//!
//! Taken from the service, by what people report of it: texts and conditions of stolen links, of lower
//! and of mixed levels; a stale position is `com.microsoft:argument-error`, one equal to the last is good,
//! one before the first gives the first; an emptied partition begins with its last number; events come
//! settled. Guessed: the condition of a sixth reader, texts of 401, answers to malformed questions. Not
//! there: offsets of geo-replication, last-enqueued properties on deliveries, transactions, resumed links,
//! the service's own hash of keys. Claims of a JWT are checked, its signature is not.

mod address;
mod answers;
mod asks;
mod entry;
mod event;
mod faults;
mod live;
mod log;
mod login;
mod namespace;
mod owners;
mod plan;
mod readers;
mod refusal;
mod rights;
mod selector;
mod senders;
mod server;
mod token;
mod websocket;
mod wire;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;

pub use address::Node;
pub use event::{Event, Wired};
pub use faults::Faults;
pub use live::{Link, Role};
pub use log::{Extent, Last};
pub use plan::{Fault, Occasion};
pub use token::{SharedKey, Token};

use entry::Certificate;
use refusal::{held, not_found};
use server::Shared;

/// How a server is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// The name that clients are told; nothing is looked up by it.
    pub host: String,
    /// 0 for any that is free.
    pub port: u16,
    pub shared_key: SharedKey,
    /// Whether TLS is spoken to those who begin with it. Others are served in plain all the same.
    pub tls: bool,
    /// Whether a link needs a token that covers what it attaches to.
    pub require_tokens: bool,
    /// Whether events are sent settled, as the service does, or wait for an outcome.
    pub settled: bool,
    /// How often clients are told to show a sign of life. One that is silent for twice as long is cut off.
    pub idle: Duration,
    /// How soon this side shows a sign of life when it has nothing to say.
    pub heartbeat: Duration,
    /// How long an outcome is on its way, as over a network. The Rust client loses an outcome that comes
    /// before it has noted what it is for, and waits for ever: within one process that happens every
    /// hundred sends, and with a latency only when a busy machine holds a thread up for that long.
    pub latency: Duration,
    /// In bytes.
    pub max_message_size: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            host: "hubs.servicebus.windows.net".to_owned(),
            port: 0,
            shared_key: SharedKey {
                name: "RootManageSharedAccessKey".to_owned(),
                key: "SAS_KEY_VALUE".to_owned(),
            },
            tls: false,
            require_tokens: true,
            settled: true,
            idle: Duration::from_secs(240),
            heartbeat: Duration::from_secs(10),
            latency: Duration::from_millis(5),
            max_message_size: 1_048_576,
        }
    }
}

/// What can be wrong with a command.
#[derive(Debug)]
pub enum HubsError {
    Listen { port: u16, source: std::io::Error },
    Certificate(Box<dyn std::error::Error + Send + Sync>),
    Exists(String),
    NoHub(String),
    NoPartition { hub: String, partition: String },
    NoGroup(String),
}

impl std::fmt::Display for HubsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Listen { port, .. } => {
                write!(f, "listen on port `{port}` of this machine: choose another one, or 0 for any")
            }
            Self::Certificate(_) => {
                f.write_str("make a certificate: use a host that is a DNS name, or do without `tls`")
            }
            Self::Exists(hub) => write!(f, "create the hub `{hub}`, which exists: delete it before"),
            Self::NoHub(hub) => write!(f, "find the hub `{hub}`: create it before"),
            Self::NoPartition { hub, partition } => {
                write!(f, "find the partition `{partition}` of `{hub}`: create the hub with more of them")
            }
            Self::NoGroup(group) => {
                write!(f, "find the consumer group `{group}`: name it when the hub is created")
            }
        }
    }
}

impl std::error::Error for HubsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Listen { source, .. } => Some(source),
            Self::Certificate(source) => Some(source.as_ref()),
            _ => None,
        }
    }
}

/// A running server. Dropped, it closes its port and cuts all sockets.
pub struct Hubs {
    shared: Arc<Shared>,
    /// Kept over a stop: clients come back to the same port.
    port: u16,
    listener: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Hubs {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Hubs {
    /// Starts a server without any hub.
    pub async fn start(options: Options) -> Result<Self, HubsError> {
        let certificate = options
            .tls
            .then(|| Certificate::make(&options.host))
            .transpose()
            .map_err(HubsError::Certificate)?;
        let (listener, port) = bind(options.port)?;
        let shared = Arc::new(Shared {
            options,
            namespace: namespace::Namespace::default(),
            live: Arc::default(),
            plan: plan::Plan::default(),
            rights: rights::Rights::default(),
            certificate,
        });
        let task = tokio::spawn(server::listen(Arc::clone(&shared), listener));
        Ok(Self { shared, port, listener: Mutex::new(Some(task)) })
    }

    /// Closes the port and cuts all sockets. What the hubs keep stays.
    pub fn stop(&self) {
        if let Some(task) = held(&self.listener).take() {
            task.abort();
        }
        self.shared.live.stop();
    }

    /// Opens the port again after [`Hubs::stop`].
    pub async fn resume(&self) -> Result<(), HubsError> {
        self.stop();
        // The task that held the port may still be on its way out.
        tokio::task::yield_now().await;
        let mut tries = 0;
        let listener = loop {
            match bind(self.port) {
                Ok((listener, _)) => break listener,
                Err(error) if tries >= 50 => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
            tries += 1;
        };
        self.shared.live.start();
        let task = tokio::spawn(server::listen(Arc::clone(&self.shared), listener));
        *held(&self.listener) = Some(task);
        Ok(())
    }

    /// Makes a hub with partitions `0`, `1` and so on, and with `$Default` among its groups.
    pub fn create(&self, hub: &str, partitions: u16, groups: &[&str]) -> Result<(), HubsError> {
        self.shared.namespace.create(hub, partitions, groups, self.shared.options.settled)
    }

    /// Deletes a hub with all it keeps, and detaches its links. Made again, it counts from 0.
    pub fn delete(&self, hub: &str) -> Result<(), HubsError> {
        self.shared.namespace.delete(hub)?;
        let name = hub.to_ascii_lowercase();
        self.shared.live.detach(|link| link.node.hub() == Some(&name), &not_found(hub));
        Ok(())
    }

    /// Puts an event into a partition without a client; its sequence number.
    pub fn publish(&self, hub: &str, partition: &str, body: impl Into<Vec<u8>>) -> Result<i64, HubsError> {
        self.publish_at(hub, partition, body, refusal::now())
    }

    /// Puts an event into a partition as of a time, in milliseconds since 1970; its sequence number. A time
    /// before that of the last event becomes that one: time never runs backwards in a partition.
    pub fn publish_at(
        &self,
        hub: &str,
        partition: &str,
        body: impl Into<Vec<u8>>,
        time: i64,
    ) -> Result<i64, HubsError> {
        let found = self.shared.namespace.partition(hub, partition)?;
        Ok(found.append(event::of_bytes(body.into()), time))
    }

    /// Puts a message of any make into a partition; its sequence number.
    pub fn publish_message(&self, hub: &str, partition: &str, message: Wired) -> Result<i64, HubsError> {
        Ok(self.shared.namespace.partition(hub, partition)?.append(message, refusal::now()))
    }

    /// The events that a partition keeps.
    pub fn events(&self, hub: &str, partition: &str) -> Result<Vec<Arc<Event>>, HubsError> {
        Ok(self.shared.namespace.partition(hub, partition)?.read(0, usize::MAX))
    }

    /// What a partition says of itself.
    pub fn extent(&self, hub: &str, partition: &str) -> Result<Extent, HubsError> {
        Ok(self.shared.namespace.partition(hub, partition)?.extent())
    }

    /// Lets go of a partition's events before a sequence number, as retention does.
    pub fn retire(&self, hub: &str, partition: &str, before: i64) -> Result<(), HubsError> {
        self.shared.namespace.partition(hub, partition)?.retire(before);
        Ok(())
    }

    /// The highest owner level that reads a partition now.
    pub fn owner_level(&self, hub: &str, group: &str, partition: &str) -> Result<Option<i64>, HubsError> {
        let found = self.shared.namespace.partition(hub, partition)?;
        Ok(found.owners(group).ok_or_else(|| HubsError::NoGroup(group.to_owned()))?.level())
    }

    /// The command over what goes wrong.
    pub fn faults(&self) -> Faults {
        Faults::new(Arc::clone(&self.shared))
    }

    /// Every token that was put, in order.
    pub fn tokens(&self) -> Vec<Token> {
        self.shared.rights.tokens()
    }

    /// The links that are up.
    pub fn links(&self) -> Vec<Link> {
        self.shared.live.links()
    }

    /// Every link that ever was, in order.
    pub fn attached(&self) -> Vec<Link> {
        self.shared.live.history()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The name that clients are to give the namespace.
    pub fn host(&self) -> &str {
        &self.shared.options.host
    }

    /// Where clients really go; with TLS a name, since clients check it.
    pub fn endpoint(&self) -> String {
        match self.shared.certificate {
            Some(_) => format!("amqps://localhost:{}", self.port),
            None => format!("amqp://127.0.0.1:{}", self.port),
        }
    }

    /// A connection string with the shared key.
    pub fn connection_string(&self) -> String {
        let Options { host, shared_key: SharedKey { name, key }, .. } = &self.shared.options;
        format!("Endpoint=sb://{host}/;SharedAccessKeyName={name};SharedAccessKey={key}")
    }

    /// A connection string that makes Microsoft's clients come here, in plain.
    pub fn emulator_connection_string(&self) -> String {
        let SharedKey { name, key } = &self.shared.options.shared_key;
        format!(
            "Endpoint=sb://localhost:{};SharedAccessKeyName={name};SharedAccessKey={key};\
             UseDevelopmentEmulator=true;",
            self.port
        )
    }

    /// The authority that clients have to trust, if TLS is spoken.
    pub fn certificate(&self) -> Option<&str> {
        self.shared.certificate.as_ref().map(|certificate| certificate.pem.as_str())
    }
}

/// Listens on this machine alone. Sockets of before may linger, so the port is taken over from them.
fn bind(port: u16) -> Result<(TcpListener, u16), HubsError> {
    let wrong = |source| HubsError::Listen { port, source };
    let socket = TcpSocket::new_v4().map_err(wrong)?;
    socket.set_reuseaddr(true).map_err(wrong)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).map_err(wrong)?;
    let listener = socket.listen(1024).map_err(wrong)?;
    let port = listener.local_addr().map_err(wrong)?.port();
    Ok((listener, port))
}
