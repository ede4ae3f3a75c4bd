//! Event Grid: events, and the handshakes by which it makes sure that they are wanted.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::Value as Json;

use super::{Desk, answer};

const VALIDATION: &str = "Microsoft.EventGrid.SubscriptionValidationEvent";

pub(super) async fn events(
    State(desk): State<Arc<Desk>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if !is_known(&desk, query.as_deref(), &headers) {
        return answer(
            StatusCode::UNAUTHORIZED,
            None,
            "text/plain",
            "send the key as `?code=`, `aeg-sas-key` or bearer token\n".to_owned(),
        );
    }
    let _place = match desk.enter() {
        Ok(place) => place,
        Err(refused) => return refused.plain(),
    };
    let bytes = match desk.read(body).await {
        Ok(bytes) => bytes,
        Err(refused) => return refused.plain(),
    };
    let asks = headers
        .get("aeg-event-type")
        .is_some_and(|h| h.as_bytes().eq_ignore_ascii_case(b"SubscriptionValidation"));
    if (asks || bytes.len() < 16_384)
        && let Some(code) = validation(&bytes)
    {
        let body = serde_json::json!({"validationResponse": code}).to_string();
        return answer(StatusCode::OK, None, "application/json", body);
    }
    if bytes.is_empty() {
        return answer(StatusCode::BAD_REQUEST, None, "text/plain", "the body is empty\n".to_owned());
    }
    match desk.deliver(bytes, "webhook/eventgrid").await {
        Ok(()) => answer(StatusCode::OK, None, "text/plain", String::new()),
        Err(refused) => refused.plain(),
    }
}

/// The code of a validation event. Its address, the second handshake, is for the operator: opening
/// it within five minutes confirms the subscription where the answer did not arrive.
fn validation(body: &[u8]) -> Option<String> {
    let json: Json = serde_json::from_slice(body).ok()?;
    let event = match &json {
        // It comes alone; beside other events it would cost them.
        Json::Array(events) if events.len() == 1 => events.first()?,
        Json::Array(_) => return None,
        other => other,
    };
    if event.get("eventType")?.as_str()? != VALIDATION {
        return None;
    }
    if let Some(url) = event.pointer("/data/validationUrl").and_then(Json::as_str) {
        tracing::info!(
            url,
            "Event Grid asks whether its events are wanted; the answer is yes, and opening this address says so too"
        );
    }
    Some(event.pointer("/data/validationCode")?.as_str()?.to_owned())
}

/// The CloudEvents webhook's abuse protection: the sender asks before it sends.
pub(super) async fn abuse_protection(
    State(desk): State<Arc<Desk>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let Some(origin) = headers.get("webhook-request-origin").cloned() else {
        return answer(StatusCode::BAD_REQUEST, None, "text/plain", "no WebHook-Request-Origin\n".to_owned());
    };
    if !is_known(&desk, query.as_deref(), &headers) {
        return answer(StatusCode::UNAUTHORIZED, None, "text/plain", String::new());
    }
    let mut response = answer(StatusCode::OK, None, "text/plain", String::new());
    response.headers_mut().insert("webhook-allowed-origin", origin);
    response.headers_mut().insert("webhook-allowed-rate", axum::http::HeaderValue::from_static("*"));
    response.headers_mut().insert("allow", axum::http::HeaderValue::from_static("POST, OPTIONS"));
    response
}

fn is_known(desk: &Desk, query: Option<&str>, headers: &HeaderMap) -> bool {
    if desk.doors.event_grid.is_open() {
        return true;
    }
    let header = |name: &str| headers.get(name).and_then(|h| h.to_str().ok());
    let bearer = header("authorization").and_then(|h| h.strip_prefix("Bearer "));
    let in_query = query.into_iter().flat_map(|q| q.split('&')).filter_map(|pair| pair.split_once('='));
    let in_query =
        in_query.filter(|(name, _)| matches!(*name, "code" | "key")).map(|(_, value)| unescape(value));
    in_query
        .chain([header("aeg-sas-key"), bearer].into_iter().flatten().map(str::to_owned))
        .any(|key| desk.doors.event_grid.accept(&key))
}

/// A query value without its percent escapes.
fn unescape(value: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        let mut rest = bytes.clone();
        let pair = [rest.next(), rest.next()];
        match (byte, pair) {
            (b'%', [Some(high), Some(low)]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let digit = |b: u8| char::from(b).to_digit(16).unwrap_or(0) as u8;
                out.push(digit(high) << 4 | digit(low));
                bytes = rest;
            }
            (b'+', _) => out.push(b' '),
            _ => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
