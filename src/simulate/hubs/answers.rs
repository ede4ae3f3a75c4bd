//! What `$cbs` and `$management` answer.

use fe2o3_amqp_types::messaging::{AmqpValue, ApplicationProperties, Body, Message, Properties};
use fe2o3_amqp_types::primitives::{Array, OrderedMap, SimpleValue, Timestamp, Value};

use super::event::Wired;
use super::log::Last;
use super::namespace::{Hub, Namespace};
use super::plan::{Occasion, Plan};
use super::refusal::now;
use super::rights::Rights;
use super::token::{SharedKey, Token, check};

/// The first of January of the year 1, in milliseconds since 1970: when nothing has happened yet.
const NEVER: i64 = -62_135_596_800_000;

/// A status and what goes with it.
struct Answer {
    status: i32,
    description: String,
    body: Value,
}

impl Answer {
    fn no(status: i32, description: impl Into<String>) -> Self {
        Self { status, description: description.into(), body: Value::Null }
    }
}

/// Answers a token that is put.
pub fn put_token(rights: &Rights, plan: &Plan, key: &SharedKey, connection: u64, request: &Wired) -> Wired {
    let field = |name| property(request, name);
    let answer = match (field("operation"), field("type"), field("name"), text(request)) {
        (Some("put-token"), Some(kind), Some(audience), Some(token)) => {
            let refused = plan.refuses_token();
            let checked = if refused {
                Err("InvalidSignature: the token is refused on command.".to_owned())
            } else {
                check(kind, token, audience, key, now())
            };
            let token = Token {
                kind: kind.to_owned(),
                audience: audience.to_owned(),
                text: token.to_owned(),
                accepted: checked.is_ok(),
            };
            rights.record(connection, token, checked.as_ref().ok().copied());
            match checked {
                Ok(_) => Answer { status: 202, description: "Accepted".to_owned(), body: Value::Null },
                Err(why) => Answer::no(401, why),
            }
        }
        _ => Answer::no(400, "BadRequest: put-token needs a type, a name and a token."),
    };
    reply(request, answer)
}

/// Answers a question about a hub or a partition.
pub fn read(namespace: &Namespace, rights: &Rights, plan: &Plan, connection: u64, request: &Wired) -> Wired {
    let field = |name| property(request, name);
    let (Some("READ"), Some(kind), Some(name)) = (field("operation"), field("type"), field("name")) else {
        return reply(request, Answer::no(400, "BadRequest: only READ with a type and a name is supported."));
    };
    let answer = if plan.is_busy(Occasion::Ask) {
        Answer::no(503, "com.microsoft:server-busy: the request was throttled, try again later.")
    } else if !rights.allow_asking(connection, name, now()) {
        Answer::no(401, format!("Unauthorized access. 'Listen' claim(s) are required for '{name}'."))
    } else {
        match (kind, namespace.hub(name), field("partition")) {
            (_, None, _) => Answer::no(404, format!("The messaging entity '{name}' could not be found.")),
            ("com.microsoft:eventhub", Some(hub), _) => found(describe(&hub)),
            ("com.microsoft:partition", Some(hub), Some(partition)) => {
                match describe_partition(&hub, partition) {
                    Some(fields) => found(fields),
                    None => Answer::no(400, format!("The specified partition '{partition}' is invalid.")),
                }
            }
            _ => Answer::no(400, format!("BadRequest: the type '{kind}' is not supported.")),
        }
    };
    reply(request, answer)
}

fn describe(hub: &Hub) -> Vec<(&'static str, Value)> {
    let ids = hub.partitions.iter().map(|partition| Value::String(partition.id.clone())).collect();
    vec![
        ("name", Value::String(hub.name.clone())),
        ("type", Value::String("com.microsoft:eventhub".to_owned())),
        ("created_at", time(hub.created)),
        ("partition_count", Value::Int(i32::try_from(hub.partitions.len()).unwrap_or(i32::MAX))),
        // An array: clients refuse a list.
        ("partition_ids", Value::Array(Array(ids))),
        ("georeplication_factor", Value::Int(1)),
    ]
}

fn describe_partition(hub: &Hub, id: &str) -> Option<Vec<(&'static str, Value)>> {
    let extent = hub.partition(id)?.extent();
    let last = extent.last.unwrap_or(Last { sequence: -1, offset: -1, enqueued: NEVER });
    Some(vec![
        ("name", Value::String(hub.name.clone())),
        ("type", Value::String("com.microsoft:partition".to_owned())),
        ("partition", Value::String(id.to_owned())),
        ("begin_sequence_number", Value::Long(extent.begin)),
        ("begin_sequence_number_epoch", Value::Int(0)),
        ("last_enqueued_sequence_number", Value::Long(last.sequence)),
        ("last_enqueued_sequence_number_epoch", Value::Int(0)),
        // A string, although it is a number.
        ("last_enqueued_offset", Value::String(last.offset.to_string())),
        ("last_enqueued_time_utc", time(last.enqueued)),
        ("is_partition_empty", Value::Bool(extent.empty)),
    ])
}

fn time(milliseconds: i64) -> Value {
    Value::Timestamp(Timestamp::from_milliseconds(milliseconds))
}

fn found(fields: Vec<(&'static str, Value)>) -> Answer {
    let fields: OrderedMap<Value, Value> =
        fields.into_iter().map(|(name, value)| (Value::String(name.to_owned()), value)).collect();
    Answer { status: 200, description: "OK".to_owned(), body: Value::Map(fields) }
}

/// An answer as a message, which names the question it is for.
fn reply(request: &Wired, answer: Answer) -> Wired {
    let asked = request.properties.as_ref();
    let properties = Properties {
        correlation_id: asked.and_then(|p| p.correlation_id.clone().or_else(|| p.message_id.clone())),
        to: asked.and_then(|p| p.reply_to.clone()),
        ..Properties::default()
    };
    let mut application = ApplicationProperties::default();
    application.insert("status-code".to_owned(), SimpleValue::Int(answer.status));
    application.insert("status-description".to_owned(), SimpleValue::String(answer.description));
    let condition = match answer.status {
        400 => Some("com.microsoft:argument-out-of-range"),
        401 => Some("amqp:unauthorized-access"),
        404 => Some("amqp:not-found"),
        503 => Some("com.microsoft:server-busy"),
        _ => None,
    };
    if let Some(condition) = condition {
        application.insert("error-condition".to_owned(), SimpleValue::Symbol(condition.into()));
    }
    Message {
        header: None,
        delivery_annotations: None,
        message_annotations: None,
        properties: Some(properties),
        application_properties: Some(application),
        body: Body::Value(AmqpValue(answer.body)),
        footer: None,
    }
}

fn property<'a>(message: &'a Wired, name: &str) -> Option<&'a str> {
    match message.application_properties.as_ref()?.iter().find(|(key, _)| key.as_str() == name)?.1 {
        SimpleValue::String(text) => Some(text),
        SimpleValue::Symbol(symbol) => Some(symbol.as_str()),
        _ => None,
    }
}

fn text(message: &Wired) -> Option<&str> {
    match &message.body {
        Body::Value(AmqpValue(Value::String(text))) => Some(text),
        _ => None,
    }
}

/// The name that a question wants its answer sent to.
pub fn reply_to(request: &Wired) -> Option<&str> {
    request.properties.as_ref()?.reply_to.as_deref()
}
