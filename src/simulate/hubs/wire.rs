//! A stream that can be cut or frozen on command, and that shows signs of life by itself.
//!
//! The library sends a heartbeat after exactly the idle time-out that the peer named, and gives a peer up
//! after exactly the one that it named itself: between two of its kind it is a toss who is faster. So empty
//! frames are slipped in between whole frames here, out whenever nothing has been written for a while, and
//! in as long as the peer has been silent for less than twice its time.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::refusal::held;

/// Anything that bytes go both ways through.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// An empty frame.
const BEAT: [u8; 8] = [0, 0, 0, 8, 2, 0, 0, 0];

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Flowing,
    Frozen,
    Cut,
}

/// The command over one stream.
pub struct Switch {
    inner: Mutex<(State, Vec<Waker>)>,
}

impl Switch {
    pub fn new() -> Self {
        Self { inner: Mutex::new((State::Flowing, Vec::new())) }
    }

    /// Ends the stream without a word.
    pub fn cut(&self) {
        self.turn(State::Cut);
    }

    /// Lets nothing through either way; the socket stays open.
    pub fn freeze(&self) {
        self.turn(State::Frozen);
    }

    /// Lets everything through again, unless the stream was cut.
    pub fn thaw(&self) {
        self.turn(State::Flowing);
    }

    fn turn(&self, state: State) {
        let mut inner = held(&self.inner);
        if inner.0 != State::Cut {
            inner.0 = state;
        }
        inner.1.drain(..).for_each(Waker::wake);
    }

    /// Whether bytes may flow now; wakes the task when that changes.
    fn poll(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = held(&self.inner);
        if inner.0 != State::Cut && !inner.1.iter().any(|waker| waker.will_wake(context.waker())) {
            inner.1.push(context.waker().clone());
        }
        match inner.0 {
            State::Flowing => Poll::Ready(Ok(())),
            State::Frozen => Poll::Pending,
            State::Cut => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }
}

/// Follows the bytes of one direction, to know where frames end and when frames may be slipped in.
#[derive(Default)]
struct Frames {
    /// The first bytes of the frame or protocol header under way.
    head: Vec<u8>,
    /// The bytes of it that are still to come, once its size is known.
    rest: usize,
    /// Whether the header of AMQP itself (not of its security layer) has passed.
    plain: bool,
    /// Whether a frame has passed after it, which is the one that opens the connection.
    open: bool,
    /// Whether the connection has been closed: nothing may follow.
    closed: bool,
}

impl Frames {
    fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.rest == 0 {
                // Eleven bytes show size, kind and performative; a protocol header has only eight.
                self.head.push(bytes[0]);
                bytes = &bytes[1..];
                if self.head.len() < 8 {
                    continue;
                }
                let header = self.head.starts_with(b"AMQP");
                let size = usize::try_from(u32::from_be_bytes([
                    self.head[0],
                    self.head[1],
                    self.head[2],
                    self.head[3],
                ]));
                let size = if header { 8 } else { size.unwrap_or(8).max(8) };
                if self.head.len() < size.min(11) {
                    continue;
                }
                if header {
                    self.plain = self.head[4] == 0;
                } else if self.plain {
                    self.open = true;
                    self.closed |= self.head.get(8..11) == Some(&[0x00, 0x53, 0x18]);
                }
                self.rest = size - self.head.len();
                if self.rest == 0 {
                    self.head.clear();
                }
            } else {
                let taken = self.rest.min(bytes.len());
                self.rest -= taken;
                bytes = &bytes[taken..];
                if self.rest == 0 {
                    self.head.clear();
                }
            }
        }
    }

    fn between(&self) -> bool {
        self.open && !self.closed && self.rest == 0 && self.head.is_empty()
    }
}

/// Something that is due a while after it last happened.
struct Due {
    after: Duration,
    sleep: Pin<Box<Sleep>>,
}

impl Due {
    fn new(after: Duration) -> Self {
        Self { after, sleep: Box::pin(sleep(after)) }
    }

    fn reset(&mut self) {
        self.sleep.as_mut().reset(Instant::now() + self.after);
    }

