//! The portal's CSV export.

use serde_json::value::RawValue;

use super::audit::Read;
use super::{Sink, audit, shape};
use crate::model::Reason;

/// Whether the body starts with the header of an export: comma-separated names, no JSON.
pub(super) fn is_csv(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let line = body.split(|b| *b == b'\n').next().unwrap_or_default();
    if line.len() > 4096 || line.first().is_none_or(|b| matches!(b, b'{' | b'[')) {
        return false;
    }
    let header = String::from_utf8_lossy(line).to_ascii_lowercase();
    let has = |name: &str| {
        header.split(',').any(|h| h.trim_matches(|c: char| c == '"' || c.is_whitespace()) == name)
    };
    has("id") && (has("actionid") || has("operationname")) && (has("timestamp") || has("timegenerated"))
}

/// Reads the rows: each becomes the JSON record it stands for, and is kept as the line it was.
pub(super) fn walk<'a>(body: &'a [u8], sink: &mut Sink<'a, '_>) {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(body);
    let Ok(header) = reader.byte_headers().cloned() else {
        return sink.reject(Reason::Syntax, "the CSV header cannot be read", body);
    };
    let names: Vec<String> = header.iter().map(|h| String::from_utf8_lossy(h).trim().to_owned()).collect();
    let mut row = csv::ByteRecord::new();
    loop {
        let start = reader.position().byte() as usize;
        let more = reader.read_byte_record(&mut row);
        let end = reader.position().byte() as usize;
        let raw = trim(body.get(start..end).unwrap_or_default());
        sink.position = start;
        match more {
            Ok(false) => return,
            Err(error) => {
                sink.reject(Reason::Syntax, format!("the CSV row cannot be read: {error}"), raw);
                if end <= start {
                    return;
                }
            }
            Ok(true) if row.len() != names.len() => {
                let says = format!("the CSV row has {} fields, its header {}", row.len(), names.len());
                sink.reject(Reason::Syntax, says, raw);
            }
            Ok(true) => take(&names, &row, raw, sink),
        }
    }
}

fn take<'a>(names: &[String], row: &csv::ByteRecord, raw: &'a [u8], sink: &mut Sink<'a, '_>) {
    if std::str::from_utf8(raw).is_err() {
        return sink.reject(Reason::Encoding, "the CSV row is not UTF-8; save the export as UTF-8", raw);
    }
    let json = object(names, row);
    sink.owned(Some(raw), json.as_str(), |json, inner| match Read::whole(json) {
        Some(read) if read.own.is_audit() => shape::record(json, Some(read), inner),
        Some(read) => {
            let place = audit::Place { raw: json.as_bytes(), observed: inner.observed, envelope_id: None };
            let lack = audit::event(&read.own, place).err();
            let (reason, says) =
                lack.unwrap_or_else(|| (Reason::UnknownShape, "the CSV row is no audit record".to_owned()));
            inner.reject(reason, says, json.as_bytes());
        }
        None => inner.reject(Reason::UnknownShape, "the CSV row is no audit record", json.as_bytes()),
    });
}

/// The row as the JSON object it stands for: empty fields are absent, and Data, which is JSON
/// already, goes in as it came, so that its members keep their order.
fn object(names: &[String], row: &csv::ByteRecord) -> String {
    let mut json = String::from("{");
    for (name, value) in names.iter().zip(row) {
        let value = String::from_utf8_lossy(value);
        if value.is_empty() {
            continue;
        }
        if json.len() > 1 {
            json.push(',');
        }
        json.push_str(&serde_json::Value::from(name.as_str()).to_string());
        json.push(':');
        let is_data = name.eq_ignore_ascii_case("data") && serde_json::from_str::<&RawValue>(&value).is_ok();
        if is_data {
            json.push_str(&value);
        } else {
            json.push_str(&serde_json::Value::from(value.as_ref()).to_string());
        }
    }
    json.push('}');
    json
}

fn trim(bytes: &[u8]) -> &[u8] {
    bytes.trim_ascii()
}
