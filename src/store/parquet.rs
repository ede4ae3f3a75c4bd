//! Parquet files, with what the trace queries prune by.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::compute::{
    LexicographicalComparator, SortColumn, concat_batches, lexsort_to_indices, take_record_batch,
};
use arrow::datatypes::{Field, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::ChunkReader;
use parquet::schema::types::ColumnPath;

use super::disk::{failpoint, make_folder, new_file, sync_file, sync_folder};
use super::fetch::fetched;
use super::place::Place;
use super::{StoreError, arrow_schema};
use crate::schema::{DataFile, Table};

/// Smaller files are read whole faster than their filters are consulted.
const BLOOM_FROM: usize = 20_000;
const ZSTD_FROM: usize = 1000;
const ROW_GROUP: usize = 131_072;

/// The rows in the table's order.
pub(super) fn sorted(table: &'static Table, batch: &RecordBatch) -> Result<RecordBatch, StoreError> {
    let columns: Vec<SortColumn> = table
        .sort
        .iter()
        .filter_map(|name| Some(SortColumn { values: batch.column_by_name(name)?.clone(), options: None }))
        .collect();
    let fail = |source| StoreError::Arrow { table: table.name, source };
    if columns.is_empty() || batch.num_rows() < 2 {
        return Ok(batch.clone());
    }
    // Deliveries come in the order of time, so nearly every batch is sorted as it is.
    let comparator = LexicographicalComparator::try_new(&columns).map_err(fail)?;
    if (1..batch.num_rows()).all(|row| comparator.compare(row - 1, row).is_le()) {
        return Ok(batch.clone());
    }
    let order = lexsort_to_indices(&columns, None).map_err(fail)?;
    take_record_batch(batch, &order).map_err(fail)
}

fn properties(table: &Table, rows: usize) -> WriterProperties {
    let sorting = table
        .sort
        .iter()
        .filter_map(|name| {
            let column_idx = table.column(name)?.0 as i32;
            Some(SortingColumn { column_idx, descending: false, nulls_first: true })
        })
        .collect();
    // Setting zstd up for each of many columns costs more than it saves on a file that is merged soon.
    let compression = match rows {
        ..ZSTD_FROM => Compression::SNAPPY,
        _ => Compression::ZSTD(ZstdLevel::try_new(1).unwrap_or_default()),
    };
    let mut properties = WriterProperties::builder()
        .set_compression(compression)
        .set_max_row_group_row_count(Some(ROW_GROUP))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_sorting_columns(Some(sorting))
        .set_created_by(format!("agentrail {}", env!("CARGO_PKG_VERSION")));
    for name in ["raw", "data", "details"] {
        // Nobody compares these; their bounds would only fill the footer.
        properties =
            properties.set_column_statistics_enabled(ColumnPath::from(name), EnabledStatistics::None);
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(name), false);
    }
    if rows >= BLOOM_FROM {
        for name in &table.bloom {
            let path = ColumnPath::from(name.as_str());
            properties = properties
                .set_column_bloom_filter_enabled(path.clone(), true)
                .set_column_bloom_filter_max_ndv(path, ROW_GROUP.min(rows) as u64);
        }
    }
    properties.build()
}

/// Writes rows to a new file and makes it durable; returns its size in bytes.
pub(super) fn write(
    table: &'static Table,
    place: &Place,
    name: &str,
    batch: &RecordBatch,
) -> Result<u64, StoreError> {
    match place {
        Place::Local(folder) => write_file(table, &folder.join(name), batch),
        Place::Object(remote) => {
            // It is no larger than the commit it is from, which is bounded.
            let bytes = encoded(table, Vec::new(), batch)
                .map_err(|source| StoreError::Parquet { path: place.full(name), source })?;
            let size = bytes.len() as u64;
            failpoint("parquet_written");
            remote.put(name, bytes)?;
            failpoint("parquet_synced");
            Ok(size)
        }
    }
}

fn write_file(table: &'static Table, path: &Path, batch: &RecordBatch) -> Result<u64, StoreError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    make_folder(folder)?;
    let file = new_file(path)?;
    let file = encoded(table, file, batch)
        .map_err(|source| StoreError::Parquet { path: path.to_owned(), source })?;
    failpoint("parquet_written");
    sync_file(&file, path)?;
    sync_folder(folder)?;
    failpoint("parquet_synced");
    file.metadata().map(|m| m.len()).map_err(StoreError::io("measure", path))
}

