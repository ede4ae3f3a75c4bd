//! A lake of many days for the benches: simulated days through the pipeline, and copies of their rows
//! straight into the lake as days before or after them.

mod events;
mod settings;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agentrail::decode::is_audit;
use agentrail::model::{Date, Ticks, Time};
use agentrail::pipeline::Pipeline;
use agentrail::schema::{STAMPS, Table};
use agentrail::simulate::World;
use agentrail::source::files;
use agentrail::store::{Cell, Lake, RowKey, Rows, arrow_schema};
use arrow::array::{Array as _, ArrayRef, AsArray as _, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Fields, Int64Type, Schema, TimestampMicrosecondType};
use events::write_events;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
pub use settings::settings;

pub type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Numbers of one copy do not meet those of another.
const NUMBERS: i64 = 10_000_000;

/// The simulated days, through the pipeline.
pub async fn ingest(lake: &Arc<Lake>, world: &World, folder: &Path) -> Outcome<()> {
    let pipeline = Pipeline::start(lake.clone(), settings());
    let (captures, events) = (folder.join("captures.ndjson"), folder.join("events.ndjson"));
    std::fs::write(&captures, world.captures().join("\n"))?;
    write_events(world, &events)?;
    let settings = files::Settings {
        chunk: 8 << 20,
        max_document: 256 << 20,
        under_way: 96 << 20,
        every: Duration::from_secs(2),
        storage: agentrail::objects::Access::default(),
    };
    let paths = [captures.display().to_string(), events.display().to_string()];
    let report =
        files::ingest_once(&settings, &paths, pipeline.bulk.clone(), &is_audit, &|_| None, |_| {}).await?;
    pipeline.finish().await;
    report.failed.into_iter().next().map_or(Ok(()), |says| Err(says.into()))
}

/// The rows of a stored file of a table, a batch at a time.
pub fn rows_of(path: &Path) -> Outcome<impl Iterator<Item = Outcome<RecordBatch>>> {
    let file = std::fs::File::open(path)?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(1 << 20).build()?;
    Ok(reader.map(|batch| Ok(batch?)))
}

/// Rows as of so many days later, under keys and numbers of their own; `raw` keeps their records.
pub fn shifted(
    table: &'static Table,
    batch: &RecordBatch,
    date: Option<Date>,
    days: i32,
    raw: bool,
) -> Outcome<Rows> {
    let copy = i64::from(days.unsigned_abs());
    let own = table.columns.len() - STAMPS.len();
    let by = Ticks::days(i64::from(days)).0 / 10;
    let mut columns: Vec<ArrayRef> = Vec::new();
    let schema = arrow_schema(table);
    let fields: Fields = schema.fields().iter().take(own).cloned().collect();
    for (field, column) in fields.iter().zip(batch.columns()) {
        columns.push(match (field.name().as_str(), column.data_type()) {
            ("event_id", _) => {
                let ids = column.as_string::<i32>();
                let id = |i: usize| format!("{copy:08x}{}", &ids.value(i)[8..]);
                Arc::new(StringArray::from_iter_values((0..ids.len()).map(id)))
            }
            ("key", _) => {
                let keys = column.as_string::<i32>();
                Arc::new(StringArray::from_iter_values(
                    (0..keys.len()).map(|i| format!("{}~{copy}", keys.value(i))),
                ))
            }
            ("raw", _) if !raw => Arc::new(StringArray::from_iter_values((0..batch.num_rows()).map(|_| ""))),
            ("request_id" | "run_id", _) => {
                let numbers = column.as_primitive::<Int64Type>();
                Arc::new(numbers.unary::<_, Int64Type>(|n| n + copy * NUMBERS)) as ArrayRef
            }
            (_, DataType::Timestamp(..)) => {
                let times = column.as_primitive::<TimestampMicrosecondType>();
                let times = times.unary::<_, TimestampMicrosecondType>(|t| t + by);
                Arc::new(TimestampMicrosecondArray::from(times.to_data()).with_timezone("UTC"))
            }
            _ => column.clone(),
        });
    }
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
    let texts = |name: &str| {
        Ok::<_, String>(batch.column_by_name(name).ok_or(format!("no column {name}"))?.as_string::<i32>())
    };
    let keys = texts(&table.key)?;
    let keys = match table.check.is_empty() {
        true => keys.iter().flatten().map(RowKey::new).collect(),
        false => {
            let actions = texts("action")?;
            let occurred = batch.column_by_name("occurred").ok_or("no column occurred")?;
            let occurred = occurred.as_primitive::<TimestampMicrosecondType>();
            let check = |i: usize| {
                let at = Time::from_unix_micros(occurred.value(i));
                [Cell::Time(Some(at)), Cell::Text(Some(actions.value(i))), Cell::Text(None), Cell::Text(None)]
            };
            (0..batch.num_rows()).map(|i| RowKey::checked(keys.value(i), &check(i))).collect()
        }
    };
    let dates = vec![date.map(|date| date.plus_days(days)); batch.num_rows()];
    Ok(Rows { table, batch, keys, dates })
}
