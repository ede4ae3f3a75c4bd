//! Checkpoints in a folder, for the processes of one machine: a file an object, written whole, in turns.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use azure_core::error::ErrorKind;
use serde::{Deserialize, Serialize};

use super::{Condition, Object, Objects, Result, Written};

/// A folder.
#[derive(Debug, Clone)]
pub struct Folder(pub PathBuf);

/// What a file holds.
#[derive(Serialize, Deserialize)]
struct Content {
    etag: String,
    /// Milliseconds since 1970.
    modified: u64,
    metadata: BTreeMap<String, String>,
}

#[async_trait::async_trait]
impl Objects for Folder {
    async fn list(&self, prefix: &str) -> Result<Vec<Object>> {
        let folder = self.0.join(prefix);
        blocking(folder.clone(), move || list(&folder)).await
    }

    async fn put(
        &self,
        name: &str,
        metadata: &BTreeMap<String, String>,
        condition: &Condition,
    ) -> Result<Option<Written>> {
        let path = self.0.join(format!("{name}.json"));
        let (lock, metadata, condition) = (self.0.join(".lock"), metadata.clone(), condition.clone());
        blocking(path.clone(), move || put(&lock, &path, metadata, &condition)).await
    }
}

/// Disks are waited for on a thread that may wait.
async fn blocking<T: Send + 'static>(
    path: PathBuf,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other).flatten();
    let says = || format!("use `{}`; check the folder's owner and the space on its disk", path.display());
    done.map_err(|error| azure_core::Error::with_error(ErrorKind::Io, error, says()))
}

fn list(folder: &Path) -> std::io::Result<Vec<Object>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(name) = name.strip_suffix(".json")
            && let Some(content) = read(&path)?
        {
            found.push(Object {
                name: name.to_owned(),
                etag: content.etag,
                modified: UNIX_EPOCH + Duration::from_millis(content.modified),
                metadata: content.metadata,
            });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// A file that a power cut left empty is as one that is not there.
fn read(path: &Path) -> std::io::Result<Option<Content>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

fn put(
    lock: &Path,
    path: &Path,
    metadata: BTreeMap<String, String>,
    condition: &Condition,
) -> std::io::Result<Option<Written>> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    // Between the look and the rename nobody else may look. The lock goes with the file, so a process that
    // dies leaves none.
    let turn = OpenOptions::new().create(true).truncate(false).write(true).open(lock)?;
    rustix::fs::flock(&turn, rustix::fs::FlockOperation::LockExclusive)?;
    let found = read(path)?;
    let holds = match (condition, &found) {
        (Condition::Any, _) | (Condition::Absent, None) => true,
        (Condition::Is(etag), Some(content)) => *etag == content.etag,
        _ => false,
    };
    if !holds {
        return Ok(None);
    }
    let now = SystemTime::now();
    let modified = u64::try_from(now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis());
    let content = Content { etag: etag(now)?, modified: modified.unwrap_or(u64::MAX), metadata };
    let temporary = path.with_extension(format!("{}.tmp", content.etag));
    let mut file = File::create(&temporary)?;
    file.write_all(&serde_json::to_vec(&content)?)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    Ok(Some(Written { etag: content.etag, modified: now }))
}

/// Another one each time.
fn etag(now: SystemTime) -> std::io::Result<String> {
    let mut bytes = [0u8; 8];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    let nanos = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    Ok(format!("{nanos:x}-{:x}", u64::from_le_bytes(bytes)))
}
