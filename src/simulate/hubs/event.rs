//! Messages on their way in and out: batches taken apart, events annotated, keys spread.

use fe2o3_amqp::Sendable;
use fe2o3_amqp_types::messaging::annotations::OwnedKey;
use fe2o3_amqp_types::messaging::message::DecodeIntoMessage;
use fe2o3_amqp_types::messaging::{Body, Data, Message, MessageAnnotations};
use fe2o3_amqp_types::primitives::{Symbol, Timestamp, Value};
use serde_amqp::read::SliceReader;
use sha2::{Digest, Sha256};

/// The message format of a batch: its data sections are messages of their own.
pub const BATCH: u32 = 0x8001_3700;

const KEY: &str = "x-opt-partition-key";

/// A message as the wire has it.
pub type Wired = Message<Body<Value>>;

/// A message that a partition has taken.
pub struct Event {
    pub sequence: i64,
    pub offset: i64,
    /// Milliseconds since 1970.
    pub enqueued: i64,
    /// Kept ready to send: a reader that catches up must not pay for copies.
    pub sendable: Sendable<Body<Value>>,
}

impl Event {
    /// Annotates `message` the way the service does.
    pub fn new(mut message: Wired, sequence: i64, offset: i64, enqueued: i64, settled: bool) -> Self {
        let mut annotations = MessageAnnotations::default();
        let mut note = |name: &str, value: Value| annotations.insert(key(name), value);
        note("x-opt-sequence-number", Value::Long(sequence));
        note("x-opt-offset", Value::String(offset.to_string()));
        note("x-opt-enqueued-time", Value::Timestamp(Timestamp::from_milliseconds(enqueued)));
        for (name, value) in message.message_annotations.take().unwrap_or_default().0 {
            // What a sender writes into the service's own annotations does not survive.
            if !annotations.contains_key(&name) {
                annotations.insert(name, value);
            }
        }
        message.message_annotations = Some(annotations);
        message.delivery_annotations = None;
        let sendable = Sendable { message, message_format: 0, settled: Some(settled) };
        Self { sequence, offset, enqueued, sendable }
    }

    /// The bytes of the body, if it is made of data sections.
    pub fn data(&self) -> Option<Vec<u8>> {
        let Body::Data(sections) = &self.sendable.message.body else { return None };
        Some(sections.iter().flat_map(|section| section.0.iter().copied()).collect())
    }
}

/// A message with nothing but a body.
pub fn of_bytes(body: Vec<u8>) -> Wired {
    let body = Body::Data(std::iter::once(Data(body.into())).collect());
    Message::builder().body(body).build()
}

/// The single messages of what came in one transfer.
pub fn unpack(message: Wired, format: u32) -> Result<Vec<Wired>, String> {
    if format != BATCH {
        return Ok(vec![message]);
    }
    let outer_key = partition_key(&message).map(str::to_owned);
    let Body::Data(sections) = message.body else {
        return Err("unpack a batch without data sections: send each event as an encoded message".to_owned());
    };
    let mut messages = Vec::with_capacity(sections.len());
    for section in sections {
        let mut inner = Body::<Value>::decode_message_from_reader(SliceReader::new(&section.0))
            .map_err(|error| format!("decode an event of a batch ({error}): encode it as a message"))?;
        if let (Some(outer), None) = (&outer_key, partition_key(&inner)) {
            let annotations = inner.message_annotations.get_or_insert_with(MessageAnnotations::default);
            annotations.insert(key(KEY), Value::String(outer.clone()));
        }
        messages.push(inner);
    }
    Ok(messages)
}

/// The key that keeps events together, if the sender gave one.
pub fn partition_key(message: &Wired) -> Option<&str> {
    let annotations = message.message_annotations.as_ref()?;
    match annotations.iter().find(|(name, _)| **name == key(KEY)).map(|(_, value)| value)? {
        Value::String(text) => Some(text),
        Value::Symbol(symbol) => Some(symbol.as_str()),
        _ => None,
    }
}

/// The partition of a key: any hash does, as long as the same key meets the same partition.
pub fn spread(key: &str, partitions: usize) -> usize {
    let digest = Sha256::digest(key.as_bytes());
    let head = digest.iter().take(8).fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    usize::try_from(head % partitions.max(1) as u64).unwrap_or_default()
}

/// About how many bytes the message takes on the wire: its body, which is most of it.
pub fn size(message: &Wired) -> usize {
    match &message.body {
        Body::Data(sections) => sections.iter().map(|section| section.0.len()).sum(),
        _ => 0,
    }
}

fn key(name: &str) -> OwnedKey {
    OwnedKey::Symbol(Symbol::from(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_spread_over_all_partitions_and_stay_where_they_are() {
        let mut seen = [0; 4];
        for n in 0..400 {
            let key = format!("key-{n}");
            assert_eq!(spread(&key, 4), spread(&key, 4));
            seen[spread(&key, 4)] += 1;
        }
        assert!(seen.iter().all(|count| *count > 50), "{seen:?}");
    }
}
