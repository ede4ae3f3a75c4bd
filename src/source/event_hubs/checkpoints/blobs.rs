//! Checkpoints as blobs of a container, for processes on several machines.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use azure_core::credentials::TokenCredential;
use azure_core::error::ErrorKind;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::azure::{AzureCredential, MicrosoftAzureBuilder};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, ClientOptions, Error, GetOptions, ObjectStore, PutMode, PutOptions, PutPayload,
    UpdateVersion,
};

use super::{Condition, Object, Objects, Result, Written};

/// Objects of an object store that knows conditions on ETags.
#[derive(Debug, Clone)]
pub struct Blobs {
    store: Arc<dyn ObjectStore>,
    /// All names are below it.
    prefix: Path,
}

/// A container and who we are to it.
#[derive(Clone)]
pub struct Account {
    /// `az://container` or `az://container/prefix`.
    pub url: String,
    /// Name of the storage account.
    pub name: String,
    /// Another address than `https://{account}.blob.core.windows.net`; empty: that.
    pub endpoint: String,
    /// The account's key; without it the credential signs in.
    pub key: Option<String>,
    pub credential: Option<Arc<dyn TokenCredential>>,
}

/// The resource that tokens for storage are issued to; the same everywhere.
const SCOPE: &str = "https://storage.azure.com/.default";

/// Metadata is asked for one blob at a time; so many at once.
const ASKED_AT_ONCE: usize = 8;

impl Blobs {
    pub fn new(store: Arc<dyn ObjectStore>, prefix: &str) -> Blobs {
        Blobs { store, prefix: Path::from(prefix) }
    }

    /// The blobs of a container; connects to nothing.
    pub fn azure(account: Account) -> Result<Blobs> {
        let wrong = |says: String| azure_core::Error::with_message(ErrorKind::Other, says);
        let rest = account.url.strip_prefix("az://").unwrap_or(&account.url);
        let (container, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if container.is_empty() || account.name.is_empty() {
            return Err(wrong(
                "use blobs for checkpoints: write `checkpoints` as `az://container` and set `checkpoint_account`"
                    .to_owned(),
            ));
        }
        let mut builder = MicrosoftAzureBuilder::new()
            .with_account(&account.name)
            .with_container_name(container)
            .with_client_options(ClientOptions::new().with_allow_http(account.endpoint.starts_with("http:")));
        if !account.endpoint.is_empty() {
            builder = builder.with_endpoint(account.endpoint.trim_end_matches('/').to_owned());
        }
        builder = match (account.key, account.credential) {
            (Some(key), _) => builder.with_access_key(key),
            (None, Some(credential)) => builder.with_credentials(Arc::new(Tokens(credential))),
            (None, None) => {
                return Err(wrong(
                    "use blobs for checkpoints: set `checkpoint_key` or a credential".to_owned(),
                ));
            }
        };
        let store = builder.build().map_err(|e| failed("use the container", container, e))?;
        Ok(Blobs::new(Arc::new(store), prefix))
    }

    fn path(&self, name: &str) -> Path {
        self.prefix.parts().chain(Path::from(name).parts()).collect()
    }

    async fn object(&self, path: Path) -> Result<Option<Object>> {
        let name = path.filename().unwrap_or_default().to_owned();
        let found = match self.store.get_opts(&path, GetOptions::new().with_head(true)).await {
            Ok(found) => found,
            // Listed, and gone since.
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(e) => return Err(failed("read", &name, e)),
        };
        // Header names are case-insensitive, and services spell metadata as they like.
        let metadata = found.attributes.iter().filter_map(|(attribute, value)| match attribute {
            Attribute::Metadata(name) => Some((name.to_ascii_lowercase(), value.to_string())),
            _ => None,
        });
        let metadata = metadata.collect();
        let etag = found.meta.e_tag.unwrap_or_default();
        Ok(Some(Object { name, etag, modified: found.meta.last_modified.into(), metadata }))
    }
}

#[async_trait::async_trait]
impl Objects for Blobs {
    async fn list(&self, prefix: &str) -> Result<Vec<Object>> {
        let listed = self.store.list(Some(&self.path(prefix)));
        let paths: Vec<Path> =
            listed.map_ok(|meta| meta.location).try_collect().await.map_err(|e| failed("list", prefix, e))?;
        // A list has no metadata: the objects are asked one by one, and have their ETags as those come
        // with an answer, in quotes.
        let objects = futures::stream::iter(paths).map(|path| self.object(path)).buffered(ASKED_AT_ONCE);
        objects.try_filter_map(|object| async { Ok(object) }).try_collect().await
    }

    async fn put(
        &self,
        name: &str,
        metadata: &BTreeMap<String, String>,
        condition: &Condition,
    ) -> Result<Option<Written>> {
        let mode = match condition {
            Condition::Any => PutMode::Overwrite,
            Condition::Absent => PutMode::Create,
            Condition::Is(etag) => {
                PutMode::Update(UpdateVersion { e_tag: Some(etag.clone()), version: None })
            }
        };
        let attribute = |(name, value): (&String, &String)| {
            (Attribute::Metadata(name.clone().into()), object_store::AttributeValue::from(value.clone()))
        };
        let attributes: Attributes = metadata.iter().map(attribute).collect();
        let options = PutOptions { mode, attributes, ..PutOptions::default() };
        match self.store.put_opts(&self.path(name), PutPayload::new(), options).await {
            Ok(put) => {
                let etag = put.e_tag.unwrap_or_default();
                Ok(Some(Written { etag, modified: SystemTime::now() }))
            }
            // `NotFound`: it was deleted since its ETag was read.
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(None),
            Err(Error::NotFound { .. }) if matches!(condition, Condition::Is(_)) => Ok(None),
            Err(e) => Err(failed("write", name, e)),
        }
    }
}

fn failed(what: &str, name: &str, error: Error) -> azure_core::Error {
    let says = format!(
        "{what} `{name}`; the container must be there, and the identity needs the role Storage Blob Data Contributor on it"
    );
    azure_core::Error::with_error(ErrorKind::Io, error, says)
}

/// Tokens of a credential in the form `object_store` wants them.
#[derive(Debug)]
struct Tokens(Arc<dyn TokenCredential>);

#[async_trait::async_trait]
impl object_store::CredentialProvider for Tokens {
    type Credential = AzureCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AzureCredential>> {
        let token = self.0.get_token(&[SCOPE], None).await;
        let token = token.map_err(|e| Error::Generic { store: "checkpoints", source: Box::new(e) })?;
        Ok(Arc::new(AzureCredential::BearerToken(token.token.secret().to_owned())))
    }
}
