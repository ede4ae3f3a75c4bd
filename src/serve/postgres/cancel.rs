//! Which query runs on which connection, so that another connection can cancel it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use pgwire::api::cancel::CancelHandler;
use pgwire::messages::cancel::CancelRequest;
use pgwire::messages::startup::SecretKey;
use tokio_util::sync::CancellationToken;

/// The query that runs on one connection.
#[derive(Debug, Default)]
pub(super) struct Running(Mutex<CancellationToken>);

impl Running {
    /// The token of a query that begins.
    pub fn begin(&self) -> CancellationToken {
        let token = CancellationToken::new();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = token.clone();
        token
    }

    fn cancel(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).cancel();
    }
}

/// The connections, by process id and secret.
#[derive(Debug, Default)]
pub(super) struct Connections(Mutex<HashMap<i32, (SecretKey, Arc<Running>)>>);

impl Connections {
    pub fn enter(&self, pid: i32, secret: SecretKey, running: Arc<Running>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(pid, (secret, running));
    }

    pub fn leave(&self, pid: i32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&pid);
    }
}

#[async_trait]
impl CancelHandler for Connections {
    async fn on_cancel_request(&self, request: CancelRequest) {
        let connections = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A secret of 32 random bits is guessed over the network in years, whatever the comparison takes.
        let Some((secret, running)) = connections.get(&request.pid) else { return };
        if bytes(secret) == bytes(&request.secret_key) {
            running.cancel();
        }
    }
}

/// The connection that cancels has not said which form of the secret it has.
fn bytes(secret: &SecretKey) -> Vec<u8> {
    match secret {
        SecretKey::I32(number) => number.to_be_bytes().to_vec(),
        SecretKey::Bytes(bytes) => bytes.to_vec(),
    }
}
