//! HTTP for people and tools: the API, health, metrics and the page, on one bounded listener.
//!
//! Invariants:
//! 1. Every question goes through the [`Gate`]; nothing here reads the lake by itself but for its health.
//! 2. Nothing is changed by a GET, and nothing is taken that another site can make a browser send; but for
//!    the one GET with which an issuer sends a browser back, which is bound to the browser that was sent away.
//! 3. Text from records reaches a page through the escaping of the page alone.
//!
//! # Why not `axum::serve`?
//!
//! It bounds neither connections nor slow heads, and a reader that stops reading holds its place for ever.

mod answer;
mod api;
mod guard;
mod health;
mod listener;
mod metrics;
mod openapi;
mod page;
mod problem;
mod question;
mod routes;
mod sign_in;

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::door::Open;
use super::gate::Gate;
use super::sessions::{Guesses, Sessions};
pub use metrics::{Metric, MoreMetrics, Sample};

/// What the handlers share.
struct Desk {
    gate: Arc<Gate>,
    sessions: Sessions,
    guesses: Guesses,
    /// Whether TLS is spoken.
    is_secure: bool,
    /// For the connections that are not open.
    room: Arc<Semaphore>,
    most_connections: usize,
    metrics: MoreMetrics,
}

/// Serves until `stopped` ends; answers under way are finished within a moment. `/metrics` says `metrics`
/// besides its own.
pub async fn serve(open: Open, gate: Arc<Gate>, metrics: MoreMetrics, stopped: impl Future<Output = ()>) {
    let room = Arc::new(Semaphore::new(open.connections));
    let desk = Arc::new(Desk {
        gate,
        sessions: Sessions::default(),
        guesses: Guesses::default(),
        is_secure: open.tls.is_some(),
        room: room.clone(),
        most_connections: open.connections,
        metrics,
    });
    listener::accept(open.listener, open.tls, routes::router(desk), room, stopped).await;
}
