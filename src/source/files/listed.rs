//! What a URL names: an object, all objects below a folder, or those that match a pattern.

use std::sync::Arc;

use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use globset::{GlobBuilder, GlobMatcher};
use object_store::path::Path;
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt as _};
use tokio::runtime::Handle;

use super::FilesError;
use super::item::{ADVICE, Item, Object};
use crate::objects::{self, Access, ObjectsError};

/// A URL, understood; nothing is connected to before it is listed.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    store: Arc<dyn ObjectStore>,
    /// Up to here it is no pattern.
    path: Path,
    /// The same as its owner wrote it, without a slash at its end.
    url: String,
    /// Whether it ends with a slash: then it is no object's name.
    is_folder: bool,
    /// What the names below must match; `None`: all do.
    glob: Option<GlobMatcher>,
}

impl Listed {
    pub fn open(url: &str, access: &Access) -> Result<Listed, FilesError> {
        let (fixed, pattern) = cut(url);
        let named = objects::open(fixed, access, Handle::current())?;
        Listed::new(named.store, named.path, fixed, pattern)
    }

    pub(super) fn new(
        store: Arc<dyn ObjectStore>,
        path: Path,
        fixed: &str,
        pattern: &str,
    ) -> Result<Listed, FilesError> {
        let glob = match pattern {
            "" => None,
            text => match GlobBuilder::new(text).literal_separator(true).build() {
                Ok(glob) => Some(glob.compile_matcher()),
                Err(source) => {
                    return Err(FilesError::Pattern { pattern: format!("{fixed}{pattern}"), source });
                }
            },
        };
        let is_folder = fixed.ends_with('/') || path.is_root();
        Ok(Listed { store, path, url: fixed.trim_end_matches('/').to_owned(), is_folder, glob })
    }

    /// The objects in order of their names, as they are listed: there may be more than anybody wants to hold.
    pub fn list(&self) -> BoxStream<'static, Result<Item, FilesError>> {
        let own = self.clone();
        stream::once(async move {
            let single = if own.is_folder { None } else { own.single().await? };
            // A folder of ADLS answers as an object of no bytes does.
            let below = match &single {
                Some(found) if found.size > 0 => stream::empty().boxed(),
                _ => own.below(),
            };
            let single = single.map(|meta| Ok(Item::Object(Object::new(&own.store, own.url.clone(), meta))));
            Ok::<_, FilesError>(stream::iter(single).chain(below))
        })
        .try_flatten()
        .boxed()
    }

    /// The object that has the URL as its name.
    async fn single(&self) -> Result<Option<ObjectMeta>, FilesError> {
        match self.store.head(&self.path).await {
            Ok(found) => Ok(Some(found)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(ObjectsError::failed("find", self.url.clone(), ADVICE, e).into()),
        }
    }

    fn below(&self) -> BoxStream<'static, Result<Item, FilesError>> {
        let own = self.clone();
        let item = move |meta: ObjectMeta| {
            let name = meta.location.prefix_match(&own.path)?;
            let name = name.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/");
            let is_hidden = name.split('/').any(|part| part.starts_with('.'));
            let is_asked_for = own.glob.as_ref().is_none_or(|glob| glob.is_match(&name));
            (is_asked_for && !is_hidden)
                .then(|| Item::Object(Object::new(&own.store, format!("{}/{name}", own.url), meta)))
        };
        let url = self.url.clone();
        let fail = move |e| FilesError::from(ObjectsError::failed("list", url.clone(), ADVICE, e));
        let found = self.store.list(Some(&self.path)).map_err(fail);
        found.try_filter_map(move |meta| futures::future::ok(item(meta))).boxed()
    }
}

/// A URL without its pattern, and the pattern. A query is no pattern, and is refused with what is before it.
fn cut(url: &str) -> (&str, &str) {
    match url.find(['*', '[', '{']) {
        Some(at) if !url.contains(['?', '#']) => {
            url.split_at(url[..at].rfind('/').map_or(0, |slash| slash + 1))
        }
        _ => (url, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn store(names: &[&str]) -> Arc<dyn ObjectStore> {
        let store = object_store::memory::InMemory::new();
        for name in names {
            store.put(&Path::from(*name), "x".into()).await.unwrap();
        }
        Arc::new(store)
    }

    /// What a URL of the container `c` names in a store.
    async fn names(store: &Arc<dyn ObjectStore>, url: &str) -> Vec<String> {
        let (fixed, pattern) = cut(url);
        let path = Path::from(fixed.strip_prefix("az://c").unwrap());
        let listed = Listed::new(store.clone(), path, fixed, pattern).unwrap();
        listed.list().map_ok(|item| item.name()).try_collect().await.unwrap()
    }

    #[tokio::test]
    async fn a_url_names_an_object_a_folder_or_what_matches() {
        let store =
            store(&["a/1/05.avro", "a/0/10.avro", "a/0/05.avro", "a/0/.x/1", "a/_", "ab/1.avro", "a.avro"]);
        let store = store.await;
        for (url, expected) in [
            ("az://c/a/0/05.avro", vec!["a/0/05.avro"]),
            ("az://c/a/0", vec!["a/0/05.avro", "a/0/10.avro"]),
            ("az://c/a/", vec!["a/0/05.avro", "a/0/10.avro", "a/1/05.avro", "a/_"]),
            ("az://c/a/**/05.avro", vec!["a/0/05.avro", "a/1/05.avro"]),
            ("az://c/a/*/{05,06}.avro", vec!["a/0/05.avro", "a/1/05.avro"]),
            ("az://c/*.avro", vec!["a.avro"]),
            ("az://c/a*/*.avro", vec!["ab/1.avro"]),
            ("az://c/b/**", vec![]),
            ("az://c/a/0/05.avro/", vec![]),
        ] {
            let expected: Vec<String> = expected.iter().map(|name| format!("az://c/{name}")).collect();
            assert_eq!(names(&store, url).await, expected, "{url}");
        }
        assert_eq!(names(&store, "az://c").await.len(), 6);
        assert_eq!(names(&store, "az://c/**").await.len(), 6);
    }

    #[tokio::test]
    async fn what_cannot_be_understood_is_told_without_a_signature() {
        let says = |url: &str| {
            let access = Access { account: "acc".into(), account_key: "a2V5".into(), ..Access::default() };
            Listed::open(url, &access).unwrap_err().to_string()
        };
        assert!(says("gs://b/**").contains("write az://container/path"));
        assert!(says("az://*/x").contains("write az://container/path"));
        assert!(says("az://c/a[").contains("`az://c/a[`"));
        let query = says("az://c/*.avro?sig=secret");
        assert!(query.contains("storage.sas_token") && !query.contains("secret"), "{query}");
    }
}
