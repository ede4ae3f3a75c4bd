//! A prefix of an object store: each step is one request, on threads that do nothing else.
//!
//! The store's work is done by threads that may wait, and by callers that are not asynchronous. So the
//! requests run on a small runtime of their own, and who asks waits for the answer.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{
    GetResult, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, UpdateVersion,
};

use super::StoreError;
use super::disk::failpoint;
use crate::objects::{self, Access};

/// Requests under way at once for one question.
const AT_ONCE: usize = 16;

/// A folder in an object store.
#[derive(Clone)]
pub(super) struct Remote {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    /// The folder as its owner writes it, with a slash at its end.
    url: Arc<str>,
    /// The same as scheme, container and path, with a slash at its end.
    root: Arc<str>,
    io: Arc<Io>,
}

/// The threads on which requests run. They end without waiting, wherever the last owner lets go.
pub(super) struct Io(Option<tokio::runtime::Runtime>);

impl Io {
    pub fn start() -> Result<Io, StoreError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("lake-io")
            .enable_all()
            .build()
            .map_err(StoreError::io("start the threads of the lake", "object storage".as_ref()))?;
        Ok(Io(Some(runtime)))
    }

    pub fn handle(&self) -> tokio::runtime::Handle {
        let runtime = self.0.as_ref().unwrap_or_else(|| unreachable!("it is taken when it is dropped"));
        runtime.handle().clone()
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Remote({})", self.url)
    }
}

/// A blob's bytes, and by what to say that it is still the same.
pub(super) struct Blob {
    pub bytes: Vec<u8>,
    pub version: UpdateVersion,
}

impl Remote {
    /// The folder that a URL names. Connects to nothing yet.
    pub fn open(url: &str, access: &Access) -> Result<Remote, StoreError> {
        let io = Arc::new(Io::start()?);
        let named = objects::open(url, access, io.handle())?;
        Ok(Remote::new(named.store, named.path, url, &named.root, io))
    }

    /// `url` is how people write the folder, `root` how readers find it.
    pub fn new(store: Arc<dyn ObjectStore>, prefix: Path, url: &str, root: &str, io: Arc<Io>) -> Remote {
        let slash = |text: &str| Arc::from(format!("{}/", text.trim_end_matches('/')));
        Remote { store, prefix, url: slash(url), root: slash(root), io }
    }

    pub fn inside(&self, name: &str) -> Remote {
        Remote {
            store: self.store.clone(),
            prefix: self.path(name),
            url: format!("{}{name}/", self.url).into(),
            root: format!("{}{name}/", self.root).into(),
            io: self.io.clone(),
        }
    }

    pub fn full(&self, name: &str) -> String {
        format!("{}{name}", self.url)
    }

    pub fn root(&self) -> String {
        self.root.to_string()
    }

    pub fn store(&self) -> Arc<dyn ObjectStore> {
        self.store.clone()
    }

    /// Where the folder is in the store.
    pub fn prefix(&self) -> &Path {
        &self.prefix
    }

    pub fn path(&self, name: &str) -> Path {
        name.split('/')
            .filter(|part| !part.is_empty())
            .fold(self.prefix.clone(), |path, part| path.join(part))
    }

    /// The threads that requests run on.
    pub fn handle(&self) -> tokio::runtime::Handle {
        self.io.handle()
    }

