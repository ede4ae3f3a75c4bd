//! One whole object: which form it is, told by its members, and what it holds.

use std::borrow::Cow;

use base64::Engine as _;
use serde_json::value::RawValue;

use super::address::Address;
use super::audit::{Members, Place, Read, event};
use super::hide::hide;
use super::json::{Fields, string};
use super::scan::too_deep;
use super::{MOST_NESTED, Sink, facts, frame};
use crate::model::{Event, Reason, RecordHash, Time};

/// Takes one object; `read` is what it holds when that is read already.
pub(super) fn record<'a>(raw: &'a str, read: Option<Read<'a>>, sink: &mut Sink<'a, '_>) {
    let Some(Read { own, inner }) = read.or_else(|| Read::whole(raw)) else {
        return sink.reject(Reason::UnknownShape, "a bare value is no record", raw.as_bytes());
    };
    if own.is_audit() {
        return audit(&own, raw, None, sink);
    }
    if let Some(record) = inner
        && (record.is_audit() || own.claims_audit())
    {
        // The id of an Event Grid envelope is the record's; one of a Splunk envelope is not.
        let id = own.id().filter(|_| own.data().is_some());
        return audit(&record, raw, id.as_deref(), sink);
    }
    envelope(raw, sink);
}

fn refuse_size<'a>(raw: &'a str, sink: &mut Sink<'a, '_>) {
    let says =
        format!("the record has more than {} bytes; raise `decode.max_record`", sink.delivery.limits.record);
    sink.reject(Reason::Limit, says, raw.as_bytes());
}

fn audit<'a>(members: &Members<'a>, raw: &'a str, envelope_id: Option<&str>, sink: &mut Sink<'a, '_>) {
    let limits = sink.delivery.limits;
    if raw.len() > limits.record {
        return refuse_size(raw, sink);
    }
    if members.depth > limits.depth {
        let says = format!("the record nests deeper than {}; raise `decode.max_depth`", limits.depth);
        return sink.reject(Reason::Limit, says, raw.as_bytes());
    }
    let (raw_bytes, observed) = (raw.as_bytes(), sink.observed);
    let event = match envelope_id {
        Some(id) if members.id().is_none() => {
            let place = Place { raw: raw_bytes, observed, envelope_id: Some(id) };
            event(members, place).map(|e| Event { raw: Cow::Borrowed(raw_bytes), ..e.into_owned() })
        }
        _ => event(members, Place { raw: raw_bytes, observed, envelope_id: None }),
    };
    match event {
        Ok(event) => sink.out.events.push(event),
        Err((reason, says)) => sink.reject(reason, says, raw.as_bytes()),
    }
}

/// Whether an object is of a form this program knows; decides where reading goes on after a fault.
pub(super) fn is_known(raw: &str) -> bool {
    let mut sink = Sink::new(super::Delivery {
        observed: Time(i64::MAX / 2),
        url: None,
        organization: None,
        limits: super::Limits::default(),
    });
    record(raw, None, &mut sink);
    sink.out.rejects.is_empty() && sink.count() > 0
}

/// Opens an object that is no audit record itself.
fn envelope<'a>(raw: &'a str, sink: &mut Sink<'a, '_>) {
    let Some(fields) = Fields::parse(raw) else {
        return sink.reject(Reason::Syntax, "the object cannot be read", raw.as_bytes());
    };
    if sink.nested >= MOST_NESTED {
        return sink.reject(Reason::Limit, "too many envelopes lie inside each other", raw.as_bytes());
    }
    sink.nested += 1;
    open(raw, &fields, sink);
    sink.nested -= 1;
}

