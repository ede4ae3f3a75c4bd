//! A hub, a lake, and consumers between them: in this process, or the program itself.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agentrail::app;
use agentrail::pipeline::Pipeline;
use agentrail::settings::Settings;
use agentrail::simulate::hubs::{Hubs, Options};
use agentrail::source::clock::{Clock as _, System};
use agentrail::source::event_hubs::Lanes;
use agentrail::source::event_hubs::checkpoints::{Checkpoints, Group, Mark, Owner};
use agentrail::source::event_hubs::status::{Partition, Status};
use agentrail::store::Lake;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::hubs::client::prepare;
use crate::lake::{Scratch, Service, audit_record};

/// Longer than anything takes, on a busy machine too: the library loses an outcome now and then, and that
/// is noticed after twenty seconds.
const PATIENCE: Duration = Duration::from_secs(180);

/// One hub `h`, and a lake.
pub struct Rig {
    pub hubs: Arc<Hubs>,
    pub scratch: Scratch,
    pub partitions: u16,
}

impl Rig {
    pub async fn new(partitions: u16) -> Rig {
        Rig::with(partitions, Options::default()).await
    }

    pub async fn with(partitions: u16, options: Options) -> Rig {
        prepare();
        let hubs = Arc::new(Hubs::start(options).await.unwrap());
        hubs.create("h", partitions, &["g"]).unwrap();
        let rig = Rig { hubs, scratch: Scratch::new(), partitions };
        rig.configure("", "");
        rig
    }

    /// Writes the configuration: what differs in the section, and in the hub.
    pub fn configure(&self, section: &str, hub: &str) -> PathBuf {
        let key = self.scratch.file("connection", self.hubs.connection_string());
        let expiry = if section.contains("expiry") { "" } else { "expiry = 6\n" };
        let text = format!(
            "[event_hubs]\nevery = 1\n{expiry}{section}\n[[event_hubs.hubs]]\nhub = \"h\"\nendpoint = \"{}\"\n{hub}\n",
            self.hubs.endpoint()
        );
        let access = format!("connection_string = \"file:{}\"\n", key.display());
        let access = if hub.contains("credential") { String::new() } else { access };
        self.scratch.file("agentrail.toml", text + &access)
    }

    pub fn settings(&self) -> Settings {
        let lake = [("AGENTRAIL_LAKE__PATH".to_owned(), self.scratch.lake().display().to_string())];
        Settings::load(Some(&self.scratch.path("agentrail.toml")), lake.into_iter()).unwrap()
    }

    pub fn store(&self) -> Checkpoints {
        app::event_hubs::checkpoints(&self.settings()).unwrap()
    }

    pub fn group(&self) -> Group {
        Group { namespace: self.hubs.host().to_owned(), hub: "h".into(), consumer_group: "$Default".into() }
    }

    pub async fn mark(&self, partition: &str) -> Option<Mark> {
        self.store().marks(&self.group()).await.unwrap().get(partition).cloned()
    }

    pub async fn owners(&self) -> Vec<Owner> {
        self.store().owners(&self.group()).await.unwrap()
    }

    /// Puts audit records of these numbers into the partitions in turn.
    pub fn publish(&self, numbers: std::ops::Range<u32>) {
        for n in numbers {
            self.hubs.publish("h", &(n % u32::from(self.partitions)).to_string(), audit_record(n)).unwrap();
        }
    }

    pub async fn lake(&self) -> Arc<Lake> {
        app::open(&self.settings()).await.unwrap()
    }

    /// Starts a consumer in this process.
    pub async fn consumer(&self) -> Consumer {
        let settings = self.settings();
        let lake = self.lake().await;
        let pipeline = Pipeline::start(lake.clone(), app::pipeline_settings(&settings));
        let (stop, stopped) = watch::channel(false);
        let lanes = Lanes { push: pipeline.push.clone(), bulk: pipeline.bulk.clone() };
        let (status, mut sources) = (Status::default(), JoinSet::new());
        app::event_hubs::start(&settings, &lanes, &status, &stopped, &mut sources).unwrap();
        Consumer { lake, pipeline, stop, sources, status }
    }

    /// Starts the program.
    pub fn process(&self, environment: &[(&str, &str)]) -> Service {
        let config = self.scratch.path("agentrail.toml");
        Service::start_with(&self.scratch, &["--config", config.to_str().unwrap()], environment)
    }

    /// Waits until this many events are in the lake.
    pub async fn stored(&self, lake: &Lake, wanted: u64) {
        let began = Instant::now();
        loop {
            lake.refresh().await.unwrap();
            let found = rows(lake);
            assert!(found <= wanted, "{found} events in the lake, {wanted} were sent");
            if found == wanted {
                return;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{found} events in the lake, not {wanted}: {:?}",
                self.hubs.faults().counts()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until a partition's checkpoint is there.
    pub async fn saved(&self, partition: &str, sequence: i64) {
        eventually("a checkpoint", async || {
            self.mark(partition).await.is_some_and(|m| m.sequence == sequence)
        })
        .await;
    }

    /// The numbers of the audit records in the lake, each of which must be there once.
    pub fn numbers(&self) -> BTreeSet<u32> {
        let rows = self.scratch.sql("select event_id from actions");
        let number = |row: &serde_json::Value| {
            u32::from_str_radix(&row["event_id"].as_str().unwrap()[24..], 16).unwrap()
        };
        let numbers: BTreeSet<u32> = rows.iter().map(number).collect();
        assert_eq!(numbers.len(), rows.len(), "an event is there twice");
        numbers
    }
}

fn rows(lake: &Lake) -> u64 {
    lake.files("events").files.iter().map(|f| f.rows).sum()
}

/// Waits until something holds.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < PATIENCE, "{what} did not come");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A consumer in this process.
pub struct Consumer {
    pub lake: Arc<Lake>,
    pipeline: Pipeline,
    stop: watch::Sender<bool>,
    sources: JoinSet<Result<(), app::Failure>>,
    pub status: Status,
}

impl Consumer {
    pub fn partition(&self, partition: &str) -> Partition {
        let hubs = self.status.snapshot(System.now());
        hubs.values().next().and_then(|hub| hub.partitions.get(partition)).cloned().unwrap_or_default()
    }

    /// Events handed on, from all partitions.
    pub fn handed(&self) -> u64 {
        let hubs = self.status.snapshot(System.now());
        hubs.values().flat_map(|hub| hub.partitions.values()).map(|p| p.events).sum()
    }

    pub fn owned(&self) -> usize {
        let hubs = self.status.snapshot(System.now());
        hubs.values().flat_map(|hub| hub.partitions.values()).filter(|p| p.owned).count()
    }

    pub async fn owns(&self, count: usize) {
        eventually("its share", async || self.owned() == count).await;
    }

    /// Stops as the program does when it is told to.
    pub async fn stop(mut self) {
        self.stop.send(true).unwrap();
        while let Some(ended) = self.sources.join_next().await {
            ended.unwrap().unwrap();
        }
        self.pipeline.finish().await;
    }

    /// Ends without a word, as far as that goes within a process.
    pub async fn die(mut self) {
        self.sources.shutdown().await;
        drop(self.pipeline);
    }
}
