//! One message: the bytes that hold its records, and what else came with them.

use std::collections::BTreeMap;
use std::sync::Arc;

use azure_core_amqp::message::{AmqpMessageBody, AmqpMessageId, AmqpMessageProperties};
use azure_core_amqp::{AmqpList, AmqpMessage, AmqpSimpleValue, AmqpValue};
use azure_messaging_eventhubs::models::ReceivedEventData;
use base64::Engine as _;
use bytes::Bytes;
use serde_json::{Map, Value as Json, json};

use super::checkpoints::Mark;
use super::connect::time;
use crate::source::About;

/// Where a message stands; none, if the service does not say.
pub(super) fn mark(event: &ReceivedEventData) -> Option<Mark> {
    let sequence = event.sequence_number()?;
    Some(Mark { sequence, offset: event.offset().clone(), enqueued: event.enqueued_time().map(time) })
}

/// The bytes of a body. Sections of data are one text that was cut; a value that is no text becomes JSON.
pub(super) fn body(message: &AmqpMessage) -> Bytes {
    match &message.body {
        AmqpMessageBody::Binary(sections) => match sections.as_slice() {
            [one] => Bytes::copy_from_slice(one),
            many => many.concat().into(),
        },
        AmqpMessageBody::Value(AmqpValue::String(text)) => Bytes::copy_from_slice(text.as_bytes()),
        AmqpMessageBody::Value(AmqpValue::Binary(bytes)) => Bytes::copy_from_slice(bytes),
        AmqpMessageBody::Value(AmqpValue::Null) | AmqpMessageBody::Empty => Bytes::new(),
        AmqpMessageBody::Value(value) => json(value).to_string().into(),
        AmqpMessageBody::Sequence(lists) => {
            let items = lists.iter().flat_map(AmqpList::iter).map(json);
            Json::Array(items.collect()).to_string().into()
        }
    }
}

/// A message that was handed on, with the place it came from.
#[derive(Debug)]
pub(super) struct Came {
    pub from: Arc<Place>,
    pub event: ReceivedEventData,
}

/// A partition, for people.
#[derive(Debug)]
pub(super) struct Place {
    pub namespace: String,
    pub hub: String,
    pub consumer_group: String,
    pub partition: String,
}

impl About for Came {
    fn json(&self) -> String {
        let Place { namespace, hub, consumer_group, partition } = self.from.as_ref();
        let (event, message) = (&self.event, self.event.raw_amqp_message());
        let mut out = json!({
            "namespace": namespace, "hub": hub, "consumer_group": consumer_group, "partition": partition,
            "sequence_number": event.sequence_number(), "offset": event.offset(),
            "enqueued": event.enqueued_time().map(|at| time(at).to_string()),
            "partition_key": event.partition_key(),
        });
        let mut part = |name: &str, members: Map<String, Json>| {
            if !members.is_empty() {
                out[name] = Json::Object(members);
            }
        };
        part("properties", message.properties.as_ref().map(properties).unwrap_or_default());
        let application = message.application_properties.iter().flat_map(|p| p.0.iter());
        part(
            "application_properties",
            application.map(|(name, value)| (name.clone(), simple(value))).collect(),
        );
        // In order, so that one message is always told in the same words.
        let system: BTreeMap<&String, &AmqpValue> = event.system_properties().iter().collect();
        part("annotations", system.into_iter().map(|(name, value)| (name.clone(), json(value))).collect());
        let header = message.header.as_ref();
        if let Some(header) = header.filter(|h| h.delivery_count > 0) {
            out["delivery_count"] = header.delivery_count.into();
        }
        out.to_string()
    }
}

