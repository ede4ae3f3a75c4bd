//! Splunk's HTTP Event Collector: events one after the other, and acknowledgements of the indexer where asked for.
//!
//! Source: Splunk Enterprise, "Format events for HTTP Event Collector" and "About HTTP Event Collector
//! Indexer Acknowledgment". A 200 says accepted, not indexed; only an acknowledgement says that, and only
//! yes is ever answered, so that what is not acknowledged in time is sent again.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Call, Destination, Item, Outcome, SendError, line};

/// A collector.
pub struct Splunk {
    call: Call,
    token: String,
    /// A GUID of this sender, without which no acknowledgement is given.
    channel: String,
    /// How long to wait for the indexer; `None` takes the answer of the collector for it.
    acknowledged_within: Option<Duration>,
    /// Members that every event has: `index`, `sourcetype`, `source`, `host`.
    fixed: Vec<(String, String)>,
}

const EVENT: &str = "services/collector/event";
const ACK: &str = "services/collector/ack";
const POLL: Duration = Duration::from_millis(500);
/// What `limits.conf` of a collector takes as it is shipped is far above; smaller batches are retried cheaper.
const MOST_BYTES: usize = 1 << 20;

impl Splunk {
    pub fn new(
        call: Call,
        token: &str,
        channel: String,
        acknowledged_within: Option<Duration>,
        fixed: Vec<(String, String)>,
    ) -> Splunk {
        Splunk { call, token: format!("Splunk {token}"), channel, acknowledged_within, fixed }
    }

    fn body(&self, batch: &[Item]) -> Vec<u8> {
        let mut body = Vec::new();
        for item in batch {
            let mut own = item.body.clone();
            own.extend(self.fixed.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))));
            body.extend(line(&own));
            body.push(b'\n');
        }
        body
    }

    /// Hands events over; returns the first that is wrong, and why.
    async fn hand_over(&self, batch: &[Item]) -> Result<Option<(usize, String)>, SendError> {
        let head =
            [("authorization", self.token.as_str()), ("x-splunk-request-channel", self.channel.as_str())];
        let answer = self.call.post(self.call.at(EVENT), "application/json", &head, self.body(batch)).await?;
        let says = answer.json().unwrap_or_default();
        if answer.status.is_success() {
            // A proxy or a portal between us and the collector says 200 as well.
            if says["code"] != 0 {
                return Err(self.call.misunderstood(&answer));
            }
            let Some(within) = self.acknowledged_within else { return Ok(None) };
            let Some(id) = says["ackId"].as_u64() else {
                return Err(SendError::later(format!(
                    "have the batch acknowledged by `{}`: the answer names no `ackId`; enable indexer acknowledgement on the token, or leave `acknowledge` out",
                    self.call.shown()
                )));
            };
            return self.acknowledged(id, within).await.map(|()| None);
        }
        let wrong = says["invalid-event-number"].as_u64().and_then(|n| usize::try_from(n).ok());
        // An index that the token may not write to is no event's fault.
        let of_event = answer.status == 400 && says["code"] != 7;
        match wrong.filter(|n| of_event && *n < batch.len()) {
            Some(wrong) => Ok(Some((wrong, says["text"].as_str().unwrap_or("invalid event").to_owned()))),
            None => Err(waits(self.call.refusal(&answer))),
        }
    }

    async fn acknowledged(&self, id: u64, within: Duration) -> Result<(), SendError> {
        let since = Instant::now();
        let mut url = self.call.at(ACK);
        url.query_pairs_mut().append_pair("channel", &self.channel);
        let asked = serde_json::to_vec(&json!({ "acks": [id] })).unwrap_or_default();
        while since.elapsed() < within {
            tokio::time::sleep(POLL.min(within)).await;
            let head = [("authorization", self.token.as_str())];
            let answer = self.call.post(url.clone(), "application/json", &head, asked.clone()).await?;
            if !answer.status.is_success() {
                return Err(waits(self.call.refusal(&answer)));
            }
            let acks = answer.json();
            if acks.as_ref().and_then(|a| a["acks"][id.to_string()].as_bool()) == Some(true) {
                return Ok(());
            }
        }
        Err(SendError::later(format!(
            "have the batch acknowledged by the indexer of `{}` within {} s; it is sent again",
            self.call.shown(),
            within.as_secs()
        )))
    }
}

#[async_trait]
impl Destination for Splunk {
    async fn send(&mut self, batch: &[Item]) -> Result<Outcome, SendError> {
        let mut outcome = Outcome::default();
        let mut parts = vec![(0, batch.len())];
        while let Some((first, end)) = parts.pop() {
            let Some((wrong, says)) = self.hand_over(&batch[first..end]).await? else { continue };
            // What follows the first event that is wrong was not read. What precedes it was taken by some
            // versions and not by others: it goes once more, and a copy has the same key.
            let wrong = first + wrong;
            outcome.refused.push((wrong, says));
            parts.extend([(wrong + 1, end), (first, wrong)].into_iter().filter(|(first, end)| first < end));
        }
        Ok(outcome)
    }

    fn bounds(&self) -> (usize, usize) {
        (MOST_BYTES, usize::MAX)
    }
}

/// What is refused without the number of an event is refused for the channel, the index or the token.
fn waits(refused: SendError) -> SendError {
    match refused {
        SendError::Unfit(says) => SendError::later(says),
        other => other,
    }
}
