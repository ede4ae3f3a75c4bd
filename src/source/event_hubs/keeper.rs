//! What was handed on, in its order: sent again until it is committed, and only then in the checkpoint.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::Instant;

use super::HubsError;
use super::checkpoints::{Checkpoints, Group, Mark};
use super::status::Status;
use crate::source::{About, Outcome, Payload};

/// One event on its way into the lake.
pub(super) struct Item {
    pub mark: Option<Mark>,
    pub bytes: Bytes,
    pub about: Arc<dyn About>,
    pub lane: mpsc::Sender<Payload>,
    pub outcome: oneshot::Receiver<Outcome>,
    /// Its share of the bytes that may be under way; given back once it is committed.
    pub room: OwnedSemaphorePermit,
}

/// Watches over one partition's events.
pub(super) struct Keeper {
    pub store: Checkpoints,
    pub group: Group,
    pub partition: String,
    /// What the payloads are said to come from.
    pub source: String,
    /// The hub's name in the status.
    pub name: String,
    pub status: Status,
    /// Cleared when another has the partition: then its checkpoint is that one's.
    pub is_ours: Arc<AtomicBool>,
}

/// Between two checkpoints of a partition.
const SAVE_EVERY: Duration = Duration::from_secs(1);
const SAVE_AFTER_A_FAULT: Duration = Duration::from_secs(5);
/// A store that does not answer holds up nobody for longer.
const STORE_PATIENCE: Duration = Duration::from_secs(20);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const PAUSE_FOR_SPACE: Duration = Duration::from_secs(5);

impl Keeper {
    /// Runs until the reader lets go of the other end and all it gave is committed.
    pub async fn run(self, mut inbox: mpsc::Receiver<Item>) -> Result<(), HubsError> {
        let mut unsaved: Option<Mark> = None;
        let mut due = Instant::now();
        let mut current: Option<Item> = None;
        loop {
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(due), if unsaved.is_some() => {
                    let done = self.save(&mut unsaved).await;
                    due = Instant::now() + if done { SAVE_EVERY } else { SAVE_AFTER_A_FAULT };
                }
                outcome = answer(&mut current), if current.is_some() => {
                    let Some(item) = current.take() else { continue };
                    self.settle(&item, outcome).await?;
                    if let Some(mark) = item.mark {
                        self.status.partition(&self.name, &self.partition, |p| p.commit(&mark));
                        unsaved = Some(mark);
                    }
                    drop(item.room);
                }
                item = inbox.recv(), if current.is_none() => match item {
                    Some(item) => current = Some(item),
                    None => break,
                },
            }
        }
        if unsaved.is_some() && !self.save(&mut unsaved).await {
            tracing::warn!(
                partition = self.source,
                "the last checkpoint could not be saved; what it covers comes again and is kept once"
            );
        }
        Ok(())
    }

    /// Saves what is not saved; false when that failed.
    async fn save(&self, unsaved: &mut Option<Mark>) -> bool {
        let Some(mark) = unsaved.take() else { return true };
        if !self.is_ours.load(Ordering::Acquire) {
            return true;
        }
        let saved =
            tokio::time::timeout(STORE_PATIENCE, self.store.save(&self.group, &self.partition, &mark));
        let says = match saved.await {
            Ok(Ok(())) => {
                self.status.partition(&self.name, &self.partition, |p| p.checkpoint = Some(mark.sequence));
                return true;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it did not answer within {} s", STORE_PATIENCE.as_secs()),
        };
        tracing::warn!(
            error = says,
            partition = self.source,
            "a checkpoint was not saved; the next try follows"
        );
        *unsaved = Some(mark);
        false
    }

    /// Sees to it that an item is committed, however often it must be sent.
    async fn settle(&self, item: &Item, mut outcome: Option<Outcome>) -> Result<(), HubsError> {
        let mut pause = FIRST_PAUSE;
        loop {
            let (wait, says) = match outcome {
                Some(Outcome::Committed(_)) => return Ok(()),
                Some(Outcome::Busy { retry_after, says }) => (retry_after, says),
                Some(Outcome::Full { says }) => (PAUSE_FOR_SPACE, says),
                Some(Outcome::Failed { says }) => (pause, says),
                None if item.lane.is_closed() => return Err(HubsError::Pipeline),
                None => (pause, "it was given up; see the log".to_owned()),
            };
            // Nothing after it can go into the checkpoint before it does; the reader waits once all room is taken.
            tracing::warn!(
                says,
                partition = self.source,
                sequence = item.mark.as_ref().map(|m| m.sequence),
                "an event was not stored; it is sent again"
            );
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            let (mut payload, answer) = Payload::new(item.bytes.clone(), &self.source);
            payload.about = Some(item.about.clone());
            item.lane.send(payload).await.map_err(|_| HubsError::Pipeline)?;
            outcome = answer.await.ok();
        }
    }
}

