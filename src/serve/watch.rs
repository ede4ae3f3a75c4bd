//! The memory of the process while queries run: grown too far, all of them are stopped rather than ingestion.
//!
//! What a query sorts, groups and joins is accounted for by its share; this is for what is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::query::Shortage;

const EVERY: Duration = Duration::from_millis(20);
/// How far the process may grow, however little one person may use.
const LEAST_GROWTH: usize = 2 << 30;
/// Other work grows beside queries as well: what the process has held for so long is not counted as theirs.
const HELD: Duration = Duration::from_secs(10);

/// Looks at the memory of the process while queries run.
pub(super) struct Watch {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    running: AtomicUsize,
    shortage: Shortage,
    short: watch::Sender<bool>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watch {
    /// Must be called inside a runtime other than that of the queries, which may be busy.
    pub fn start(memory_bytes: usize) -> Watch {
        Watch::within(memory_bytes.saturating_mul(4).max(LEAST_GROWTH))
    }

    fn within(most: usize) -> Watch {
        let shared = Arc::new(Shared {
            running: AtomicUsize::new(0),
            shortage: Shortage::default(),
            short: watch::Sender::new(false),
        });
        let own = shared.clone();
        let task = tokio::spawn(async move {
            let Some(used) = resident() else { return };
            let mut before = Before::new(used, Instant::now());
            loop {
                tokio::time::sleep(EVERY).await;
                let is_idle = own.running.load(Ordering::Relaxed) == 0;
                let Some(used) = resident() else { return };
                before.note(used, is_idle, Instant::now());
                let grown = used.saturating_sub(before.bytes(most));
                let is_short = grown > most;
                if is_short != *own.short.borrow() {
                    if is_short {
                        tracing::warn!(
                            grown,
                            most,
                            "queries took too much memory; those that run are stopped"
                        );
                    }
                    own.shortage.set(is_short);
                    let _ = own.short.send_replace(is_short);
                }
            }
        });
        Watch { shared, task }
    }

    pub fn shortage(&self) -> &Shortage {
        &self.shared.shortage
    }

    /// A query begins, and runs until this is dropped.
    pub fn enter(&self) -> Running {
        self.shared.running.fetch_add(1, Ordering::Relaxed);
        Running { shared: self.shared.clone() }
    }
}

/// A query that runs.
pub(super) struct Running {
    shared: Arc<Shared>,
}

impl Running {
    /// Ends when memory is short.
    pub async fn shortage(&self) {
        let mut short = self.shared.short.subscribe();
        if short.wait_for(|is_short| *is_short).await.is_err() {
            std::future::pending().await
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the process held before its queries took anything, in bytes.
struct Before {
    /// When no query ran.
    idle: usize,
    /// The least in this span of time and in the one before it.
    least: [usize; 2],
    since: Instant,
}

impl Before {
    fn new(used: usize, now: Instant) -> Before {
        Before { idle: used, least: [used; 2], since: now }
    }

    fn note(&mut self, used: usize, is_idle: bool, now: Instant) {
        if is_idle {
            *self = Before::new(used, now);
        }
        if now.duration_since(self.since) >= HELD {
            self.least = [used, self.least[0]];
            self.since = now;
        }
        self.least[0] = self.least[0].min(used);
    }

    /// Queries that take ever more by and by get no further than `most` twice.
    fn bytes(&self, most: usize) -> usize {
        let [this, last] = self.least;
        this.min(last).min(self.idle.saturating_add(most))
    }
}

/// Bytes of the process that are in memory, where the system tells.
fn resident() -> Option<usize> {
    let told = std::fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes = told.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix(" kB")?;
    Some(kilobytes.parse::<usize>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_process_has_held_for_a_while_is_not_the_queries() {
        let start = Instant::now();
        let mut before = Before::new(100, start);
        let mut seconds = 0;
        let mut after = |used| {
            seconds += 5;
            before.note(used, false, start + Duration::from_secs(seconds));
            before.bytes(50)
        };
        // At once it may be theirs; after two spans it was there before, but for what is more than `most`.
        assert_eq!([after(130), after(130), after(130)], [100, 100, 100]);
        assert_eq!([after(130), after(130)], [130, 130]);
        assert_eq!([after(900), after(900), after(900), after(900)], [130, 130, 150, 150]);
        // Given back, it is theirs again.
        assert_eq!(after(90), 90);
        before.note(300, true, start);
        assert_eq!(before.bytes(50), 300);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_process_that_grows_stops_its_queries() {
        let watch = Watch::within(48 << 20);
        tokio::time::sleep(EVERY * 5).await;
        let running = watch.enter();
        let early = tokio::time::timeout(EVERY * 5, running.shortage()).await;
        assert!(early.is_err() && watch.shortage().check().is_ok());
        let held = std::hint::black_box(vec![1_u8; 256 << 20]);
        tokio::time::timeout(Duration::from_secs(20), running.shortage()).await.unwrap();
        assert!(watch.shortage().check().is_err(), "{} bytes", held.len());
        // Without queries it is not theirs.
        drop(running);
        let running = watch.enter();
        drop(running);
        tokio::time::sleep(EVERY * 10).await;
        assert!(watch.shortage().check().is_ok());
    }
}
