//! Answers as text: a table for people, JSON, NDJSON or CSV for programs.

use std::collections::HashSet;
use std::io::Write;
use std::sync::Arc;

use datafusion::arrow::array::{Array as _, ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use datafusion::arrow::csv::WriterBuilder;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::json::writer::{JsonArray, LineDelimited, WriterBuilder as JsonBuilder};
use datafusion::arrow::util::display::FormatOptions;
use datafusion::arrow::util::pretty::pretty_format_batches_with_options;
use futures::StreamExt as _;

use super::{Answer, QueryError};

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Table,
    Json,
    Csv,
    Ndjson,
}

/// An answer that could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error("write the answer")]
    Io(#[from] std::io::Error),
    #[error("write the answer")]
    Arrow(#[from] ArrowError),
}

impl WriteError {
    /// Whether the reader left early, which is its right.
    pub fn is_broken_pipe(&self) -> bool {
        let io = match self {
            WriteError::Io(e) => Some(e.kind()),
            WriteError::Arrow(ArrowError::IoError(_, e)) => Some(e.kind()),
            // The CSV writer keeps no more of it than its words.
            WriteError::Arrow(ArrowError::CsvError(says)) => return says.contains("Broken pipe"),
            _ => None,
        };
        io == Some(std::io::ErrorKind::BrokenPipe)
    }
}

/// Writes all rows; returns how many.
pub async fn write(mut answer: Answer, format: Format, out: &mut impl Write) -> Result<u64, WriteError> {
    let mut rows = 0;
    let mut kept = Vec::new();
    let mut first = true;
    let apart = told_apart(&answer.schema);
    let mut json = JsonBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(&mut *out);
    if format == Format::Json {
        while let Some(batch) = answer.stream.next().await {
            let batch = named(batch.map_err(QueryError::from)?, apart.as_ref())?;
            rows += batch.num_rows() as u64;
            json.write(&batch)?;
        }
        json.finish()?;
        if rows == 0 {
            // The writer opens its array with the first row.
            drop(json);
        }
        writeln!(out)?;
        return Ok(rows);
    }
    drop(json);
    while let Some(batch) = answer.stream.next().await {
        let batch = batch.map_err(QueryError::from)?;
        rows += batch.num_rows() as u64;
        match format {
            Format::Table | Format::Json => kept.push(flat(&batch)?),
            Format::Ndjson => {
                let mut lines =
                    JsonBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(&mut *out);
                lines.write(&named(batch, apart.as_ref())?)?;
                lines.finish()?;
            }
            Format::Csv => {
                WriterBuilder::new().with_header(first).build(&mut *out).write(&flat(&batch)?)?;
                first = false;
            }
        }
    }
    if format == Format::Csv && first {
        let empty = flat(&RecordBatch::new_empty(answer.schema.clone()))?;
        WriterBuilder::new().with_header(true).build(&mut *out).write(&empty)?;
    }
    if format == Format::Table {
        if kept.is_empty() {
            kept.push(flat(&RecordBatch::new_empty(answer.schema.clone()))?);
        }
        let options = FormatOptions::default().with_null("");
        let table = pretty_format_batches_with_options(&kept, &options)?.to_string();
        // A record may hold what a terminal would obey.
        let tame = |c: char| if c.is_control() && c != '\n' { char::REPLACEMENT_CHARACTER } else { c };
        writeln!(out, "{}", table.chars().map(tame).collect::<String>())?;
        writeln!(out, "{rows} row{}", if rows == 1 { "" } else { "s" })?;
    }
    out.flush()?;
    Ok(rows)
}

/// Columns of one name told apart, the second as `name_2`: an object has a name once. `None` where no name comes
/// twice.
pub fn told_apart(schema: &SchemaRef) -> Option<SchemaRef> {
    let names: HashSet<&String> = schema.fields().iter().map(|field| field.name()).collect();
    if names.len() == schema.fields().len() {
        return None;
    }
    let (mut taken, mut fields) = (HashSet::new(), Vec::new());
    for field in schema.fields() {
        let own = field.name();
        // A further one must not take the name of a column that is called so itself.
        let is_free = |name: &String| !taken.contains(name) && (name == own || !names.contains(name));
        let further = (2..).map(|nth| format!("{own}_{nth}"));
        let name = std::iter::once(own.clone()).chain(further).find(is_free).unwrap_or_default();
        fields.push(field.as_ref().clone().with_name(&name));
        taken.insert(name);
    }
    Some(Arc::new(Schema::new(fields)))
}

/// The batch with its columns called as in a schema, where there is one.
pub fn named(batch: RecordBatch, schema: Option<&SchemaRef>) -> Result<RecordBatch, ArrowError> {
    let Some(schema) = schema else { return Ok(batch) };
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), batch.columns().to_vec(), &rows)
}

