//! A view with parameters as a table function.

use std::sync::Arc;

use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{ScalarValue, plan_err};
use datafusion::datasource::ViewTable;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::catalogue::{Param, Query};

/// The plan of a query whose parameters are still open.
#[derive(Debug)]
pub(super) struct Function {
    name: String,
    params: Vec<(String, Param)>,
    plan: LogicalPlan,
}

impl Function {
    pub fn new(query: &Query, plan: LogicalPlan) -> Function {
        Function { name: query.name.clone(), params: query.params.clone(), plan }
    }
}

impl TableFunctionImpl for Function {
    fn call_with_args(&self, args: TableFunctionArgs<'_, '_>) -> Result<Arc<dyn TableProvider>> {
        let names: Vec<&str> = self.params.iter().map(|(name, _)| name.as_str()).collect();
        if args.exprs().len() != names.len() {
            return plan_err!("{} takes {} arguments: {}", self.name, names.len(), names.join(", "));
        }
        let mut values = Vec::with_capacity(names.len());
        for (expr, (name, param)) in args.exprs().iter().zip(&self.params) {
            let Some(value) = constant(expr) else {
                return plan_err!("the argument `{name}` of {} must be a constant", self.name);
            };
            values.push((name.clone(), typed(&value, &param.kind)?));
        }
        let plan = self.plan.clone().with_param_values(values)?;
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
    use datafusion::arrow::datatypes::{DataType, TimeUnit};
    value.cast_to(&match kind {
        "bigint" => DataType::Int64,
        "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        _ => DataType::Utf8,
    })
}
