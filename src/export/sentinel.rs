//! Microsoft Sentinel and Log Analytics: the Logs Ingestion API, through a data collection rule.
//!
//! Source: learn.microsoft.com, "Logs Ingestion API in Azure Monitor" and its service limits: 1 MB a call
//! before and after compression; fields are cut at 64 KB by the service, so they are cut here, where it is said.

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::{Call, Destination, Item, Outcome, SendError, Token};

/// A stream of a data collection rule.
pub struct Sentinel {
    call: Call,
    token: Token,
    rule: String,
    stream: String,
}

const VERSION: &str = "2023-01-01";
/// The limit is 1 MB; the list's own characters are in it.
const MOST_BYTES: usize = 1_000_000 - 1024;
const MOST_FIELD: usize = 64 * 1024;
/// Ends a field that was cut.
const CUT: &str = " ... (cut)";

impl Sentinel {
    /// `call` is the data collection endpoint.
    pub fn new(call: Call, token: Token, rule: String, stream: String) -> Sentinel {
        Sentinel { call, token, rule, stream }
    }
}

#[async_trait]
impl Destination for Sentinel {
    async fn send(&mut self, batch: &[Item]) -> Result<Outcome, SendError> {
        let token = (self.token)().await.map_err(SendError::later)?;
        let bodies: Vec<Map<String, Value>> = batch.iter().map(|item| short(&item.body)).collect();
        let body = serde_json::to_vec(&bodies).unwrap_or_default();
        if body.len() > MOST_BYTES {
            return Err(SendError::TooLarge(format!("{} bytes, of 1 MB that a call may have", body.len())));
        }
        let mut url = self.call.at(&format!("dataCollectionRules/{}/streams/{}", self.rule, self.stream));
        url.query_pairs_mut().append_pair("api-version", VERSION);
        let bearer = format!("Bearer {token}");
        let answer =
            self.call.post(url, "application/json", &[("authorization", bearer.as_str())], body).await?;
        // That there is no such stream is no row's fault.
        let is_the_stream = answer.shown().contains("Stream");
        match answer.status.as_u16() {
            204 => Ok(Outcome::default()),
            400 if is_the_stream => Err(SendError::later(format!(
                "send to `{}`: it answered 400{}",
                self.call.shown(),
                answer.shown()
            ))),
            200..=299 => Err(self.call.misunderstood(&answer)),
            _ => Err(self.call.refusal(&answer)),
        }
    }

    fn bounds(&self) -> (usize, usize) {
        (MOST_BYTES, usize::MAX)
    }
}

/// The row with its long columns cut: a list to its first items, what has members to its text.
fn short(body: &Map<String, Value>) -> Map<String, Value> {
    let text = |text: &str| {
        let end = text.floor_char_boundary(MOST_FIELD - CUT.len());
        Value::String(format!("{}{CUT}", &text[..end]))
    };
    let cut = |value: &Value| match value {
        Value::String(long) if long.len() > MOST_FIELD => text(long),
        Value::Array(items) if value.to_string().len() > MOST_FIELD => {
            let mut room = MOST_FIELD - CUT.len() - 8;
            let fits = |item: &&Value| {
                let size = item.to_string().len() + 1;
                room.checked_sub(size).is_some_and(|left| {
                    room = left;
                    true
                })
            };
            let kept = items.iter().take_while(fits).cloned();
            Value::Array(kept.chain([Value::String(CUT.trim().to_owned())]).collect())
        }
        Value::Object(_) if value.to_string().len() > MOST_FIELD => text(&value.to_string()),
        other => other.clone(),
    };
    body.iter().map(|(name, value)| (name.clone(), cut(value))).collect()
}
