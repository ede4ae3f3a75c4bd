//! Functions that make a value as long as they are told to, within bounds: no query takes the memory of all.

use std::sync::Arc;

use datafusion::arrow::array::Array as _;
use datafusion::arrow::compute::{cast, max};
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::cast::as_int64_array;
use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use datafusion::prelude::SessionContext;

/// Characters of one made text.
const LONGEST: i64 = 10_000;
/// Functions with the argument that says how long.
const LENGTHS: [(&str, usize); 4] = [("repeat", 1), ("lpad", 1), ("rpad", 1), ("space", 0)];
/// Functions that make a list of any length, which nothing here needs.
const LISTS: [&str; 4] = ["range", "generate_series", "array_repeat", "array_resize"];

/// Bounds the functions of a session.
pub(super) fn bound(context: &SessionContext) {
    for (name, at) in LENGTHS {
        let inner = context.state().scalar_functions().get(name).cloned();
        if let Some(inner) = inner {
            context.register_udf(ScalarUDF::new_from_impl(Bounded { inner, at }));
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

/// A function whose argument at a place is at most so much.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    at: usize,
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
        if let Some(length) = args.args.get(self.at) {
            let lengths = cast(&length.to_array(1.max(args.number_rows))?, &DataType::Int64)?;
            let longest = max(as_int64_array(&lengths)?).filter(|_| !lengths.is_empty());
            if let Some(longest) = longest.filter(|longest| *longest > LONGEST) {
                return plan_err!("{} of {longest} characters: at most {LONGEST} are made", self.name());
            }
        }
        self.inner.invoke_with_args(args)
    }
}
