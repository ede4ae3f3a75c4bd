//! One connection, message by message: each of a bounded size, and the sign-in within a time.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures::SinkExt as _;
use pgwire::api::{ClientInfo as _, PgWireConnectionState};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::PgWireFrontendMessage;
use pgwire::messages::extendedquery::{TARGET_TYPE_BYTE_PORTAL, TARGET_TYPE_BYTE_STATEMENT};
use pgwire::tokio::server::{
    MaybeTls, PgWireMessageServerCodec, negotiate_tls, process_error, process_message,
};
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::codec::{Decoder as _, Framed};

use super::handlers::{Handlers, Stored};
use super::refused::{error, fatal};
use super::texts::Texts;
use crate::serve::accept::Accepted;

/// From the first byte to the end of the sign-in.
const SIGN_IN_TIME: Duration = Duration::from_secs(20);
/// One message: a statement, or the values of its parameters.
const MOST_MESSAGE: usize = 1 << 20;
/// What a connection may have kept for it, as it was sent; parsed it takes some ten times as much.
const MOST_KEPT: usize = 4 << 20;
/// What is kept of the type of a parameter.
const TYPE: usize = 32;

type Socket = Framed<MaybeTls, PgWireMessageServerCodec<Stored>>;

/// Answers one connection until it ends, or the door closes while nothing is asked.
///
/// The protocol's own loop would take messages of a gigabyte into memory, and leave a minute for the sign-in.
pub(super) async fn converse(
    accepted: Accepted,
    tls: Option<TlsAcceptor>,
    handlers: Arc<Handlers>,
) -> io::Result<()> {
    let Accepted { stream, stop, .. } = accepted;
    let mut kept = Kept::default();
    let begin = async {
        let Some(mut socket) = negotiate_tls::<Stored>(stream, tls).await? else { return Ok(None) };
        while is_starting(&socket) {
            let Some(message) = next(&mut socket).await? else { return Ok(None) };
            if !answer(&mut socket, message, &handlers, &mut kept).await? {
                return Ok(None);
            }
        }
        io::Result::Ok(Some(socket))
    };
    let begun = tokio::select! {
        begun = timeout(SIGN_IN_TIME, begin) => begun,
        () = stop.cancelled() => return Ok(()),
    };
    let Ok(begun) = begun else { return Ok(()) };
    let Some(mut socket) = begun? else { return Ok(()) };
    loop {
        let message = tokio::select! {
            // What was sent already is answered to its end.
            biased;
            message = next(&mut socket) => message?,
            () = stop.cancelled() => {
                let says = "failed to go on: the server is stopped; connect again when it is back";
                return process_error(&mut socket, fatal("57P01", says), false).await;
            }
        };
        let Some(message) = message else { return Ok(()) };
        if !answer(&mut socket, message, &handlers, &mut kept).await? {
            return Ok(());
        }
    }
}

fn is_starting(socket: &Socket) -> bool {
    use PgWireConnectionState::{AuthenticationInProgress, AwaitingStartup};
    matches!(socket.state(), AwaitingStartup | AuthenticationInProgress)
}

/// What a client has named, and how many bytes of it are kept for it.
#[derive(Default)]
struct Kept {
    bytes: HashMap<(u8, String), usize>,
    texts: Texts,
}

impl Kept {
    /// Takes note of a message that names something, or forgets it; of its values, those that are texts here
    /// are put so.
    fn take(&mut self, message: &mut PgWireFrontendMessage) -> PgWireResult<()> {
        self.note(message)?;
        self.texts.put(message);
        Ok(())
    }

    fn note(&mut self, message: &PgWireFrontendMessage) -> PgWireResult<()> {
        let named = |kind: u8, name: &Option<String>| (kind, name.clone().unwrap_or_default());
        let (name, bytes) = match message {
            PgWireFrontendMessage::Parse(parse) => {
                let types = parse.type_oids.len() * TYPE;
                (named(TARGET_TYPE_BYTE_STATEMENT, &parse.name), parse.query.len() + types)
            }
            PgWireFrontendMessage::Bind(bind) => {
                let bytes = bind.parameters.iter().flatten().map(bytes::Bytes::len).sum();
                (named(TARGET_TYPE_BYTE_PORTAL, &bind.portal_name), bytes)
            }
            PgWireFrontendMessage::Close(close) => {
                self.bytes.remove(&named(close.target_type, &close.name));
                return Ok(());
            }
            _ => return Ok(()),
        };
        let others: usize = self.bytes.iter().filter(|(own, _)| **own != name).map(|(_, bytes)| bytes).sum();
        // A name takes room as well.
        let bytes = bytes + name.1.len() + 1024;
        if others + bytes > MOST_KEPT {
            return Err(error("53400", "failed to keep another prepared statement: close some first"));
        }
        self.bytes.insert(name, bytes);
        Ok(())
    }
}

/// Answers a message; whether the connection goes on.
async fn answer(
    socket: &mut Socket,
    mut message: PgWireFrontendMessage,
    handlers: &Arc<Handlers>,
    kept: &mut Kept,
) -> io::Result<bool> {
    let was_starting = is_starting(socket);
    let waits_for_sync = match socket.state() {
        PgWireConnectionState::CopyInProgress(is_extended) => is_extended,
        _ => message.is_extended_query(),
    };
    let noted = match socket.state() {
        PgWireConnectionState::AwaitingSync => Ok(()),
        _ => kept.take(&mut message),
    };
    let own = || handlers.clone();
    let cancels = handlers.connections.clone();
    let answered = match noted {
        Ok(()) => process_message(message, socket, own(), own(), own(), own(), cancels).await,
        Err(error) => Err(error),
    };
    let Err(error) = answered else { return Ok(true) };
    // Whoever did not sign in is not asked for more, whatever went wrong.
    let is_end = was_starting || matches!(&error, PgWireError::UserError(info) if info.is_fatal());
    process_error(socket, error, waits_for_sync).await?;
    Ok(!is_end)
}

/// The next message; `None` at the end, or where the client says that it leaves.
async fn next(socket: &mut Socket) -> io::Result<Option<PgWireFrontendMessage>> {
    let mut buffer = std::mem::take(socket.read_buffer_mut());
    let read = read(socket, &mut buffer).await;
    *socket.read_buffer_mut() = buffer;
    match read {
        Ok(Some(PgWireFrontendMessage::Terminate(_))) => Ok(None),
        Ok(message) => Ok(message),
        // Behind what is not understood there is nothing that can be.
        Err(error) => {
            let says = match error {
                PgWireError::IoError(error) => return Err(error),
                error => error.to_string(),
            };
            process_error(socket, fatal("08P01", format!("failed to read a message: {says}")), false).await?;
            Ok(None)
        }
    }
}

async fn read(
    socket: &mut Socket,
    buffer: &mut BytesMut,
) -> Result<Option<PgWireFrontendMessage>, PgWireError> {
    loop {
        // A message has a letter before its length, but for the first one.
        let from = usize::from(!matches!(socket.state(), PgWireConnectionState::AwaitingStartup));
        if let Some(length) = buffer.get(from..from + 4) {
            let length = length.iter().fold(0_usize, |all, byte| all << 8 | usize::from(*byte));
            if length > MOST_MESSAGE {
                return Err(PgWireError::MessageTooLarge(MOST_MESSAGE, length));
            }
        }
        if let Some(message) = socket.codec_mut().decode(buffer)? {
            return Ok(Some(message));
        }
        // What was answered is on its way before the next question is waited for.
        socket.flush().await?;
        if socket.get_mut().read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}
