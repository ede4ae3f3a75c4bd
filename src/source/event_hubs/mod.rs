//! Event Hubs: partitions shared among the processes of a consumer group, each read on from its checkpoint.
//!
//! ```text
//! group --> balance (who takes what) --> checkpoints: ownerships, by ETag
//!   |  '--> watch (what the hub says of itself) --> board
//!   '-- one for each partition it owns:
//!       reader --> connect (the SDK, with a time-out) --> message --> the pipeline
//!          '-----> keeper (in order, once committed) ---> checkpoints: how far
//! ```
//!
//! Why not the SDK's `EventProcessor`? Its `run` ends at the first fault of any partition or of the store,
//! cannot be stopped between two rounds, releases nothing, and forgets a partition whose client was dropped.
//! Its [`CheckpointStore`](azure_messaging_eventhubs::CheckpointStore) is implemented all the same, so
//! that it, and Microsoft's other SDKs, share what is written here.
//!
//! Invariants:
//! 1. A checkpoint covers only events whose rows are committed, whatever is sent again or comes twice.
//! 2. Nothing of the SDK is awaited without a time-out; after a fault its client is thrown away. Each
//!    partition has one of its own, so that a fault of one is no fault of another.
//! 3. A client attached anew reads again from where it once began; what was read already goes no further.
//! 4. "Latest" becomes a sequence number before it is used, and that is saved first.
//! 5. An owner stops reading without a checkpoint of its own once another has the partition.

mod balance;
mod board;
pub mod checkpoints;
mod connect;
mod group;
mod keeper;
mod message;
mod reader;
mod start;
pub mod status;
mod watch;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::mpsc;

use super::{CredentialError, Payload, SignIn};
pub use group::consume;
pub use start::Start;

/// One hub as one consumer group reads it.
#[derive(Clone)]
pub struct Hub {
    /// Host of the namespace.
    pub namespace: String,
    pub hub: String,
    pub consumer_group: String,
    pub access: Access,
    /// Where the service is really reached, as `amqp://` or `amqps://` with a port; empty: at its own name.
    pub endpoint: String,
    /// Whether AMQP goes through a WebSocket, for networks that let only HTTPS out.
    pub websocket: bool,
    /// Where a partition without a checkpoint begins.
    pub start: Start,
    /// Other beginnings, by partition.
    pub starts: BTreeMap<String, Start>,
    /// Events that the service may send ahead of what is handed on.
    pub prefetch: u32,
}

/// How to be let in.
#[derive(Clone)]
pub enum Access {
    ConnectionString(String),
    SignIn(SignIn),
}

/// How processes share a hub, and how much of it is under way.
#[derive(Debug, Clone)]
pub struct Sharing {
    /// Between two looks at who owns what.
    pub every: Duration,
    /// How long an ownership stands that nobody renews.
    pub expiry: Duration,
    /// Events of a partition handed on and not committed yet.
    pub in_flight: usize,
    /// Their bytes.
    pub in_flight_bytes: usize,
}

/// Where payloads go: old events share no commit with senders that wait.
#[derive(Debug, Clone)]
pub struct Lanes {
    pub push: mpsc::Sender<Payload>,
    pub bulk: mpsc::Sender<Payload>,
}

/// What finishes "failed to ...".
#[derive(Debug, thiserror::Error)]
pub enum HubsError {
    #[error("understand the hub `{hub}`: {says}")]
    Settings { hub: String, says: String },
    #[error(transparent)]
    Credential(#[from] CredentialError),
    #[error("{what} within {seconds} s; check the network and the name `{host}`")]
    Late { what: String, seconds: u64, host: String },
    #[error("{what}: the client library broke off at what it was sent")]
    Panicked { what: String },
    #[error("{what}{remedy}")]
    Service {
        what: String,
        /// Begins with `; `, or is empty.
        remedy: &'static str,
        source: Box<azure_messaging_eventhubs::EventHubsError>,
    },
    #[error("read the partition: another reader took it")]
    Stolen,
    #[error("read the partition: {says}")]
    Broken { says: String },
    #[error("{what} in the checkpoints")]
    Checkpoints { what: &'static str, source: Box<azure_core::Error> },
    #[error("hand on what was read: the pipeline has stopped")]
    Pipeline,
}

impl Hub {
    /// Whether the settings are complete and make sense; connects to nothing.
    pub fn check(&self) -> Result<(), HubsError> {
        let wrong = |says: &str| {
            Err(HubsError::Settings {
                hub: format!("{}/{}", self.namespace, self.hub),
                says: says.to_owned(),
            })
        };
        let is_name = |text: &str| {
            let is_good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'$' | b'!');
            !text.is_empty() && text.len() <= 256 && !text.starts_with('.') && text.bytes().all(is_good)
        };
        if !is_name(&self.namespace) || !self.namespace.contains('.') {
            return wrong("`namespace` is no host; write it as `contoso.servicebus.windows.net`");
        }
        if !is_name(&self.hub) {
            return wrong("`hub` is no name of a hub; set it, or `EntityPath` in the connection string");
        }
        if !is_name(&self.consumer_group) {
            return wrong("`consumer_group` is no name of a group; leave it out for `$Default`");
        }
        let endpoint = self.endpoint.as_str();
        if !endpoint.is_empty() && !endpoint.starts_with("amqp://") && !endpoint.starts_with("amqps://") {
            return wrong("`endpoint` is no address; write it as `amqps://host:5671`");
        }
        if self.websocket && endpoint.starts_with("amqp://") {
            return wrong("a WebSocket goes through TLS alone; write `endpoint` as `amqps://host:443`");
        }
        match &self.access {
            Access::ConnectionString(_) => self.connection_string().map(drop),
            Access::SignIn(sign_in) => Ok(sign_in.token_credential().map(drop)?),
        }
    }

    /// What names the hub and the group in logs and in `source` of a reject.
    pub fn name(&self) -> String {
        format!("event_hubs/{}/{}/{}", self.namespace, self.hub, self.consumer_group)
    }

    fn connection_string(&self) -> Result<azure_messaging_eventhubs::ConnectionString, HubsError> {
        let Access::ConnectionString(text) = &self.access else {
            return Err(HubsError::Settings {
                hub: self.hub.clone(),
                says: "it has no connection string".to_owned(),
            });
        };
        // The library's own texts name the part that is wrong, never its value.
        let parsed = text.parse::<azure_messaging_eventhubs::ConnectionString>();
        let parsed = parsed.map_err(|e| HubsError::Settings {
            hub: self.hub.clone(),
            says: format!("{e}; copy the connection string again, whole"),
        })?;
        match &parsed.entity_path {
            Some(path) if !path.eq_ignore_ascii_case(&self.hub) => Err(HubsError::Settings {
                hub: self.hub.clone(),
                says: "the connection string is for another hub; take that of this hub or of the namespace"
                    .to_owned(),
            }),
            _ => Ok(parsed),
        }
    }
}

/// The host and the hub that a connection string names.
pub fn named_by(connection_string: &str) -> Option<(String, Option<String>)> {
    let parsed = connection_string.parse::<azure_messaging_eventhubs::ConnectionString>().ok()?;
    Some((parsed.fully_qualified_namespace, parsed.entity_path))
}
