//! Rows of an answer in the forms of the protocol.

use std::sync::Arc;

use arrow_pg::datatypes::arrow_schema_to_pg_fields;
use arrow_pg::encoder::encode_value;
use arrow_pg::row_encoder::RowEncoder;
use bytes::Bytes;
use datafusion::arrow::array::{Array as _, ArrayRef, AsArray as _, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use futures::{Stream, StreamExt as _, stream};
use pgwire::api::Type;
use pgwire::api::portal::Format;
use pgwire::api::results::{
    CopyCsvOptions, CopyEncoder, CopyResponse, CopyTextOptions, FieldFormat, FieldInfo, QueryResponse,
};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::copy::CopyData;
use pgwire::messages::data::DataRow;

use super::names::told;
use super::refused;
use crate::query::{as_text, is_nested};
use crate::serve::Reply;

/// What the columns of an answer are called and of which types they are. Lists of structs and structs are
/// JSON text: drivers have no form for them.
pub(super) fn fields(schema: &Schema, format: &Format) -> PgWireResult<Vec<FieldInfo>> {
    let plain = |field: &Arc<Field>| match is_nested(field.data_type()) {
        true => Arc::new(Field::new(told(field.name()), DataType::Utf8, true)),
        false => Arc::new(field.as_ref().clone().with_name(told(field.name()))),
    };
    let schema = Schema::new(schema.fields().iter().map(plain).collect::<Vec<_>>());
    if let Format::Individual(codes) = format
        && codes.len() != schema.fields().len()
    {
        return Err(refused::error("08P01", "failed to bind: the number of formats is not that of columns"));
    }
    arrow_schema_to_pg_fields(&schema, format, None)
}

fn rows(batch: &RecordBatch, fields: &Arc<Vec<FieldInfo>>) -> PgWireResult<Vec<DataRow>> {
    let batch = as_text(batch, is_nested).map_err(|e| PgWireError::ApiError(Box::new(e)))?;
    let mut encoder = RowEncoder::new(batch, fields.clone());
    std::iter::from_fn(|| encoder.next_row()).collect()
}

/// An answer as the rows of a query.
pub(super) fn response(reply: Reply, format: &Format) -> PgWireResult<QueryResponse> {
    let fields = Arc::new(fields(&reply.schema, format)?);
    let of = fields.clone();
    let rows = each_row(reply, move |batch| rows(batch, &of));
    Ok(QueryResponse::new(fields, rows))
}

fn each_row<T>(
    reply: Reply,
    rows: impl Fn(&RecordBatch) -> PgWireResult<Vec<T>>,
) -> impl Stream<Item = PgWireResult<T>> {
    reply.flat_map(move |batch| {
        let rows = batch.map_err(refused::refusal).and_then(|batch| rows(&batch));
        match rows {
            Ok(rows) => stream::iter(rows.into_iter().map(Ok).collect::<Vec<_>>()),
            Err(error) => stream::iter(vec![Err(error)]),
        }
    })
}

/// How `COPY ... TO STDOUT` writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Copy {
    pub csv: bool,
    pub header: bool,
    pub delimiter: Option<char>,
    pub null: Option<String>,
    pub quote: Option<char>,
}

/// An answer as the data of a copy.
pub(super) fn copy(reply: Reply, copy: Copy) -> PgWireResult<CopyResponse> {
    let fields = Arc::new(fields(&reply.schema, &Format::UnifiedText)?);
    let columns = fields.len();
    let encoder = {
        let (fields, copy) = (fields.clone(), copy.clone());
        move |quoted: Vec<usize>| encoder(&fields, &copy, quoted)
    };
    let header = copy.header.then(|| header(&fields, &copy)).transpose()?;
    let rows = each_row(reply, move |batch| {
        let batch = as_text(batch, is_nested).map_err(|e| PgWireError::ApiError(Box::new(e)))?;
        let (mut plain, schema) = (encoder(Vec::new()), batch.schema());
        let one = |row: usize| {
            // Unquoted, nothing is NULL.
            let empty = |at: &usize| is_empty_text(batch.column(*at), row);
            let quoted: Vec<usize> = (0..batch.num_columns()).filter(empty).collect();
            let mut own = (!quoted.is_empty()).then(|| encoder(quoted));
            let encoder = own.as_mut().unwrap_or(&mut plain);
            for ((array, field), shown) in batch.columns().iter().zip(schema.fields()).zip(fields.iter()) {
                encode_value(encoder, array, row, field, shown)?;
            }
            Ok(encoder.take_copy())
        };
        (0..batch.num_rows()).map(one).collect()
    });
    Ok(CopyResponse::new(0, columns, behind(header, rows)))
}

/// The names of the columns as a row of a copy.
fn header(fields: &[FieldInfo], copy: &Copy) -> PgWireResult<Bytes> {
    let text = |field: &FieldInfo| {
        FieldInfo::new(field.name().to_owned(), None, None, Type::TEXT, FieldFormat::Text)
    };
    let texts = Arc::new(fields.iter().map(text).collect());
    let mut encoder = encoder(&texts, copy, Vec::new());
    fields.iter().try_for_each(|field| encoder.encode_field(&field.name()))?;
    Ok(encoder.take_copy().data)
}

/// Rows behind a header, in one piece with the first: clients are told how many rows they got by the number of
/// pieces.
fn behind(
    header: Option<Bytes>,
    rows: impl Stream<Item = PgWireResult<CopyData>> + Send + 'static,
) -> impl Stream<Item = PgWireResult<CopyData>> + Send + 'static {
    stream::unfold((header, rows.fuse().boxed()), async |(mut header, mut rows)| {
        let row = match (header.take(), rows.next().await) {
            (Some(header), Some(Ok(row))) => Ok(CopyData::new([header, row.data].concat().into())),
            (Some(header), None) => Ok(CopyData::new(header)),
            (_, row) => row?,
        };
        Some((row, (None, rows)))
    })
}

/// Whether a value is a text of no characters.
fn is_empty_text(array: &ArrayRef, row: usize) -> bool {
    let text = match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(row),
        DataType::LargeUtf8 => array.as_string::<i64>().value(row),
        DataType::Utf8View => array.as_string_view().value(row),
        _ => return false,
    };
    text.is_empty() && array.is_valid(row)
}

/// `quoted` are columns whose values are quoted whatever they are, in csv.
fn encoder(fields: &Arc<Vec<FieldInfo>>, copy: &Copy, quoted: Vec<usize>) -> CopyEncoder {
    if copy.csv {
        let mut options = CopyCsvOptions { force_quote: quoted, ..CopyCsvOptions::default() };
        if let Some(delimiter) = copy.delimiter {
            options.delimiter = delimiter.to_string().into();
        }
        if let Some(quote) = copy.quote {
            options.quote = quote.to_string().into();
        }
        if let Some(null) = &copy.null {
            options.null_string = null.into();
        }
        CopyEncoder::new_csv(fields.clone(), options)
    } else {
        let mut options = CopyTextOptions::default();
        if let Some(delimiter) = copy.delimiter {
            options.delimiter = delimiter.to_string().into();
        }
        if let Some(null) = &copy.null {
            options.null_string = null.into();
        }
        CopyEncoder::new_text(fields.clone(), options)
    }
}
