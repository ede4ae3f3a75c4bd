//! TLS and WebSockets. Trust is process-wide for the Rust client, so its half runs in a process of its own.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use agentrail::simulate::hubs::{Hubs, Options};
use azure_messaging_eventhubs::models::AmqpTransport;
use azure_messaging_eventhubs::{ConsumerClient, ProducerClient, StartLocation};
use serde_json::json;

use crate::hubs::client::{SOON, Word, anew, bodies, from, prepare, receiver, server_with, soon, take};
use crate::hubs::javascript::{Peer, with_peer};

/// Where the half in the other process finds the server; without it, it has nothing to do.
const ENDPOINT: &str = "HUBS_ENDPOINT";

async fn secure() -> (Hubs, tempfile::NamedTempFile) {
    let hubs = server_with(Options { tls: true, ..Options::default() }).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), hubs.certificate().unwrap()).unwrap();
    (hubs, file)
}

async fn other_half(hubs: &Hubs, certificate: &tempfile::NamedTempFile, test: &str) {
    let child = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("SSL_CERT_FILE", certificate.path())
        .env(ENDPOINT, hubs.endpoint())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .output();
    // It may begin anew itself.
    let output = tokio::time::timeout(SOON * 4, child).await.expect("the other half ends").unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// Sends an event and reads it.
async fn round_trip(endpoint: &str, transport: AmqpTransport) {
    prepare();
    let host = Options::default().host;
    let opened = ProducerClient::builder()
        .with_custom_endpoint(endpoint.to_owned())
        .with_transport(transport)
        .open(&host, "h", Arc::new(Word("a word")));
    let producer = soon("opening", opened).await.unwrap();
    soon("sending", producer.send_event("through", None)).await.unwrap();
    let opened = ConsumerClient::builder()
        .with_custom_endpoint(endpoint.to_owned())
        .with_transport(transport)
        .open(&host, "h".to_owned(), Arc::new(Word("a word")));
    let consumer = soon("opening", opened).await.unwrap();
    let reader = receiver(&consumer, "0", from(StartLocation::Earliest, false)).await;
    assert_eq!(bodies(&take(&reader, 1).await.unwrap()), ["through"]);
}

#[test]
fn tls_half() {
    anew(async || {
        let Ok(endpoint) = std::env::var(ENDPOINT) else { return };
        round_trip(&endpoint, AmqpTransport::Tcp).await;
    });
}

#[test]
fn websocket_half() {
    anew(async || {
        let Ok(endpoint) = std::env::var(ENDPOINT) else { return };
        round_trip(&endpoint, AmqpTransport::WebSocket).await;
    });
}

#[test]
fn the_rust_client_speaks_tls() {
    anew(async || {
        let (hubs, certificate) = secure().await;
        other_half(&hubs, &certificate, "hubs::tls::tls_half").await;
        assert!(!hubs.events("h", "0").unwrap().is_empty());
    });
}

#[test]
fn the_rust_client_speaks_websocket() {
    anew(async || {
        let (hubs, certificate) = secure().await;
        other_half(&hubs, &certificate, "hubs::tls::websocket_half").await;
        assert!(!hubs.events("h", "0").unwrap().is_empty());
    });
}

#[test]
fn nobody_trusts_the_certificate_unasked() {
    anew(async || {
        let (hubs, _) = secure().await;
        let opened = ConsumerClient::builder().with_custom_endpoint(hubs.endpoint()).open(
            hubs.host(),
            "h".to_owned(),
            Arc::new(Word("a word")),
        );
        assert!(soon("opening", opened).await.is_err());
    });
}

#[test]
fn plain_is_served_beside_tls() {
    anew(async || {
        let (hubs, _) = secure().await;
        round_trip(&format!("amqp://127.0.0.1:{}", hubs.port()), AmqpTransport::Tcp).await;
    });
}

async fn javascript_through(folder: &Path, websocket: bool) {
    let (hubs, certificate) = secure().await;
    let endpoint = format!("sb://localhost:{}", hubs.port());
    let trust = [("NODE_EXTRA_CA_CERTS", certificate.path())];
    let given = json!({
        "endpoint": endpoint,
        "websocket": websocket,
        "batches": [{ "partitionId": "0", "bodies": ["through"] }],
    });
    Peer::start(folder, &hubs.connection_string(), "send", &given, &trust).said().await;
    let given = json!({ "endpoint": endpoint, "websocket": websocket, "partition": "0", "count": 1 });
    let said = Peer::start(folder, &hubs.connection_string(), "receive", &given, &trust).said().await;
    assert_eq!(said["events"][0]["body"], "through", "{said}");
}

#[test]
fn the_javascript_client_speaks_tls() {
    with_peer(async |folder| javascript_through(folder, false).await);
}

#[test]
fn the_javascript_client_speaks_websocket() {
    with_peer(async |folder| javascript_through(folder, true).await);
}
