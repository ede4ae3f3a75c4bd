//! The program and its receivers killed and troubled by a seed, while senders send: what they were told is durable,
//! and what detections find in it, arrives at each destination, under one key, and no cursor is ever ahead.
//!
//! `CHAOS_SEED` and `CHAOS_ROUNDS` in the environment make it longer; `benches/exports` does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use agentrail::store::Lake;
use serde_json::{Value, json};

use super::receivers::Receivers;
use super::rig::{PATIENCE, Rig, key, record};
use crate::lake::{Service, request};

const KINDS: usize = 16;
/// Of so many events one is found by a detection.
const ALARMING: u32 = 16;

/// Numbers from a seed: splitmix64.
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

    fn shuffled(&mut self) -> Vec<usize> {
        let mut all: Vec<usize> = (0..KINDS).collect();
        for i in (1..all.len()).rev() {
            all.swap(i, self.below(i as u64 + 1) as usize);
        }
        all
    }
}

/// What the sender shares with the troubles.
#[derive(Default)]
struct Sender {
    /// Where the service listens; nowhere while it is down.
    address: Mutex<Option<String>>,
    acknowledged: Mutex<Vec<u32>>,
    ended: AtomicBool,
}

impl Sender {
    fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    /// Sends records one after the other, each once or twice, until told to end.
    fn run(&self) {
        let mut n = 0;
        while !self.ended.load(Ordering::Relaxed) {
            let address = self.address.lock().unwrap().clone();
            let mut body = record(n, &format!("record {n} was made"));
            if n % ALARMING == 0 {
                body = body.replace("Git.RepositoryCreated", "AuditLog.DownloadLog");
            }
            let sent = address.map(|a| request(&a, "POST", "/services/collector", &[], body.as_bytes()));
            match sent {
                Some(Ok((200, _))) => {
                    self.acknowledged.lock().unwrap().push(n);
                    n += 1;
                    // Each is a commit of its own, and readers in a build that is not optimised must keep up with them.
                    std::thread::sleep(Duration::from_millis(60));
                }
                // Not told: it is sent again, which the lake sees to.
                _ => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }
}

/// The findings, each with its key; nothing revises them, as they are of a person.
const FOUND: &str = "select concat(key, ':', cast(revision as varchar)) as key from findings";

/// The key of what a receiver took: that of a finding is no event's.
fn key_of(line: &Value) -> String {
    let own = [&line["item"]["key"], &line["id"]].into_iter().find_map(Value::as_str);
    own.map(str::to_owned).or_else(|| key(&line["item"])).unwrap_or_else(|| panic!("no key in {line}"))
}

/// The service with all that may befall it.
struct Stage {
    rig: Rig,
    service: Option<Service>,
    /// Receivers, and the name of their destination.
    receivers: Vec<(&'static str, Receivers)>,
    sender: Arc<Sender>,
}

impl Stage {
    fn start_service(&mut self) {
        let config = self.rig.scratch.path("agentrail.toml");
        // Faults are many here, and each is a warning.
        let service = Service::start_with(
            &self.rig.scratch,
            &["--config", config.to_str().unwrap()],
            &[("AGENTRAIL_LOG", "error"), ("AGENTRAIL_DETECTIONS__EVERY", "1")],
        );
        *self.sender.address.lock().unwrap() = Some(service.address.clone());
        self.service = Some(service);
    }

    fn kill_service(&mut self) {
        *self.sender.address.lock().unwrap() = None;
        let mut service = self.service.take().unwrap();
        service.child.kill().unwrap();
    }

    /// What a receiver has, by key; copies of a key must be the same item.
    fn taken(&self, name: &str) -> BTreeMap<String, Value> {
        let (_, receivers) = self.receivers.iter().find(|(own, _)| *own == name).unwrap();
        let seen = receivers.seen(name);
        let mut taken: BTreeMap<String, Value> = BTreeMap::new();
        for line in &seen {
            let key = key_of(line);
            let before = taken.entry(key.clone()).or_insert_with(|| line["item"].clone());
            assert_eq!(*before, line["item"], "{name} has two items with the key {key}");
        }
        taken
    }

    /// While nobody sends: all behind the cursor was taken.
    async fn no_cursor_is_ahead(&self) {
        let settings = agentrail::store::Settings { free_floor_bytes: 0, ..Default::default() };
        let lake = Lake::open(&self.rig.scratch.lake(), settings).await.unwrap();
        for (name, _) in &self.receivers {
            let Some(cursor) = lake.position(&format!("export.{name}")) else { continue };
            let cursor: Value = serde_json::from_str(&cursor).unwrap();
            let number = |name: &str| cursor["events"][name].as_i64().unwrap();
            let (known, occurred) = (number("known"), number("occurred"));
            let last = cursor["events"]["key"].as_str().unwrap();
            let rows = self.rig.scratch.sql(&format!(
                "select event_id from lake.events where arrow_cast(known, 'Int64') < {known} \
                 or arrow_cast(known, 'Int64') = {known} and (arrow_cast(occurred, 'Int64') < {occurred} \
                 or arrow_cast(occurred, 'Int64') = {occurred} and event_id <= '{last}')"
            ));
            let taken = self.taken(name);
            let ahead = rows
                .iter()
                .filter(|row| !taken.contains_key(&format!("{}:0", row["event_id"].as_str().unwrap())));
            assert_eq!(ahead.count(), 0, "the cursor of {name} is ahead of what it took");
            let known = cursor["findings"]["known"].as_i64().unwrap();
            let found = format!("{FOUND} where arrow_cast(known, 'Int64') < {known}");
            let ahead = self.rig.scratch.sql(&found);
            let ahead = ahead.iter().filter(|row| !taken.contains_key(row["key"].as_str().unwrap()));
            assert_eq!(ahead.count(), 0, "the cursor of {name} is ahead of the findings that it took");
        }
    }

    /// The keys of what is to arrive: of all events, and of the findings that are there.
    fn wanted(&self) -> BTreeSet<String> {
        let found = self.rig.scratch.sql(FOUND);
        let found = found.iter().map(|row| row["key"].as_str().unwrap().to_owned());
        self.rig.keys().into_iter().chain(found).collect()
    }

    /// Waits until all that is to be found was.
    async fn all_is_found(&self) {
        let began = Instant::now();
        let count = |of: &str| self.rig.scratch.count(&format!("select count(*) from {of}"));
        let alarming = count("lake.events where action = 'AuditLog.DownloadLog'");
        while count("findings where detection = 'audit_log_downloaded'") < alarming {
            assert!(began.elapsed() < PATIENCE, "some of {alarming} events are not found");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    async fn trouble(&mut self, kind: usize, lot: &mut Lot) -> &'static str {
        let which = lot.below(self.receivers.len() as u64) as usize;
        let pause = Duration::from_millis(300 + lot.below(1200));
        let receivers = &mut self.receivers[which].1;
        let fault = |receivers: &Receivers, fault: Value| receivers.say(&json!({ "faults": [fault] }));
        match kind {
            0..=2 => {
                self.kill_service();
                self.no_cursor_is_ahead().await;
                self.start_service();
                return "the program killed with SIGKILL";
            }
            3 => {
                *self.sender.address.lock().unwrap() = None;
                let stopped = self.service.take().unwrap().stop();
                assert!(stopped.success(), "it was told to stop, and ended with {stopped}");
                self.no_cursor_is_ahead().await;
                self.start_service();
                return "the program told to stop";
            }
            4 | 5 => {
                receivers.kill();
                tokio::time::sleep(pause).await;
                receivers.again();
                return "a receiver killed with SIGKILL";
            }
            6 => {
                // Both take nothing for a while; senders must not notice.
                for (_, receivers) in &self.receivers {
                    fault(receivers, json!({ "kind": "hang", "seconds": 4 }));
                }
                let (before, began) = (self.sender.count(), Instant::now());
                while self.receivers.iter().any(|(_, r)| r.felt("hang") == 0) && began.elapsed() < PATIENCE {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                let within = self.sender.count();
                tokio::time::sleep(Duration::from_secs(3)).await;
                let after = self.sender.count();
                assert!(
                    after > within,
                    "nothing was ingested while receivers hung ({before}, {within}, {after})"
                );
                return "both receivers hang";
            }
            _ => {}
        }
        let (name, wanted) = match kind {
            7 => ("cut before anything is stored", json!({ "kind": "cut_before", "times": 2 })),
            8 => ("cut once all is stored", json!({ "kind": "cut_after", "times": 2 })),
            9 => ("cut within the answer", json!({ "kind": "cut_midway", "times": 2 })),
            10 => ("connections reset", json!({ "kind": "reset", "times": 2 })),
            11 => ("503 and Retry-After", json!({ "kind": "status", "status": 503, "retry_after": 1 })),
            12 => (
                "429 and a date in Retry-After",
                json!({ "kind": "status", "status": 429, "retry_after": "date:2" }),
            ),
            13 => ("500", json!({ "kind": "status", "status": 500, "times": 2 })),
            14 => ("a slow answer", json!({ "kind": "slow", "seconds": 1 })),
            _ => {
                receivers.say(&json!({ "refuse": 1 }));
                tokio::time::sleep(pause).await;
                return "connections refused";
            }
        };
        fault(receivers, wanted);
        tokio::time::sleep(pause).await;
        name
    }
}

async fn chaos(seed: u64, rounds: usize) {
    let rig = Rig::new();
    let mut receivers = Vec::new();
    for name in ["webhook", "elastic"] {
        let Some(own) = rig.receivers(name, false, json!({})) else { return };
        receivers.push((name, own));
    }
    rig.configure(&format!(
        "[detections]\nbuilt_in = false\n[detections.rules.audit_log_downloaded]\nenabled = true\n\
         [export]\nevery = 1\n[[export.destinations]]\nname = \"webhook\"\nkind = \"webhook\"\nurl = \"http://127.0.0.1:{}/hook\"\n\
         timeout = 2\nwhat = [\"events\", \"findings\"]\n\
         [[export.destinations]]\nname = \"elastic\"\nkind = \"elastic\"\nurl = \"http://127.0.0.1:{}\"\n\
         index = \"logs-azuredevops.audit-default\"\ntoken = \"aWQtb2YtdGhlLWtleTpzZWNyZXQtb2YtdGhlLWtleQ==\"\n\
         timeout = 2\nwhat = [\"events\", \"findings\"]\n",
        receivers[0].1.port, receivers[1].1.port
    ));
    let sender = Arc::<Sender>::default();
    let mut stage = Stage { rig, service: None, receivers, sender: sender.clone() };
    stage.start_service();
    let senders = std::thread::spawn({
        let sender = sender.clone();
        move || sender.run()
    });
    let mut lot = Lot(seed);
    let (mut deck, mut counts) = (Vec::new(), BTreeMap::<&str, usize>::new());
    let began = Instant::now();
    for _ in 0..rounds {
        if deck.is_empty() {
            deck = lot.shuffled();
        }
        let kind = deck.pop().unwrap_or_default();
        *counts.entry(stage.trouble(kind, &mut lot).await).or_default() += 1;
        tokio::time::sleep(Duration::from_millis(lot.below(800))).await;
    }
    for (_, receivers) in &stage.receivers {
        receivers.say(&json!({ "clear": true }));
    }
    sender.ended.store(true, Ordering::Relaxed);
    senders.join().unwrap();
    let troubled = began.elapsed();
    let acknowledged = sender.acknowledged.lock().unwrap().clone();
    stage.all_is_found().await;
    // Sent but not acknowledged may be there as well.
    let wanted = stage.wanted();
    for n in &acknowledged {
        let key = format!("a1000000-0000-4000-8000-{n:012x}:0");
        assert!(wanted.contains(&key), "{key} was acknowledged and is not in the lake");
    }
    for name in ["webhook", "elastic"] {
        loop {
            let taken = stage.taken(name);
            let missing: Vec<&String> = wanted.iter().filter(|key| !taken.contains_key(*key)).collect();
            if missing.is_empty() {
                assert_eq!(taken.len(), wanted.len(), "{name} has keys that nobody sent");
                break;
            }
            assert!(
                began.elapsed() < troubled + PATIENCE,
                "{name} lacks {} of {}",
                missing.len(),
                wanted.len()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(stage.rig.rejects(name), BTreeMap::new());
    }
    println!(
        "seed {seed}: {} acknowledged, {} with their findings in the lake, {rounds} troubles in {} s, all delivered {} s later",
        acknowledged.len(),
        wanted.len(),
        troubled.as_secs(),
        (began.elapsed() - troubled).as_secs()
    );
    for (name, count) in &counts {
        println!("{count:>6}  {name}");
    }
    for (name, receivers) in &stage.receivers {
        let seen = receivers.seen(name);
        let keys: BTreeSet<String> = seen.iter().map(key_of).collect();
        println!("{name}: {} items, {} of them copies", seen.len(), seen.len() - keys.len());
        assert_eq!(receivers.complaints(), Vec::<String>::new());
    }
    assert!(stage.service.take().unwrap().stop().success());
    stage.no_cursor_is_ahead().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_killed_each_event_reaches_each_destination() {
    let word = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let long = std::env::var("PEERS_LONG").is_ok_and(|v| v == "1");
    let rounds = word("CHAOS_ROUNDS").unwrap_or(if long { 10 * KINDS as u64 } else { KINDS as u64 });
    chaos(word("CHAOS_SEED").unwrap_or(1), rounds as usize).await;
}
