//! The door for Arrow Flight SQL: ADBC and JDBC drivers, and whatever reads columns.
//!
//! ```text
//! connection --> service   one method a call  --> sign_in    who is it?
//!                                             --> catalogue  tables, columns, keys; about: what the server can
//!                                             --> statement  plan, Gate, rows
//!                                             --> held       questions, prepared statements, running queries
//! ```
//!
//! # Why not the library's own `FlightSqlService`?
//!
//! It answers neither `GetSchema` nor `CancelFlightInfo`, and reads messages of a `DoPut` before it is known who
//! sends them.

mod about;
mod catalogue;
mod held;
mod refused;
mod service;
mod session;
mod sign_in;
mod statement;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use axum::Router;
use axum::body::Body;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tonic::Code;
use tonic::service::Routes;

use super::accept::{Accepted, accept};
use super::converse::{Spoken, converse};
use super::door::{self, Certificate, DoorError};
use super::gate::Gate;
use refused::refused;
use service::Door;

/// How the door stands.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Address and port.
    pub listen: String,
    pub certificate: Certificate,
    /// Connections at once; further ones are told so.
    pub connections: usize,
}

/// What a client settles on by ALPN: gRPC is spoken in HTTP/2 alone.
const PROTOCOL: &[u8] = b"h2";
/// Bytes of one message of a client.
const MOST_MESSAGE: usize = 1 << 20;
/// How long a connection on which nobody has signed in may stay.
const STRANGERS: Duration = Duration::from_secs(30);
/// How long one that is refused may take to hear it.
const REFUSAL_TIME: Duration = Duration::from_secs(3);

/// A door that is open.
pub struct Open {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    connections: usize,
}

impl Settings {
    /// Whether the door could be opened as it is set; does not open it.
    pub fn check(&self, asks_who: bool) -> Result<(), DoorError> {
        let tls = self.certificate.config(&[PROTOCOL])?;
        door::address(&self.listen, tls.is_some(), asks_who).map(drop)
    }
}

/// Takes the port; connections wait until the door is served.
pub async fn bind(settings: &Settings, gate: &Gate) -> Result<Open, DoorError> {
    let tls = settings.certificate.config(&[PROTOCOL])?.map(TlsAcceptor::from);
    let address = door::address(&settings.listen, tls.is_some(), !gate.directory().is_open())?;
    Ok(Open { listener: door::bind(address).await?, tls, connections: settings.connections.max(1) })
}

impl Open {
    /// The address that was taken, with its port.
    pub fn address(&self) -> std::io::Result<std::net::SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stopped` ends; answers under way may go on for a moment.
    pub async fn serve(self, gate: Arc<Gate>, stopped: impl Future<Output = ()>) {
        let service = FlightServiceServer::new(Door::new(gate)).max_decoding_message_size(MOST_MESSAGE);
        let router = Routes::new(service).prepare().into_axum_router();
        let full = Router::new().fallback(|| async {
            let says = "connect: as many connections as allowed are open; try again later";
            refused(Code::ResourceExhausted, says).into_http::<Body>()
        });
        let conversation = |accepted: Accepted| {
            let (tls, router, full) = (self.tls.clone(), router.clone(), full.clone());
            async move {
                if accepted.is_refused {
                    let spoken = Spoken::Two { strangers: REFUSAL_TIME };
                    let _ = timeout(REFUSAL_TIME * 2, converse(accepted, tls, full, spoken)).await;
                } else {
                    converse(accepted, tls, router, Spoken::Two { strangers: STRANGERS }).await;
                }
            }
        };
        accept(self.listener, Arc::new(Semaphore::new(self.connections)), stopped, conversation).await;
    }
}
