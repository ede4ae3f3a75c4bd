//! The door for what speaks PostgreSQL's protocol: psql, drivers, notebooks, Grafana, DBeaver.
//!
//! ```text
//! socket --> startup   who is it, over TLS?
//!        --> handlers  messages    --> statement     what is asked
//!                                  --> conversation  settings, cursors, pg_catalog --> Gate --> rows
//!        --> cancel    another connection stops a query
//! ```

mod bearer;
mod cancel;
mod catalogue;
mod clients;
mod conversation;
mod handlers;
mod information;
mod laid;
mod names;
mod refused;
mod rows;
mod socket;
mod startup;
mod statement;
mod texts;
mod values;
mod variables;

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::Semaphore;

use super::accept::{Accepted, accept};
use super::door::Open;
use super::gate::Gate;
use cancel::{Connections, Running};
use handlers::Handlers;

/// Serves until `stopped` ends; queries under way may go on for a moment.
pub async fn serve(open: Open, gate: Arc<Gate>, stopped: impl Future<Output = ()>) {
    // A certificate of the client is asked for in TLS alone.
    let tls_only = !open.address.ip().is_loopback() || open.asks_certificates;
    let room = Arc::new(Semaphore::new(open.connections));
    let all = Arc::new(Connections::default());
    let numbers = AtomicI32::new(1);
    let conversation = |accepted: Accepted| {
        let handlers = Handlers {
            gate: gate.clone(),
            connections: all.clone(),
            running: Arc::new(Running::default()),
            pid: numbers.fetch_add(1, Ordering::Relaxed) & i32::MAX,
            tls_only,
            is_full: accepted.is_refused,
            sign_in: tokio::sync::Mutex::default(),
            conversation: OnceLock::new(),
        };
        let tls = open.tls.clone();
        async move {
            if let Err(error) = socket::converse(accepted, tls, Arc::new(handlers)).await {
                tracing::debug!(%error, "a connection of the postgres door ended");
            }
        }
    };
    accept(open.listener, room, stopped, conversation).await;
}
