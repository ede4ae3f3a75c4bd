//! What can go wrong with a lake.

use std::path::{Path, PathBuf};

use crate::objects::{Advice, ObjectsError};

/// What helps a lake on object storage.
const ADVICE: Advice = Advice {
    refused: "the service refuses the credential; check it in [storage], and that the identity may read, write, list and delete there (Storage Blob Data Contributor on the container; s3:ListBucket, GetObject, PutObject, DeleteObject)",
    missing: "it is not there; restore the lake from a backup",
};

/// A lake that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{what} `{path}`")]
    Io { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error(
        "write: the disk of the lake has {free} free bytes, fewer than the floor of {floor} (`lake.free_floor`); free some space"
    )]
    Full { free: u64, floor: u64 },
    #[error("write `{table}`: other writers were faster {attempts} times in a row; try again")]
    Busy { table: &'static str, attempts: u32 },
    #[error(
        "open the lake `{path}`: its format is {found}, this program writes {ours}; use the program that made it, or a newer one"
    )]
    Format { path: PathBuf, found: u64, ours: u64 },
    #[error("open the lake `{path}`: the folder is not empty and holds no lake; name another one")]
    NoLake { path: PathBuf },
    #[error("read the log entry `{path}`: {says}")]
    Log { path: PathBuf, says: String },
    #[error("read or write the file `{path}`")]
    Parquet { path: PathBuf, source: parquet::errors::ParquetError },
    #[error("arrange rows of `{table}`")]
    Arrow { table: &'static str, source: arrow::error::ArrowError },
    #[error("{what} `{table}`")]
    Delta { what: &'static str, table: &'static str, source: Box<deltalake::DeltaTableError> },
    #[error(transparent)]
    Objects(#[from] ObjectsError),
    #[error("finish the work on the lake: its task ended early")]
    Task(#[from] tokio::task::JoinError),
    #[error("finish the work on the lake: a request to the object store ended early; try again")]
    Ended,
}

impl StoreError {
    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> StoreError {
        let path = path.to_owned();
        move |source| StoreError::Io { what, path, source }
    }

    pub(super) fn remote(what: &'static str, url: String, source: object_store::Error) -> StoreError {
        ObjectsError::failed(what, url, ADVICE, source).into()
    }

    /// Whether it says that the file is not there.
    pub(super) fn is_missing(&self) -> bool {
        match self {
            StoreError::Io { source, .. } => source.kind() == std::io::ErrorKind::NotFound,
            StoreError::Objects(error) => error.is_missing(),
            _ => false,
        }
    }
}
