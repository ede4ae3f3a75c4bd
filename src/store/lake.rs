//! A lake: a folder of tables, on a disk or in an object store, with its id, format version and positions.

use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use object_store::ObjectStore;
use serde_json::{Value as Json, json};

use super::commit::{Shown, TableState, Writer, commit, locked};
use super::place::Place;
use super::remote::Remote;
use super::{Committed, Lease, Rows, StoreError};
use crate::model::RecordHash;
use crate::objects::Access;
use crate::schema::{FileSet, Table, tables};

/// The format this program reads and writes.
const FORMAT: u64 = 1;
/// The file that makes a folder a lake.
const MARKER: &str = "lake.json";
/// Where processes say what they are at.
const TOLD: &str = "_status";

/// How a lake is kept.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Below this many free bytes on the local disk nothing is written.
    pub free_floor_bytes: u64,
    /// Memory of each table's index of keys; what does not fit is set aside on disk.
    pub index_memory_bytes: usize,
    /// Days that dated rows are kept; `None` keeps them for ever.
    pub retention_days: Option<u32>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { free_floor_bytes: 512 << 20, index_memory_bytes: 256 << 20, retention_days: None }
    }
}

/// An open lake. Several processes may have the same one open, and write.
pub struct Lake {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub place: Place,
    pub settings: Settings,
    id: String,
    tables: Vec<Kept>,
}

/// A table of the lake.
struct Kept {
    name: &'static str,
    state: Mutex<TableState>,
    shown: Arc<Shown>,
}

impl Lake {
    /// Opens the lake in `folder`, and makes one when the folder is new or empty.
    pub async fn open(folder: &Path, settings: Settings) -> Result<Lake, StoreError> {
        let folder = without_turns(&std::path::absolute(folder).map_err(StoreError::io("resolve", folder))?);
        Lake::open_at(Place::Local(folder), settings).await
    }

    /// Opens the lake on object storage that `url` names, and makes one where nothing is.
    ///
    /// Fails when the URL names no store, or the store cannot be reached or refuses.
    pub async fn open_url(url: &str, access: &Access, settings: Settings) -> Result<Lake, StoreError> {
        Lake::open_at(Place::Object(Remote::open(url, access)?), settings).await
    }

    /// The same, but `None` where there is no lake.
    pub async fn find_url(
        url: &str,
        access: &Access,
        settings: Settings,
    ) -> Result<Option<Lake>, StoreError> {
        let place = Place::Object(Remote::open(url, access)?);
        let own = place.clone();
        match tokio::task::spawn_blocking(move || marker(&own)).await?? {
            Some(_) => Lake::open_at(place, settings).await.map(Some),
            None => Ok(None),
        }
    }

    /// Whether nothing is at `url` yet, so that a lake can be made there; asks the store.
    pub async fn is_vacant(url: &str, access: &Access) -> Result<bool, StoreError> {
        let place = Place::Object(Remote::open(url, access)?);
        tokio::task::spawn_blocking(move || place.is_taken().map(|taken| !taken)).await?
    }

    pub(super) async fn open_at(place: Place, settings: Settings) -> Result<Lake, StoreError> {
        tokio::task::spawn_blocking(move || Inner::open(place, settings))
            .await?
            .map(|inner| Lake { inner: Arc::new(inner) })
    }

    /// Commits rows, table by table in the order given; each table's rows are one entry of its log.
    /// Returns what became of each. When it fails, earlier tables may be committed: the same rows
    /// given again are found there.
    pub async fn commit(&self, writer: &Writer, rows: Vec<Rows>) -> Result<Vec<Committed>, StoreError> {
        let (inner, writer) = (self.inner.clone(), writer.clone());
        tokio::task::spawn_blocking(move || inner.commit(&writer, &rows)).await?
    }

    /// The files of one table as known now.
    pub fn files(&self, table: &'static str) -> FileSet {
        self.inner.kept(table).shown.files()
    }

    /// The files of all tables: `events` first, so that what its rows cite is there as well.
    pub fn pin(&self) -> Vec<FileSet> {
        self.inner.tables.iter().rev().map(|kept| kept.shown.files()).collect()
    }

