//! Azure DevOps service hooks.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::hec::basic;
use super::{Desk, answer};

/// The header by which a subscription may send its credential instead of basic authentication.
const SECRET: &str = "x-agentrail-secret";

pub(super) async fn hook(State(desk): State<Arc<Desk>>, headers: HeaderMap, body: Body) -> Response {
    if !desk.doors.hooks.is_open() {
        let header = |name: &str| headers.get(name).and_then(|h| h.to_str().ok());
        let pair = header("authorization").and_then(|h| h.strip_prefix("Basic ")).and_then(basic);
        let sent = pair.or_else(|| header(SECRET).map(str::to_owned));
        if !sent.is_some_and(|s| desk.doors.hooks.accept(&s)) {
            let mut response = answer(
                StatusCode::UNAUTHORIZED,
                None,
                "text/plain",
                "sign in with basic authentication or X-Agentrail-Secret\n".to_owned(),
            );
            response.headers_mut().insert(
                "www-authenticate",
                axum::http::HeaderValue::from_static("Basic realm=\"agentrail\""),
            );
            return response;
        }
    }
    let _place = match desk.enter() {
        Ok(place) => place,
        Err(refused) => return refused.plain(),
    };
    let bytes = match desk.read(body).await {
        Ok(bytes) if bytes.is_empty() => {
            return answer(StatusCode::BAD_REQUEST, None, "text/plain", "the body is empty\n".to_owned());
        }
        Ok(bytes) => bytes,
        Err(refused) => return refused.plain(),
    };
    match desk.deliver(bytes, "webhook/hooks").await {
        Ok(()) => answer(StatusCode::OK, None, "text/plain", String::new()),
        Err(refused) => refused.plain(),
    }
}
