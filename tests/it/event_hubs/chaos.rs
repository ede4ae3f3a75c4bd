//! Chaos: producers, eight partitions, three processes, and whatever can go wrong, drawn from a seed. What the
//! producers noted is compared with the lake, by us and by another reader. `benches/chaos` runs it for long.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use agentrail::simulate::hubs::{Hubs, Link, Occasion, Role};

use super::rig::{Rig, eventually};
use crate::lake::{Service, audit_record};

const PARTITIONS: u16 = 8;
const PRODUCERS: u32 = 4;
const PROCESSES: usize = 3;
/// Kinds of trouble, each drawn once before any comes again.
const KINDS: usize = 16;

/// Numbers from a seed.
struct Lot(u64);

impl Lot {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn partition(&mut self) -> String {
        self.below(u64::from(PARTITIONS)).to_string()
    }

    fn shuffled(&mut self) -> Vec<usize> {
        let mut all: Vec<usize> = (0..KINDS).collect();
        for i in (1..all.len()).rev() {
            all.swap(i, self.below(i as u64 + 1) as usize);
        }
        all
    }
}

/// What producers sent: the number of the record by partition and sequence number.
type Ledger = Arc<Mutex<BTreeMap<(String, i64), u32>>>;

fn produce(
    hubs: &Arc<Hubs>,
    ledger: &Ledger,
    ended: &Arc<AtomicBool>,
    producer: u32,
    seed: u64,
) -> tokio::task::JoinHandle<()> {
    let (hubs, ledger, ended) = (hubs.clone(), ledger.clone(), ended.clone());
    tokio::spawn(async move {
        let mut lot = Lot(seed ^ u64::from(producer));
        for n in 0.. {
            if ended.load(Ordering::Relaxed) {
                return;
            }
            // Bursts and pauses.
            for burst in 0..lot.below(8) as u32 {
                let (number, partition) = (producer * 100_000_000 + n * 8 + burst, lot.partition());
                let sequence = hubs.publish("h", &partition, audit_record(number)).unwrap();
                ledger.lock().unwrap().insert((partition, sequence), number);
            }
            tokio::time::sleep(Duration::from_millis(lot.below(400))).await;
        }
    })
}

/// One piece of trouble; its name.
async fn trouble(kind: usize, rig: &Rig, processes: &mut Vec<Service>, lot: &mut Lot) -> &'static str {
    let (faults, partition) = (rig.hubs.faults(), lot.partition());
    let pause = Duration::from_millis(300 + lot.below(1500));
    // Trouble that nobody feels is none: somebody is to read by then, as a rule.
    let reads = |link: &Link| link.role == Role::Reads && link.node.partition() == Some(&partition);
    for _ in 0..200 {
        if rig.hubs.links().iter().any(reads) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    match kind {
        0 => {
            faults.drop_sockets();
            "every socket cut"
        }
        1 => {
            faults.drop_sockets_of(|link| link.node.partition() == Some(&partition));
            "one partition's socket cut"
        }
        2 => {
            faults.close_connections();
            "connections closed"
        }
        3 => {
            faults.detach_readers("h", &partition, "amqp:link:detach-forced");
            "link detached"
        }
        4 => {
            faults.detach_readers("h", &partition, "amqp:internal-error");
            faults.busy(Occasion::Attach, 2);
            "busy when attached to"
        }
        5 => {
            faults.steal("h", "$Default", &partition, 5).unwrap();
            tokio::time::sleep(pause).await;
            faults.release("h", "$Default", &partition).unwrap();
            "link stolen"
        }
        6 => {
            faults.busy(Occasion::Ask, 3);
            "busy when asked"
        }
        7 => {
            faults.refuse_tokens(2);
            faults.drop_sockets();
            "tokens refused"
        }
        8 => {
            faults.expire_tokens();
            "tokens expired"
        }
        9 => {
            faults.stall("h", &partition);
            tokio::time::sleep(pause).await;
            faults.resume("h", &partition);
            "partition stalled"
        }
        10 => {
            faults.replay("h", &partition, 20);
            faults.detach_readers("h", &partition, "amqp:link:detach-forced");
            "events given again"
        }
        11 => {
            faults.freeze();
            tokio::time::sleep(pause).await;
            faults.thaw();
            "network frozen"
        }
        12 => {
            faults.refuse_connections(3);
            faults.drop_sockets();
            "connections refused"
        }
        13 => {
            rig.hubs.stop();
            tokio::time::sleep(pause).await;
            rig.hubs.resume().await.unwrap();
            "service gone for a while"
        }
        14 => {
            let which = lot.below(processes.len() as u64) as usize;
            drop(processes.swap_remove(which));
            processes.push(process(rig));
            "process killed with SIGKILL"
        }
        _ => {
            let which = lot.below(processes.len() as u64) as usize;
            let stopped = processes.swap_remove(which).stop();
            assert!(stopped.success(), "a process that was told to stop ended with {stopped}");
            processes.push(process(rig));
            "process told to stop"
        }
    }
}