    /// Where the files of all tables are, for who reads them; `None` when that is the local disk.
    pub fn store(&self) -> Option<Arc<dyn ObjectStore>> {
        match &self.inner.place {
            Place::Local(_) => None,
            Place::Object(remote) => Some(remote.store()),
        }
    }

    /// Takes in what other processes committed.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let inner = self.inner.clone();
        tokio::task::spawn_blocking(move || inner.refresh()).await?
    }

    /// The lake's own id.
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// Where a source partition stood last; `None` also when that cannot be read: it is a hint, and
    /// what is delivered again is known.
    pub fn position(&self, partition: &str) -> Option<String> {
        let bytes = self.inner.place.read(&position_name(partition)).unwrap_or_else(|error| {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(partition, error, "a position could not be read; its source begins anew");
            None
        });
        let json: Json = serde_json::from_slice(&bytes?).ok()?;
        (json.get("partition")?.as_str()? == partition)
            .then(|| json.get("value")?.as_str().map(str::to_owned))?
    }

    /// Saves where a source partition stands, durably.
    pub async fn save_position(&self, partition: &str, value: &str) -> Result<(), StoreError> {
        let (inner, name) = (self.inner.clone(), position_name(partition));
        let text = json!({"partition": partition, "value": value}).to_string();
        tokio::task::spawn_blocking(move || inner.place.replace(&name, text.as_bytes())).await?
    }

    /// Keeps what a process says of itself, in place of what it said before under that name.
    pub async fn tell(&self, name: &str, says: String) -> Result<(), StoreError> {
        let (inner, name) = (self.inner.clone(), format!("{TOLD}/{name}.json"));
        tokio::task::spawn_blocking(move || inner.place.tell(&name, says.as_bytes())).await?
    }

    /// What processes said of themselves, by name.
    pub async fn told(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let place = self.inner.place.inside(TOLD);
        let read = move || {
            let mut names = place.names()?;
            names.retain(|name| name.ends_with(".json"));
            names.sort();
            let told = place.read_all(&names)?.into_iter().zip(&names);
            Ok(told
                .filter_map(|(says, name)| Some((name.trim_end_matches(".json").to_owned(), says?)))
                .collect())
        };
        tokio::task::spawn_blocking(read).await?
    }

    /// Forgets what was said under a name.
    pub fn untell(&self, name: &str) {
        self.inner.place.discard(&format!("{TOLD}/{name}.json"));
    }

    /// Takes the lease of a work that one process at a time does on this lake.
    pub fn lease(&self, work: &str) -> Result<Option<Lease>, StoreError> {
        self.inner.place.lease(work)
    }

    /// Files that the tables name and that are not there as they were written: gone, or of another
    /// size.
    pub async fn damaged(&self) -> Result<Vec<PathBuf>, StoreError> {
        let inner = self.inner.clone();
        let look = move || {
            let mut damaged = Vec::new();
            for kept in &inner.tables {
                damaged.extend(inner.place.inside(kept.name).damaged(&kept.shown.files().files)?);
            }
            Ok(damaged)
        };
        tokio::task::spawn_blocking(look).await?
    }

    pub(super) fn names(&self) -> Vec<&'static str> {
        self.inner.tables.iter().map(|kept| kept.name).collect()
    }
}

/// What a lake's marker says, or `None` where there is no lake.
fn marker(place: &Place) -> Result<Option<Json>, StoreError> {
    let Some(bytes) = place.read(MARKER)? else { return Ok(None) };
    let json = serde_json::from_slice(&bytes);
    json.map(Some).map_err(|e| StoreError::Log { path: place.full(MARKER), says: e.to_string() })
}

fn position_name(partition: &str) -> String {
    format!("_positions/{}.json", &RecordHash::of(partition.as_bytes()).to_string()[..32])
}

