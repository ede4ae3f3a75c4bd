//! The names of columns that a statement does not name, as PostgreSQL gives them, and names that come twice.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    DataType, Distinct, Expr, Ident, OrderByExpr, OrderByKind, Query, Select, SelectItem, SetExpr,
    TypedString, Value, ValueWithSpan, VisitorMut,
};

/// Ends a name. What follows it tells columns of one name apart, which the engine needs and nobody sees.
const END: char = '\u{200b}';

/// A name as a client is told it.
pub(super) fn told(name: &str) -> &str {
    name.split(END).next().unwrap_or(name)
}

/// A name that is another one to the engine, by which of many it is.
pub(super) fn apart(name: &str, nth: usize) -> String {
    format!("{name}{END}{nth}")
}

/// Names the columns of every select.
pub(super) struct Names;

impl VisitorMut for Names {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        // By a name alone PostgreSQL sorts as by the column that is shown; within an expression it is the table's.
        let is_bare = |key: &OrderByExpr| matches!(key.expr, Expr::Identifier(_) | Expr::Value(_));
        let sorts = match query.order_by.as_ref().map(|order| &order.kind) {
            Some(OrderByKind::Expressions(keys)) => !keys.iter().all(is_bare),
            _ => false,
        };
        name(&mut query.body, sorts);
        ControlFlow::Continue(())
    }
}

fn name(body: &mut SetExpr, sorts: bool) {
    match body {
        SetExpr::Select(select) => name_columns(select, sorts),
        SetExpr::SetOperation { left, right, .. } => {
            name(left, sorts);
            name(right, sorts);
        }
        _ => {}
    }
}

/// `sorts` by expressions over what the table has.
fn name_columns(select: &mut Select, sorts: bool) {
    let is_wild =
        |item: &SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
    // Which names a wildcard stands for is not known here.
    let is_open = select.projection.iter().any(is_wild);
    // Where names of the table are asked for beside those shown, a cast does not take the column's place.
    let is_asked = sorts
        || select.having.is_some()
        || select.qualify.is_some()
        || matches!(select.distinct, Some(Distinct::On(_)));
    let mut seen: HashSet<String> = HashSet::new();
    for item in &mut select.projection {
        let (expr, given) = match item {
            SelectItem::UnnamedExpr(expr) => (expr, None),
            SelectItem::ExprWithAlias { expr, alias } => (expr, Some(alias.clone())),
            _ => continue,
        };
        let is_column = matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
        let name = match &given {
            Some(alias) => alias.value.clone(),
            None => of(expr).unwrap_or_else(|| "?column?".to_owned()),
        };
        let is_new = seen.insert(name.to_lowercase());
        let apart = apart(&name, seen.len());
        let alias = match (given, is_column) {
            (Some(_), _) if is_new => continue,
            (None, true) if is_new => continue,
            (None, false) if is_new && !is_open && !(is_asked && is_of_column(expr)) => name,
            _ => {
                seen.insert(apart.clone());
                apart
            }
        };
        *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::with_quote('"', alias) };
    }
}

/// Whether an expression has the name of a column that it is made of.
fn is_of_column(expr: &Expr) -> bool {
    match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => true,
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } | Expr::Cast { expr: inner, .. } => {
            is_of_column(inner)
        }
        Expr::CompoundFieldAccess { root, .. } => is_of_column(root),
        Expr::Case { else_result, .. } => else_result.as_ref().is_some_and(|other| is_of_column(other)),
        _ => false,
    }
}

