//! Files of Event Hubs Capture: Avro records, each a message with its body and what came with it.

use base64::Engine as _;
use serde_json::{Map, Value as Json};

use super::avro::{Container, Datum};
use super::{Sink, frame, inflate};
use crate::model::Reason;

/// Decodes the messages of a file. One that breaks somewhere is refused from there on.
pub(super) fn walk<'a>(body: &'a [u8], sink: &mut Sink<'a, '_>) {
    let refuse = |says: String, from: usize, sink: &mut Sink<'a, '_>| {
        sink.position = from;
        sink.reject(Reason::Syntax, format!("the Avro file cannot be read on: {says}"), &body[from..]);
    };
    let mut container = match Container::open(body) {
        Ok(container) => container,
        Err(says) => return refuse(says, 0, sink),
    };
    loop {
        let from = container.position();
        let block = match container.next(sink.delivery.limits.body) {
            Ok(Some(block)) => block,
            Ok(None) => return,
            Err(says) => return refuse(says, from, sink),
        };
        sink.position = block.position;
        let mut strange = false;
        let done = container.each(&block, |message| strange |= !take(&message, sink));
        if strange {
            sink.position = from;
            let says = "the Avro file holds records without `Body`: it is none of Event Hubs Capture";
            return sink.reject(Reason::UnknownShape, says, &body[from..]);
        }
        if let Err(says) = done {
            return refuse(says, from, sink);
        }
    }
}

/// The records of one message; false when it is none.
fn take(message: &Datum<'_>, sink: &mut Sink<'_, '_>) -> bool {
    let bytes = match message.member("Body") {
        Some(Datum::Bytes(bytes)) => *bytes,
        Some(Datum::Text(text)) => text.as_bytes(),
        Some(Datum::Null) => return true,
        _ => return false,
    };
    let before = sink.out.rejects.len();
    sink.owned(None, bytes, |bytes, inner| match inflate(bytes, &inner.delivery) {
        Ok(std::borrow::Cow::Borrowed(plain)) => frame::walk(plain, inner),
        Ok(std::borrow::Cow::Owned(plain)) => inner.owned(None, plain.as_slice(), frame::walk),
        Err(reject) => inner.out.rejects.push(*reject),
    });
    if sink.out.rejects.len() > before {
        let about = about(message).to_string();
        for reject in &mut sink.out.rejects[before..] {
            reject.says.push_str("; it came with ");
            reject.says.push_str(&about);
        }
    }
    true
}

/// All of a message but its body, in the names it has when it comes over the wire.
fn about(message: &Datum<'_>) -> Json {
    let mut out = Map::new();
    for (theirs, ours) in [
        ("SequenceNumber", "sequence_number"),
        ("Offset", "offset"),
        ("EnqueuedTimeUtc", "enqueued"),
        ("SystemProperties", "annotations"),
        ("Properties", "application_properties"),
    ] {
        let value = message.member(theirs).map(json).unwrap_or_default();
        let is_empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
        if !is_empty {
            out.insert(ours.to_owned(), value);
        }
    }
    Json::Object(out)
}

fn json(datum: &Datum<'_>) -> Json {
    match datum {
        Datum::Null => Json::Null,
        Datum::Bool(v) => (*v).into(),
        Datum::Long(v) => (*v).into(),
        Datum::Double(v) => (*v).into(),
        Datum::Text(text) => (*text).into(),
        Datum::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(_) => base64::engine::general_purpose::STANDARD.encode(bytes).into(),
        },
        Datum::List(items) => items.iter().map(json).collect(),
        Datum::Members(members) => {
            members.iter().map(|(name, value)| (name.to_string(), json(value))).collect()
        }
    }
}
