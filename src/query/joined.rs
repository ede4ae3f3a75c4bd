//! Texts joined by `||`, within the bounds of what functions may make.

use datafusion::arrow::array::{Array as _, StringArray, StringBuilder};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::cast::as_string_array;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable as _, Operator, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility, cast,
};
use std::sync::Arc;

use super::made::{Maker, Shortage};

/// Two texts as one; null where one of them is.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Joined {
    signature: Signature,
    shortage: Shortage,
}

impl Joined {
    pub fn new(shortage: &Shortage) -> Joined {
        let signature = Signature::exact(vec![DataType::Utf8, DataType::Utf8], Volatility::Immutable);
        Joined { signature, shortage: shortage.clone() }
    }
}

impl ScalarUDFImpl for Joined {
    fn name(&self) -> &str {
        "||"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.shortage.check()?;
        Maker::Sum.within(args, join)
    }
}

fn join(args: ScalarFunctionArgs) -> Result<ColumnarValue> {
    let is_scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
    let rows = if is_scalar { 1 } else { args.number_rows };
    let texts = args.args.iter().map(|arg| arg.to_array(rows)).collect::<Result<Vec<_>>>()?;
    let (left, right) = (as_string_array(&texts[0])?, as_string_array(&texts[1])?);
    let joined = joined(left, right);
    Ok(match is_scalar {
        true => ColumnarValue::Scalar(ScalarValue::try_from_array(&joined, 0)?),
        false => ColumnarValue::Array(Arc::new(joined)),
    })
}

fn joined(left: &StringArray, right: &StringArray) -> StringArray {
    let bytes = left.value_data().len().min(1 << 20) + right.value_data().len().min(1 << 20);
    let mut out = StringBuilder::with_capacity(left.len(), bytes);
    let mut text = String::new();
    for row in 0..left.len() {
        if left.is_null(row) || right.is_null(row) {
            out.append_null();
            continue;
        }
        text.clear();
        text.push_str(left.value(row));
        text.push_str(right.value(row));
        out.append_value(&text);
    }
    out.finish()
}

/// Puts the function in the place of the operator, of which the engine bounds nothing.
#[derive(Debug)]
pub(super) struct Joins(Arc<ScalarUDF>);

impl Joins {
    pub fn new(joined: Joined) -> Joins {
        Joins(Arc::new(ScalarUDF::new_from_impl(joined)))
    }
}

impl FunctionRewrite for Joins {
    fn name(&self) -> &str {
        "Joins"
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema, _: &ConfigOptions) -> Result<Transformed<Expr>> {
        let Expr::BinaryExpr(BinaryExpr { left, op: Operator::StringConcat, right }) = expr else {
            return Ok(Transformed::no(expr));
        };
        let is_text =
            |expr: &Expr| expr.get_type(schema).is_ok_and(|kind| !kind.is_nested() && !kind.is_binary());
        if !is_text(&left) || !is_text(&right) {
            return Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr {
                left,
                op: Operator::StringConcat,
                right,
            })));
        }
        let text = |expr: Expr| match expr.get_type(schema) {
            Ok(DataType::Utf8) => expr,
            _ => cast(expr, DataType::Utf8),
        };
        Ok(Transformed::yes(self.0.call(vec![text(*left), text(*right)])))
    }
}
