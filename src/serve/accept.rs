//! The accept loop of every door: so many connections, some more that are told so, a moment to end in.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Those that are told that there is no room, at once; the next ones are hung up on.
const MOST_REFUSALS: usize = 64;
/// How long what is under way may take once the door closes.
const GRACE: Duration = Duration::from_secs(5);

/// A connection that was accepted.
pub(super) struct Accepted {
    pub stream: TcpStream,
    pub peer: SocketAddr,
    /// Whether all room is taken: it can only be told so.
    pub is_refused: bool,
    /// Ends when the door closes.
    pub stop: CancellationToken,
}

/// Accepts connections until `stopped` ends, as many at once as there is room.
pub(super) async fn accept<F, Fut>(
    listener: TcpListener,
    room: Arc<Semaphore>,
    stopped: impl Future<Output = ()>,
    converse: F,
) where
    F: Fn(Accepted) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let mut stopped = pin!(stopped);
    let stop = CancellationToken::new();
    let refusals = Arc::new(Semaphore::new(MOST_REFUSALS));
    let mut tasks = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = &mut stopped => break,
            Some(_) = tasks.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, peer)) = accepted else {
            // Out of file descriptors, most likely: they come back as connections end.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let place = room.clone().try_acquire_owned().ok();
        let is_refused = place.is_none();
        let Some(place) = place.or_else(|| refusals.clone().try_acquire_owned().ok()) else { continue };
        let conversation = converse(Accepted { stream, peer, is_refused, stop: stop.clone() });
        tasks.spawn(async move {
            let _place = place;
            conversation.await;
        });
    }
    drop(listener);
    stop.cancel();
    let ended = async { while tasks.join_next().await.is_some() {} };
    if timeout(GRACE, ended).await.is_err() {
        tracing::warn!("answers under way were cut off: they took too long to end");
    }
    tasks.shutdown().await;
}
