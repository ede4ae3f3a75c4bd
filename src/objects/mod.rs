//! Object stores by their URLs: Azure Blob Storage and ADLS, or S3; how they are reached, and what helps if not.

mod error;

pub use error::{Advice, ObjectsError};

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::SpawnedReqwestConnector;
use object_store::path::Path;
use object_store::{BackoffConfig, ObjectStore, ObjectStoreScheme, RetryConfig};
use tokio::runtime::Handle;
use url::Url;

/// How object storage is reached, beyond what its URL says. What is empty is taken from the
/// environment (`AZURE_*`, `AWS_*`); where that gives no credential either, the identity of the machine
/// is asked for: a workload identity, a managed identity, or the role of an instance.
#[derive(Clone, Default)]
pub struct Access {
    /// Storage account, where the URL names none.
    pub account: String,
    /// Key of the account: a secret.
    pub account_key: String,
    /// Shared access signature: a secret.
    pub sas_token: String,
    /// Client id of a user-assigned managed identity.
    pub client_id: String,
    /// Id of an access key of S3.
    pub access_key_id: String,
    /// The access key itself: a secret.
    pub secret_access_key: String,
    /// Region of the bucket.
    pub region: String,
    /// Address in place of the service's own; one that begins with `http://` is spoken to in clear.
    pub endpoint: String,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Access {{ account: {:?}, endpoint: {:?}, .. }}", self.account, self.endpoint)
    }
}

/// Whether a path is a URL of an object store; anything else is on the local disk.
pub fn is_url(path: &str) -> bool {
    path.split_once("://").is_some_and(|(scheme, _)| {
        scheme.len() > 1 && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    })
}

/// Requests are tried again for so long; then who waits is told.
const RETRIED: Duration = Duration::from_secs(20);

fn retry() -> RetryConfig {
    let backoff = BackoffConfig { max_backoff: Duration::from_secs(4), ..BackoffConfig::default() };
    RetryConfig { backoff, max_retries: 6, retry_timeout: RETRIED }
}

/// What a URL names in its object store.
#[derive(Debug)]
pub struct Named {
    pub store: Arc<dyn ObjectStore>,
    pub path: Path,
    /// Scheme, container and path, however the URL spells them.
    pub root: String,
}

/// The store and the path that a URL names; requests will run on `requests`. Connects to nothing yet.
///
/// Fails when the URL names no store, or what is set does not suffice to reach it.
pub fn open(text: &str, access: &Access, requests: Handle) -> Result<Named, ObjectsError> {
    // What follows a question mark may be a signature: it is no part of the name, and is never shown.
    let named = text.split(['?', '#']).next().unwrap_or_default();
    let wrong = |says: String| ObjectsError::Url { url: named.to_owned(), says };
    if named.len() != text.len() {
        return Err(wrong("it ends with a query; a signature goes to `storage.sas_token`".to_owned()));
    }
    let url = Url::parse(named).map_err(|e| wrong(e.to_string()))?;
    let (scheme, path) = ObjectStoreScheme::parse(&url).map_err(|e| wrong(e.to_string()))?;
    let connector = SpawnedReqwestConnector::new(requests);
    let build = |e: object_store::Error| ObjectsError::Access { url: named.to_owned(), says: e.to_string() };
    let (store, root): (Arc<dyn ObjectStore>, Url) = match scheme {
        ObjectStoreScheme::MicrosoftAzure => {
            let store = azure(named, access).with_retry(retry()).with_http_connector(connector);
            (Arc::new(store.build().map_err(build)?), root("az", &url))
        }
        ObjectStoreScheme::AmazonS3 => {
            let store = s3(named, access).with_retry(retry()).with_http_connector(connector);
            (Arc::new(store.build().map_err(build)?), root("s3", &url))
        }
        _ => return Err(wrong("this is no URL of Azure storage or S3".to_owned())),
    };
    let root = format!("{}/{path}", root.as_str().trim_end_matches('/'));
    Ok(Named { store, path, root })
}

/// A variable's value as what it configures; nothing where it is not set.
fn variables<K: std::str::FromStr>(names: &[&str]) -> Vec<(K, String)> {
    let read = |name: &&str| Some((name.to_ascii_lowercase().parse().ok()?, std::env::var(name).ok()?));
    names.iter().filter_map(read).collect()
}

