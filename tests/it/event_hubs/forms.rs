//! Every form of a message, and what becomes of one that nobody understands.

use agentrail::simulate::hubs::Wired;
use fe2o3_amqp_types::messaging::{ApplicationProperties, Body, Data, Message, Properties};
use fe2o3_amqp_types::primitives::{OrderedMap, SimpleValue, Value};

use super::rig::{Rig, eventually};
use crate::lake::audit_record;

fn data(sections: &[&[u8]]) -> Wired {
    let body = Body::Data(sections.iter().map(|s| Data(s.to_vec().into())).collect());
    Message::builder().body(body).build()
}

fn value(value: Value) -> Wired {
    Message::builder().body(Body::Value(fe2o3_amqp_types::messaging::AmqpValue(value))).build()
}

/// JSON as a value of AMQP.
fn amqp(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(v) => Value::Bool(*v),
        serde_json::Value::Number(n) => Value::Long(n.as_i64().unwrap()),
        serde_json::Value::String(text) => Value::String(text.clone()),
        serde_json::Value::Array(items) => Value::List(items.iter().map(amqp).collect()),
        serde_json::Value::Object(members) => {
            let mut map = OrderedMap::new();
            for (name, member) in members {
                map.insert(Value::String(name.clone()), amqp(member));
            }
            Value::Map(map)
        }
    }
}

fn gzip(text: &str) -> Vec<u8> {
    use std::io::Write as _;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

/// The record alone, without the envelope of Event Grid.
fn bare(n: u32) -> serde_json::Value {
    serde_json::from_str::<serde_json::Value>(&audit_record(n)).unwrap()["data"].take()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_is_understood() {
    let rig = Rig::new(1).await;
    let publish = |message: Wired| rig.hubs.publish_message("h", "0", message).map(drop).unwrap();
    let text = |json: &serde_json::Value| json.to_string().into_bytes();
    let cloud = |n: u32| {
        serde_json::json!({
            "specversion": "1.0", "type": "AzureDevOpsAuditEvent", "source": "/t", "id": format!("e{n}"),
            "time": "2026-03-05T14:00:00Z", "data": bare(n),
        })
    };
    let mut row = bare(11);
    row["TenantId"] = "t".into();
    row["Type"] = "AzureDevOpsAuditing".into();
    let given: Vec<Wired> = vec![
        // Event Grid: one, and an array as it is delivered.
        data(&[audit_record(0).as_bytes()]),
        data(&[format!("[{},{}]", audit_record(1), audit_record(2)).as_bytes()]),
        // CloudEvents: one, and a batch.
        data(&[&text(&cloud(3))]),
        data(&[&text(&serde_json::json!([cloud(4), cloud(5)]))]),
        // Log Analytics export and diagnostic settings.
        data(&[&text(&serde_json::json!({"records": [bare(6), bare(7)]}))]),
        data(&[&text(&serde_json::json!({"records": [
            {"time": "2026-03-05T14:00:00Z", "category": "Auditing", "properties": bare(8)}]}))]),
        // Bare: one, an array, lines.
        data(&[&text(&bare(9))]),
        data(&[&text(&serde_json::json!([bare(10), row]))]),
        data(&[format!("{}\n{}\n", bare(12), bare(13)).as_bytes()]),
        data(&[&gzip(&audit_record(14))]),
        // Sections of data that are one text, cut within a word.
        data(&[&audit_record(15).as_bytes()[..77], &audit_record(15).as_bytes()[77..]]),
        value(Value::String(audit_record(16))),
        value(Value::Binary(audit_record(17).into_bytes().into())),
        value(Value::Binary(gzip(&audit_record(18)).into())),
        value(amqp(&bare(19))),
        value(amqp(&serde_json::json!([bare(20), bare(21)]))),
        Message::builder()
            .body(Body::Sequence(
                std::iter::once(fe2o3_amqp_types::messaging::AmqpSequence(
                    [amqp(&bare(22))].into_iter().collect(),
                ))
                .collect(),
            ))
            .build(),
        // Nothing at all is no record.
        Message::builder().body(Body::Empty).build(),
        data(&[b""]),
    ];
    let last = given.len() as i64 - 1;
    given.into_iter().for_each(publish);
    let consumer = rig.consumer().await;
    rig.saved("0", last).await;
    consumer.stop().await;
    let rejects = rig.scratch.sql("select says, reason from rejects");
    assert!(rejects.is_empty(), "{rejects:#?}");
    assert_eq!(rig.numbers(), (0..23).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_lies_in_rejects_with_all_that_came_with_it() {
    let rig = Rig::new(2).await;
    rig.publish(0..2);
    let properties = Properties { subject: Some("a subject".into()), ..Properties::default() };
    let mut application = ApplicationProperties::default();
    application.insert("aeg-delivery-count".to_owned(), SimpleValue::Int(3));
    let poison = Message::builder()
        .properties(properties)
        .application_properties(application)
        .body(Body::Data(std::iter::once(Data(b"\xff\xfe no text".to_vec().into())).collect()))
        .build();
    rig.hubs.publish_message("h", "1", poison).unwrap();
    // Damaged gzip is another kind; what comes after either flows on.
    let mut damaged = gzip(&audit_record(9));
    damaged.truncate(40);
    rig.hubs.publish("h", "1", damaged).unwrap();
    rig.publish(2..4);
    let consumer = rig.consumer().await;
    rig.stored(&consumer.lake, 4).await;
    rig.saved("1", 3).await;
    consumer.stop().await;
    let rows = rig.scratch.sql("select reason, says, source from rejects order by says");
    assert_eq!(rows.len(), 2, "{rows:#?}");
    for row in &rows {
        assert_eq!(row["source"], format!("event_hubs/{}/h/$Default/1", rig.hubs.host()));
    }
    let encoding = rows.iter().find(|row| row["reason"] != "compression").unwrap();
    let (_, json) = encoding["says"].as_str().unwrap().split_once("; it came with ").unwrap();
    let about: serde_json::Value = serde_json::from_str(json).unwrap();
    let kept = rig.hubs.events("h", "1").unwrap();
    assert_eq!((&about["hub"], &about["partition"]), (&"h".into(), &"1".into()));
    assert_eq!(about["offset"], kept[1].offset.to_string());
    assert_eq!(about["sequence_number"], 1);
    assert_eq!(about["properties"]["subject"], "a subject");
    assert_eq!(about["application_properties"]["aeg-delivery-count"], 3);
    // From the text itself, by SQL.
    let sql = "select json_member(split_part(says, '; it came with ', 2), 'sequence_number') as n from rejects order by 1";
    let numbers = rig.scratch.sql(sql);
    assert_eq!((&numbers[0]["n"], &numbers[1]["n"]), (&"1".into(), &"2".into()));
    eventually("readers to end", async || rig.hubs.links().is_empty()).await;
}
