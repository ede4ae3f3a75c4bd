//! `status`: what the running processes are at. Each `run` says so in the lake every few seconds, in place of
//! what it said before; the checkpoints say the rest.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Failure, ask, event_hubs, storage};
use crate::cli::{self, Format};
use crate::model::{Ticks, Time};
use crate::pipeline::Ledger;
use crate::settings::Settings;
use crate::source::clock::{Clock as _, System};
use crate::source::event_hubs::checkpoints::Group;
use crate::source::event_hubs::status::{Hub, Status};
use crate::store::{Lake, StoreError};

/// Between two words of a process on a local lake. On object storage each is a request: fewer will do.
const EVERY: Duration = Duration::from_secs(5);
const EVERY_FAR: Duration = Duration::from_secs(30);
/// A process that was silent for so many of them does not run any more.
const SILENT: u32 = 6;
/// What was said so long ago is removed.
const FORGOTTEN: Ticks = Ticks::days(7);

/// What one process says of itself.
#[derive(Debug, Serialize, Deserialize)]
struct Said {
    process: u32,
    /// The machine it runs on: processes of one lake may be on several.
    #[serde(default)]
    host: String,
    started: String,
    written: String,
    /// What the process took in since it started.
    events: u64,
    facts: u64,
    rejects: u64,
    bytes: u64,
    commits: u64,
    /// By what a hub is called in `source` of a reject.
    hubs: BTreeMap<String, Hub>,
}

/// The word of this process in its lake; gone with a process that ends as it should.
pub(super) struct Word {
    lake: Arc<Lake>,
    every: Duration,
    name: String,
    host: String,
    started: Time,
}

impl Word {
    /// Removes words of long ago.
    pub async fn new(lake: Arc<Lake>, settings: &Settings) -> Word {
        for (name, said) in told(&lake).await.unwrap_or_default() {
            if age(&said).is_none_or(|age| age > FORGOTTEN) {
                lake.untell(&name);
            }
        }
        let started = System.now();
        // Process ids come again, and are the same on another machine.
        let name = format!("{}-{}", std::process::id(), started.unix_micros());
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Word { lake, every: every(settings), name, host: host.trim().to_owned(), started }
    }

    /// Says now and then what the process is at. That it cannot stops nothing.
    pub async fn keep(&self, ledger: impl Fn() -> Ledger, status: &Status) {
        loop {
            let now = System.now();
            let ledger = ledger();
            let said = Said {
                process: std::process::id(),
                host: self.host.clone(),
                started: self.started.to_string(),
                written: now.to_string(),
                events: ledger.events,
                facts: ledger.facts,
                rejects: ledger.rejects,
                bytes: ledger.bytes,
                commits: ledger.commits,
                hubs: status.snapshot(now),
            };
            let says = serde_json::json!(said).to_string();
            if let Err(error) = self.lake.tell(&self.name, says).await {
                tracing::debug!(%error, "the status could not be written");
            }
            tokio::time::sleep(self.every).await;
        }
    }
}

impl Drop for Word {
    fn drop(&mut self) {
        self.lake.untell(&self.name);
    }
}

/// How often a process of this lake says what it is at.
fn every(settings: &Settings) -> Duration {
    if storage::url(settings).is_some() { EVERY_FAR } else { EVERY }
}

/// What the processes of a lake said last, by name.
async fn told(lake: &Lake) -> Result<Vec<(String, Said)>, StoreError> {
    let told = lake.told().await?.into_iter();
    Ok(told.filter_map(|(name, says)| Some((name, serde_json::from_slice(&says).ok()?))).collect())
}

fn age(said: &Said) -> Option<Ticks> {
    Some(Ticks(System.now().0 - Time::parse(&said.written)?.0))
}

/// Whether a process spoke lately enough to be running.
fn is_running(said: &Said, settings: &Settings) -> bool {
    let silence = i64::try_from((every(settings) * SILENT).as_secs()).unwrap_or(i64::MAX);
    age(said).is_some_and(|age| age <= Ticks::seconds(silence))
}

/// What the store of checkpoints has on one hub.
#[derive(Debug, Serialize)]
struct Shared {
    name: String,
    /// What went wrong when it was asked.
    fault: Option<String>,
    /// By partition.
    partitions: BTreeMap<String, Owned>,
}

#[derive(Debug, Default, Serialize)]
struct Owned {
    owner: Option<String>,
    /// Seconds since the ownership was renewed.
    renewed: Option<u64>,
    checkpoint: Option<i64>,
}

