//! Durable steps on a local disk, and the points at which a test may kill the program between them.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use super::StoreError;

/// The points between two durable steps, in the order of a commit, then of a compaction.
pub const FAILPOINTS: [&str; 8] = [
    "parquet_written",
    "parquet_synced",
    "entry_written",
    "entry_linked",
    "committed",
    "position_written",
    "compacted_written",
    "compacted_committed",
];

/// Ends the process here when the environment asks for it, as a crash would. Debug builds only.
pub(super) fn failpoint(name: &str) {
    debug_assert!(FAILPOINTS.contains(&name), "{name} is not listed");
    if cfg!(debug_assertions)
        && let Ok(wanted) = std::env::var("AGENTRAIL_FAILPOINT")
    {
        use std::sync::atomic::{AtomicU32, Ordering};
        static PASSED: AtomicU32 = AtomicU32::new(0);
        let (wanted, nth) = wanted.split_once(':').unwrap_or((&wanted, "1"));
        if wanted == name && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == nth.parse().unwrap_or(1) {
            std::process::abort();
        }
    }
}

/// Makes what a folder lists durable.
pub(super) fn sync_folder(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|f| f.sync_all()).map_err(StoreError::io("sync the folder", path))
}

/// Writes a file that appears whole or not at all, replacing what was there.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let temporary = temporary(path);
    write_synced(&temporary, bytes)?;
    failpoint("position_written");
    fs::rename(&temporary, path).map_err(StoreError::io("put in place", path))?;
    sync_folder(folder)
}

/// Writes a file that appears whole, unless one of its name is there: then `false`.
pub(super) fn create(path: &Path, bytes: &[u8]) -> Result<bool, StoreError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let temporary = temporary(path);
    write_synced(&temporary, bytes)?;
    failpoint("entry_written");
    let linked = match fs::hard_link(&temporary, path) {
        Ok(()) => true,
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => false,
        Err(e) => {
            let _ = fs::remove_file(&temporary);
            return Err(StoreError::io("put in place", path)(e));
        }
    };
    failpoint("entry_linked");
    let _ = fs::remove_file(&temporary);
    if linked {
        sync_folder(folder)?;
    }
    Ok(linked)
}

fn temporary(path: &Path) -> std::path::PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // A name that Delta readers pass over.
    path.with_file_name(format!("_{name}.{}.tmp", super::lake::random_hex(4)))
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(StoreError::io("write", path))
}

/// Held while a table is committed to, so that the processes of one machine take turns.
pub(super) struct Turn(#[expect(dead_code, reason = "the lock lives as long as the file is open")] File);

impl Turn {
    pub fn take(path: &Path) -> Result<Turn, StoreError> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .map_err(StoreError::io("open the lock", path))?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)
            .map_err(|e| StoreError::io("take the lock", path)(e.into()))?;
        Ok(Turn(file))
    }
}

/// Bytes that may still be written to the disk of `path`.
pub(super) fn free(path: &Path) -> Result<u64, StoreError> {
    let stat =
        rustix::fs::statvfs(path).map_err(|e| StoreError::io("measure the free space of", path)(e.into()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
