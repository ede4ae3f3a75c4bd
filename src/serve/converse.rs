//! HTTP on one connection, within bounds: heads within a time, readers that read, strangers that do not stay.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::accept::Accepted;

/// How long a handshake, and the head of a request, may take.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How long a reader may take nothing of what it is sent.
const STALL_TIME: Duration = Duration::from_secs(30);
/// The head of a request, in bytes and in lines.
const MOST_HEAD: usize = 32 << 10;
const MOST_HEADERS: usize = 64;
/// The bytes with which a connection of HTTP/2 begins.
const PREFACE: usize = 24;

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub SocketAddr);

/// Whether somebody has signed in on this connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Known(Arc<AtomicBool>);

impl Known {
    pub fn signed_in(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What is spoken on the connections of a door.
#[derive(Debug, Clone, Copy)]
pub(super) enum Spoken {
    /// HTTP/1.1, over TLS what was settled on.
    Either,
    /// HTTP/2 alone. A connection on which nobody signs in for so long is closed.
    Two { strangers: Duration },
}

/// Answers the requests of a connection with `router`.
pub(super) async fn converse(accepted: Accepted, tls: Option<TlsAcceptor>, router: Router, spoken: Spoken) {
    let Accepted { stream, peer, stop, .. } = accepted;
    let talk = Talk { peer, router, spoken, stop };
    match tls {
        None => talk.on(stream, false).await,
        Some(tls) => {
            let Ok(Ok(stream)) = timeout(HEAD_TIME, tls.accept(stream)).await else { return };
            let is_two = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            talk.on(stream, is_two).await;
        }
    }
}

struct Talk {
    peer: SocketAddr,
    router: Router,
    spoken: Spoken,
    stop: CancellationToken,
}

impl Talk {
    async fn on<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self, stream: S, settled: bool) {
        let Talk { peer, router, spoken, stop } = self;
        let inner = TowerToHyperService::new(router);
        let known = Known::default();
        let asks = known.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            request.extensions_mut().insert(asks.clone());
            inner.call(request)
        });
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_buf_size(MOST_HEAD)
            .max_headers(MOST_HEADERS);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_header_list_size(MOST_HEAD as u32)
            .max_concurrent_streams(32)
            .keep_alive_interval(HEAD_TIME)
            .keep_alive_timeout(HEAD_TIME);
        // Left to find out by itself what is spoken, it would wait for the first bytes for ever.
        let (is_two, strangers) = match spoken {
            Spoken::Either => (settled, None),
            Spoken::Two { strangers } => (true, Some(strangers)),
        };
        let builder = if is_two { builder.http2_only() } else { builder.http1_only() };
        let strange = async {
            match strangers {
                Some(time) => sleep(time).await,
                None => std::future::pending().await,
            }
            if known.0.load(Ordering::Relaxed) {
                std::future::pending().await
            }
        };
        let stream = TokioIo::new(Patient::new(stream, is_two));
        let mut connection = pin!(builder.serve_connection(stream, service));
        tokio::select! {
            _ = connection.as_mut() => return,
            () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
            () = strange => {
                connection.as_mut().graceful_shutdown();
                // A request that is never sent whole does not keep a stranger either.
                let _ = timeout(HEAD_TIME, connection.as_mut()).await;
                return;
            }
        }
        let _ = connection.await;
    }
}

/// A stream that fails when the other side takes nothing for too long, or does not begin.
struct Patient<S> {
    inner: S,
    late: Pin<Box<Sleep>>,
    waits: bool,
    /// Until when it must have begun, and how much of that was read.
    begins: Option<(Pin<Box<Sleep>>, usize)>,
}

impl<S> Patient<S> {
    fn new(inner: S, is_two: bool) -> Patient<S> {
        // Of HTTP/1 the time of the head is bounded already.
        let begins = is_two.then(|| (Box::pin(sleep(HEAD_TIME)), 0));
        Patient { inner, late: Box::pin(sleep(STALL_TIME)), waits: false, begins }
    }

    /// What a write came to, unless it waits for too long.
    fn within<T>(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.waits = false;
            return poll;
        }
        if !self.waits {
            self.waits = true;
            self.late.as_mut().reset(Instant::now() + STALL_TIME);
        }
        match self.late.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let poll = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if let Some((late, read)) = &mut self.begins {
            *read += buffer.filled().len() - before;
            if *read >= PREFACE {
                self.begins = None;
            } else if poll.is_pending() && late.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        poll
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.within(cx, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.inner).poll_write_vectored(cx, bytes);
        self.within(cx, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.inner).poll_flush(cx);
        self.within(cx, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.within(cx, poll)
    }
}
