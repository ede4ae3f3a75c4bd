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
mod refused;
mod rows;
mod socket;
mod startup;
mod statement;
mod variables;

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::accept::{Accepted, accept};
use super::door::{self, Certificate, DoorError};
use super::gate::Gate;
use cancel::{Connections, Running};
use handlers::Handlers;

/// How the door stands.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Address and port.
    pub listen: String,
    pub certificate: Certificate,
    /// Connections at once; further ones are told so.
    pub connections: usize,
}

/// What a client may ask for by ALPN.
const PROTOCOL: &[u8] = b"postgresql";

/// A door that is open.
pub struct Open {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    tls_only: bool,
    connections: usize,
}

impl Settings {
    /// Whether the door could be opened as it is set; does not open it.
    pub fn check(&self, asks_who: bool) -> Result<(), DoorError> {
        self.certificate.config(&[PROTOCOL])?;
        door::address(&self.listen, !self.certificate.chain.as_os_str().is_empty(), asks_who).map(drop)
    }
}

/// Takes the port; connections wait until the door is served.
pub async fn bind(settings: &Settings, gate: &Gate) -> Result<Open, DoorError> {
    let tls = settings.certificate.config(&[PROTOCOL])?.map(TlsAcceptor::from);
    let address = door::address(&settings.listen, tls.is_some(), !gate.directory().is_open())?;
    let listener = door::bind(address).await?;
    // A certificate of the client is asked for in TLS alone.
    let tls_only = !address.ip().is_loopback() || !settings.certificate.clients.as_os_str().is_empty();
    Ok(Open { listener, tls, tls_only, connections: settings.connections.max(1) })
}

impl Open {
    /// The address that was taken, with its port.
    pub fn address(&self) -> std::io::Result<std::net::SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stopped` ends; queries under way may go on for a moment.
    pub async fn serve(self, gate: Arc<Gate>, stopped: impl Future<Output = ()>) {
        let room = Arc::new(Semaphore::new(self.connections));
        let all = Arc::new(Connections::default());
        let numbers = AtomicI32::new(1);
        let conversation = |accepted: Accepted| {
            let handlers = Handlers {
                gate: gate.clone(),
                connections: all.clone(),
                running: Arc::new(Running::default()),
                pid: numbers.fetch_add(1, Ordering::Relaxed) & i32::MAX,
                tls_only: self.tls_only,
                is_full: accepted.is_refused,
                sign_in: tokio::sync::Mutex::default(),
                conversation: OnceLock::new(),
            };
            let tls = self.tls.clone();
            async move {
                if let Err(error) = socket::converse(accepted.stream, tls, Arc::new(handlers)).await {
                    tracing::debug!(%error, "a connection of the postgres door ended");
                }
            }
        };
        accept(self.listener, room, stopped, conversation).await;
    }
}