fn open<'a>(raw: &'a str, fields: &Fields<'a>, sink: &mut Sink<'a, '_>) {
    if fields.has("body") && fields.has("url") && (fields.has("observed") || fields.has("status")) {
        return capture(raw, fields, sink);
    }
    if let Some(responses) = fields.object("responses").filter(|_| fields.has("parameters")) {
        return example(raw, fields, &responses, sink);
    }
    if let Some(inner) = fields.get("event").filter(|_| !fields.has("eventType") && !fields.has("plan")) {
        return inside(raw, inner, sink);
    }
    let has_type = fields.has("eventType") || fields.has("specversion");
    if has_type && fields.has("data_base64") {
        let bytes = fields
            .text("data_base64")
            .and_then(|t| base64::engine::general_purpose::STANDARD.decode(t.as_bytes()).ok());
        return match bytes {
            Some(bytes) => sink.owned(Some(raw.as_bytes()), bytes.as_slice(), frame::walk),
            None => sink.reject(Reason::Encoding, "`data_base64` is no base64", raw.as_bytes()),
        };
    }
    if has_type
        && !fields.has("resource")
        && let Some(inner) = fields.get("data")
    {
        return inside(raw, inner, sink);
    }
    for list in ["decoratedAuditLogEntries", "records", "patTokens"] {
        if let Some(items) = fields.get(list).filter(|v| v.starts_with('[')) {
            return each(raw, items, sink);
        }
    }
    if let Some(list) = fields.get("inventory").filter(|v| v.starts_with('[')) {
        let Ok(statements) = serde_json::from_str::<Vec<serde_json::Map<String, serde_json::Value>>>(list)
        else {
            return sink.reject(Reason::UnknownShape, "`inventory` is no list of objects", raw.as_bytes());
        };
        return statements.into_iter().for_each(|members| super::inventory::one(members, sink));
    }
    // A diagnostic setting wraps a row of the audit table in `properties`.
    if let Some(inner) = fields.get("properties")
        && let Some(record) = Members::parse(inner)
        && record.is_audit()
    {
        return audit(&record, raw, None, sink);
    }
    if fields.has("value") && !fields.has("id") && value(raw, fields, sink) {
        return;
    }
    if raw.len() > sink.delivery.limits.record {
        return refuse_size(raw, sink);
    }
    if too_deep(raw.as_bytes(), sink.delivery.limits.depth) {
        let says =
            format!("the record nests deeper than {}; raise `decode.max_depth`", sink.delivery.limits.depth);
        return sink.reject(Reason::Limit, says, raw.as_bytes());
    }
    facts::take(raw, fields, sink);
}

/// The `value` of a REST body; false when it is no page of records.
fn value<'a>(raw: &'a str, fields: &Fields<'a>, sink: &mut Sink<'a, '_>) -> bool {
    let Some(value) = fields.get("value") else { return false };
    if value.starts_with('[') {
        // Lines of a log come as a list of texts: that is one record, not many.
        let items: Vec<&RawValue> = serde_json::from_str(value).unwrap_or_default();
        let records = items.iter().all(|i| i.get().starts_with('{') || i.get() == "null");
        if records {
            each(raw, value, sink);
        }
        return records;
    }
    let Some(inner) = Fields::parse(value) else { return false };
    // The official example of the audit log wraps its page once more.
    if inner.has("decoratedAuditLogEntries") {
        envelope(value, sink);
        return true;
    }
    // A subject lookup answers with a map.
    if !inner.0.is_empty() && inner.0.iter().all(|(_, v)| v.get().starts_with('{')) {
        for (_, item) in inner.0 {
            record(item.get(), None, sink);
        }
        return true;
    }
    false
}

/// The records of a list.
fn each<'a>(raw: &'a str, list: &'a str, sink: &mut Sink<'a, '_>) {
    let Ok(items) = serde_json::from_str::<Vec<&'a RawValue>>(list) else {
        return sink.reject(Reason::Syntax, "the list cannot be read", raw.as_bytes());
    };
    let base = sink.position;
    for item in items {
        let item = item.get();
        // Positions stay those in the body, as long as the text is part of it.
        sink.position = base + (item.as_ptr() as usize).saturating_sub(raw.as_ptr() as usize);
        if item != "null" {
            record(item, None, sink);
        }
    }
    sink.position = base;
}

/// What an envelope wraps: an object, a list, or a text that holds one.
fn inside<'a>(raw: &'a str, inner: &'a str, sink: &mut Sink<'a, '_>) {
    match inner.as_bytes().first() {
        Some(b'{') => {
            let before = (sink.out.events.len(), sink.out.facts.len(), sink.out.rejects.len());
            record(inner, None, sink);
            whole(raw, before, sink);
        }
        Some(b'[') => each(raw, inner, sink),
        Some(b'"') => {
            let text = string(inner).unwrap_or(Cow::Borrowed(""));
            if text.trim_start().starts_with(['{', '[']) {
                let text = text.into_owned();
                sink.owned(Some(raw.as_bytes()), text.as_bytes(), frame::walk);
            } else {
                sink.reject(
                    Reason::UnknownShape,
                    "the envelope holds a text that is no JSON record",
                    raw.as_bytes(),
                );
            }
        }
        _ => sink.reject(Reason::UnknownShape, "the envelope holds no record", raw.as_bytes()),
    }
}

