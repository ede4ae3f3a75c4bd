//! Payloads to attributed rows in one commit, and only then the acknowledgement.
//!
//! Two lanes share one attributor and one lake: push senders wait for their answer, files do not,
//! and the two never share a commit. In each lane one batch is prepared while the one before it is
//! committed, so under load batches grow by themselves and an idle pipeline commits at once.
//!
//! Invariants:
//! 1. A payload is acknowledged after the commit of its last row, a position saved after that.
//! 2. Every record of a payload is an event, a fact or a reject of the ledger.
//! 3. Within a batch, facts are learnt before events are decided.
//! 4. A lane decides with everything that its writer committed before: when what was learnt is
//!    forgotten, the lane goes on under another writer.

mod beside;
mod detect;
mod lane;
mod ledger;
mod paging;
mod plan;
mod prepare;
mod presence;
pub mod relay;
mod revise;
mod rows;
mod stored;

pub use detect::{Bounds, DetectError, Detected, Detector, Rule, failing};
pub use ledger::{Ledger, Rows};
pub use revise::{Change, ReviseError, Revised, Reviser};

use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::attribute::Tolerance;
use crate::decode::Limits;
use crate::model::Ticks;
use crate::source::Payload;
use crate::store::{Lake, StoreError, Writer};
use paging::Attributor;
use plan::Plan;

/// How payloads are taken, decided and committed.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long a push delivery may wait for others to share its commit.
    pub linger: Duration,
    /// Payload bytes of one commit.
    pub max_bytes: usize,
    pub limits: Limits,
    pub tolerance: Tolerance,
    /// Older events are refused at the door; `None` keeps everything.
    pub retention: Option<Ticks>,
    /// Organisation of payloads that do not name theirs.
    pub organization: Option<String>,
    /// Job requests held in memory, beyond which what is known is read from the lake again.
    pub max_jobs: usize,
    /// New records that one part of a second look takes in, or those of one commit.
    pub max_news: usize,
}

/// A running pipeline. Dropping its two intakes lets it finish what it holds and end.
pub struct Pipeline {
    /// For sources whose sender waits.
    pub push: mpsc::Sender<Payload>,
    /// For files.
    pub bulk: mpsc::Sender<Payload>,
    shared: Arc<Shared>,
    lanes: Vec<JoinHandle<()>>,
}

/// What both lanes use.
struct Shared {
    lake: Arc<Lake>,
    settings: Settings,
    attributor: RwLock<Attributor>,
    /// Who commits what each lane prepares; held while a batch is prepared, so that nothing is
    /// forgotten meanwhile.
    writers: RwLock<[Writer; 2]>,
    ledger: Mutex<Ledger>,
}

/// Payloads that may wait in each lane; a full lane is back-pressure.
const PUSH_QUEUE: usize = 1024;
const BULK_QUEUE: usize = 64;

impl Pipeline {
    /// Starts the two lanes on the current runtime.
    pub fn start(lake: Arc<Lake>, settings: Settings) -> Pipeline {
        let writers = [Writer::new(), Writer::new()];
        let attributor = RwLock::new(Attributor::beside(&settings, &writers, revise::projects(&lake)));
        let plans = [Plan::push(settings.linger, settings.max_bytes), Plan::bulk(settings.max_bytes)];
        let shared = Arc::new(Shared {
            lake,
            settings,
            attributor,
            writers: RwLock::new(writers),
            ledger: Mutex::default(),
        });
        let (push, push_intake) = mpsc::channel(PUSH_QUEUE);
        let (bulk, bulk_intake) = mpsc::channel(BULK_QUEUE);
        let lanes = [push_intake, bulk_intake]
            .into_iter()
            .zip(plans)
            .enumerate()
            .map(|(lane, (intake, plan))| tokio::spawn(lane::run(lane, intake, plan, shared.clone())))
            .collect();
        Pipeline { push, bulk, shared, lanes }
    }

    /// The account so far.
    pub fn ledger(&self) -> Ledger {
        self.shared.ledger().clone()
    }

    /// Tells the account at any time, also from elsewhere.
    pub fn account(&self) -> impl Fn() -> Ledger + Send + Sync + 'static {
        let shared = self.shared.clone();
        move || shared.ledger().clone()
    }

    /// Takes nothing more, finishes what is held, and returns the account.
    pub async fn finish(self) -> Ledger {
        drop((self.push, self.bulk));
        for lane in self.lanes {
            if let Err(error) = lane.await {
                tracing::error!(%error, "an ingest lane ended early; what it held was not acknowledged");
            }
        }
        self.shared.ledger().clone()
    }
}

impl Shared {
    /// The writers of a batch that is prepared now. An engine that holds more than its share starts
    /// empty first: nobody prepares meanwhile, and what the lake has comes back when it is needed.
    fn writers(&self) -> RwLockReadGuard<'_, [Writer; 2]> {
        if self.attributor().is_full() {
            let mut writers = self.writers.write().unwrap_or_else(PoisonError::into_inner);
            let mut attributor = self.attributor_mut();
            if attributor.is_full() {
                *writers = [Writer::new(), Writer::new()];
                *attributor = Attributor::beside(&self.settings, &*writers, revise::projects(&self.lake));
            }
        }
        self.writers.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        // Counts stay counts even when a thread panicked while holding them.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn attributor(&self) -> RwLockReadGuard<'_, Attributor> {
        self.attributor.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn attributor_mut(&self) -> RwLockWriteGuard<'_, Attributor> {
        self.attributor.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a batch could not be stored.
#[derive(Debug, thiserror::Error)]
enum IngestError {
    #[error("commit to the lake")]
    Store(#[from] StoreError),
    #[error("prepare a batch: its task ended early")]
    Task(#[from] tokio::task::JoinError),
}
