//! What can go wrong with a lake.

use std::path::{Path, PathBuf};

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
    #[error("finish the work on the lake: its task ended early")]
    Task(#[from] tokio::task::JoinError),
}

impl StoreError {
    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> StoreError {
        let path = path.to_owned();
        move |source| StoreError::Io { what, path, source }
    }
}
