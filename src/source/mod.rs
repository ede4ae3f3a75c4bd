//! Where bytes come from: files and webhooks, each payload answered once it is durable.
//!
//! A source hands over [`Payload`]s and waits on each one's [`Outcome`]. It never looks into them.

pub mod files;
pub mod webhook;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::model::Time;

/// One body from a source.
#[derive(Debug)]
pub struct Payload {
    /// As sent; may be gzip.
    pub bytes: Bytes,
    /// Source partition it came from, for example `webhook/hec` or `file:/data/a.json`.
    pub source: String,
    /// The REST address it was fetched from, when the source knows it.
    pub url: Option<String>,
    pub observed: Time,
    /// To be saved once the payload's rows are committed.
    pub position: Option<Position>,
    /// Told what became of it. A payload whose answer channel closes was not stored.
    pub done: oneshot::Sender<Outcome>,
}

/// Where a source partition stands; a hint where to resume, since rows are kept once by key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    pub partition: String,
    pub value: String,
}

/// What became of a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Durable and visible.
    Committed(Account),
    /// Not stored; the sender should try again after this time.
    Busy { retry_after: Duration, says: String },
    /// Not stored: the disk is nearly full.
    Full { says: String },
    /// Not stored.
    Failed { says: String },
}

/// What a payload held; the three add up to all its records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Account {
    pub events: u64,
    pub facts: u64,
    pub rejects: u64,
}

impl Payload {
    /// A payload observed now, and the channel its outcome comes by.
    fn new(bytes: Bytes, source: &str) -> (Payload, oneshot::Receiver<Outcome>) {
        let (done, outcome) = oneshot::channel();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let observed = Time((since.as_nanos() / 100) as i64);
        (Payload { bytes, source: source.to_owned(), url: None, observed, position: None, done }, outcome)
    }
}
