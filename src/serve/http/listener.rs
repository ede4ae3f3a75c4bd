//! The connections of the door: conversations while there is room, else a word to come back.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::serve::accept;
use crate::serve::converse::{Spoken, converse};

/// Accepts connections until `stopped` ends.
pub(super) async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    room: Arc<Semaphore>,
    stopped: impl Future<Output = ()>,
) {
    let conversation = |accepted: accept::Accepted| {
        let (tls, router) = (tls.clone(), router.clone());
        async move {
            match (accepted.is_refused, tls) {
                (false, tls) => converse(accepted, tls, router, Spoken::Either).await,
                (true, None) => _ = timeout(Duration::from_secs(1), refuse(accepted.stream)).await,
                // Inside TLS a refusal would cost what it is to save.
                (true, Some(_)) => {}
            }
        }
    };
    accept::accept(listener, room, stopped, conversation).await;
}

async fn refuse(mut stream: TcpStream) {
    let says = "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\
        \"detail\":\"failed to take another connection: as many as allowed are open; come back in a second\"}\n";
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 1\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{says}",
        says.len()
    );
    // A connection closed over unread bytes is reset, and what was said is lost.
    let mut ignored = [0; 4096];
    let _ = timeout(Duration::from_millis(200), stream.read(&mut ignored)).await;
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.shutdown().await;
}