fn properties(given: &AmqpMessageProperties) -> Map<String, Json> {
    let mut out = Map::new();
    let mut put = |name: &str, value: Option<Json>| {
        if let Some(value) = value {
            out.insert(name.to_owned(), value);
        }
    };
    let text = |text: &Option<String>| text.as_deref().map(Json::from);
    put("message_id", given.message_id.as_ref().map(id));
    put("user_id", given.user_id.as_deref().map(bytes));
    put("to", text(&given.to));
    put("subject", text(&given.subject));
    put("reply_to", text(&given.reply_to));
    put("correlation_id", given.correlation_id.as_ref().map(id));
    put("content_type", given.content_type.as_ref().map(|s| s.0.as_str().into()));
    put("content_encoding", given.content_encoding.as_ref().map(|s| s.0.as_str().into()));
    put("absolute_expiry_time", given.absolute_expiry_time.as_ref().map(|t| moment(t.0)));
    put("creation_time", given.creation_time.as_ref().map(|t| moment(t.0)));
    put("group_id", text(&given.group_id));
    put("group_sequence", given.group_sequence.map(Json::from));
    put("reply_to_group_id", text(&given.reply_to_group_id));
    out
}

fn id(id: &AmqpMessageId) -> Json {
    match id {
        AmqpMessageId::String(text) => text.as_str().into(),
        AmqpMessageId::Uuid(uuid) => uuid.to_string().into(),
        AmqpMessageId::Binary(binary) => bytes(binary),
        AmqpMessageId::Ulong(number) => (*number).into(),
    }
}

/// Text where it is text, else base64.
fn bytes(given: &[u8]) -> Json {
    match std::str::from_utf8(given) {
        Ok(text) => text.into(),
        Err(_) => base64::engine::general_purpose::STANDARD.encode(given).into(),
    }
}

fn moment(at: Option<std::time::SystemTime>) -> Json {
    at.map_or(Json::Null, |at| time(at).to_string().into())
}

/// Decimals come as they lie on the wire: no library here computes with them.
fn json(value: &AmqpValue) -> Json {
    match value {
        AmqpValue::Null => Json::Null,
        AmqpValue::Boolean(v) => (*v).into(),
        AmqpValue::UByte(v) => (*v).into(),
        AmqpValue::UShort(v) => (*v).into(),
        AmqpValue::UInt(v) => (*v).into(),
        AmqpValue::ULong(v) => (*v).into(),
        AmqpValue::Byte(v) => (*v).into(),
        AmqpValue::Short(v) => (*v).into(),
        AmqpValue::Int(v) => (*v).into(),
        AmqpValue::Long(v) => (*v).into(),
        AmqpValue::Float(v) => (*v).into(),
        AmqpValue::Double(v) => (*v).into(),
        AmqpValue::Char(v) => v.to_string().into(),
        AmqpValue::TimeStamp(v) => moment(v.0),
        AmqpValue::Uuid(v) => v.to_string().into(),
        AmqpValue::Binary(v) => bytes(v),
        AmqpValue::String(v) => v.as_str().into(),
        AmqpValue::Symbol(v) => v.0.as_str().into(),
        AmqpValue::Decimal128(v) => bytes(v),
        AmqpValue::Decimal64(v) => bytes(v),
        AmqpValue::Decimal32(v) => bytes(v),
        AmqpValue::List(list) => list.iter().map(json).collect(),
        AmqpValue::Array(list) => list.iter().map(json).collect(),
        AmqpValue::Map(map) => Json::Object(map.iter().map(|(k, v)| (name(k), json(v))).collect()),
        AmqpValue::Described(described) => json(&described.value),
        #[expect(unreachable_patterns, reason = "one more form exists under a feature of the library")]
        other => format!("{other:?}").into(),
    }
}

/// A key of a map: JSON has only texts for that.
fn name(key: &AmqpValue) -> String {
    match json(key) {
        Json::String(text) => text,
        other => other.to_string(),
    }
}

