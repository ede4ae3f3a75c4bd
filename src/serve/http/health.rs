//! Whether it lives, and whether it answers.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;

use super::Desk;
use super::problem::Problem;

/// How long the lake may take to say its newest version.
const READY: Duration = Duration::from_secs(5);

pub(super) async fn live() -> &'static str {
    "alive\n"
}

pub(super) async fn ready(State(desk): State<Arc<Desk>>) -> Result<&'static str, Problem> {
    match tokio::time::timeout(READY, desk.gate.lake().refresh()).await {
        Ok(Ok(())) => Ok("ready\n"),
        Ok(Err(error)) => {
            // Paths and addresses are for whoever reads the log.
            tracing::warn!(%error, "not ready: the lake cannot be read");
            Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "read the lake; the log of the server says why",
            ))
        }
        Err(_) => {
            let says = format!("read the lake within {} s", READY.as_secs());
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, says))
        }
    }
}
