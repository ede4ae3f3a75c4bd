//! Columns in the forms that every reader of Arrow knows: no views, no dictionaries, none of the engine's notes.

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;

/// The schema with each column in its plain form.
pub(super) fn plain(schema: &Schema) -> SchemaRef {
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}

fn field(own: &FieldRef) -> FieldRef {
    Arc::new(Field::new(own.name(), kind(own.data_type()), own.is_nullable()))
}

fn kind(own: &DataType) -> DataType {
    match own {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, value) => kind(value),
        DataType::List(item) | DataType::ListView(item) => DataType::List(field(item)),
        DataType::LargeList(item) | DataType::LargeListView(item) => DataType::LargeList(field(item)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(field(item), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(field).collect()),
        DataType::Map(entries, sorted) => DataType::Map(field(entries), *sorted),
        DataType::RunEndEncoded(_, values) => kind(values.data_type()),
        other => other.clone(),
    }
}

/// The rows in a schema that [`plain`] made.
pub(super) fn in_plain(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
        match column.data_type() == field.data_type() {
            true => Ok(column.clone()),
            false => cast(column, field.data_type()),
        }
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{
        Array as _, ArrayRef, DictionaryArray, ListArray, StringArray, StringViewArray, StructArray,
    };
    use datafusion::arrow::buffer::OffsetBuffer;
    use datafusion::arrow::datatypes::Int32Type;

    #[test]
    fn views_and_dictionaries_become_plain_also_inside_lists_and_nulls_stay() {
        let views: ArrayRef =
            Arc::new(StringViewArray::from(vec![Some("a"), None, Some("longer than twelve")]));
        let words: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::from_iter([Some("x"), None, Some("x")]));
        let item = Arc::new(Field::new("text", DataType::Utf8View, true));
        let inside = StructArray::from(vec![(item, views.clone())]);
        let item = Arc::new(Field::new("item", inside.data_type().clone(), true));
        let lists = ListArray::new(item, OffsetBuffer::from_lengths([1, 0, 2]), Arc::new(inside), None);
        let lists: ArrayRef = Arc::new(lists);
        let batch =
            RecordBatch::try_from_iter([("views", views), ("words", words), ("lists", lists)]).unwrap();
        let schema = plain(batch.schema_ref());
        let text = schema.to_string();
        assert!(!text.contains("View") && !text.contains("Dictionary"), "{text}");
        let got = in_plain(&batch, &schema).unwrap();
        let expected = StringArray::from(vec![Some("x"), None, Some("x")]);
        assert_eq!(got.column(1).as_ref(), &expected as &dyn datafusion::arrow::array::Array);
        assert_eq!((got.num_rows(), got.column(0).null_count()), (3, 1));
    }
}
