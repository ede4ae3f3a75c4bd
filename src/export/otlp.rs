//! OpenTelemetry: log records over OTLP/HTTP with JSON.
//!
//! Source: opentelemetry.io, "OTLP specification": only 429, 502, 503 and 504 are worth another try, and a
//! success may say that some records were rejected, but not which.

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::{Call, Destination, Item, Outcome, SendError};

/// A collector's address of logs.
pub struct Otlp {
    call: Call,
}

impl Otlp {
    /// `call` is the base address, below which `v1/logs` lies, or that address itself.
    pub fn new(call: Call) -> Otlp {
        Otlp { call }
    }
}

#[async_trait]
impl Destination for Otlp {
    async fn send(&mut self, batch: &[Item]) -> Result<Outcome, SendError> {
        let records: Vec<Value> = batch.iter().map(|item| record(&item.body)).collect();
        let scope = json!({ "name": "agentrail", "version": env!("CARGO_PKG_VERSION") });
        let resource = json!({ "attributes": [attribute("service.name", &json!("agentrail"))] });
        let body = json!({
            "resourceLogs": [{ "resource": resource, "scopeLogs": [{ "scope": scope, "logRecords": records }] }],
        });
        let url = match self.call.url.path().ends_with("/v1/logs") {
            true => self.call.url.clone(),
            false => self.call.at("v1/logs"),
        };
        let answer = self.call.post(url, "application/json", &[], body.to_string().into_bytes()).await?;
        match answer.status.as_u16() {
            200..=299 => {}
            _ => return Err(self.call.refusal(&answer)),
        }
        // A proxy or a portal between us and the collector says 200 as well.
        let says = answer.json().unwrap_or_default();
        if !answer.body.is_empty() && !says.is_object() {
            return Err(self.call.misunderstood(&answer));
        }
        let partial = &says["partialSuccess"];
        // 64-bit numbers are texts in this form of JSON.
        let rejected = &partial["rejectedLogRecords"];
        let rejected = rejected.as_u64().or_else(|| rejected.as_str()?.parse().ok()).unwrap_or_default();
        match (rejected, batch.len()) {
            (0, _) => Ok(Outcome::default()),
            // Which ones is not said: fewer at once tell them apart.
            _ => Err(SendError::Unfit(partial["errorMessage"].as_str().unwrap_or("rejected").to_owned())),
        }
    }
}

/// A row as a log record; of its members `body` and `attributes` become typed values.
fn record(body: &Map<String, Value>) -> Value {
    let mut record = body.clone();
    if let Some(text) = record.remove("body") {
        record.insert("body".to_owned(), any(&text));
    }
    if let Some(Value::Object(attributes)) = record.remove("attributes") {
        let all = attributes.iter().map(|(name, value)| attribute(name, value)).collect();
        record.insert("attributes".to_owned(), Value::Array(all));
    }
    Value::Object(record)
}

fn attribute(name: &str, value: &Value) -> Value {
    json!({ "key": name, "value": any(value) })
}

/// A value as `AnyValue` of the protocol.
fn any(value: &Value) -> Value {
    match value {
        Value::Null => json!({}),
        Value::Bool(flag) => json!({ "boolValue": flag }),
        Value::Number(n) if n.is_f64() => json!({ "doubleValue": n }),
        Value::Number(n) => json!({ "intValue": n.to_string() }),
        Value::String(text) => json!({ "stringValue": text }),
        Value::Array(items) => {
            json!({ "arrayValue": { "values": items.iter().map(any).collect::<Vec<_>>() } })
        }
        Value::Object(members) => {
            let values: Vec<Value> = members.iter().map(|(name, value)| attribute(name, value)).collect();
            json!({ "kvlistValue": { "values": values } })
        }
    }
}
