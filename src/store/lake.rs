//! A lake: a folder of tables, with its id, format version and positions.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value as Json, json};

use super::commit::{TableState, Writer, commit, locked};
use super::disk::Lease;
use super::{Committed, Rows, StoreError, disk};
use crate::model::RecordHash;
use crate::schema::{FileSet, tables};

/// The format this program reads and writes.
const FORMAT: u64 = 1;

/// How a lake is kept.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Below this many free bytes nothing is written.
    pub free_floor_bytes: u64,
    /// Memory of each table's index of keys.
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
    pub folder: PathBuf,
    pub settings: Settings,
    id: String,
    states: Vec<(&'static str, Mutex<TableState>)>,
}

impl Lake {
    /// Opens the lake in `folder`, and makes one when the folder is new or empty.
    pub async fn open(folder: &Path, settings: Settings) -> Result<Lake, StoreError> {
        let folder = std::path::absolute(folder).map_err(StoreError::io("resolve", folder))?;
        tokio::task::spawn_blocking(move || Inner::open(folder, settings))
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
        self.inner.state(table).files()
    }

    /// The files of all tables: `events` first, so that what its rows cite is there as well.
    pub fn pin(&self) -> Vec<FileSet> {
        self.inner.states.iter().rev().map(|(name, _)| self.inner.state(name).files()).collect()
    }

    /// Takes in what other processes committed.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let inner = self.inner.clone();
        tokio::task::spawn_blocking(move || {
            inner.states.iter().rev().try_for_each(|(name, _)| inner.state(name).refresh())
        })
        .await?
    }

    /// The lake's own id.
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// Where a source partition stood last.
    pub fn position(&self, partition: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.inner.position_path(partition)).ok()?;
        let json: Json = serde_json::from_str(&text).ok()?;
        (json.get("partition")?.as_str()? == partition)
            .then(|| json.get("value")?.as_str().map(str::to_owned))?
    }

    /// Saves where a source partition stands, durably.
    pub async fn save_position(&self, partition: &str, value: &str) -> Result<(), StoreError> {
        let path = self.inner.position_path(partition);
        let text = json!({"partition": partition, "value": value}).to_string();
        tokio::task::spawn_blocking(move || disk::replace(&path, text.as_bytes())).await?
    }

    /// Takes the lease of a work that one process at a time does on this lake.
    pub fn lease(&self, work: &str) -> Result<Option<Lease>, StoreError> {
        Lease::take(&self.inner.folder.join(format!("_{work}.lease")))
    }

    /// Files that the tables name and the disk does not hold as they were written: gone, or of
    /// another size.
    pub async fn damaged(&self) -> Result<Vec<PathBuf>, StoreError> {
        let inner = self.inner.clone();
        let look = move || {
            let mut damaged = Vec::new();
            for (name, _) in &inner.states {
                for file in inner.state(name).files().files.iter() {
                    let path = inner.folder.join(name).join(&file.path);
                    if std::fs::metadata(&path).map_or(true, |m| m.len() != file.bytes) {
                        damaged.push(path);
                    }
                }
            }
            damaged
        };
        Ok(tokio::task::spawn_blocking(look).await?)
    }

    pub(super) fn names(&self) -> Vec<&'static str> {
        self.inner.states.iter().map(|(name, _)| *name).collect()
    }
}

impl Inner {
    fn open(folder: PathBuf, settings: Settings) -> Result<Inner, StoreError> {
        let marker = folder.join("lake.json");
        std::fs::create_dir_all(folder.join("_positions"))
            .map_err(StoreError::io("make the folder", &folder))?;
        let id = match std::fs::read_to_string(&marker) {
            Ok(text) => {
                let json: Json = serde_json::from_str(&text)
                    .map_err(|e| StoreError::Log { path: marker.clone(), says: e.to_string() })?;
                let found = json.get("format").and_then(Json::as_u64).unwrap_or(0);
                if found != FORMAT {
                    return Err(StoreError::Format { path: folder, found, ours: FORMAT });
                }
                json.get("id").and_then(Json::as_str).unwrap_or_default().to_owned()
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let others = std::fs::read_dir(&folder).map_err(StoreError::io("list", &folder))?;
                if others.flatten().any(|e| !e.file_name().to_string_lossy().starts_with('_')) {
                    return Err(StoreError::NoLake { path: folder });
                }
                let id = random_hex(16);
                let text = json!({"id": id, "format": FORMAT}).to_string();
                // Two processes may make it at once: the first one's id stands.
                if disk::create(&marker, text.as_bytes())? {
                    id
                } else {
                    return Inner::open(folder, settings);
                }
            }
            Err(e) => return Err(StoreError::io("read", &marker)(e)),
        };
        let states = tables()
            .iter()
            .map(|t| Ok((t.name, Mutex::new(TableState::open(t, folder.join(t.name))?))))
            .collect::<Result<_, StoreError>>()?;
        Ok(Inner { folder, settings, id, states })
    }

    fn slot(&self, table: &str) -> &Mutex<TableState> {
        let (_, state) = self
            .states
            .iter()
            .find(|(name, _)| *name == table)
            .unwrap_or_else(|| unreachable!("`{table}` is a table of this program"));
        state
    }

    pub(super) fn state(&self, table: &str) -> MutexGuard<'_, TableState> {
        locked(self.slot(table))
    }

    pub(super) fn with<R>(
        &self,
        table: &str,
        work: impl FnOnce(&mut TableState) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        work(&mut self.state(table))
    }

    fn commit(&self, writer: &Writer, rows: &[Rows]) -> Result<Vec<Committed>, StoreError> {
        let (free, floor) = (disk::free(&self.folder)?, self.settings.free_floor_bytes);
        if free < floor {
            return Err(StoreError::Full { free, floor });
        }
        let mut out = Vec::with_capacity(rows.len());
        for rows in rows {
            let state = self.slot(rows.table.name);
            out.push(commit(state, rows, writer, self.settings.index_memory_bytes)?);
        }
        Ok(out)
    }

    fn position_path(&self, partition: &str) -> PathBuf {
        let name = &RecordHash::of(partition.as_bytes()).to_string()[..32];
        self.folder.join("_positions").join(format!("{name}.json"))
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
