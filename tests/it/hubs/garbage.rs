//! What is not AMQP, or not for long: the server has to outlive it.

use agentrail::simulate::hubs::{Hubs, Options};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::hubs::client::{anew, consumer, server, server_with, soon};

const SASL: &[u8] = b"AMQP\x03\x01\x00\x00";
const AMQP: &[u8] = b"AMQP\x00\x01\x00\x00";
/// Asks to be let in anonymously.
const INIT: &[u8] = &[
    0, 0, 0, 25, 2, 1, 0, 0, 0x00, 0x53, 0x41, 0xc0, 0x0c, 0x01, 0xa3, 0x09, b'A', b'N', b'O', b'N', b'Y',
    b'M', b'O', b'U', b'S',
];
/// Opens a connection as container `x`.
const OPEN: &[u8] = &[0, 0, 0, 16, 2, 0, 0, 0, 0x00, 0x53, 0x10, 0xc0, 0x04, 0x01, 0xa1, 0x01];

async fn throw(hubs: &Hubs, parts: &[&[u8]]) {
    let mut socket = TcpStream::connect(("127.0.0.1", hubs.port())).await.unwrap();
    for part in parts {
        // The server may have hung up already.
        let _ = socket.write_all(part).await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let _ = socket.shutdown().await;
    let mut rest = Vec::new();
    let _ = soon("the server to hang up", socket.read_to_end(&mut rest)).await;
}

/// Bytes from a seed, the same each time.
fn noise(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..count).map(|_| next()).collect()
}

#[test]
fn garbage_is_survived() {
    anew(async || {
        let hubs = server().await;
        let open = [OPEN, b"x"].concat();
        for seed in 0..12 {
            let noise = noise(seed, 300);
            throw(&hubs, &[&noise]).await;
            throw(&hubs, &[b"AMQP", &noise]).await;
            throw(&hubs, &[SASL, &noise]).await;
            throw(&hubs, &[SASL, INIT, AMQP, &open, &noise]).await;
            // A frame of AMQP whose content is noise.
            let frame = [&[0, 0, 1, 0x34, 2, 0, 0, 0], noise.as_slice()].concat();
            throw(&hubs, &[SASL, INIT, AMQP, &open, &frame]).await;
            let frame = [&[0, 0, 1, 0x37, 2, 0, 0, 0, 0x00, 0x53, 0x11 + (seed as u8 % 6)], noise.as_slice()]
                .concat();
            throw(&hubs, &[SASL, INIT, AMQP, &open, &frame]).await;
        }
        throw(&hubs, &[b"GET / HTTP/1.1\r\n\r\n"]).await;
        throw(&hubs, &[&[0x16, 3, 1, 0, 5], b"hello"]).await;
        throw(&hubs, &[&[0xff; 70_000]]).await;
        let client = consumer(&hubs).await;
        soon("properties", client.get_eventhub_properties()).await.unwrap();
    });
}

#[test]
fn garbage_within_tls_is_survived() {
    anew(async || {
        let hubs = server_with(Options { tls: true, ..Options::default() }).await;
        throw(&hubs, &[&[0x16, 3, 1, 0xff, 0xff], &noise(1, 500)]).await;
        throw(&hubs, &[b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"]).await;
        let plain = format!("amqp://127.0.0.1:{}", hubs.port());
        let opened = azure_messaging_eventhubs::ConsumerClient::builder().with_custom_endpoint(plain).open(
            hubs.host(),
            "h".to_owned(),
            std::sync::Arc::new(crate::hubs::client::Word("w")),
        );
        let client = soon("opening", opened).await.unwrap();
        soon("properties", client.get_eventhub_properties()).await.unwrap();
    });
}