    /// Whether it is due; if so, it begins anew.
    fn passed(&mut self, context: &mut Context<'_>) -> bool {
        let passed = self.sleep.as_mut().poll(context).is_ready();
        if passed {
            self.reset();
            // Asked again, so that the next time wakes the task.
            let _ = self.sleep.as_mut().poll(context);
        }
        passed
    }
}

/// The stream itself.
pub struct Wire {
    inner: Box<dyn Duplex>,
    switch: Arc<Switch>,
    out: Frames,
    /// When to show a sign of life.
    sign: Due,
    /// What is left to write of an empty frame that was begun.
    beat: &'static [u8],
    told: Frames,
    /// When to vouch for a silent peer.
    grace: Due,
    /// When to give it up.
    end: Due,
}

impl Wire {
    /// `heartbeat` is how soon this side shows a sign of life, `idle` how soon it expects one.
    pub fn new(inner: Box<dyn Duplex>, switch: Arc<Switch>, heartbeat: Duration, idle: Duration) -> Self {
        Self {
            inner,
            switch,
            out: Frames::default(),
            sign: Due::new(heartbeat),
            beat: &[],
            told: Frames::default(),
            grace: Due::new(idle / 2),
            end: Due::new(idle * 2),
        }
    }

    /// Whether bytes may flow. A peer that has been silent for too long is given up, frozen or not.
    fn poll_flow(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.end.passed(context) {
            self.switch.cut();
        }
        self.switch.poll(context)
    }

    /// Writes what is left of an empty frame that was begun: nothing may come between its bytes.
    fn poll_beat(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.beat.is_empty() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(context, self.beat))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.beat = self.beat.get(written..).unwrap_or_default();
        }
        Pin::new(&mut self.inner).poll_flush(context)
    }
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wire")
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // The connection always waits to read, so this is where time passes.
        if this.grace.passed(context) && this.told.between() && buffer.remaining() >= BEAT.len() {
            buffer.put_slice(&BEAT);
            return Poll::Ready(Ok(()));
        }
        ready!(this.poll_flow(context))?;
        if this.sign.passed(context) && this.beat.is_empty() && this.out.between() {
            this.beat = &BEAT;
        }
        if !this.beat.is_empty()
            && let Poll::Ready(Err(error)) = this.poll_beat(context)
        {
            return Poll::Ready(Err(error));
        }
        let before = buffer.filled().len();
        if Pin::new(&mut this.inner).poll_read(context, buffer)?.is_ready() {
            this.told.pass(buffer.filled().get(before..).unwrap_or_default());
            this.grace.reset();
            this.end.reset();
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_flow(context))?;
        if !this.beat.is_empty() {
            ready!(this.poll_beat(context))?;
        }
        let written = ready!(Pin::new(&mut this.inner).poll_write(context, bytes))?;
        this.out.pass(bytes.get(..written).unwrap_or_default());
        this.sign.reset();
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_flow(context))?;
        Pin::new(&mut this.inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_flow(context))?;
        Pin::new(&mut this.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_told_apart_however_they_are_cut() {
        let mut bytes = b"AMQP\x03\x01\x00\x00".to_vec();
        bytes.extend([0, 0, 0, 12, 2, 1, 0, 0, 1, 2, 3, 4]);
        let after_security = bytes.len();
        bytes.extend(b"AMQP\x00\x01\x00\x00");
        bytes.extend([0, 0, 0, 13, 2, 0, 0, 0, 0x00, 0x53, 0x10, 9, 9]);
        let after_open = bytes.len();
        bytes.extend(BEAT);
        let after_beat = bytes.len();
        bytes.extend([0, 0, 0, 12, 2, 0, 0, 0, 0x00, 0x53, 0x18, 0x45]);
        for step in 1..9 {
            let mut frames = Frames::default();
            for (at, chunk) in bytes.chunks(step).enumerate() {
                frames.pass(chunk);
                let passed = (at * step + step).min(bytes.len());
                let expected = passed == after_open || passed == after_beat;
                assert_eq!(frames.between(), expected, "step {step}, passed {passed} of {after_security}");
            }
            assert!(frames.closed);
        }
    }
}
