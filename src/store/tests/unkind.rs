//! An object store over a bad network: requests that never arrive, and answers that never come back.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::{Where, Writer, rows};

/// Every so many requests, one is lost.
#[derive(Debug)]
struct Unkind {
    inner: InMemory,
    seed: AtomicU64,
    /// One of so many requests is lost on its way there or back; 0 loses none.
    one_of: AtomicU64,
    lost: AtomicU64,
}

impl fmt::Display for Unkind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an unkind store")
    }
}

impl Unkind {
    fn new(seed: u64) -> Unkind {
        Unkind {
            inner: InMemory::new(),
            seed: AtomicU64::new(seed),
            one_of: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        }
    }

    /// A number from the seed; the order of requests decides who draws which.
    fn drawn(&self) -> u64 {
        let x = self.seed.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn lose(&self) -> Result<()> {
        let one_of = self.one_of.load(Ordering::Relaxed);
        if one_of > 0 && self.drawn().is_multiple_of(one_of) {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return Err(object_store::Error::Generic {
                store: "unkind",
                source: "the network is down".into(),
            });
        }
        Ok(())
    }
}

#[async_trait]
impl ObjectStore for Unkind {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.lose()?;
        let done = self.inner.put_opts(path, payload, options).await?;
        // Others get their turn between a request and its answer.
        tokio::task::yield_now().await;
        self.lose()?;
        Ok(done)
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.lose()?;
        tokio::task::yield_now().await;
        self.inner.get_opts(path, options).await
    }

    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.lose()?;
        self.inner.get_ranges(path, ranges).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.lose()?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// Several processes commit overlapping rows, and try again what failed, as the pipeline does.
#[tokio::test(flavor = "multi_thread")]
async fn over_a_bad_network_every_key_is_there_once_and_nothing_acknowledged_is_lost() {
    for seed in 0..4 {
        let store = Arc::new(Unkind::new(seed));
        let place = Where::Store(store.clone());
        let lakes = [place.open().await, place.open().await, place.open().await];
        store.one_of.store(12, Ordering::Relaxed);
        let process = async |lake: &super::Lake, first: u32| {
            let writer = Writer::new();
            let (mut added, mut failed) = (0, 0);
            for step in 0..12u32 {
                let from = first + step * 20;
                while let Err(_lost) =
                    lake.commit(&writer, vec![rows(from..from + 40)]).await.map(|done| added += done[0].added)
                {
                    failed += 1;
                    assert!(failed < 500, "nothing comes through");
                }
                let _ = lake.maintain().await;
            }
            (added, failed)
        };
        let [a, b, c] = &lakes;
        let (a, b, c) = tokio::join!(process(a, 0), process(b, 10), process(c, 100));
        store.one_of.store(0, Ordering::Relaxed);
        let lost = store.lost.load(Ordering::Relaxed);
        println!("seed {seed}: {lost} requests lost, {} commits tried again", a.1 + b.1 + c.1);
        assert!(lost > 10);
        let again = place.open().await;
        let held: u64 = again.files("rejects").files.iter().map(|f| f.rows).sum();
        // The keys 0 to 359, each once, however often its commit was told to have failed.
        assert_eq!(held, 360, "seed {seed}");
        assert!(a.0 + b.0 + c.0 <= 360);
        assert_eq!(again.commit(&Writer::new(), vec![rows(0..360)]).await.unwrap()[0].duplicates, 360);
        assert!(again.damaged().await.unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_whose_answer_is_lost_is_known_as_our_own() {
    let store = Arc::new(Unkind::new(1));
    let place = Where::Store(store.clone()).place();
    for n in 0..200u64 {
        store.one_of.store(4, Ordering::Relaxed);
        let name = format!("_entry-{n}");
        let made = place.create(&name, format!("{n}").as_bytes());
        store.one_of.store(0, Ordering::Relaxed);
        // Whatever is told, somebody else's is never taken for our own, nor ours for somebody else's.
        match made {
            Ok(made) => assert!(made),
            Err(_) => {
                assert!(place.read(&name).unwrap().is_none_or(|found| found == format!("{n}").as_bytes()))
            }
        }
        assert_eq!(
            place.create(&name, b"another").unwrap(),
            place.read(&name).unwrap().unwrap() == b"another"
        );
    }
    assert!(store.lost.load(Ordering::Relaxed) > 20);
}
