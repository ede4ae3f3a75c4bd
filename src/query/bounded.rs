//! Functions that make a value as long as they are told to, within bounds: no query takes the memory of all.

use std::sync::Arc;

use datafusion::arrow::array::{Array as _, ArrayRef, AsArray as _};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, FieldRef, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
};
use datafusion::common::cast::as_int64_array;
use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use datafusion::prelude::SessionContext;

use super::made::{MAKERS, Maker, Shortage, sizes};

/// Characters of one made text.
const LONGEST: i64 = 10_000;
/// Functions with the argument that says how long.
const LENGTHS: [(&str, usize); 4] = [("repeat", 1), ("lpad", 1), ("rpad", 1), ("space", 0)];
/// Items of all lists that one call makes of a batch of rows.
const MOST_ITEMS: i64 = 4_000_000;
/// Functions that make a list from one value to another, by steps.
const SERIES: [&str; 2] = ["range", "generate_series"];
/// Steps of one call that compares two texts character by character.
const MOST_WORK: usize = 200_000_000;
/// Functions that make a list of any length, which nothing here needs.
const LISTS: [&str; 2] = ["array_repeat", "array_resize"];
const MICROS_A_DAY: i64 = 86_400_000_000;

/// Bounds the functions of a session.
pub(super) fn bound(context: &SessionContext, shortage: &Shortage) {
    let lengths = LENGTHS.map(|(name, at)| (name, Bound::Length(at)));
    let makers = MAKERS.map(|(name, maker)| (name, Bound::Made(maker)));
    let series = SERIES.map(|name| (name, Bound::Items));
    let work = [("levenshtein", Bound::Work)];
    for (name, bound) in lengths.into_iter().chain(series).chain(makers).chain(work) {
        let inner = context.state().scalar_functions().get(name).cloned();
        if let Some(inner) = inner {
            let shortage = shortage.clone();
            context.register_udf(ScalarUDF::new_from_impl(Bounded { inner, bound, shortage }));
        }
    }
    for name in LISTS {
        let aliases: Vec<String> = match context.state().scalar_functions().get(name) {
            Some(own) => own.aliases().to_vec(),
            None => continue,
        };
        context.deregister_udf(name);
        aliases.iter().for_each(|alias| context.deregister_udf(alias));
    }
}

/// What of a call is bounded.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Bound {
    /// The argument at this place.
    Length(usize),
    /// The steps from the first argument to the second.
    Items,
    /// The steps of comparing every character of one with every one of the other.
    Work,
    /// What it makes of its arguments.
    Made(Maker),
}

/// A function that makes no more than its bound.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    bound: Bound,
    shortage: Shortage,
}

/// How many items the lists of a batch have.
fn items(args: &ScalarFunctionArgs) -> Result<i64> {
    let rows = args.number_rows;
    let number = |at: usize| args.args.get(at).map(|arg| numbers(&arg.to_array(rows)?)).transpose();
    let (first, second, step) = (number(0)?, number(1)?, number(2)?);
    let (Some(first), steps) = (first, step) else { return Ok(0) };
    let is_time = !args.args[0].data_type().is_integer();
    let mut all = 0_i64;
    for row in 0..rows {
        // One argument is the end.
        let (from, until) = match &second {
            Some(second) => (first[row], second[row]),
            None => (Some(0), first[row]),
        };
        let step = steps.as_ref().map_or(Some(if is_time { MICROS_A_DAY } else { 1 }), |steps| steps[row]);
        if let (Some(from), Some(until), Some(step)) = (from, until, step) {
            all = all
                .saturating_add(until.saturating_sub(from).saturating_abs() / step.saturating_abs().max(1));
        }
    }
    Ok(all)
}

/// How many pairs of characters two texts have, over all rows.
fn compared(args: &ScalarFunctionArgs) -> Result<usize> {
    let sizes = args.args.iter().map(|arg| sizes(arg, args.number_rows)).collect::<Result<Vec<_>>>()?;
    let [left, right] = sizes.as_slice() else { return Ok(0) };
    Ok(left.iter().zip(right).fold(0, |all: usize, (a, b)| all.saturating_add(a.saturating_mul(*b))))
}

/// Numbers as they are, times in microseconds, spans about.
fn numbers(array: &ArrayRef) -> Result<Vec<Option<i64>>> {
    Ok(match array.data_type() {
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let micros = |span: IntervalMonthDayNano| {
                let days = i64::from(span.months) * 30 + i64::from(span.days);
                days * MICROS_A_DAY + span.nanoseconds / 1000
            };
            array.as_primitive::<IntervalMonthDayNanoType>().iter().map(|span| Some(micros(span?))).collect()
        }
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => {
            let times = cast(array, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
            as_int64_array(&cast(&times, &DataType::Int64)?)?.iter().collect()
        }
        _ => as_int64_array(&cast(array, &DataType::Int64)?)?.iter().collect(),
    })
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, kinds: &[DataType]) -> Result<DataType> {
        self.inner.return_type(kinds)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.inner().return_field_from_args(args)
    }

    fn coerce_types(&self, kinds: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.inner().coerce_types(kinds)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.shortage.check()?;
        match self.bound {
            Bound::Work => {
                let work = compared(&args)?;
                if work > MOST_WORK {
                    return plan_err!("{} of {work} steps: at most {MOST_WORK} are taken", self.name());
                }
            }
            Bound::Made(maker) => return maker.within(args, |args| self.inner.invoke_with_args(args)),
            Bound::Length(at) => {
                let Some(length) = args.args.get(at) else { return self.inner.invoke_with_args(args) };
                let longest = numbers(&length.to_array(args.number_rows)?)?.into_iter().flatten().max();
                if let Some(longest) = longest.filter(|longest| *longest > LONGEST) {
                    return plan_err!("{} of {longest} characters: at most {LONGEST} are made", self.name());
                }
            }
            Bound::Items => {
                let items = items(&args)?;
                if items > MOST_ITEMS {
                    return plan_err!("{} of {items} items: at most {MOST_ITEMS} are made", self.name());
                }
            }
        }
        self.inner.invoke_with_args(args)
    }
}
