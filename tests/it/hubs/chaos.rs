//! One fault after another: whoever follows the rules of the README gets every event, in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use agentrail::simulate::hubs::{Fault, Faults, Hubs, Occasion, Options, Role};
use azure_messaging_eventhubs::{ConsumerClient, StartLocation};
use futures::StreamExt;

use crate::hubs::client::{SOON, Word, anew_on_threads, body, from, server_with, until};

const PARTITIONS: [&str; 2] = ["0", "1"];
/// What a reader waits at first, and longer after each time that it was in vain.
const PATIENCE: Duration = Duration::from_millis(1500);

/// How far a partition's reader has come, and where it may stop.
struct Progress {
    partition: &'static str,
    read: AtomicI64,
    last: AtomicI64,
}

impl Progress {
    fn over(&self) -> bool {
        self.read.load(Ordering::SeqCst) == self.last.load(Ordering::SeqCst)
    }
}

/// Reads a partition to its end: a time-out around everything, one client for one attempt, a start after the
/// last event, and nothing twice.
async fn read(hubs: Arc<Hubs>, progress: Arc<Progress>) -> Vec<String> {
    let mut seen = Vec::new();
    let mut patience = PATIENCE;
    while !progress.over() {
        let before = seen.len();
        if attempt(&hubs, &progress, &mut seen, patience).await.is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // On a busy machine nothing may be had in so short a time.
        patience = if seen.len() > before { PATIENCE } else { (patience * 2).min(SOON) };
    }
    seen
}

/// Reads with one client, for as long as it goes well.
async fn attempt(hubs: &Hubs, progress: &Progress, seen: &mut Vec<String>, patience: Duration) -> Option<()> {
    let opened = ConsumerClient::builder().with_custom_endpoint(hubs.endpoint()).open(
        hubs.host(),
        "h".to_owned(),
        Arc::new(Word("a word")),
    );
    let client = tokio::time::timeout(patience, opened).await.ok()?.ok()?;
    let mut options = match seen.len() as i64 {
        0 => from(StartLocation::Earliest, false),
        count => from(StartLocation::SequenceNumber(count - 1), false),
    };
    options.owner_level = Some(1);
    let opened = client.open_receiver_on_partition(progress.partition.to_owned(), Some(options));
    let receiver = tokio::time::timeout(patience, opened).await.ok()?.ok()?;
    let mut stream = std::pin::pin!(receiver.stream_events());
    while !progress.over() {
        let event = tokio::time::timeout(patience, stream.next()).await.ok()??.ok()?;
        let (sequence, next) = (event.sequence_number()?, seen.len() as i64);
        assert!(sequence <= next, "partition {} has a hole before {sequence}", progress.partition);
        if sequence == next {
            seen.push(body(&event));
            progress.read.store(next + 1, Ordering::SeqCst);
        }
    }
    Some(())
}

/// One fault; the readers of both partitions are there.
async fn disturb(hubs: &Hubs, faults: &Faults, round: usize, partition: &str) {
    let pause = Duration::from_millis(200);
    match round {
        0 => _ = faults.drop_sockets(),
        1 => _ = faults.close_connections(),
        2 => _ = faults.detach_readers("h", partition, "amqp:link:detach-forced"),
        3 => _ = faults.detach_readers("h", partition, "com.microsoft:server-busy"),
        4 => {
            faults.steal("h", "$Default", partition, 5).unwrap();
            tokio::time::sleep(pause).await;
            faults.release("h", "$Default", partition).unwrap();
        }
        5 => {
            faults.busy(Occasion::Attach, 2);
            faults.detach_readers("h", partition, "amqp:internal-error");
        }
        6 => {
            faults.refuse_tokens(1);
            faults.drop_sockets();
        }
        7 => {
            faults.stall("h", partition);
            tokio::time::sleep(pause).await;
            faults.resume("h", partition);
        }
        8 => {
            faults.replay("h", partition, 7);
            faults.drop_sockets();
        }
        9 => {
            faults.freeze();
            tokio::time::sleep(pause).await;
            faults.thaw();
        }
        10 => {
            faults.refuse_connections(1);
            faults.drop_sockets();
        }
        11 => _ = faults.expire_tokens(),
        _ => {
            hubs.stop();
            tokio::time::sleep(pause).await;
            hubs.resume().await.unwrap();
        }
    }
}

#[test]
fn every_event_comes_in_the_end() {
    anew_on_threads(2, async || {
        let hubs = Arc::new(server_with(Options::default()).await);
        let progress = PARTITIONS.map(|partition| {
            Arc::new(Progress { partition, read: AtomicI64::new(0), last: AtomicI64::new(i64::MAX) })
        });
        let readers = progress.each_ref().map(|p| tokio::spawn(read(Arc::clone(&hubs), Arc::clone(p))));
        let source = Arc::clone(&hubs);
        let publisher = tokio::spawn(async move {
            for n in 0.. {
                for partition in PARTITIONS {
                    source.publish("h", partition, format!("{partition}-{n}")).unwrap();
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        let faults = hubs.faults();
        for turn in 0..26 {
            until("both to read", || hubs.links().iter().filter(|l| l.role == Role::Reads).count() == 2)
                .await;
            let (round, began) = (turn / 2, Instant::now());
            disturb(&hubs, &faults, round, PARTITIONS[turn % 2]).await;
            let before =
                PARTITIONS.map(|partition| hubs.extent("h", partition).unwrap().last.unwrap().sequence);
            // What was stored before the fault was over is read soon, and more.
            for (progress, before) in progress.iter().zip(before) {
                while progress.read.load(Ordering::SeqCst) <= before + 1 {
                    assert!(
                        began.elapsed() < SOON * 4,
                        "nothing came after fault {round}: {:?}",
                        faults.counts()
                    );
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            eprintln!("fault {round} was survived in {:?}", began.elapsed());
        }
        publisher.abort();
        // An abort takes hold at the next pause, so no event is under way after it.
        assert!(publisher.await.unwrap_err().is_cancelled());
        for (progress, reader) in progress.iter().zip(readers) {
            let count = hubs.extent("h", progress.partition).unwrap().last.unwrap().sequence + 1;
            progress.last.store(count, Ordering::SeqCst);
            // A reader that waits already looks up at the next event or time-out.
            let seen = tokio::time::timeout(SOON * 2, reader).await.unwrap().unwrap();
            let expected: Vec<String> = (0..count).map(|n| format!("{}-{n}", progress.partition)).collect();
            assert_eq!(seen, expected);
        }
        let counts = faults.counts();
        for fault in [
            Fault::Drop,
            Fault::Freeze,
            Fault::Refuse,
            Fault::Close,
            Fault::Detach,
            Fault::Steal,
            Fault::Busy,
            Fault::Token,
            Fault::Stall,
            Fault::Replay,
        ] {
            assert!(counts.get(&fault) >= Some(&2), "{fault:?} was to come twice: {counts:?}");
        }
        until("all links to go", || hubs.links().is_empty()).await;
    });
}
