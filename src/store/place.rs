//! Where a lake or a table is kept: a local folder, or a prefix of an object store.
//!
//! The steps are those a commit needs and no more. A local folder does them with files, as it always
//! did; an object store does each with one request, and what appears there is durable and whole.

use std::path::{Path, PathBuf};

use super::disk::{self, Turn};
use super::remote::Remote;
use super::{Lease, StoreError};
use crate::schema::DataFile;

/// A folder of a lake. Names are relative to it, with `/` between their parts.
#[derive(Clone)]
pub(super) enum Place {
    Local(PathBuf),
    Object(Remote),
}

/// So many entries are read at once from far away, where a request takes as long as a hundred reads.
const AHEAD: usize = 32;

impl Place {
    /// A folder inside this one.
    pub fn inside(&self, name: &str) -> Place {
        match self {
            Place::Local(folder) => Place::Local(folder.join(name)),
            Place::Object(remote) => Place::Object(remote.inside(name)),
        }
    }

    /// A name as people find it: a path, or a URL.
    pub fn full(&self, name: &str) -> PathBuf {
        match self {
            Place::Local(folder) => folder.join(name),
            Place::Object(remote) => remote.full(name).into(),
        }
    }

    /// The place itself as people find it, without a slash at its end.
    pub fn shown(&self) -> PathBuf {
        match self {
            Place::Local(folder) => folder.clone(),
            Place::Object(remote) => remote.full("").trim_end_matches('/').into(),
        }
    }

    /// The URL by which readers find it, with a slash at its end.
    pub fn root(&self) -> String {
        match self {
            Place::Local(folder) => format!("file://{}/", folder.display()),
            Place::Object(remote) => remote.root(),
        }
    }

    /// A local folder for what is only kept for a while.
    pub fn scratch(&self) -> PathBuf {
        match self {
            Place::Local(folder) => folder.clone(),
            Place::Object(_) => std::env::temp_dir(),
        }
    }

    /// Whether it is far away: then each step waits for the network.
    pub fn is_remote(&self) -> bool {
        matches!(self, Place::Object(_))
    }

    /// How many entries of the log are worth asking for at once, from one on.
    pub fn ahead(&self) -> usize {
        if self.is_remote() { AHEAD } else { 1 }
    }

    /// Makes the folder, durably; an object store has none to make.
    pub fn make(&self) -> Result<(), StoreError> {
        match self {
            Place::Local(folder) => disk::make_folder(folder),
            Place::Object(_) => Ok(()),
        }
    }

    /// Whether something is here that no lake keeps beside its marker.
    pub fn is_taken(&self) -> Result<bool, StoreError> {
        Ok(self.names()?.iter().any(|name| !name.starts_with('_')))
    }

    /// What is directly here: names of files and folders. Where there is no folder, there is nothing.
    pub fn names(&self) -> Result<Vec<String>, StoreError> {
        match self {
            Place::Local(folder) => match std::fs::read_dir(folder) {
                Ok(entries) => {
                    Ok(entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect())
                }
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
                Err(e) => Err(StoreError::io("list", folder)(e)),
            },
            Place::Object(remote) => remote.children(),
        }
    }

    /// What a name holds; `None` when there is no such.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        match self {
            Place::Local(folder) => {
                let path = folder.join(name);
                match std::fs::read(&path) {
                    Ok(bytes) => Ok(Some(bytes)),
                    Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
                    Err(e) => Err(StoreError::io("read", &path)(e)),
                }
            }
            Place::Object(remote) => remote.read(name),
        }
    }

    /// What each of the names holds, all asked for at once where that saves time.
    pub fn read_all(&self, names: &[String]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        match self {
            Place::Local(_) => names.iter().map(|name| self.read(name)).collect(),
            Place::Object(remote) => remote.read_all(names),
        }
    }

    /// Writes what appears whole, unless the name is taken: then `false`. This decides who commits.
    pub fn create(&self, name: &str, bytes: &[u8]) -> Result<bool, StoreError> {
        match self {
            Place::Local(folder) => disk::create(&folder.join(name), bytes),
            Place::Object(remote) => remote.create(name, bytes),
        }
    }

    /// Writes what appears whole or not at all, in place of what was there.
    pub fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        match self {
            Place::Local(folder) => disk::replace(&folder.join(name), bytes),
            Place::Object(remote) => {
                disk::failpoint("position_written");
                remote.put(name, bytes.to_vec())
            }
        }
    }

    /// Writes what appears whole, and may be lost with the power: it is written anew all the time.
    pub fn tell(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        match self {
            Place::Local(folder) => {
                let path = folder.join(name);
                let temporary = path.with_extension("tmp");
                std::fs::create_dir_all(path.parent().unwrap_or(folder))
                    .and_then(|()| std::fs::write(&temporary, bytes))
                    .and_then(|()| std::fs::rename(&temporary, &path))
                    .map_err(StoreError::io("write", &path))
            }
            Place::Object(remote) => remote.put(name, bytes.to_vec()),
        }
    }

    /// Removes a file that nothing names any more; one that stays is vacuumed later.
    pub fn discard(&self, name: &str) {
        match self {
            Place::Local(folder) => disk::discard(&folder.join(name)),
            Place::Object(remote) => remote.discard(name),
        }
    }

    /// Those of a table's files that are gone, or of another size than they were written with.
    pub fn damaged(&self, files: &[std::sync::Arc<DataFile>]) -> Result<Vec<PathBuf>, StoreError> {
        let wrong = |is_whole: &dyn Fn(&DataFile) -> bool| {
            files.iter().filter(|f| !is_whole(f)).map(|f| self.full(&f.path)).collect()
        };
        Ok(match self {
            Place::Local(folder) => wrong(&|file| {
                std::fs::metadata(folder.join(&file.path)).is_ok_and(|found| found.len() == file.bytes)
            }),
            Place::Object(_) if files.is_empty() => Vec::new(),
            Place::Object(remote) => {
                let found = remote.sizes()?;
                wrong(&|file| found.get(&file.path) == Some(&file.bytes))
            }
        })
    }

    /// Waits for the turn to commit to the table in this folder. Far away there are no turns: the entry
    /// that is created first stands, and who was slower sees it.
    pub fn turn(&self) -> Result<Option<Turn>, StoreError> {
        match self {
            Place::Local(folder) => Turn::take(&folder.join("_delta_log").join("_writer.lock")).map(Some),
            Place::Object(_) => Ok(None),
        }
    }

    /// Takes the lease of a work; `None` while another process has it.
    pub fn lease(&self, work: &str) -> Result<Option<Lease>, StoreError> {
        let name = format!("_{work}.lease");
        match self {
            Place::Local(folder) => Lease::local(&folder.join(name)),
            Place::Object(remote) => Lease::remote(remote, &name),
        }
    }

    /// Bytes that may still be written; `None` where nobody counts them.
    pub fn free(&self) -> Result<Option<u64>, StoreError> {
        match self {
            Place::Local(folder) => disk::free(folder).map(Some),
            Place::Object(_) => Ok(None),
        }
    }

    /// The folder on the local disk, for what is done there step by step.
    pub fn local(&self, name: &str) -> Option<PathBuf> {
        match self {
            Place::Local(folder) => Some(Path::new(folder).join(name)),
            Place::Object(_) => None,
        }
    }
}
