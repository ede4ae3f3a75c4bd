//! Parquet files of an object store: the small ones whole, of the others only what is asked for.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, TryFutureExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStreamBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use super::StoreError;
use super::parquet::{BATCH, decoded};
use super::remote::Remote;
use crate::schema::DataFile;

/// Smaller files are fetched whole, in bytes: a file's footer and its columns are a request each.
const WHOLE: u64 = if cfg!(test) { 8 << 10 } else { 1 << 20 };
/// What is fetched of a file's end at first, in bytes: nearly always all of its footer.
const FOOTER: usize = 64 << 10;
/// Files fetched at once.
const AT_ONCE: usize = 8;

/// The batches of some files, in the order of the files; `columns` `None` means all.
pub(super) fn fetched(
    remote: &Remote,
    files: &[&DataFile],
    columns: Option<&[&str]>,
) -> Result<Vec<Vec<RecordBatch>>, StoreError> {
    let columns: Option<Arc<[String]>> = columns.map(|c| c.iter().map(|c| (*c).to_owned()).collect());
    let asked: Vec<(String, u64)> = files.iter().map(|f| (f.path.clone(), f.bytes)).collect();
    let own = remote.clone();
    let work = async move {
        let one = |(name, bytes): (String, u64)| {
            let (own, columns) = (own.clone(), columns.clone());
            async move { fetch(&own, &name, bytes, columns.as_deref()).await }
        };
        futures::stream::iter(asked).map(one).buffered(AT_ONCE).try_collect::<Vec<_>>().await
    };
    remote.wait(work)?
}

async fn fetch(
    remote: &Remote,
    name: &str,
    bytes: u64,
    columns: Option<&[String]>,
) -> Result<Vec<RecordBatch>, StoreError> {
    let fail = |source: ParquetError| match source {
        ParquetError::External(inner) => match inner.downcast::<object_store::Error>() {
            Ok(inner) => remote.fail("read", name)(*inner),
            Err(inner) => {
                StoreError::Parquet { path: remote.full(name).into(), source: ParquetError::External(inner) }
            }
        },
        source => StoreError::Parquet { path: remote.full(name).into(), source },
    };
    let mut file = InStore { store: remote.store(), path: remote.path(name), bytes };
    if bytes <= WHOLE {
        let columns: Option<Vec<&str>> = columns.map(|c| c.iter().map(String::as_str).collect());
        let whole = file.store.get(&file.path).and_then(|found| found.bytes()).await;
        return decoded(whole.map_err(remote.fail("read", name))?, columns.as_deref()).map_err(fail);
    }
    let metadata = file.get_metadata(None).await.map_err(fail)?;
    let metadata = parquet::arrow::arrow_reader::ArrowReaderMetadata::try_new(metadata, Default::default())
        .map_err(fail)?;
    let mut builder =
        ParquetRecordBatchStreamBuilder::new_with_metadata(file, metadata).with_batch_size(BATCH);
    if let Some(columns) = columns {
        let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().map(String::as_str));
        builder = builder.with_projection(mask);
    }
    builder.build().map_err(fail)?.try_collect().await.map_err(fail)
}

/// A file whose size is known, so that nobody asks for it.
struct InStore {
    store: Arc<dyn ObjectStore>,
    path: Path,
    bytes: u64,
}

fn external(error: object_store::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

impl AsyncFileReader for InStore {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        async move { self.store.get_range(&self.path, range).await.map_err(external) }.boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        async move { self.store.get_ranges(&self.path, &ranges).await.map_err(external) }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        async move {
            let size = self.bytes;
            let reader = ParquetMetaDataReader::new()
                .with_arrow_reader_options(options)
                .with_prefetch_hint(Some(FOOTER));
            reader.load_and_finish(self, size).await.map(Arc::new)
        }
        .boxed()
    }
}
