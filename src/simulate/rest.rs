//! The simulated organisation's REST API: its pages, tokens and moods.
//!
//! As unkind as the service is known to be: newest records first, two shapes of one page, a token as
//! text or number, an invalid escape now and then, and answers that are errors.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value as Json, json};

use super::{SimEvent, Spelling, World};
use crate::model::Time;

/// How the service behaves.
#[derive(Debug, Clone, Default)]
pub struct Moods {
    /// The `authorization` header that is accepted; empty accepts all.
    pub authorization: String,
    /// One in so many requests fails, each time in another way; 0 means none.
    pub fails_one_in: usize,
    /// Most records of a page, whatever is asked for.
    pub page: usize,
}

struct Service {
    world: World,
    moods: Moods,
    asked: AtomicUsize,
}

/// Serves the world on a port of loopback until the task is dropped; returns its address.
pub async fn serve(world: World, moods: Moods) -> std::io::Result<(SocketAddr, tokio::task::JoinHandle<()>)> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let service = Arc::new(Service { world, moods, asked: AtomicUsize::new(0) });
    let router = Router::new().fallback(answer).with_state(service);
    let task = tokio::spawn(async move {
        let _ = axum::serve(listener, router).await;
    });
    Ok((address, task))
}

async fn answer(State(service): State<Arc<Service>>, request: Request) -> Response {
    let header = request.headers().get("authorization").and_then(|h| h.to_str().ok()).unwrap_or_default();
    let moods = &service.moods;
    if !moods.authorization.is_empty() && header != moods.authorization {
        return (StatusCode::UNAUTHORIZED, "").into_response();
    }
    let n = service.asked.fetch_add(1, Ordering::Relaxed) + 1;
    if moods.fails_one_in > 0 && n.is_multiple_of(moods.fails_one_in) {
        return failure(n / moods.fails_one_in);
    }
    let path = request.uri().path().trim_start_matches('/');
    // The organisation comes first in every address.
    let path = path.split_once('/').map_or("", |(_, rest)| rest);
    let query = request.uri().query().unwrap_or_default();
    if path == "_apis/audit/auditlog" {
        return json_body(audit(&service, query, n));
    }
    match recorded(&service.world, path) {
        Some(body) => json_body(body),
        None => {
            (StatusCode::NOT_FOUND, axum::Json(json!({"message": "no such thing", "typeKey": "NotFound"})))
                .into_response()
        }
    }
}

fn json_body(text: String) -> Response {
    ([("content-type", "application/json; charset=utf-8")], text).into_response()
}

/// The ways in which the service fails, one after another.
fn failure(turn: usize) -> Response {
    match turn % 5 {
        0 => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "0")], "").into_response(),
        1 => (StatusCode::SERVICE_UNAVAILABLE, "").into_response(),
        2 => (
            StatusCode::NON_AUTHORITATIVE_INFORMATION,
            [("content-type", "text/html")],
            "<html>Sign in</html>",
        )
            .into_response(),
        3 => (StatusCode::INTERNAL_SERVER_ERROR, "{}").into_response(),
        // The connection breaks in the middle of a body.
        _ => {
            let parts = [Ok("{\"value\":["), Err(std::io::Error::other("cut"))];
            axum::body::Body::from_stream(futures::stream::iter(parts)).into_response()
        }
    }
}

/// A page of the audit log: newest first, the token says how many rows went before.
fn audit(service: &Service, query: &str, n: usize) -> String {
    let value = |name: &str| {
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    };
    let time = |name| value(name).and_then(|t| Time::parse(&t.replace("%3A", ":"))).unwrap_or_default();
    let (from, until) = (time("startTime"), time("endTime"));
    let asked: usize = value("batchSize").and_then(|n| n.parse().ok()).unwrap_or(200);
    let skip: usize =
        value("continuationToken").and_then(|t| t.trim_start_matches('p').parse().ok()).unwrap_or(0);
    let size = asked.min(service.moods.page.max(1));
    let rows: Vec<&SimEvent> =
        service.world.events().iter().rev().filter(|e| e.occurred >= from && e.occurred < until).collect();
    let records: Vec<Json> = rows.iter().skip(skip).take(size).map(|event| record(event)).collect();
    let next = skip + records.len();
    let more = next < rows.len();
    // One kind of page has its token as a number, the other as a text.
    let token = if n.is_multiple_of(2) { json!(next) } else { json!(format!("p{next}")) };
    let page = json!({"decoratedAuditLogEntries": records, "continuationToken": token, "hasMore": more});
    let page = if n.is_multiple_of(3) { json!({"value": page}) } else { page };
    // A field note: now and then an escape that JSON does not know.
    if n.is_multiple_of(4) {
        page.to_string().replacen("was modified", r"was \modified", 1)
    } else {
        page.to_string()
    }
}

fn record(event: &SimEvent) -> Json {
    let mut text = Vec::new();
    event.write(Spelling::Rest, &mut text);
    serde_json::from_slice(&text).unwrap_or_default()
}

/// The newest answer that a collector would have had from this path.
fn recorded(world: &World, path: &str) -> Option<String> {
    let found = world.captures().iter().rev().find_map(|line| {
        let line: Json = serde_json::from_str(line).ok()?;
        let own = line["url"].as_str()?.split_once("://")?.1.split_once('/')?.1.split_once('/')?.1;
        (own.split('?').next()? == path).then(|| line["body"].to_string())
    });
    // Projects are listed nowhere in the recording.
    found.or_else(|| {
        let projects: Vec<Json> = (0..2)
            .map(|p| {
                let (id, name) = super::world::project(p);
                json!({"id": id, "name": name, "state": "wellFormed"})
            })
            .collect();
        (path == "_apis/projects").then(|| json!({"count": projects.len(), "value": projects}).to_string())
    })
}