/// A record that its envelope holds alone is kept with its envelope.
fn whole<'a>(raw: &'a str, before: (usize, usize, usize), sink: &mut Sink<'a, '_>) {
    let out = &mut sink.out;
    let count = (out.events.len() - before.0) + (out.facts.len() - before.1) + (out.rejects.len() - before.2);
    // What was masked in it is in the envelope, too.
    if count != 1 || out.rejects.len() > before.2 && hide(raw.as_bytes()).is_some() {
        return;
    }
    let (bytes, hash) = (raw.as_bytes(), RecordHash::of(raw.as_bytes()));
    if let Some(event) = out.events.get_mut(before.0) {
        (event.raw, event.hash) = (Cow::Borrowed(bytes), hash);
    } else if let Some(reject) = out.rejects.get_mut(before.2) {
        (reject.raw, reject.hash) = (Cow::Borrowed(bytes), hash);
    }
}

/// A line of recorded REST traffic: address and time belong to every record in its body.
fn capture<'a>(raw: &'a str, fields: &Fields<'a>, sink: &mut Sink<'a, '_>) {
    let outer = (sink.observed, sink.stated, sink.address.clone());
    let url = fields.text("url").unwrap_or_default();
    sink.address = Address::parse(&url);
    if let Some(text) = fields.text("observed") {
        // What was heard when decides what silence means, so a guess will not do.
        match Time::parse(&text).filter(|t| super::audit::is_plausible(*t, sink.delivery.observed)) {
            Some(time) => (sink.observed, sink.stated) = (time, true),
            None => {
                (sink.observed, sink.stated, sink.address) = outer;
                let says =
                    format!("`observed` of the capture line is no plausible RFC 3339 time: `{text:.40}`");
                return sink.reject(Reason::BadTime, says, raw.as_bytes());
            }
        }
    }
    let status = match fields.get("status") {
        None => Some(200),
        Some(status) => super::json::integer(status),
    };
    let Some(status) = status else {
        (sink.observed, sink.stated, sink.address) = outer;
        return sink.reject(
            Reason::UnknownShape,
            "`status` of the capture line is no number",
            raw.as_bytes(),
        );
    };
    let before = sink.count();
    let body = fields.get("body").unwrap_or("null");
    if !(200..300).contains(&status) {
        facts::other("rest.refused", raw, sink);
    } else {
        let (facts, rejects) = (sink.out.facts.len(), sink.out.rejects.len());
        match body.as_bytes().first() {
            Some(b'{') => record(body, None, sink),
            Some(b'[') => each(raw, body, sink),
            Some(b'"') => {
                let text = string(body).unwrap_or_default().into_owned();
                sink.owned(None, text.as_bytes(), frame::walk);
            }
            _ => {}
        }
        if sink.count() == before {
            facts::other("rest.empty", raw, sink);
        }
        let is_whole = sink.out.rejects.len() == rejects;
        // The last page of several is the proof of them all; a text is no list at all.
        if !fields.has("continuation") && !body.starts_with('"') {
            facts::heard(facts, body, is_whole, sink);
        }
    }
    (sink.observed, sink.stated, sink.address) = outer;
}

/// An example of the REST specification: a request with its responses.
fn example<'a>(raw: &'a str, fields: &Fields<'a>, responses: &Fields<'a>, sink: &mut Sink<'a, '_>) {
    let outer = sink.address.clone();
    if let Some(url) = fields.text("x-ms-vss-request-url") {
        sink.address = Address::parse(&url);
    }
    let parameters = fields.object("parameters").unwrap_or_default();
    if sink.address.organization.is_none() {
        let name = parameters.text("organization").or_else(|| parameters.text("account"));
        sink.address.organization = name.map(Cow::into_owned);
    }
    let before = sink.count();
    let bodies = responses.0.iter().filter_map(|(_, r)| Fields::parse(r.get())?.get("body"));
    for body in bodies.chain(parameters.get("body").filter(|b| b.starts_with('{'))) {
        match body.as_bytes().first() {
            // A request's body is read only where the response has none.
            _ if sink.count() > before => {}
            Some(b'{') => record(body, None, sink),
            Some(b'[') => each(raw, body, sink),
            _ => {}
        }
    }
    if sink.count() == before {
        facts::other("rest.empty", raw, sink);
    }
    sink.address = outer;
}