/// What became of the item in hand; `None`: nobody will say.
async fn answer(current: &mut Option<Item>) -> Option<Outcome> {
    match current {
        Some(item) => (&mut item.outcome).await.ok(),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Account;
    use crate::source::event_hubs::checkpoints::Folder;

    #[derive(Debug)]
    struct Nothing;

    impl About for Nothing {
        fn json(&self) -> String {
            "{}".to_owned()
        }
    }

    struct Bench {
        _folder: tempfile::TempDir,
        store: Checkpoints,
        group: Group,
        room: Arc<tokio::sync::Semaphore>,
        lane: mpsc::Sender<Payload>,
        sent: mpsc::Receiver<Payload>,
        is_ours: Arc<AtomicBool>,
    }

    fn bench() -> (Bench, Keeper) {
        let folder = tempfile::tempdir().unwrap();
        let store = Checkpoints::new(Folder(folder.path().to_owned()));
        let group = Group { namespace: "ns".into(), hub: "h".into(), consumer_group: "g".into() };
        let (lane, sent) = mpsc::channel(10);
        let is_ours = Arc::new(AtomicBool::new(true));
        let keeper = Keeper {
            store: store.clone(),
            group: group.clone(),
            partition: "0".into(),
            source: "s".into(),
            name: "h".into(),
            status: Status::default(),
            is_ours: is_ours.clone(),
        };
        let room = Arc::new(tokio::sync::Semaphore::new(10));
        (Bench { _folder: folder, store, group, room, lane, sent, is_ours }, keeper)
    }

    impl Bench {
        async fn item(&self, sequence: i64) -> (Item, oneshot::Sender<Outcome>) {
            let (done, outcome) = oneshot::channel();
            let mark = Some(Mark { sequence, offset: None, enqueued: None });
            let room = self.room.clone().acquire_owned().await.unwrap();
            let (bytes, about) = (Bytes::from_static(b"x"), Arc::new(Nothing));
            (Item { mark, bytes, about, lane: self.lane.clone(), outcome, room }, done)
        }

        async fn saved(&self) -> Option<i64> {
            self.store.marks(&self.group).await.unwrap().get("0").map(|mark| mark.sequence)
        }
    }

    #[tokio::test]
    async fn a_checkpoint_never_passes_what_is_not_committed() {
        let (mut bench, keeper) = bench();
        let (give, inbox) = mpsc::channel(10);
        let running = tokio::spawn(keeper.run(inbox));
        let mut answers = Vec::new();
        for sequence in 0..4 {
            let (item, done) = bench.item(sequence).await;
            give.send(item).await.ok().unwrap();
            answers.push(done);
        }
        let mut answers = answers.into_iter();
        let mut next = || answers.next().unwrap();
        let committed = || Outcome::Committed(Account::default());
        next().send(committed()).unwrap();
        // The second fails, those behind it are committed: the checkpoint waits at the first.
        next().send(Outcome::Failed { says: "disk on fire".into() }).unwrap();
        next().send(committed()).unwrap();
        next().send(committed()).unwrap();
        let again = bench.sent.recv().await.unwrap();
        assert!(bench.saved().await.is_none_or(|saved| saved == 0));
        again.done.send(committed()).unwrap();
        drop(give);
        running.await.unwrap().unwrap();
        assert_eq!(bench.saved().await, Some(3));
        assert_eq!(bench.room.available_permits(), 10);
    }

    #[tokio::test]
    async fn who_lost_the_partition_leaves_its_checkpoint_alone() {
        let (bench, keeper) = bench();
        let (give, inbox) = mpsc::channel(10);
        let (item, done) = bench.item(5).await;
        bench.is_ours.store(false, Ordering::Release);
        done.send(Outcome::Committed(Account::default())).unwrap();
        give.send(item).await.ok().unwrap();
        drop(give);
        keeper.run(inbox).await.unwrap();
        assert_eq!(bench.saved().await, None);
    }

    #[tokio::test]
    async fn a_pipeline_that_is_gone_is_an_error() {
        let (mut bench, keeper) = bench();
        let (give, inbox) = mpsc::channel(10);
        let (item, done) = bench.item(5).await;
        bench.sent.close();
        drop(done);
        give.send(item).await.ok().unwrap();
        assert!(matches!(keeper.run(inbox).await, Err(HubsError::Pipeline)));
    }
}