fn encoded<W: Write + Send>(table: &Table, into: W, batch: &RecordBatch) -> Result<W, ParquetError> {
    let mut writer = ArrowWriter::try_new(into, batch.schema(), Some(properties(table, batch.num_rows())))?;
    writer.write(batch)?;
    writer.into_inner()
}

/// Rows are read in batches of so many.
pub(super) const BATCH: usize = 65_536;
/// Files of far away that are held at a time.
const HELD: usize = 32;

/// Reads a file; `columns` `None` means all.
pub(super) fn read(
    table: &'static Table,
    place: &Place,
    file: &DataFile,
    columns: Option<&[&str]>,
) -> Result<RecordBatch, StoreError> {
    let batches = match place {
        Place::Local(folder) => read_file(&folder.join(&file.path), columns)?,
        Place::Object(remote) => fetched(remote, &[file], columns)?.pop().unwrap_or_default(),
    };
    as_written(table, columns, batches)
}

/// Reads some columns of several files, which far away are fetched together, and hands each on.
pub(super) fn read_each(
    table: &'static Table,
    place: &Place,
    files: &[&DataFile],
    columns: &[&str],
    mut each: impl FnMut(&DataFile, RecordBatch) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    match place {
        Place::Local(_) => {
            for file in files {
                each(file, read(table, place, file, Some(columns))?)?;
            }
        }
        Place::Object(remote) => {
            for some in files.chunks(HELD) {
                for (file, batches) in some.iter().zip(fetched(remote, some, Some(columns))?) {
                    each(file, as_written(table, Some(columns), batches)?)?;
                }
            }
        }
    }
    Ok(())
}

/// Reads some columns of a file that is no table's: a checkpoint.
pub(super) fn batches(place: &Place, name: &str, columns: &[&str]) -> Result<Vec<RecordBatch>, StoreError> {
    match place {
        Place::Local(folder) => read_file(&folder.join(name), Some(columns)),
        Place::Object(remote) => {
            let path = place.full(name);
            let bytes = remote.read(name)?.ok_or_else(|| {
                let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
                StoreError::io("read", &path)(missing)
            })?;
            decoded(bytes::Bytes::from(bytes), Some(columns))
                .map_err(|source| StoreError::Parquet { path, source })
        }
    }
}

fn read_file(path: &Path, columns: Option<&[&str]>) -> Result<Vec<RecordBatch>, StoreError> {
    let file = File::open(path).map_err(StoreError::io("read", path))?;
    decoded(file, columns).map_err(|source| StoreError::Parquet { path: path.to_owned(), source })
}

pub(super) fn decoded(
    file: impl ChunkReader + 'static,
    columns: Option<&[&str]>,
) -> Result<Vec<RecordBatch>, ParquetError> {
    let mut builder = ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(BATCH);
    if let Some(columns) = columns {
        let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
        builder = builder.with_projection(mask);
    }
    Ok(builder.build()?.collect::<Result<_, _>>()?)
}

/// Rows in one batch, of the table's own schema.
fn as_written(
    table: &'static Table,
    columns: Option<&[&str]>,
    batches: Vec<RecordBatch>,
) -> Result<RecordBatch, StoreError> {
    let schema = match columns {
        None => arrow_schema(table),
        Some(columns) => {
            let all = arrow_schema(table);
            let fields: arrow::datatypes::Fields =
                all.fields().iter().filter(|f| columns.contains(&f.name().as_str())).cloned().collect();
            Arc::new(arrow::datatypes::Schema::new(fields))
        }
    };
    let batches: Vec<RecordBatch> = batches
        .into_iter()
        .map(|b| RecordBatch::try_new(schema.clone(), widened(&b, &schema)))
        .collect::<Result<_, _>>()
        .map_err(|source| StoreError::Arrow { table: table.name, source })?;
    concat_batches(&schema, &batches).map_err(|source| StoreError::Arrow { table: table.name, source })
}

/// The columns of a schema: those that a file of before does not have are null.
fn widened(batch: &RecordBatch, schema: &SchemaRef) -> Vec<ArrayRef> {
    let column = |field: &Arc<Field>| match batch.column_by_name(field.name()) {
        Some(column) => column.clone(),
        None => new_null_array(field.data_type(), batch.num_rows()),
    };
    schema.fields().iter().map(column).collect()
}