fn azure(url: &str, access: &Access) -> MicrosoftAzureBuilder {
    // A credential in the settings stands alone: one in the environment would otherwise win over it.
    let mut builder = if access.account_key.is_empty() && access.sas_token.is_empty() {
        MicrosoftAzureBuilder::from_env()
    } else {
        variables(&["AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ENDPOINT"])
            .into_iter()
            .fold(MicrosoftAzureBuilder::new(), |builder, (key, value)| builder.with_config(key, value))
    };
    for (key, value) in [
        (AzureConfigKey::AccountName, &access.account),
        (AzureConfigKey::AccessKey, &access.account_key),
        (AzureConfigKey::SasKey, &access.sas_token),
        (AzureConfigKey::ClientId, &access.client_id),
        (AzureConfigKey::Endpoint, &access.endpoint),
    ] {
        if !value.is_empty() {
            builder = builder.with_config(key, value);
        }
    }
    if access.endpoint.starts_with("http://") {
        builder = builder.with_allow_http(true);
    }
    builder.with_url(url)
}

fn s3(url: &str, access: &Access) -> AmazonS3Builder {
    let mut builder = if access.secret_access_key.is_empty() {
        AmazonS3Builder::from_env()
    } else {
        variables(&["AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT", "AWS_ENDPOINT_URL"])
            .into_iter()
            .fold(AmazonS3Builder::new(), |builder, (key, value)| builder.with_config(key, value))
    };
    if !access.secret_access_key.is_empty() {
        builder = builder
            .with_access_key_id(&access.access_key_id)
            .with_secret_access_key(&access.secret_access_key);
    }
    if !access.region.is_empty() {
        builder = builder.with_region(&access.region);
    }
    if !access.endpoint.is_empty() {
        builder = builder.with_endpoint(&access.endpoint);
    }
    if access.endpoint.starts_with("http://") {
        builder = builder.with_allow_http(true);
    }
    // Without it nothing decides between two who commit at once.
    builder.with_conditional_put(S3ConditionalPut::ETagMatch).with_url(url)
}

/// Scheme and container, however the URL spells them.
fn root(scheme: &str, url: &Url) -> Url {
    let first = url.path_segments().and_then(|mut parts| parts.next()).unwrap_or_default();
    let host = url.host_str().unwrap_or_default();
    let container = match (url.scheme(), url.username()) {
        ("https", _) if scheme == "s3" && !host.starts_with("s3") => {
            host.split('.').next().unwrap_or_default()
        }
        ("https", _) => first,
        (_, "") => host,
        (_, user) => user,
    };
    Url::parse(&format!("{scheme}://{container}/")).unwrap_or_else(|_| url.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(url: &str) -> Result<String, String> {
        let access = Access {
            account: "acc".into(),
            account_key: "a2V5".into(),
            secret_access_key: "s".into(),
            access_key_id: "i".into(),
            ..Access::default()
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        open(url, &access, runtime.handle().clone()).map(|named| named.root).map_err(|e| e.to_string())
    }

    #[test]
    fn every_spelling_of_a_url_names_its_container_and_path() {
        for (url, root) in [
            ("az://c/a/b", "az://c/a/b"),
            ("az://c/a/b/", "az://c/a/b"),
            ("az://c", "az://c/"),
            ("abfss://c@acc.dfs.core.windows.net/a", "az://c/a"),
            ("https://acc.blob.core.windows.net/c/a/b", "az://c/a/b"),
            ("s3://b/a", "s3://b/a"),
            ("s3a://b/a", "s3://b/a"),
            ("https://s3.eu-west-1.amazonaws.com/b/a", "s3://b/a"),
            ("https://b.s3.eu-west-1.amazonaws.com/a", "s3://b/a"),
        ] {
            assert_eq!(named(url).unwrap(), root, "{url}");
        }
    }

    #[test]
    fn what_is_no_object_store_is_refused_and_a_signature_is_not_told() {
        for url in ["gs://b/a", "https://example.com/a", "memory:///a", "az://"] {
            assert!(named(url).unwrap_err().contains("write az://"), "{url}");
        }
        let says = named("https://acc.blob.core.windows.net/c?sig=secret").unwrap_err();
        assert!(says.contains("storage.sas_token") && !says.contains("secret"), "{says}");
        let secret = Access { account_key: "secret".into(), ..Access::default() };
        assert!(!format!("{secret:?}").contains("secret"));
    }

    #[test]
    fn a_folder_is_no_url() {
        assert!(is_url("az://c/p") && is_url("s3://b"));
        assert!(!is_url("lake") && !is_url("/var/lib/a://b") && !is_url("C://x") && !is_url("://"));
    }
}
