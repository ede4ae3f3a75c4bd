//! What functions make of long values: so much of one call, in pieces, and nothing while memory is short.
//!
//! The engine accounts for what sorts, groups and joins hold, not for what an expression makes of a batch:
//! a text that is doubled thirty times, or replaced by longer ones, would take the memory of all.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datafusion::arrow::array::{Array as _, ArrayRef, AsArray as _};
use datafusion::arrow::compute::concat;
use datafusion::arrow::datatypes::DataType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};

/// Bytes that one call may make of a batch of rows.
const MOST_MADE: usize = 256 << 20;
/// Bytes that are made at a time, as far as they can be told before.
const PIECE: usize = 32 << 20;

/// Functions whose value can be longer than what they are given, and how much longer.
pub(super) const MAKERS: [(&str, Maker); 14] = [
    ("concat", Maker::Sum),
    ("concat_ws", Maker::Sum),
    ("array_concat", Maker::Sum),
    ("array_append", Maker::Sum),
    ("array_prepend", Maker::Sum),
    ("array_insert", Maker::Sum),
    ("make_array", Maker::Sum),
    ("named_struct", Maker::Sum),
    ("struct", Maker::Sum),
    ("map", Maker::Sum),
    ("array_to_string", Maker::Product(1)),
    ("replace", Maker::Product(2)),
    ("regexp_replace", Maker::Product(2)),
    ("string_to_array", Maker::Sum),
];

/// That the process has grown by more than queries may make it grow.
#[derive(Debug, Clone, Default)]
pub struct Shortage(Arc<AtomicBool>);

impl Shortage {
    pub fn set(&self, is_short: bool) {
        self.0.store(is_short, Ordering::Relaxed);
    }

    /// Whether more may be made.
    pub fn check(&self) -> Result<()> {
        match self.0.load(Ordering::Relaxed) {
            true => {
                Err(DataFusionError::ResourcesExhausted("the queries of all took too much memory".to_owned()))
            }
            false => Ok(()),
        }
    }
}

// Functions are compared by the engine; of which session they are makes no difference.
impl PartialEq for Shortage {
    fn eq(&self, _: &Shortage) -> bool {
        true
    }
}

impl Eq for Shortage {}

impl Hash for Shortage {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// How long a value is at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Maker {
    /// As all arguments together.
    Sum,
    /// As the first one, each of whose parts becomes the argument at this place.
    Product(usize),
}

impl Maker {
    /// Bytes that a row comes to at most.
    fn row(self, sizes: &[Vec<usize>], row: usize) -> usize {
        let size = |at: usize| sizes.get(at).map_or(0, |sizes| sizes[row]);
        match self {
            Maker::Sum => (0..sizes.len()).map(size).fold(0, usize::saturating_add),
            // Twice, as the parts themselves can be put between.
            Maker::Product(by) => {
                size(0).saturating_add(1).saturating_mul(size(by).saturating_add(1)).saturating_mul(2)
            }
        }
    }

    /// Calls a function with as many rows at a time as make a piece, and no more of them than may be made.
    pub fn within(
        self,
        args: ScalarFunctionArgs,
        call: impl Fn(ScalarFunctionArgs) -> Result<ColumnarValue>,
    ) -> Result<ColumnarValue> {
        let is_scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if is_scalar { 1 } else { args.number_rows };
        let sizes = args.args.iter().map(|arg| sizes(arg, rows)).collect::<Result<Vec<_>>>()?;
        let of: Vec<usize> = (0..rows).map(|row| self.row(&sizes, row)).collect();
        if of.iter().fold(0, |all: usize, one| all.saturating_add(*one)) <= PIECE {
            return call(args);
        }
        if let Some(most) = of.iter().max().filter(|most| **most > MOST_MADE) {
            return Err(too_much(*most));
        }
        if is_scalar {
            return call(args);
        }
        let (mut parts, mut made, mut from) = (Vec::new(), 0_usize, 0);
        while from < rows {
            let mut until = from + 1;
            let mut bytes = of[from];
            while until < rows && bytes.saturating_add(of[until]) <= PIECE {
                bytes += of[until];
                until += 1;
            }
            let part = call(piece(&args, from, until - from))?.to_array(until - from)?;
            made += part.get_array_memory_size();
            if made > MOST_MADE {
                return Err(too_much(made));
            }
            parts.push(part);
            from = until;
        }
        let parts: Vec<&dyn datafusion::arrow::array::Array> = parts.iter().map(AsRef::as_ref).collect();
        Ok(ColumnarValue::Array(concat(&parts)?))
    }
}

fn too_much(bytes: usize) -> DataFusionError {
    DataFusionError::ResourcesExhausted(format!(
        "values of {bytes} bytes made by one function, at most {MOST_MADE} are made of a batch of rows"
    ))
}

fn piece(args: &ScalarFunctionArgs, from: usize, rows: usize) -> ScalarFunctionArgs {
    let cut = |arg: &ColumnarValue| match arg {
        ColumnarValue::Array(array) => ColumnarValue::Array(array.slice(from, rows)),
        scalar => scalar.clone(),
    };
    ScalarFunctionArgs { args: args.args.iter().map(cut).collect(), number_rows: rows, ..args.clone() }
}

/// Bytes of the value of each row.
pub(super) fn sizes(arg: &ColumnarValue, rows: usize) -> Result<Vec<usize>> {
    match arg {
        ColumnarValue::Scalar(value) => Ok(vec![of_rows(&value.to_array_of_size(1)?)[0]; rows]),
        ColumnarValue::Array(array) => Ok(of_rows(array)),
    }
}

fn of_rows(array: &ArrayRef) -> Vec<usize> {
    let rows = 0..array.len();
    match array.data_type() {
        DataType::Utf8 => rows.map(|row| array.as_string::<i32>().value_length(row) as usize).collect(),
        DataType::LargeUtf8 => rows.map(|row| array.as_string::<i64>().value_length(row) as usize).collect(),
        DataType::Utf8View => rows.map(|row| array.as_string_view().value(row).len()).collect(),
        DataType::Binary => rows.map(|row| array.as_binary::<i32>().value_length(row) as usize).collect(),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            // Items are about as large as one another, or it costs more to tell than to make them.
            let item = list.values().get_array_memory_size() / list.values().len().max(1) + 1;
            rows.map(|row| list.value_length(row) as usize * item).collect()
        }
        _ => vec![array.get_array_memory_size() / array.len().max(1) + 1; array.len()],
    }
}
