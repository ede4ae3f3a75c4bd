//! Lists of a verdict of which a person may know the length alone.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray as _, ListArray, StringArray, StructArray, new_null_array,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::error::ArrowError;

/// A list in place of which one item says, in its member `says`, how many there are. Lists that are empty or
/// null stay so.
pub(super) fn counted(list: &ArrayRef, says: &str) -> Result<ArrayRef, ArrowError> {
    let list = list
        .as_list_opt::<i32>()
        .ok_or_else(|| ArrowError::CastError(format!("no list: {}", list.data_type())))?;
    let DataType::List(item) = list.data_type() else { return Ok(Arc::new(list.clone())) };
    let DataType::Struct(fields) = item.data_type() else { return Ok(Arc::new(list.clone())) };
    let lengths: Vec<usize> = (0..list.len())
        .map(|row| if list.is_valid(row) { list.value_length(row) as usize } else { 0 })
        .collect();
    let told: StringArray = lengths
        .iter()
        .filter(|length| **length > 0)
        .map(|length| Some(format!("{length} in all, told to those who see the whole organisation")))
        .collect();
    let columns = fields.iter().map(|field| -> ArrayRef {
        if field.name() == says {
            Arc::new(told.clone())
        } else {
            new_null_array(field.data_type(), told.len())
        }
    });
    let items = StructArray::new(fields.clone(), columns.collect(), None);
    let offsets = OffsetBuffer::from_lengths(lengths.iter().map(|length| (*length).min(1)));
    Ok(Arc::new(ListArray::try_new(item.clone(), offsets, Arc::new(items), list.nulls().cloned())?))
}
