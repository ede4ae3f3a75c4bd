//! Which files can hold a match, told by partition and statistics alone.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, UInt64Array};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;

use crate::schema::{DataFile, FileSet, PARTITION, Value};

/// The files that a predicate may match.
pub(super) fn matching(
    set: &FileSet,
    schema: &SchemaRef,
    predicate: &Arc<dyn PhysicalExpr>,
) -> Result<Vec<Arc<DataFile>>, DataFusionError> {
    let pruning =
        PruningPredicateBuilder::new().with_file_schema(schema.clone()).try_build(predicate.clone())?;
    if pruning.always_true() || set.files.is_empty() {
        return Ok(set.files.to_vec());
    }
    let keep = pruning.prune(&Statistics { set, schema })?;
    Ok(set.files.iter().zip(keep).filter(|(_, keep)| *keep).map(|(file, _)| file.clone()).collect())
}

struct Statistics<'s> {
    set: &'s FileSet,
    schema: &'s SchemaRef,
}

impl Statistics<'_> {
    fn bounds(&self, column: &Column, upper: bool) -> Option<ArrayRef> {
        let kind = self.schema.field_with_name(&column.name).ok()?.data_type().clone();
        let index = self.set.table.column(&column.name).map(|(i, _)| i);
        let value = |file: &DataFile| {
            if column.name == PARTITION {
                return file.date.map(|d| ScalarValue::Date32(Some(d.0)));
            }
            let range = file.ranges.iter().find(|r| Some(r.column) == index)?;
            scalar(if upper { range.max.as_ref() } else { range.min.as_ref() }?)
        };
        let null = ScalarValue::try_from(&kind).ok()?;
        let values = self
            .set
            .files
            .iter()
            .map(|f| value(f).filter(|v| v.data_type() == kind).unwrap_or_else(|| null.clone()));
        ScalarValue::iter_to_array(values).ok()
    }
}

fn scalar(value: &Value) -> Option<ScalarValue> {
    Some(match value {
        Value::Text(text) => ScalarValue::Utf8(Some(text.clone())),
        Value::Bigint(n) => ScalarValue::Int64(Some(*n)),
        Value::Boolean(b) => ScalarValue::Boolean(Some(*b)),
        Value::Timestamp(micros) => ScalarValue::TimestampMicrosecond(Some(*micros), Some("UTC".into())),
    })
}

impl PruningStatistics for Statistics<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, false)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, true)
    }

    fn num_containers(&self) -> usize {
        self.set.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let index = self.set.table.column(&column.name).map(|(i, _)| i);
        let nulls = |file: &DataFile| {
            if column.name == PARTITION {
                return Some(if file.date.is_some() { 0 } else { file.rows });
            }
            file.ranges.iter().find(|r| Some(r.column) == index)?.nulls
        };
        Some(Arc::new(self.set.files.iter().map(|f| nulls(f)).collect::<UInt64Array>()))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(self.set.files.iter().map(|f| (f.rows > 0).then_some(f.rows)).collect::<UInt64Array>()))
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

/// The type of the partition column.
pub(super) fn partition_type() -> DataType {
    DataType::Date32
}