/// The batch with its lists and structs as JSON text, which is what a cell can hold.
pub fn flat(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    as_text(batch, |kind| matches!(kind, DataType::List(_) | DataType::LargeList(_)) || is_nested(kind))
}

/// Whether a protocol of plain rows has no form for values of a type.
pub fn is_nested(kind: &DataType) -> bool {
    match kind {
        DataType::List(item) | DataType::LargeList(item) => item.data_type().is_nested(),
        DataType::Struct(_) | DataType::Map(..) => true,
        _ => false,
    }
}

/// The batch with some of its columns as JSON text.
pub fn as_text(batch: &RecordBatch, is_some: impl Fn(&DataType) -> bool) -> Result<RecordBatch, ArrowError> {
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if is_some(field.data_type()) {
            fields.push(Arc::new(Field::new(field.name(), DataType::Utf8, true)));
            columns.push(Arc::new(as_json(field, column)?));
        } else {
            fields.push(field.clone());
            columns.push(column.clone());
        }
    }
    RecordBatch::try_new_with_options(
        Arc::new(Schema::new(fields)),
        columns,
        &RecordBatchOptions::new().with_row_count(Some(batch.num_rows())),
    )
}

fn as_json(field: &Arc<Field>, column: &ArrayRef) -> Result<StringArray, ArrowError> {
    let renamed = Arc::new(Field::new("v", field.data_type().clone(), true));
    let one = RecordBatch::try_new(Arc::new(Schema::new(vec![renamed])), vec![column.clone()])?;
    let mut text = Vec::new();
    let mut lines = JsonBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(&mut text);
    lines.write(&one)?;
    lines.finish()?;
    drop(lines);
    let text = String::from_utf8_lossy(&text);
    let value =
        |line: &str| line.strip_prefix("{\"v\":").and_then(|l| l.strip_suffix('}')).map(str::to_owned);
    Ok(text.lines().enumerate().map(|(i, line)| if column.is_null(i) { None } else { value(line) }).collect())
}

/// All rows as JSON objects, nulls included.
pub(super) async fn objects(mut answer: Answer) -> Result<Vec<Object>, QueryError> {
    let mut out = Vec::new();
    while let Some(batch) = answer.stream.next().await {
        out.extend(objects_of(&batch?)?);
    }
    Ok(out)
}

/// A row as a JSON object.
pub type Object = serde_json::Map<String, serde_json::Value>;

/// The rows of a batch as JSON objects, nulls included.
pub fn objects_of(batch: &RecordBatch) -> Result<Vec<Object>, QueryError> {
    let mut text = Vec::new();
    let mut lines = JsonBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(&mut text);
    let done = lines.write(batch).and_then(|()| lines.finish());
    done.map_err(|e| QueryError::Plan(e.to_string()))?;
    drop(lines);
    let read = serde_json::Deserializer::from_slice(&text).into_iter().collect::<Result<Vec<_>, _>>();
    read.map_err(|e| QueryError::Plan(e.to_string()))
}
