//! Splunk's HTTP Event Collector, in its own codes.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use base64::Engine as _;

use super::{Desk, Refused, answer};

/// Events, raw or wrapped: which of the two they are is told by their content.
pub(super) async fn events(State(desk): State<Arc<Desk>>, headers: HeaderMap, body: Body) -> Response {
    if let Err(refusal) = sign_in(&desk, &headers) {
        return *refusal;
    }
    let _place = match desk.enter() {
        Ok(place) => place,
        Err(refused) => return refuse(&refused),
    };
    let bytes = match desk.read(body).await {
        Ok(bytes) if bytes.is_empty() => return code(StatusCode::BAD_REQUEST, "No data", 5, None),
        Ok(bytes) => bytes,
        Err(refused) => return refuse(&refused),
    };
    match desk.deliver(bytes, "webhook/hec").await {
        Ok(()) => code(StatusCode::OK, "Success", 0, None),
        Err(refused) => refuse(&refused),
    }
}

pub(super) async fn health() -> Response {
    code(StatusCode::OK, "HEC is healthy", 17, None)
}

/// A 200 says already what an indexer acknowledgement would: the events are durable.
pub(super) async fn acknowledgement() -> Response {
    code(StatusCode::BAD_REQUEST, "ACK is disabled", 14, None)
}

fn sign_in(desk: &Desk, headers: &HeaderMap) -> Result<(), Box<Response>> {
    if desk.doors.hec.is_open() {
        return Ok(());
    }
    let Some(header) = headers.get("authorization").and_then(|h| h.to_str().ok()) else {
        return Err(Box::new(code(StatusCode::UNAUTHORIZED, "Token is required", 2, None)));
    };
    let token = match header.split_once(' ') {
        Some(("Splunk" | "Bearer", token)) => token.trim().to_owned(),
        // The user's name does not matter, its password is the token.
        Some(("Basic", pair)) => {
            basic(pair).and_then(|p| Some(p.split_once(':')?.1.to_owned())).unwrap_or_default()
        }
        _ => return Err(Box::new(code(StatusCode::UNAUTHORIZED, "Invalid authorization", 3, None))),
    };
    if desk.doors.hec.accept(&token) {
        Ok(())
    } else {
        Err(Box::new(code(StatusCode::FORBIDDEN, "Invalid token", 4, None)))
    }
}

/// The `user:password` of a basic authorization.
pub(super) fn basic(pair: &str) -> Option<String> {
    String::from_utf8(base64::engine::general_purpose::STANDARD.decode(pair.trim()).ok()?).ok()
}

fn refuse(refused: &Refused) -> Response {
    let (says, number) = match refused {
        Refused::TooLarge => ("Request entity too large", 27),
        Refused::Unreadable => ("Invalid data format", 6),
        Refused::Busy(_) => ("Server is busy", 9),
        Refused::Failed => ("Internal server error", 8),
    };
    code(refused.status(), says, number, refused.retry_after())
}

fn code(status: StatusCode, text: &str, code: u32, retry_after: Option<String>) -> Response {
    answer(status, retry_after, "application/json", format!(r#"{{"text":"{text}","code":{code}}}"#))
}