/// What PostgreSQL calls an expression (`FigureColname` of its parser); `None` where it has no name for it.
pub(super) fn of(expr: &Expr) -> Option<String> {
    let plain = |name: &str| Some(name.to_owned());
    match expr {
        Expr::Identifier(name) => Some(name.value.clone()),
        Expr::CompoundIdentifier(parts) => parts.last().map(|part| part.value.clone()),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => of(inner),
        Expr::CompoundFieldAccess { root, .. } => of(root),
        Expr::Cast { expr, data_type, .. } => match expr.as_ref() {
            Expr::Value(_) => Some(type_name(data_type)),
            expr => of(expr).or_else(|| Some(type_name(data_type))),
        },
        Expr::TypedString(TypedString { data_type, .. }) => Some(type_name(data_type)),
        Expr::Function(function) => {
            let name = function.name.0.last()?.as_ident()?;
            Some(if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() })
        }
        Expr::Case { else_result, .. } => else_result.as_ref().and_then(|e| of(e)).or_else(|| plain("case")),
        Expr::Exists { .. } => plain("exists"),
        Expr::Array(_) => plain("array"),
        Expr::Extract { .. } => plain("extract"),
        Expr::Substring { .. } => plain("substring"),
        Expr::Trim { .. } => plain("btrim"),
        Expr::Position { .. } => plain("position"),
        Expr::Overlay { .. } => plain("overlay"),
        Expr::Ceil { .. } => plain("ceil"),
        Expr::Floor { .. } => plain("floor"),
        Expr::AtTimeZone { .. } => plain("timezone"),
        Expr::Interval(_) => plain("interval"),
        Expr::Value(ValueWithSpan { value: Value::Boolean(_), .. }) => plain("bool"),
        Expr::Subquery(query) => match query.body.as_ref() {
            SetExpr::Select(select) => match select.projection.as_slice() {
                [SelectItem::UnnamedExpr(expr)] => of(expr),
                [SelectItem::ExprWithAlias { alias, .. }] => Some(alias.value.clone()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

/// The name that PostgreSQL has for a type.
fn type_name(kind: &DataType) -> String {
    let name = kind.to_string().to_lowercase();
    let name = name.split('(').next().unwrap_or(&name).trim();
    match name {
        "int" | "integer" => "int4",
        "bigint" => "int8",
        "smallint" => "int2",
        "real" => "float4",
        "double precision" | "double" | "float" => "float8",
        "boolean" => "bool",
        "decimal" | "dec" => "numeric",
        "character varying" => "varchar",
        "timestamp with time zone" => "timestamptz",
        "timestamp without time zone" => "timestamp",
        other => other,
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::ast::{Statement, VisitMut as _};

    use super::super::statement::parse;
    use super::*;

    fn names(text: &str) -> Vec<String> {
        let mut statement = parse(text).unwrap().remove(0);
        let _ = statement.visit(&mut Names);
        let Statement::Query(query) = statement else { unreachable!() };
        let mut body = query.body;
        while let SetExpr::SetOperation { left, .. } = *body {
            body = left;
        }
        let SetExpr::Select(select) = *body else { unreachable!() };
        let name = |item: &SelectItem| match item {
            SelectItem::UnnamedExpr(expr) => of(expr).unwrap_or_default(),
            SelectItem::ExprWithAlias { alias, .. } => alias.value.clone(),
            other => other.to_string(),
        };
        select.projection.iter().map(name).collect()
    }

    #[test]
    fn columns_have_the_names_that_postgresql_gives_them() {
        for (text, expected) in [
            ("select 1", "?column?"),
            ("select count(*)", "count"),
            ("select pg_catalog.LENGTH('a')", "length"),
            ("select a.b::text", "b"),
            ("select '1'::int", "int4"),
            ("select lower(a)::varchar(3)", "lower"),
            ("select case when a then b else c end", "c"),
            ("select case when a then b end", "case"),
            ("select (select max(a) from t)", "max"),
            ("select timestamp '2026-03-05'", "timestamp"),
            ("select extract(year from a)", "extract"),
            ("select true", "bool"),
            ("select a + 1", "?column?"),
            ("select sum(a) from t union all select 2", "sum"),
            ("select a as \"B\"", "B"),
        ] {
            assert_eq!(names(text), [expected], "{text}");
        }
    }

    #[test]
    fn names_that_come_twice_are_told_apart_unseen() {
        for (text, expected) in [
            ("select 1, 1, a, a", ["?column?", "?column?", "a", "a"].as_slice()),
            ("select a::text, a", &["a", "a"]),
            ("select 1 as x, 2 as X", &["x", "X"]),
            ("select *, count(*) over ()", &["*", "count"]),
            ("select a::date, max(a) from t group by 1 having max(a) > 1", &["a", "max"]),
            ("select a::date, b from t order by date_trunc('hour', a)", &["a", "b"]),
        ] {
            let found = names(text);
            let unlike: HashSet<&String> = found.iter().collect();
            assert_eq!(unlike.len(), expected.len(), "{text}: {found:?}");
            assert_eq!(found.iter().map(|name| told(name)).collect::<Vec<_>>(), expected, "{text}");
        }
        let plain = |text: &str| names(text).iter().all(|name| !name.contains(END));
        assert!(plain("select a::date, b from t order by a, 2"));
        assert!(!plain("select a::date, max(a) from t group by 1 having max(a) > 1"));
        assert!(!plain("select a::date, b from t order by date_trunc('hour', a)"));
        // What a client names in another place it finds.
        assert_eq!(names("select max(a), b from t"), ["max", "b"]);
    }
}
