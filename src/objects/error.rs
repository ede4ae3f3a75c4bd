//! What can go wrong with an object store, and what helps.

use object_store::Error;
use object_store::client::{HttpError, HttpErrorKind};

/// An object store that cannot be reached, or refuses.
#[derive(Debug, thiserror::Error)]
pub enum ObjectsError {
    #[error("understand the URL `{url}`: {says}; write az://container/path or s3://bucket/path")]
    Url { url: String, says: String },
    #[error(
        "set up the object store of `{url}`: {says}; check [storage] and the environment (AZURE_*, AWS_*)"
    )]
    Access { url: String, says: String },
    #[error("{what} `{url}`: {remedy}")]
    Failed { what: &'static str, url: String, remedy: &'static str, source: Box<Error> },
}

/// What helps where it depends on what the object is for.
#[derive(Debug, Clone, Copy)]
pub struct Advice {
    /// When the service refuses the credential.
    pub refused: &'static str,
    /// When an object is not there.
    pub missing: &'static str,
}

impl ObjectsError {
    /// What the store said, with what helps.
    pub fn failed(what: &'static str, url: String, advice: Advice, source: Error) -> ObjectsError {
        ObjectsError::Failed { what, url, remedy: remedy(&source, advice), source: Box::new(source) }
    }

    /// Whether it says that the object is not there.
    pub fn is_missing(&self) -> bool {
        matches!(self, ObjectsError::Failed { source, .. } if matches!(**source, Error::NotFound { .. }))
    }
}

/// What helps against an error of an object store.
fn remedy(error: &Error, advice: Advice) -> &'static str {
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
        return advice.refused;
    }
    match error {
        Error::NotFound { .. } => advice.missing,
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