fn simple(value: &AmqpSimpleValue) -> Json {
    match value {
        AmqpSimpleValue::Null => Json::Null,
        AmqpSimpleValue::Boolean(v) => (*v).into(),
        AmqpSimpleValue::UByte(v) => (*v).into(),
        AmqpSimpleValue::UShort(v) => (*v).into(),
        AmqpSimpleValue::UInt(v) => (*v).into(),
        AmqpSimpleValue::ULong(v) => (*v).into(),
        AmqpSimpleValue::Byte(v) => (*v).into(),
        AmqpSimpleValue::Short(v) => (*v).into(),
        AmqpSimpleValue::Int(v) => (*v).into(),
        AmqpSimpleValue::Long(v) => (*v).into(),
        AmqpSimpleValue::Float(v) => (*v).into(),
        AmqpSimpleValue::Double(v) => (*v).into(),
        AmqpSimpleValue::Char(v) => v.to_string().into(),
        AmqpSimpleValue::TimeStamp(v) => moment(v.0),
        AmqpSimpleValue::Uuid(v) => v.to_string().into(),
        AmqpSimpleValue::Binary(v) => bytes(v),
        AmqpSimpleValue::String(v) => v.as_str().into(),
        AmqpSimpleValue::Symbol(v) => v.0.as_str().into(),
        AmqpSimpleValue::Decimal128(v) => bytes(v),
        AmqpSimpleValue::Decimal64(v) => bytes(v),
        AmqpSimpleValue::Decimal32(v) => bytes(v),
        AmqpSimpleValue::Described(described) => json(&described.value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use azure_core_amqp::AmqpOrderedMap;

    fn bytes_of(body: impl Into<AmqpMessageBody>) -> String {
        let message = AmqpMessage::builder().with_body(body.into()).build();
        String::from_utf8(body_of(&message)).unwrap()
    }

    fn body_of(message: &AmqpMessage) -> Vec<u8> {
        body(message).to_vec()
    }

    #[test]
    fn every_form_of_a_body_is_bytes() {
        assert_eq!(bytes_of(AmqpMessageBody::Binary(vec![b"{}".to_vec()])), "{}");
        assert_eq!(bytes_of(AmqpMessageBody::Binary(vec![b"{\"a\"".to_vec(), b":1}".to_vec()])), "{\"a\":1}");
        assert_eq!(bytes_of(AmqpMessageBody::Value(AmqpValue::String("{}".into()))), "{}");
        assert_eq!(bytes_of(AmqpMessageBody::Value(AmqpValue::Binary(b"{}".to_vec()))), "{}");
        assert_eq!(bytes_of(AmqpMessageBody::Empty), "");
        let mut map = AmqpOrderedMap::new();
        map.insert(AmqpValue::String("n".into()), AmqpValue::Long(1));
        map.insert(AmqpValue::Int(2), AmqpValue::List(AmqpList::from(vec![AmqpValue::Boolean(true)])));
        assert_eq!(bytes_of(AmqpMessageBody::Value(AmqpValue::Map(map))), r#"{"2":[true],"n":1}"#);
        let list = |n| AmqpList::from(vec![AmqpValue::Int(n)]);
        assert_eq!(bytes_of(AmqpMessageBody::Sequence(vec![list(1), list(2)])), "[1,2]");
    }

    #[test]
    fn what_came_with_it_is_told_in_full() {
        let message = AmqpMessage::builder()
            .with_body(AmqpMessageBody::Binary(vec![b"x".to_vec()]))
            .with_properties(AmqpMessageProperties {
                message_id: Some("m1".into()),
                user_id: Some(vec![0xff, 0]),
                content_type: Some("text/plain".into()),
                ..Default::default()
            })
            .add_application_property(
                "aeg-event-type".to_owned(),
                AmqpSimpleValue::String("Notification".into()),
            )
            .build();
        let place = Place {
            namespace: "ns".into(),
            hub: "h".into(),
            consumer_group: "$Default".into(),
            partition: "3".into(),
        };
        let came = Came { from: Arc::new(place), event: ReceivedEventData::from(message) };
        let json: Json = serde_json::from_str(&came.json()).unwrap();
        assert_eq!(json["partition"], "3");
        assert_eq!(
            json["properties"],
            json!({"message_id": "m1", "user_id": "/wA=", "content_type": "text/plain"})
        );
        assert_eq!(json["application_properties"]["aeg-event-type"], "Notification");
        assert_eq!(mark(&came.event), None);
    }
}