/// Prints it all.
pub(super) async fn run(asked: cli::Status, settings: &Settings) -> Result<u8, Failure> {
    let name = storage::shown(settings);
    let shared = shared(settings).await?;
    let lake = storage::find(settings).await?;
    let said = match &lake {
        Some(lake) => {
            told(lake).await.map_err(|e| Failure::of("read what the processes of the lake say", e))?
        }
        None => Vec::new(),
    };
    let said: Vec<Said> = said.into_iter().map(|(_, said)| said).collect();
    let holds = match lake {
        Some(lake) => {
            let tables = lake.pin();
            let rows = tables.iter().flat_map(|t| t.files.iter()).map(|f| f.rows).sum::<u64>();
            let bytes = tables.iter().flat_map(|t| t.files.iter()).map(|f| f.bytes).sum::<u64>();
            let files = tables.iter().map(|t| t.files.len()).sum::<usize>();
            serde_json::json!({ "rows": rows, "files": files, "bytes": bytes })
        }
        None => serde_json::Value::Null,
    };
    if asked.format != Format::Table {
        let processes: Vec<_> = said
            .iter()
            .map(|said| {
                let mut json = serde_json::json!(said);
                json["running"] = is_running(said, settings).into();
                json
            })
            .collect();
        let all = serde_json::json!({ "lake": holds, "processes": processes, "checkpoints": shared });
        return ask::print(format!("{all}\n").as_bytes());
    }
    let mut out = String::new();
    let _ = match &holds {
        serde_json::Value::Null => writeln!(out, "lake       `{name}` is not there"),
        holds => writeln!(
            out,
            "lake       `{name}`: {} rows, {} files, {} bytes",
            holds["rows"], holds["files"], holds["bytes"]
        ),
    };
    if said.is_empty() {
        let _ = writeln!(out, "processes  none runs on this lake");
    }
    said.iter().for_each(|said| process(&mut out, said, is_running(said, settings)));
    shared.iter().for_each(|shared| checkpoints(&mut out, shared));
    ask::print(out.as_bytes())
}

/// What the checkpoints of all hubs in the settings say.
async fn shared(settings: &Settings) -> Result<Vec<Shared>, Failure> {
    if settings.event_hubs.hubs.is_empty() {
        return Ok(Vec::new());
    }
    let store = event_hubs::checkpoints(settings)?;
    let mut all = Vec::new();
    for hub in event_hubs::hubs(settings)? {
        let name = hub.name();
        let group = Group { namespace: hub.namespace, hub: hub.hub, consumer_group: hub.consumer_group };
        let mut shared = Shared { name, fault: None, partitions: BTreeMap::new() };
        let asked =
            async { Ok::<_, azure_core::Error>((store.owners(&group).await?, store.marks(&group).await?)) };
        match asked.await {
            Ok((owners, marks)) => {
                for owner in owners {
                    let at = shared.partitions.entry(owner.partition).or_default();
                    at.renewed = Some(owner.age.as_secs());
                    at.owner = Some(owner.owner).filter(|owner| !owner.is_empty());
                }
                for (partition, mark) in marks {
                    shared.partitions.entry(partition).or_default().checkpoint = Some(mark.sequence);
                }
            }
            Err(error) => shared.fault = Some(error.to_string()),
        }
        all.push(shared);
    }
    Ok(all)
}

fn process(out: &mut String, said: &Said, is_running: bool) {
    let seconds = age(said).map_or(0, |age| age.0 / Ticks::seconds(1).0);
    let state = if is_running { "runs" } else { "ended without a word" };
    let host = if said.host.is_empty() { String::new() } else { format!(" on {}", said.host) };
    let _ = writeln!(
        out,
        "process    {}{host} {state}, since {}, heard {seconds} s ago: {} events, {} facts, {} rejects in {} commits",
        said.process, said.started, said.events, said.facts, said.rejects, said.commits
    );
    for (name, hub) in &said.hubs {
        let owned = hub.partitions.values().filter(|p| p.owned).count();
        let _ = writeln!(out, "  {name} as {}: reads {owned} of {} partitions", hub.owner, hub.count);
        if let Some(fault) = &hub.fault {
            let _ = writeln!(out, "    fault: {fault}");
        }
        for (partition, at) in hub.partitions.iter().filter(|(_, at)| at.owned) {
            let number = |n: Option<i64>| n.map_or("-".to_owned(), |n| n.to_string());
            let _ = writeln!(
                out,
                "    {partition:>4}  lag {} events, {} s; committed {}, checkpoint {}, last {}; {} events, {} again, {} reconnects",
                number(at.lag),
                number(at.lag_seconds),
                number(at.committed),
                number(at.checkpoint),
                number(at.last),
                at.events,
                at.repeated,
                at.reconnects
            );
            if let Some(fault) = at.fault.as_ref().filter(|_| at.reconnects > 0) {
                let _ = writeln!(out, "          last fault: {fault}");
            }
        }
    }
}

fn checkpoints(out: &mut String, shared: &Shared) {
    let _ = writeln!(out, "checkpoints of {}", shared.name);
    if let Some(fault) = &shared.fault {
        let _ = writeln!(out, "    fault: failed to {fault}");
    }
    for (partition, at) in &shared.partitions {
        let checkpoint = at.checkpoint.map_or("none".to_owned(), |n| n.to_string());
        let owner = match (&at.owner, at.renewed) {
            (Some(owner), Some(renewed)) => format!("{owner}, renewed {renewed} s ago"),
            _ => "nobody".to_owned(),
        };
        let _ = writeln!(out, "    {partition:>4}  at {checkpoint}, owned by {owner}");
    }
}