impl Inner {
    fn open(place: Place, settings: Settings) -> Result<Inner, StoreError> {
        if let Some(positions) = place.local("_positions") {
            std::fs::create_dir_all(positions).map_err(StoreError::io("make the folder", &place.shown()))?;
        }
        let id = match marker(&place)? {
            Some(json) => {
                let found = json.get("format").and_then(Json::as_u64).unwrap_or(0);
                if found != FORMAT {
                    return Err(StoreError::Format { path: place.shown(), found, ours: FORMAT });
                }
                json.get("id").and_then(Json::as_str).unwrap_or_default().to_owned()
            }
            None => {
                let id = random_hex(16);
                let text = json!({"id": id, "format": FORMAT}).to_string();
                // Two processes may make it at once, and the first one's id stands; what it has made by
                // now is not somebody else's.
                if place.is_taken()? {
                    return match marker(&place)? {
                        Some(_) => Inner::open(place, settings),
                        None => Err(StoreError::NoLake { path: place.shown() }),
                    };
                }
                if !place.create(MARKER, text.as_bytes())? {
                    return Inner::open(place, settings);
                }
                id
            }
        };
        let tables = Inner::tables(&place, settings.index_memory_bytes)?;
        Ok(Inner { place, settings, id, tables })
    }

    /// Opens all tables; far away at once, as each waits for its own answers.
    fn tables(place: &Place, index_bytes: usize) -> Result<Vec<Kept>, StoreError> {
        let open = |table: &'static Table| {
            let state = TableState::open(table, place.inside(table.name), index_bytes)?;
            Ok(Kept { name: table.name, shown: state.shown(), state: Mutex::new(state) })
        };
        if !place.is_remote() {
            return tables().iter().map(open).collect();
        }
        std::thread::scope(|scope| {
            let open = &open;
            let opening: Vec<_> = tables().iter().map(|table| scope.spawn(move || open(table))).collect();
            opening.into_iter().map(|table| table.join().unwrap_or(Err(StoreError::Ended))).collect()
        })
    }

    fn kept(&self, table: &str) -> &Kept {
        self.tables
            .iter()
            .find(|kept| kept.name == table)
            .unwrap_or_else(|| unreachable!("`{table}` is a table of this program"))
    }

    fn refresh(&self) -> Result<(), StoreError> {
        let one = |kept: &Kept| locked(&kept.state).refresh();
        let mut events_first = self.tables.iter().rev();
        if !self.place.is_remote() {
            return events_first.try_for_each(one);
        }
        // What the rows of the first cite is in the others by the time these are read.
        events_first.next().map_or(Ok(()), one)?;
        std::thread::scope(|scope| {
            let one = &one;
            let rest: Vec<_> = events_first.map(|kept| scope.spawn(move || one(kept))).collect();
            rest.into_iter().try_for_each(|table| table.join().unwrap_or(Err(StoreError::Ended)))
        })
    }

    pub(super) fn state(&self, table: &str) -> MutexGuard<'_, TableState> {
        locked(&self.kept(table).state)
    }

    pub(super) fn with<R>(
        &self,
        table: &str,
        work: impl FnOnce(&mut TableState) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        work(&mut self.state(table))
    }

    fn commit(&self, writer: &Writer, rows: &[Rows]) -> Result<Vec<Committed>, StoreError> {
        let floor = self.settings.free_floor_bytes;
        if let Some(free) = self.place.free()?.filter(|free| *free < floor) {
            return Err(StoreError::Full { free, floor });
        }
        let mut out = Vec::with_capacity(rows.len());
        for rows in rows {
            let state = &self.kept(rows.table.name).state;
            out.push(commit(state, rows, writer)?);
        }
        Ok(out)
    }
}

pub(super) fn now_micros() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as i64
}

/// Random bytes in hex. Names need only differ, so a system without randomness falls back on its clock.
pub(super) fn random_hex(bytes: usize) -> String {
    let mut buffer = vec![0u8; bytes];
    if getrandom::fill(&mut buffer).is_err() {
        let seed = format!("{:?}/{}", SystemTime::now(), std::process::id());
        let hash = RecordHash::of(seed.as_bytes());
        buffer.iter_mut().zip(hash.0.iter().cycle()).for_each(|(b, h)| *b = *h);
    }
    buffer.iter().map(|b| format!("{b:02x}")).collect()
}

/// A path without `..`, which no URL of a file may have.
fn without_turns(path: &Path) -> PathBuf {
    let turns = |part: Component<'_>| part == Component::ParentDir;
    if !path.components().any(turns) {
        return path.to_owned();
    }
    std::fs::canonicalize(path).unwrap_or_else(|_| {
        path.components().fold(PathBuf::new(), |mut out, part| {
            if turns(part) {
                out.pop();
            } else {
                out.push(part);
            }
            out
        })
    })
}
