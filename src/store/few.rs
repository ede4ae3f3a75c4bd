//! An object store of which few entries of a log are open at once.
//!
//! delta-rs opens up to a thousand of them, and sets more than a MiB aside for each before it reads the first.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use tokio::sync::Semaphore;

/// Entries that are open at once.
const OPEN: usize = 16;
/// Who has as many open while it waits for another would wait for ever.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Few {
    inner: Arc<dyn ObjectStore>,
    places: Arc<Semaphore>,
}

impl Few {
    pub fn new(inner: Arc<dyn ObjectStore>) -> Few {
        Few { inner, places: Arc::new(Semaphore::new(OPEN)) }
    }
}

impl fmt::Display for Few {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for Few {
    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        if path.extension() != Some("json") {
            return self.inner.get_opts(path, options).await;
        }
        let place = tokio::time::timeout(PATIENCE, self.places.clone().acquire_owned()).await;
        let got = self.inner.get_opts(path, options).await?;
        let (meta, range, attributes) = (got.meta.clone(), got.range.clone(), got.attributes.clone());
        // Its place is taken until it was read, or nobody wants to.
        let bytes = got.into_stream().inspect(move |_| _ = &place).boxed();
        Ok(GetResult { payload: GetResultPayload::Stream(bytes), meta, range, attributes })
    }

    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_ranges(&self, path: &Path, ranges: &[std::ops::Range<u64>]) -> Result<Vec<bytes::Bytes>> {
        self.inner.get_ranges(path, ranges).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::{TryStreamExt as _, stream};
    use object_store::ObjectStoreExt as _;
    use object_store::local::LocalFileSystem;

    use super::*;

    #[tokio::test]
    async fn however_many_entries_are_asked_for_few_are_open() {
        let folder = tempfile::tempdir().unwrap();
        let store = Few::new(Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap()));
        let name = |n: usize| Path::from(format!("_delta_log/{n:020}.json"));
        for n in 0..200 {
            store.put(&name(n), n.to_string().into()).await.unwrap();
        }
        let (open, most) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
        let one = async |n| {
            let got = store.get(&name(n)).await?;
            most.fetch_max(open.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            let open = open.clone();
            let end = stream::once(async move {
                open.fetch_sub(1, Ordering::Relaxed);
                Ok(bytes::Bytes::from_static(b","))
            });
            Ok::<_, object_store::Error>(got.into_stream().chain(end))
        };
        // As delta-rs reads them: all at once, one behind the other.
        let all = stream::iter(0..200).map(one).buffered(1000).try_flatten();
        let read: Vec<bytes::Bytes> = all.try_collect().await.unwrap();
        let expected: String = (0..200).map(|n| format!("{n},")).collect();
        assert_eq!(String::from_utf8(read.concat()).unwrap(), expected);
        assert!(most.load(Ordering::Relaxed) <= OPEN, "{most:?} were open");
    }
}
