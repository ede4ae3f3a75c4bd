//! Elasticsearch and OpenSearch: `_bulk` with `create`, so that what is there already counts as stored.
//!
//! Source: Elasticsearch reference, "Bulk API". The status of each item is read: 409 is a copy of what is
//! stored under the same key, 429 is the item's own "not now".

use std::borrow::Cow;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Call, Destination, Item, Outcome, SendError, line};
use crate::model::RecordHash;

/// An index or data stream.
pub struct Elastic {
    call: Call,
    index: String,
}

/// Far below `http.max_content_length`, as its makers advise.
const MOST_BYTES: usize = 8 << 20;
/// Bytes of an `_id`: a longer one has the whole call refused.
const LONGEST_ID: usize = 512;

impl Elastic {
    pub fn new(call: Call, index: String) -> Elastic {
        Elastic { call, index }
    }
}

#[async_trait]
impl Destination for Elastic {
    async fn send(&mut self, batch: &[Item]) -> Result<Outcome, SendError> {
        let mut body = Vec::new();
        for item in batch {
            let create = json!({ "create": { "_index": self.index, "_id": id(&item.key) } });
            body.extend(create.to_string().bytes());
            body.push(b'\n');
            body.extend(line(&item.body));
            body.push(b'\n');
        }
        let answer = self.call.post(self.call.at("_bulk"), "application/x-ndjson", &[], body).await?;
        if !answer.status.is_success() {
            return Err(self.call.refusal(&answer));
        }
        let says = answer.json().unwrap_or_default();
        let items = says["items"].as_array().filter(|items| items.len() == batch.len()).ok_or_else(|| {
            SendError::later(format!(
                "understand the answer of `{}`: it does not name {} items{}",
                self.call.shown(),
                batch.len(),
                answer.shown()
            ))
        })?;
        let mut outcome = Outcome { after: answer.after, ..Outcome::default() };
        for (at, item) in items.iter().enumerate() {
            let done = &item["create"];
            match done["status"].as_u64() {
                Some(200..=299 | 409) => {}
                Some(429 | 500..=599) | None => outcome.again.push(at),
                // An index that is not there, or that the key may not write to, is no item's fault. What was
                // taken is a conflict the next time, which counts as stored.
                Some(status @ (401 | 403 | 404)) => {
                    let says = reason(status, &done["error"]);
                    return Err(SendError::later(format!(
                        "store in `{}` of `{}`: {says}",
                        self.index,
                        self.call.shown()
                    )));
                }
                Some(status) => outcome.refused.push((at, reason(status, &done["error"]))),
            }
        }
        Ok(outcome)
    }

    fn bounds(&self) -> (usize, usize) {
        (MOST_BYTES, usize::MAX)
    }
}

/// The key as an id: one that is too long is told apart by its digest.
fn id(key: &str) -> Cow<'_, str> {
    if key.len() <= LONGEST_ID {
        return Cow::Borrowed(key);
    }
    let hash = String::from_utf8_lossy(&RecordHash::of(key.as_bytes()).hex()).into_owned();
    let head = &key[..key.floor_char_boundary(LONGEST_ID - hash.len() - 1)];
    Cow::Owned(format!("{head}/{hash}"))
}

/// Why an item was refused, with the cause that names the field.
fn reason(status: u64, error: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let own = format!("{status} {}: {}", text(&error["type"]), text(&error["reason"]));
    match error["caused_by"]["reason"].as_str() {
        Some(cause) => format!("{own}: {cause}"),
        None => own,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_of_a_length_that_is_taken_and_its_own() {
        let long = |end: &str| format!("{}{end}", "\u{e9}".repeat(300));
        assert_eq!(id("a:1"), "a:1");
        let (one, other) = (long("a:1"), long("b:1"));
        assert!(id(&one).len() <= LONGEST_ID && id(&one) != id(&other), "{}", id(&one));
    }
}
