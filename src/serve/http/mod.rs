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

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::door::{self, Certificate, DoorError};
use super::gate::Gate;
use super::sessions::{Guesses, Sessions};
pub use metrics::{Metric, MoreMetrics, Sample};

/// How the door runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it listens, as `127.0.0.1:8080`.
    pub listen: String,
    /// What TLS is served with; beyond this machine there must be one.
    pub certificate: Certificate,
    /// Connections at once; the next ones are told to come back.
    pub connections: usize,
    /// What `/metrics` says besides its own.
    pub metrics: MoreMetrics,
}

/// A door for HTTP that cannot open.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error(transparent)]
    Door(#[from] DoorError),
    #[error("find the address of the listener")]
    Address(#[source] std::io::Error),
}

impl Settings {
    /// Whether the door could open as it is set, without opening it.
    pub fn check(&self, asks_who: bool) -> Result<(), HttpError> {
        let tls = self.certificate.config(&PROTOCOLS)?;
        door::address(&self.listen, tls.is_some(), asks_who)?;
        Ok(())
    }
}

/// What is spoken, by the names that TLS settles on.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

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

/// Takes the port; answers nothing yet.
pub async fn bind(settings: &Settings, gate: &Gate) -> Result<TcpListener, HttpError> {
    let tls = settings.certificate.config(&PROTOCOLS)?;
    let address = door::address(&settings.listen, tls.is_some(), !gate.directory().is_open())?;
    Ok(door::bind(address).await?)
}

/// Serves until `stopped` ends; answers under way are finished within a moment.
pub async fn serve(
    settings: Settings,
    gate: Arc<Gate>,
    stopped: impl Future<Output = ()> + Send,
) -> Result<(), HttpError> {
    let listener = bind(&settings, &gate).await?;
    serve_on(listener, settings, gate, stopped).await
}

/// Serves on a port that [`bind`] took.
pub async fn serve_on(
    listener: TcpListener,
    settings: Settings,
    gate: Arc<Gate>,
    stopped: impl Future<Output = ()> + Send,
) -> Result<(), HttpError> {
    let tls = settings.certificate.config(&PROTOCOLS)?;
    let address = listener.local_addr().map_err(HttpError::Address)?;
    // The port can have been taken by other means than `bind`.
    door::address(&address.to_string(), tls.is_some(), !gate.directory().is_open())?;
    let most = settings.connections.max(1);
    let room = Arc::new(Semaphore::new(most));
    let desk = Arc::new(Desk {
        gate,
        sessions: Sessions::default(),
        guesses: Guesses::default(),
        is_secure: tls.is_some(),
        room: room.clone(),
        most_connections: most,
        metrics: settings.metrics,
    });
    tracing::info!(%address, tls = tls.is_some(), "the HTTP door is open");
    let tls = tls.map(TlsAcceptor::from);
    listener::accept(listener, tls, routes::router(desk), room, stopped).await;
    Ok(())
}
