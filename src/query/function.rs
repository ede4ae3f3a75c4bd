//! Functions of the SQL: a view with parameters as a table function, and the member of a JSON text.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use datafusion::arrow::array::{Array as _, BooleanArray, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::cast::as_string_array;
use datafusion::common::tree_node::{Transformed, TreeNode as _};
use datafusion::common::{ScalarValue, plan_datafusion_err, plan_err};
use datafusion::datasource::ViewTable;
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Cast, Placeholder};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use futures::FutureExt as _;

use super::catalogue::Query;
use super::moments::with_seconds;
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

/// `in_network(address, network)`: whether an address is in a network such as `10.0.0.0/8`; null where either is
/// none.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct InNetwork(Signature);

impl InNetwork {
    pub fn new() -> InNetwork {
        InNetwork(Signature::exact(vec![DataType::Utf8, DataType::Utf8], Volatility::Immutable))
    }
}

impl ScalarUDFImpl for InNetwork {
    fn name(&self) -> &str {
        "in_network"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let texts = args.args.iter().map(|arg| arg.to_array(args.number_rows)).collect::<Result<Vec<_>>>()?;
        let columns = texts.iter().map(|text| as_string_array(text)).collect::<Result<Vec<_>>>()?;
        let [addresses, networks] = columns.as_slice() else {
            return plan_err!("in_network takes an address and a network");
        };
        let one = |(address, network): (Option<&str>, Option<&str>)| {
            Some(Network::parse(network?)?.holds(address?.trim().parse().ok()?))
        };
        let out: BooleanArray = addresses.iter().zip(networks.iter()).map(one).collect();
        Ok(ColumnarValue::Array(Arc::new(out)))
    }
}

/// Addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Network {
    first: u128,
    /// Bits that may differ.
    free: u32,
    is_v4: bool,
}

impl Network {
    /// Reads `10.0.0.0/8`, `2001:db8::/32` or an address.
    pub fn parse(text: &str) -> Option<Network> {
        let (address, bits) = match text.trim().split_once('/') {
            Some((address, bits)) => (address.parse::<IpAddr>().ok()?, Some(bits.parse::<u32>().ok()?)),
            None => (text.trim().parse::<IpAddr>().ok()?, None),
        };
        let (first, all, is_v4) = Network::number(address);
        Some(Network { first, free: all.checked_sub(bits.unwrap_or(all))?, is_v4 })
    }

    /// An address of version 4 may be written as one of version 6.
    fn number(address: IpAddr) -> (u128, u32, bool) {
        match address.to_canonical() {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32, true),
            IpAddr::V6(v6) => (v6.to_bits(), 128, false),
        }
    }

    fn holds(self, address: IpAddr) -> bool {
        let (number, _, is_v4) = Network::number(address);
        let prefix = |n: u128| n.checked_shr(self.free).unwrap_or_default();
        is_v4 == self.is_v4 && prefix(number) == prefix(self.first)
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
        let mut values = HashMap::with_capacity(names.len());
        for (expr, (name, param)) in args.exprs().iter().zip(params) {
            let value = match (expr, constant(expr)) {
                (_, Some(value)) => Expr::Literal(typed(&value, &param.kind)?, None),
                (Expr::Placeholder(own), None) => {
                    let field = Field::new(&own.id, kind(&param.kind), true);
                    Expr::Placeholder(Placeholder::new_with_field(own.id.clone(), Some(Arc::new(field))))
                }
                (_, None) if is_made_of_values(expr)? => {
                    Expr::Cast(Cast::new(Box::new(expr.clone()), kind(&param.kind)))
                }
                (_, None) => return plan_err!("the argument `{name}` of {own} must be a constant"),
            };
            values.insert(format!("${name}"), value);
        }
        let plan = self.planner.plan(self.query).now_or_never();
        let plan = plan.ok_or_else(|| plan_datafusion_err!("planning {own} waited for something"))??;
        Ok(Arc::new(ViewTable::new(filled(plan, &values)?, None)))
    }
}

/// A plan with these in place of its parameters: what the statement itself leaves open stays so.
fn filled(plan: LogicalPlan, values: &HashMap<String, Expr>) -> Result<LogicalPlan> {
    let one = |expr: Expr| match &expr {
        Expr::Placeholder(own) => {
            let value = values.get(&own.id).cloned();
            Ok(value.map_or_else(|| Transformed::no(expr), Transformed::yes))
        }
        _ => Ok(Transformed::no(expr)),
    };
    let step = |plan: LogicalPlan| {
        let names = NamePreserver::new(&plan);
        let plan = plan.map_expressions(|expr| {
            let name = names.save(&expr);
            // What reads a column is read by its name.
            Ok(expr.transform_up(one)?.update_data(|expr| name.restore(expr)))
        })?;
        plan.map_data(LogicalPlan::recompute_schema)
    };
    Ok(plan.transform_up_with_subqueries(step)?.data)
}

/// Whether it comes to one value once the parameters of the statement have theirs.
fn is_made_of_values(expr: &Expr) -> Result<bool> {
    let is_known = |part: &Expr| match part {
        Expr::Literal(..) | Expr::Placeholder(_) | Expr::BinaryExpr(_) | Expr::Cast(_) | Expr::TryCast(_) => {
            true
        }
        Expr::ScalarFunction(call) => call.func.signature().volatility != Volatility::Volatile,
        _ => false,
    };
    Ok(!expr.exists(|part| Ok(!is_known(part)))?)
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
    let with_seconds = match value {
        ScalarValue::Utf8(Some(text)) if kind == "timestamp" => with_seconds(text),
        _ => None,
    };
    with_seconds.map(ScalarValue::from).as_ref().unwrap_or(value).cast_to(&self::kind(kind))
}

fn kind(name: &str) -> DataType {
    match name {
        "bigint" => DataType::Int64,
        "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        _ => DataType::Utf8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_may_lack_its_seconds() {
        let moment = |text: &str| typed(&ScalarValue::from(text), "timestamp").unwrap();
        assert_eq!(moment("2026-03-05 10:00"), moment("2026-03-05T10:00:00Z"));
        assert!(typed(&ScalarValue::from("10:00"), "timestamp").is_err());
        assert_eq!(typed(&ScalarValue::from("2026-03-05 10:00"), "text").unwrap(), "2026-03-05 10:00".into());
    }

    #[test]
    fn a_network_holds_what_begins_like_it() {
        for (network, address, is_in) in [
            ("10.0.0.0/8", "10.200.1.2", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("203.0.113.9", "203.0.113.9", true),
            ("203.0.113.9/31", "203.0.113.8", true),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("::/0", "2001:db8:1::1", true),
            ("::/0", "10.0.0.1", false),
        ] {
            let found = Network::parse(network).unwrap().holds(address.parse().unwrap());
            assert_eq!(found, is_in, "{address} in {network}");
        }
        assert!(Network::parse("10.0.0.0/33").is_none() && Network::parse("10.0.0").is_none());
    }
}
