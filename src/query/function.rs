//! Functions of the SQL: a view with parameters as a table function, and the member of a JSON text.

use std::sync::Arc;

use datafusion::arrow::array::{Array as _, StringArray};
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::cast::as_string_array;
use datafusion::common::{ScalarValue, plan_datafusion_err, plan_err};
use datafusion::datasource::ViewTable;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use futures::FutureExt as _;

use super::catalogue::Query;
use super::views::Planner;
use crate::decode::member;

/// `json_member(text, name, ...)`: the first of these members that a JSON text has, as [`member`] reads it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct JsonMember(Signature);

impl JsonMember {
    pub fn new() -> JsonMember {
        JsonMember(Signature::variadic(vec![DataType::Utf8], Volatility::Immutable))
    }
}

impl ScalarUDFImpl for JsonMember {
    fn name(&self) -> &str {
        "json_member"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let texts = args.args.iter().map(|arg| arg.to_array(args.number_rows)).collect::<Result<Vec<_>>>()?;
        let columns = texts.iter().map(|text| as_string_array(text)).collect::<Result<Vec<_>>>()?;
        let Some((json, names)) = columns.split_first() else {
            return plan_err!("json_member takes a JSON text and names of members");
        };
        let found = |row| {
            let json = json.is_valid(row).then(|| json.value(row))?;
            names.iter().find_map(|n| n.is_valid(row).then(|| member(json, n.value(row)))?)
        };
        let out: StringArray = (0..args.number_rows).map(found).collect();
        Ok(ColumnarValue::Array(Arc::new(out)))
    }
}

/// A query whose parameters are still open.
#[derive(Debug)]
pub(super) struct Function {
    query: &'static Query,
    planner: Planner,
}

impl Function {
    pub fn new(query: &'static Query, planner: Planner) -> Function {
        Function { query, planner }
    }
}

impl TableFunctionImpl for Function {
    fn call_with_args(&self, args: TableFunctionArgs<'_, '_>) -> Result<Arc<dyn TableProvider>> {
        let Query { name: own, params, .. } = self.query;
        let names: Vec<&str> = params.iter().map(|(name, _)| name.as_str()).collect();
        if args.exprs().len() != names.len() {
            return plan_err!("{own} takes {} arguments: {}", names.len(), names.join(", "));
        }
        let mut values = Vec::with_capacity(names.len());
        for (expr, (name, param)) in args.exprs().iter().zip(params) {
            let Some(value) = constant(expr) else {
                return plan_err!("the argument `{name}` of {own} must be a constant");
            };
            values.push((name.clone(), typed(&value, &param.kind)?));
        }
        let plan = self.planner.plan(self.query).now_or_never();
        let plan = plan.ok_or_else(|| plan_datafusion_err!("planning {own} waited for something"))??;
        let plan = plan.with_param_values(values)?;
        Ok(Arc::new(ViewTable::new(plan, None)))
    }
}

fn constant(expr: &Expr) -> Option<ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value.clone()),
        Expr::Cast(cast) => constant(&cast.expr)?.cast_to(cast.field.data_type()).ok(),
        Expr::TryCast(cast) => constant(&cast.expr)?.cast_to(cast.field.data_type()).ok(),
        _ => None,
    }
}

/// A value in the type of a parameter: text, bigint or timestamp.
pub(super) fn typed(value: &ScalarValue, kind: &str) -> Result<ScalarValue> {
    value.cast_to(&match kind {
        "bigint" => DataType::Int64,
        "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        _ => DataType::Utf8,
    })
}