    /// Does something on the threads of this store, and waits for it.
    pub fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (done, answer) = std::sync::mpsc::sync_channel(1);
        self.handle().spawn(async move {
            let _ = done.send(work.await);
        });
        answer.recv().map_err(|_| StoreError::Ended)
    }

    pub fn fail(&self, what: &'static str, name: &str) -> impl Fn(object_store::Error) -> StoreError + use<> {
        let url = self.full(name);
        move |source| StoreError::remote(what, url.clone(), source)
    }

    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.blob(name)?.map(|blob| blob.bytes))
    }

    /// What a name holds, to be replaced only while it is the same.
    pub fn blob(&self, name: &str) -> Result<Option<Blob>, StoreError> {
        let (store, path) = (self.store.clone(), self.path(name));
        self.wait(async move { get(&store, &path).await })?.map_err(self.fail("read", name))
    }

    pub fn read_all(&self, names: &[String]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let paths: Vec<Path> = names.iter().map(|name| self.path(name)).collect();
        let store = self.store.clone();
        let work = async move {
            let one = |path: Path| {
                let store = store.clone();
                async move { Ok(get(&store, &path).await?.map(|blob| blob.bytes)) }
            };
            futures::stream::iter(paths).map(one).buffered(AT_ONCE).try_collect::<Vec<_>>().await
        };
        let first = names.first().map_or("", String::as_str);
        self.wait(work)?.map_err(self.fail("read", first))
    }

    pub fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
        let (store, path) = (self.store.clone(), self.path(name));
        let put = async move { store.put(&path, bytes.into()).await };
        self.wait(put)?.map(drop).map_err(self.fail("write", name))
    }

    /// Writes unless the name is taken; then `false`. An answer may get lost on its way, and the request
    /// be sent again: what is there then says whose it is.
    pub fn create(&self, name: &str, bytes: &[u8]) -> Result<bool, StoreError> {
        failpoint("entry_written");
        let (store, path, payload) = (self.store.clone(), self.path(name), bytes.to_vec());
        let put = async move {
            let options = PutOptions::from(PutMode::Create);
            match store.put_opts(&path, payload.clone().into(), options).await {
                Ok(_) => Ok(true),
                Err(refused) => match get(&store, &path).await {
                    Ok(Some(found)) => Ok(found.bytes == payload),
                    // Nothing is there, or nobody knows. Should a request still come through, whoever
                    // commits next finds its entry and the keys of its files, which therefore stay.
                    _ => Err(refused),
                },
            }
        };
        let named = self.wait(put)?.map_err(self.fail("write", name));
        failpoint("entry_linked");
        named
    }

    /// Replaces what is still of a version, or creates what is not there; `None` when it is another.
    pub fn update(
        &self,
        name: &str,
        bytes: Vec<u8>,
        version: Option<UpdateVersion>,
    ) -> Result<Option<UpdateVersion>, StoreError> {
        let (own, asked) = (self.clone(), name.to_owned());
        let update = async move { own.update_now(&asked, bytes, version).await };
        self.wait(update)?.map_err(self.fail("write", name))
    }

    /// The same for who can wait without holding a thread up.
    pub async fn update_now(
        &self,
        name: &str,
        bytes: Vec<u8>,
        version: Option<UpdateVersion>,
    ) -> Result<Option<UpdateVersion>, object_store::Error> {
        let replaces = version.is_some();
        let mode = version.map_or(PutMode::Create, PutMode::Update);
        match self.store.put_opts(&self.path(name), bytes.into(), mode.into()).await {
            Ok(done) => Ok(Some(done.into())),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                Ok(None)
            }
            Err(object_store::Error::NotFound { .. }) if replaces => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// What a name holds, for who can wait without holding a thread up.
    pub async fn blob_now(&self, name: &str) -> Result<Option<Blob>, object_store::Error> {
        get(&self.store, &self.path(name)).await
    }

    pub fn discard(&self, name: &str) {
        let (store, path) = (self.store.clone(), self.path(name));
        let _ = self.wait(async move { store.delete(&path).await });
    }

    /// What is directly here: names of blobs and folders.
    pub fn children(&self) -> Result<Vec<String>, StoreError> {
        let (store, prefix) = (self.store.clone(), self.prefix.clone());
        let list = async move {
            let found = store.list_with_delimiter(Some(&prefix)).await?;
            let blobs = found.objects.into_iter().map(|o| o.location);
            let names = blobs.chain(found.common_prefixes);
            Ok(names.filter_map(|p| p.filename().map(str::to_owned)).collect())
        };
        self.wait(list)?.map_err(self.fail("list", ""))
    }

    /// The sizes of all blobs below, by their names relative to this folder.
    pub fn sizes(&self) -> Result<HashMap<String, u64>, StoreError> {
        let (store, prefix) = (self.store.clone(), self.prefix.clone());
        let list = async move {
            let relative = |meta: ObjectMeta| {
                let parts: Vec<String> =
                    meta.location.prefix_match(&prefix)?.map(|p| p.as_ref().to_owned()).collect();
                Some((parts.join("/"), meta.size))
            };
            let found: Vec<ObjectMeta> = store.list(Some(&prefix)).try_collect().await?;
            Ok(found.into_iter().filter_map(relative).collect())
        };
        self.wait(list)?.map_err(self.fail("list", ""))
    }
}

async fn get(store: &Arc<dyn ObjectStore>, path: &Path) -> Result<Option<Blob>, object_store::Error> {
    let found: GetResult = match store.get(path).await {
        Ok(found) => found,
        // A container that is not there answers the same way, and is told when something is to be written.
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(e) => return Err(e),
    };
    let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
    Ok(Some(Blob { bytes: found.bytes().await?.to_vec(), version }))
}
