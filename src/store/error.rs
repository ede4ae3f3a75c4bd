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
    #[error("{what} `{url}`: {remedy}")]
    Remote { what: &'static str, url: String, remedy: &'static str, source: Box<object_store::Error> },
    #[error("understand the lake's URL `{url}`: {says}; write az://container/path or s3://bucket/path")]
    Url { url: String, says: String },
    #[error(
        "set up the object store of `{url}`: {says}; check [storage] and the environment (AZURE_*, AWS_*)"
    )]
    Access { url: String, says: String },
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
        StoreError::Remote { what, url, remedy: remedy(&source), source: Box::new(source) }
    }

    /// Whether it says that the file is not there.
    pub(super) fn is_missing(&self) -> bool {
        match self {
            StoreError::Io { source, .. } => source.kind() == std::io::ErrorKind::NotFound,
            StoreError::Remote { source, .. } => matches!(**source, object_store::Error::NotFound { .. }),
            _ => false,
        }
    }
}

/// What helps against an error of an object store.
fn remedy(error: &object_store::Error) -> &'static str {
    use object_store::Error;
    use object_store::client::{HttpError, HttpErrorKind};
    let text = error.to_string();
    // Whoever has no credential asks the machine for its identity, at an address of its own.
    if ["token request", "169.254.169.254", "CredentialProvider"].iter().any(|word| text.contains(word)) {
        return "no credential could be had; run it with a managed or workload identity, or set `storage.account_key`, `storage.sas_token` or `storage.secret_access_key`";
    }
    // What a listing is refused for is told in its text alone.
    let says = |codes: &[&str]| codes.iter().any(|code| text.contains(code));
    if says(&["ContainerNotFound", "NoSuchBucket"]) {
        return "there is no such container or bucket; make it, or correct the URL";
    }
    if says(&["403 Forbidden", "401 Unauthorized"])
        || matches!(error, Error::Unauthenticated { .. } | Error::PermissionDenied { .. })
    {
        return "the service refuses the credential; check it in [storage], and that the identity may read, write, list and delete there (Storage Blob Data Contributor on the container; s3:ListBucket, GetObject, PutObject, DeleteObject)";
    }
    match error {
        Error::NotFound { .. } => "it is not there; restore the lake from a backup",
        Error::AlreadyExists { .. } | Error::Precondition { .. } => {
            "others change it at the same time; try again"
        }
        _ => {
            let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
            while let Some(inner) = cause {
                if let Some(http) = inner.downcast_ref::<HttpError>()
                    && !matches!(http.kind(), HttpErrorKind::Decode | HttpErrorKind::Unknown)
                {
                    return "the service cannot be reached; check the network, `storage.account` and `storage.endpoint`";
                }
                cause = inner.source();
            }
            "the service could not do it; try again later"
        }
    }
}
