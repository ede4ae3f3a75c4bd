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

/// What happened to the disk, step by step, so that a test can ask what a power cut would leave.
#[cfg(test)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// A file or folder appeared in its folder.
    Made(std::path::PathBuf),
    /// A file's contents, or a folder's list, became durable.
    Synced(std::path::PathBuf),
    /// A second name for a file, or a new one in place of the old.
    Linked(std::path::PathBuf, std::path::PathBuf),
    Removed(std::path::PathBuf),
}

#[cfg(test)]
pub(super) static STEPS: std::sync::Mutex<Vec<Step>> = std::sync::Mutex::new(Vec::new());

#[cfg(test)]
fn note(step: Step) {
    STEPS.lock().unwrap().push(step);
}

macro_rules! note {
    ($($step:tt)*) => {
        #[cfg(test)]
        note(Step::$($step)*);
    };
}

/// Makes what a folder lists durable.
pub(super) fn sync_folder(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|f| f.sync_all()).map_err(StoreError::io("sync the folder", path))?;
    note!(Synced(path.to_owned()));
    Ok(())
}

/// Makes a file's contents durable.
pub(super) fn sync_file(file: &File, path: &Path) -> Result<(), StoreError> {
    file.sync_all().map_err(StoreError::io("sync", path))?;
    note!(Synced(path.to_owned()));
    Ok(())
}

/// A new file for writing.
pub(super) fn new_file(path: &Path) -> Result<File, StoreError> {
    let file = File::create(path).map_err(StoreError::io("write", path))?;
    note!(Made(path.to_owned()));
    Ok(file)
}

/// Makes a folder with all above it, each durably listed in the one that holds it.
pub(super) fn make_folder(path: &Path) -> Result<(), StoreError> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_folder(parent)?;
    }
    match fs::create_dir(path) {
        Ok(()) => {
            note!(Made(path.to_owned()));
        }
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(e) => return Err(StoreError::io("make the folder", path)(e)),
    }
    match path.parent() {
        Some(parent) => sync_folder(parent),
        None => Ok(()),
    }
}

/// Removes a file that nothing names any more; one that stays is vacuumed later.
pub(super) fn discard(path: &Path) {
    if fs::remove_file(path).is_ok() {
        note!(Removed(path.to_owned()));
    }
}

/// Writes a file that appears whole or not at all, replacing what was there.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let temporary = temporary(path);
    write_synced(&temporary, bytes)?;
    failpoint("position_written");
    fs::rename(&temporary, path).map_err(StoreError::io("put in place", path))?;
    note!(Linked(temporary.clone(), path.to_owned()));
    note!(Removed(temporary.clone()));
    sync_folder(folder)
}

/// Writes a file that appears whole, unless one of its name is there: then `false`.
pub(super) fn create(path: &Path, bytes: &[u8]) -> Result<bool, StoreError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let temporary = temporary(path);
    write_synced(&temporary, bytes)?;
    failpoint("entry_written");
    let named = name_once(&temporary, path)?;
    failpoint("entry_linked");
    if named {
        note!(Linked(temporary.clone(), path.to_owned()));
        note!(Removed(temporary.clone()));
        sync_folder(folder)?;
    } else {
        discard(&temporary);
    }
    Ok(named)
}

/// Gives a file its name unless that is taken; then `false`. A rename leaves no second name to be
/// removed, which some file systems are slow at; one that cannot do it gets a link.
fn name_once(temporary: &Path, path: &Path) -> Result<bool, StoreError> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    match renameat_with(CWD, temporary, CWD, path, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => match fs::hard_link(temporary, path) {
            Ok(()) => fs::remove_file(temporary).map(|()| true).map_err(StoreError::io("remove", temporary)),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
            Err(e) => Err(StoreError::io("put in place", path)(e)),
        },
        Err(e) => {
            discard(temporary);
            Err(StoreError::io("put in place", path)(e.into()))
        }
    }
}

fn temporary(path: &Path) -> std::path::PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // A name that Delta readers pass over.
    path.with_file_name(format!("_{name}.{}.tmp", super::lake::random_hex(4)))
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let mut file = new_file(path)?;
    file.write_all(bytes).map_err(StoreError::io("write", path))?;
    sync_file(&file, path)
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