fn process(rig: &Rig) -> Service {
    // Faults are many here, and each is a warning.
    rig.process(&[("AGENTRAIL_LOG", "error")])
}

async fn chaos(seed: u64, rounds: usize) {
    let rig = Rig::new(PARTITIONS).await;
    let lake = rig.lake().await;
    let (ledger, ended) = (Ledger::default(), Arc::new(AtomicBool::new(false)));
    let hubs = rig.hubs.clone();
    let producers: Vec<_> = (0..PRODUCERS).map(|n| produce(&hubs, &ledger, &ended, n, seed)).collect();
    let mut processes: Vec<Service> = (0..PROCESSES).map(|_| process(&rig)).collect();
    let mut lot = Lot(seed);
    let (mut deck, mut counts) = (Vec::new(), BTreeMap::<&str, usize>::new());
    let began = Instant::now();
    for _ in 0..rounds {
        if deck.is_empty() {
            deck = lot.shuffled();
        }
        let kind = deck.pop().unwrap_or_default();
        *counts.entry(trouble(kind, &rig, &mut processes, &mut lot).await).or_default() += 1;
        tokio::time::sleep(Duration::from_millis(lot.below(1200))).await;
    }
    ended.store(true, Ordering::Relaxed);
    for producer in producers {
        producer.await.unwrap();
    }
    rig.hubs.faults().clear();
    let ledger = ledger.lock().unwrap().clone();
    let troubled = began.elapsed();
    rig.stored(&lake, ledger.len() as u64).await;
    println!(
        "seed {seed}: {} events, {rounds} troubles in {} s, all stored {} s later",
        ledger.len(),
        troubled.as_secs(),
        (began.elapsed() - troubled).as_secs()
    );
    for (name, count) in &counts {
        println!("{count:>6}  {name}");
    }
    let felt = rig.hubs.faults().counts();
    println!("as the service counted them: {felt:?}");
    // Every checkpoint comes to the end, and covers what is stored.
    eventually("the checkpoints", async || {
        let marks = rig.store().marks(&rig.group()).await.unwrap();
        (0..PARTITIONS).map(|p| p.to_string()).all(|p| {
            let last = ledger.keys().filter(|(partition, _)| *partition == p).map(|(_, n)| *n).max();
            marks.get(&p).map(|mark| mark.sequence) == last || last.is_none()
        })
    })
    .await;
    for process in processes {
        assert!(process.stop().success());
    }
    compare(&rig, &ledger);
    // One in ten may hit nobody, as when all are on their way back from the one before.
    let each = rounds / KINDS * 9 / 10;
    assert!(felt.values().all(|count| *count >= each), "each of them was to come {each} times");
}

/// The lake against the producers' ledger: each event once, and each partition's in order.
fn compare(rig: &Rig, ledger: &BTreeMap<(String, i64), u32>) {
    let sent: BTreeSet<u32> = ledger.values().copied().collect();
    assert_eq!(sent.len(), ledger.len());
    assert_eq!(rig.numbers(), sent, "in actions");
    assert_eq!(rig.scratch.count("select count(*) from rejects"), 0);
    let rows = rig.scratch.sql("select event_id, arrow_cast(known, 'Int64') as known from lake.events");
    assert_eq!(rows.len(), sent.len());
    let number =
        |row: &serde_json::Value| u32::from_str_radix(&row["event_id"].as_str().unwrap()[24..], 16).unwrap();
    let known: BTreeMap<u32, i64> =
        rows.iter().map(|row| (number(row), row["known"].as_i64().unwrap())).collect();
    let mut last: BTreeMap<&str, i64> = BTreeMap::new();
    for ((partition, sequence), number) in ledger {
        let before = last.entry(partition).or_default();
        assert!(
            known[number] >= *before,
            "event {sequence} of partition {partition} is known before the one before it"
        );
        *before = known[number];
    }
    let Some(python) = crate::readers::python() else { return };
    let text: String = sent.iter().map(|n| format!("a1000000-0000-4000-8000-{n:012x}\n")).collect();
    let file = rig.scratch.file("ledger", text);
    let events = rig.scratch.lake().join("events");
    let theirs = crate::readers::run(
        &python,
        "import sys, collections, duckdb, deltalake\n\
         uris = deltalake.DeltaTable(sys.argv[1]).file_uris()\n\
         found = collections.Counter(r[0] for r in duckdb.execute('select event_id from read_parquet(?, hive_partitioning=false)', [uris]).fetchall())\n\
         sent = set(open(sys.argv[2]).read().split())\n\
         print(len(sent - set(found)), len(set(found) - sent), sum(n > 1 for n in found.values()))",
        &[events.to_str().unwrap(), file.to_str().unwrap()],
    );
    assert_eq!(theirs, "0 0 0", "missing, foreign and doubled, as DuckDB reads the files");
    println!("DuckDB reads the same {} events from the lake's files", sent.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_lands_once_whatever_goes_wrong() {
    let word = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    chaos(word("CHAOS_SEED").unwrap_or(1), word("CHAOS_ROUNDS").unwrap_or(KINDS as u64) as usize).await;
}
