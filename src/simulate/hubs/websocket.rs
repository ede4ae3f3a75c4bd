//! AMQP in the binary frames of a WebSocket.

use std::io;

use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

use super::wire::Duplex;

/// Bytes under way in one direction.
const ROOM: usize = 64 * 1024;

/// Answers the upgrade, and gives the bytes inside.
pub async fn accept(stream: Box<dyn Duplex>) -> io::Result<DuplexStream> {
    let socket = accept_hdr_async(stream, agree).await.map_err(io::Error::other)?;
    let (near, far) = duplex(ROOM);
    tokio::spawn(pump(socket, far));
    Ok(near)
}

/// Clients hang up unless the subprotocol that they asked for is named: `amqp` in Rust, `AMQPWSB10` in
/// JavaScript.
#[expect(clippy::result_large_err, reason = "the signature is the library's")]
fn agree(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let asked = request.headers().get("Sec-WebSocket-Protocol").and_then(|value| value.to_str().ok());
    let first = asked.and_then(|names| names.split(',').next()).map_or("amqp", str::trim);
    if let Ok(value) = HeaderValue::from_str(first) {
        response.headers_mut().insert("Sec-WebSocket-Protocol", value);
    }
    Ok(response)
}

/// Carries bytes both ways until either side ends.
async fn pump(mut socket: WebSocketStream<Box<dyn Duplex>>, mut far: DuplexStream) {
    let mut buffer = vec![0; ROOM];
    loop {
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Binary(bytes))) => {
                    if far.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
                // Pings are answered by the library.
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return,
            },
            read = far.read(&mut buffer) => {
                let taken = read.ok().filter(|read| *read > 0).and_then(|read| buffer.get(..read));
                let Some(bytes) = taken else { return };
                if socket.send(Message::binary(bytes.to_vec())).await.is_err() {
                    return;
                }
            }
        }
    }
}
