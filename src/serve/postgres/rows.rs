//! Rows of an answer in the forms of the protocol.

use std::sync::Arc;

use arrow_pg::datatypes::arrow_schema_to_pg_fields;
use arrow_pg::encoder::encode_value;
use arrow_pg::row_encoder::RowEncoder;
use bytes::BufMut as _;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use futures::{Stream, StreamExt as _, stream};
use pgwire::api::portal::Format;
use pgwire::api::results::{
    CopyCsvOptions, CopyEncoder, CopyResponse, CopyTextOptions, FieldInfo, QueryResponse,
};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::copy::CopyData;
use pgwire::messages::data::DataRow;

use super::refused;
use crate::query::{as_text, is_nested};
use crate::serve::Reply;

/// What the columns of an answer are called and of which types they are. Lists of structs and structs are
/// JSON text: drivers have no form for them.
pub(super) fn fields(schema: &Schema, format: &Format) -> PgWireResult<Vec<FieldInfo>> {
    let plain = |field: &Arc<Field>| match is_nested(field.data_type()) {
        true => Arc::new(Field::new(field.name(), DataType::Utf8, true)),
        false => field.clone(),
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
        move || encoder(&fields, &copy)
    };
    let separator = copy.delimiter.map_or_else(|| if copy.csv { "," } else { "\t" }.to_owned(), String::from);
    let names: Vec<String> = fields.iter().map(|field| field.name().to_owned()).collect();
    let mut header = bytes::BytesMut::new();
    if copy.header {
        header.put_slice(names.join(&separator).as_bytes());
        header.put_u8(b'\n');
    }
    let header = (!header.is_empty()).then(|| Ok(CopyData::new(header.freeze())));
    let rows = each_row(reply, move |batch| {
        let batch = as_text(batch, is_nested).map_err(|e| PgWireError::ApiError(Box::new(e)))?;
        let mut encoder = encoder();
        let schema = batch.schema();
        let one = |row: usize| {
            for ((array, field), shown) in batch.columns().iter().zip(schema.fields()).zip(fields.iter()) {
                encode_value(&mut encoder, array, row, field, shown)?;
            }
            Ok(encoder.take_copy())
        };
        (0..batch.num_rows()).map(one).collect()
    });
    Ok(CopyResponse::new(0, columns, stream::iter(header).chain(rows)))
}

fn encoder(fields: &Arc<Vec<FieldInfo>>, copy: &Copy) -> CopyEncoder {
    if copy.csv {
        let mut options = CopyCsvOptions::default();
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
