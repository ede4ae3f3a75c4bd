//! Where records go: one adapter per kind of receiver, each of which says what was taken.
//!
//! Invariants:
//! 1. A batch counts as sent only once its receiver confirmed it; until then it is sent again.
//! 2. What a receiver refuses for good is told item by item, with the reason, and stops nothing.
//! 3. Every item carries its idempotency key wherever the receiver has a place for it.

mod elastic;
mod file;
mod http;
mod kafka;
mod otlp;
mod sentinel;
mod splunk;
mod syslog;
mod webhook;

pub use elastic::Elastic;
pub use file::{Files, Form};
pub use http::{Call, Connection};
pub use kafka::Kafka;
pub use otlp::Otlp;
pub use sentinel::Sentinel;
pub use splunk::Splunk;
pub use syslog::{Body, Syslog, Transport};
pub use webhook::Webhook;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use serde_json::{Map, Value};

use crate::model::Time;

/// One record in the shape of its destination.
#[derive(Debug, Clone)]
pub struct Item {
    /// The same for the same record with the same verdict, however often it is sent.
    pub key: String,
    pub occurred: Time,
    /// Id of the organisation, else its name.
    pub organization: Option<String>,
    /// Sent before with another verdict.
    pub updated: bool,
    pub body: Map<String, Value>,
}

/// What became of a batch that the receiver answered.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Items it refuses for good, with the reason.
    pub refused: Vec<(usize, String)>,
    /// Items it did not take now.
    pub again: Vec<usize>,
    /// How long it asks to wait before those.
    pub after: Option<Duration>,
}

/// Why a batch was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It has more bytes or items than the receiver takes at once.
    #[error("send so much at once: {0}")]
    TooLarge(String),
    /// It was refused for what is in it, though not told for which item.
    #[error("{0}")]
    Unfit(String),
    #[error("{says}")]
    Later { says: String, after: Option<Duration> },
}

impl SendError {
    pub fn later(says: impl Into<String>) -> SendError {
        SendError::Later { says: says.into(), after: None }
    }
}

/// A receiver. Batches of one destination come one after the other.
#[async_trait]
pub trait Destination: Send + Sync {
    /// Hands a batch over, and returns once the receiver has it.
    ///
    /// # Errors
    /// When the batch must be sent again, as a whole or in parts.
    async fn send(&mut self, batch: &[Item]) -> Result<Outcome, SendError>;

    /// Bytes and items of one batch at most, whatever the settings say.
    fn bounds(&self) -> (usize, usize) {
        (usize::MAX, usize::MAX)
    }
}

/// Gives a bearer token that is valid now.
pub type Token = Arc<dyn Fn() -> BoxFuture<'static, Result<String, String>> + Send + Sync>;

/// A destination that cannot be set up; what is said finishes "failed to ...".
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("understand the URL `{url}`: {says}")]
    Url { url: String, says: String },
    #[error("read the certificates in `{path}`: {says}")]
    Authorities { path: String, says: String },
    #[error("set up the connection: {0}")]
    Client(String),
    #[error("understand `{setting} = \"{value}\"`; write {want}")]
    Value { setting: &'static str, value: String, want: &'static str },
    #[error("set up the destination: set `{0}` beside it")]
    Lacks(&'static str),
}

/// A body as one line of JSON.
fn line(body: &Map<String, Value>) -> Vec<u8> {
    serde_json::to_vec(body).unwrap_or_default()
}
