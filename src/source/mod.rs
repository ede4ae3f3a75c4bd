//! Where bytes come from: files, webhooks, Event Hubs, the REST API; each payload answered once it is durable.
//!
//! A source hands over [`Payload`]s and waits on each one's [`Outcome`]. It never looks into them.

pub mod files;

pub mod webhook;

pub mod event_hubs;

pub mod audit_api;

pub mod agent_api;

pub mod rest;

pub mod clock;

pub mod secret;

mod credential;

mod listing;

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::model::{Ticks, Time};
use clock::Clock;
pub use credential::{CredentialError, SignIn};

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
    /// What came with it, for the case that it is refused.
    pub about: Option<std::sync::Arc<dyn About>>,
    /// To be saved once the payload's rows are committed.
    pub position: Option<Position>,
    /// Told what became of it. A payload whose answer channel closes was not stored.
    pub done: oneshot::Sender<Outcome>,
}

/// What came with a payload beside its bytes; put into words only when it is needed.
pub trait About: std::fmt::Debug + Send + Sync {
    /// One JSON object.
    fn json(&self) -> String;
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
        let observed = clock::System.now();
        (
            Payload {
                bytes,
                source: source.to_owned(),
                url: None,
                observed,
                about: None,
                position: None,
                done,
            },
            outcome,
        )
    }
}

/// Hands a payload over until it is durable: a full disk or a busy pipeline is waited for.
async fn hand_over(
    clock: &dyn Clock,
    intake: &mpsc::Sender<Payload>,
    bytes: Bytes,
    source: &str,
    position: Option<Position>,
) -> Result<(), rest::RestError> {
    let lost = |says: String| rest::RestError::Pipeline { says };
    loop {
        let (mut payload, outcome) = Payload::new(bytes.clone(), source);
        payload.observed = clock.now();
        payload.position.clone_from(&position);
        if intake.send(payload).await.is_err() {
            return Err(lost("the pipeline has stopped".to_owned()));
        }
        match outcome.await {
            Ok(Outcome::Committed(_)) => return Ok(()),
            Ok(Outcome::Busy { retry_after, .. }) => clock.sleep(ticks(retry_after)).await,
            Ok(Outcome::Full { says }) => {
                tracing::warn!(says, source, "waiting for space before more is collected");
                clock.sleep(Ticks::seconds(30)).await;
            }
            Ok(Outcome::Failed { says }) => return Err(lost(says)),
            Err(_) => return Err(lost("it was given up; see the log".to_owned())),
        }
    }
}

fn ticks(length: Duration) -> Ticks {
    Ticks(i64::try_from(length.as_nanos() / 100).unwrap_or(i64::MAX))
}

/// The line that says between which times a source was heard; of a pool's jobs also which requests were
/// open at the end.
fn heard(source: &str, organization: &str, pool: Option<(i64, &[i64])>, from: Time, until: Time) -> Bytes {
    let mut line = serde_json::json!({
        "heard": source, "organization": organization, "from": from.to_string(), "until": until.to_string(),
    });
    if let Some((pool, open)) = pool {
        line["poolId"] = pool.into();
        line["open"] = open.into();
    }
    line.to_string().into()
}

/// A value as it goes into a query.
fn escape(value: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
    value.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// Between nothing and a length, so that those who failed together do not return together.
fn jitter(most: Duration) -> Duration {
    let mut byte = [0u8; 1];
    let _ = getrandom::fill(&mut byte);
    most.mul_f32(f32::from(byte[0]) / 256.0)
}
