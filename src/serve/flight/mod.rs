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
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tonic::Code;
use tonic::service::Routes;

use super::accept::{Accepted, accept};
use super::converse::{Spoken, converse};
use super::door::Open;
use super::gate::Gate;
use refused::refused;
use service::Door;

/// Bytes of one message of a client.
const MOST_MESSAGE: usize = 1 << 20;
/// How long a connection on which nobody has signed in may stay.
const STRANGERS: Duration = Duration::from_secs(30);
/// How long one that is refused may take to hear it.
const REFUSAL_TIME: Duration = Duration::from_secs(3);

/// Serves until `stopped` ends; answers under way may go on for a moment.
pub async fn serve(open: Open, gate: Arc<Gate>, stopped: impl Future<Output = ()>) {
    let service = FlightServiceServer::new(Door::new(gate)).max_decoding_message_size(MOST_MESSAGE);
    let router = Routes::new(service).prepare().into_axum_router();
    let full = Router::new().fallback(|| async {
        let says = "connect: as many connections as allowed are open; try again later";
        refused(Code::ResourceExhausted, says).into_http::<Body>()
    });
    let conversation = |accepted: Accepted| {
        let (tls, router, full) = (open.tls.clone(), router.clone(), full.clone());
        async move {
            if accepted.is_refused {
                let spoken = Spoken::Two { strangers: REFUSAL_TIME };
                let _ = timeout(REFUSAL_TIME * 2, converse(accepted, tls, full, spoken)).await;
            } else {
                converse(accepted, tls, router, Spoken::Two { strangers: STRANGERS }).await;
            }
        }
    };
    accept(open.listener, Arc::new(Semaphore::new(open.connections)), stopped, conversation).await;
}
