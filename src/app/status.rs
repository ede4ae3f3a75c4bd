//! `status`: what the running processes are at. Each `run` says so in a file in the lake, replaced every few
//! seconds; the checkpoints say the rest.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Failure, absolute, ask, event_hubs, storage};
use crate::cli::{self, Format};
use crate::model::{Ticks, Time};
use crate::pipeline::Ledger;
use crate::settings::Settings;
use crate::source::clock::{Clock as _, System};
use crate::source::event_hubs::checkpoints::Group;
use crate::source::event_hubs::status::{Hub, Status};

/// Between two writes of the file.
pub(super) const WRITE_EVERY: Duration = Duration::from_secs(5);
/// A process whose file is older does not run any more.
const SILENT: Ticks = Ticks::seconds(30);
/// A file that old is removed.
const FORGOTTEN: Ticks = Ticks::days(7);

/// What one process says of itself.
#[derive(Debug, Serialize, Deserialize)]
struct Said {
    process: u32,
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

/// The file of this process; gone with a process that ends as it should. A lake on object storage has none:
/// its processes are on several machines, and what they share is in the checkpoints.
pub(super) struct File {
    path: Option<PathBuf>,
    started: Time,
}

impl File {
    /// The file of this process in a lake; files of long ago are removed.
    pub fn new(settings: &Settings) -> File {
        let folder = folder(settings);
        for (path, said) in folder.iter().flat_map(|folder| read(folder)) {
            if age(&said).is_none_or(|age| age > FORGOTTEN) {
                let _ = std::fs::remove_file(path);
            }
        }
        let started = System.now();
        // Process ids come again, and are the same on another machine.
        let name = format!("{}-{}.json", std::process::id(), started.unix_micros());
        File { path: folder.map(|folder| folder.join(name)), started }
    }

    /// Says what the process is at. That it cannot stops nothing.
    pub async fn write(&self, ledger: &Ledger, status: &Status) {
        let Some(path) = self.path.clone() else { return };
        let now = System.now();
        let said = Said {
            process: std::process::id(),
            started: self.started.to_string(),
            written: now.to_string(),
            events: ledger.events,
            facts: ledger.facts,
            rejects: ledger.rejects,
            bytes: ledger.bytes,
            commits: ledger.commits,
            hubs: status.snapshot(now),
        };
        let written = tokio::task::spawn_blocking(move || {
            let temporary = path.with_extension("tmp");
            std::fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
            std::fs::write(&temporary, serde_json::to_vec(&said)?)?;
            std::fs::rename(&temporary, &path)
        });
        if let Err(error) = written.await.map_err(std::io::Error::other).flatten() {
            tracing::debug!(%error, "the status could not be written");
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Where the processes of a lake on the local disk say what they are at.
fn folder(settings: &Settings) -> Option<PathBuf> {
    storage::url(settings).is_none().then(|| absolute(&settings.lake.path).join("_status"))
}

/// What the processes of a lake said last.
fn read(folder: &Path) -> Vec<(PathBuf, Said)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let said = |path: PathBuf| {
        let said = serde_json::from_slice(&std::fs::read(&path).ok()?).ok()?;
        Some((path, said))
    };
    let mut found: Vec<_> = entries
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|e| e == "json"))
        .filter_map(said)
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

fn age(said: &Said) -> Option<Ticks> {
    Some(Ticks(System.now().0 - Time::parse(&said.written)?.0))
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
    let said: Vec<Said> =
        folder(settings).iter().flat_map(|folder| read(folder)).map(|(_, said)| said).collect();
    let shared = shared(settings).await?;
    let holds = match storage::find(settings).await? {
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
        let is_running = |said: &Said| age(said).is_some_and(|age| age <= SILENT);
        let processes: Vec<_> = said
            .iter()
            .map(|said| {
                let mut json = serde_json::json!(said);
                json["running"] = is_running(said).into();
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
    said.iter().for_each(|said| process(&mut out, said));
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

fn process(out: &mut String, said: &Said) {
    let seconds = age(said).map_or(0, |age| age.0 / Ticks::seconds(1).0);
    let state = if seconds <= SILENT.0 / Ticks::seconds(1).0 { "runs" } else { "ended without a word" };
    let _ = writeln!(
        out,
        "process    {} {state}, since {}, heard {seconds} s ago: {} events, {} facts, {} rejects in {} commits",
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
