//! What clients ask in forms that the engine does not have, put so that it has.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, FunctionArguments, Statement, VisitMut as _, VisitorMut};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use crate::query::Catalogue;

/// The statement in a form that the engine has.
pub(super) fn adapted(statement: Statement) -> Statement {
    // psql lists functions: those of the engine are none of ours.
    if statement.to_string().contains("pg_get_function_result(") {
        return functions().unwrap_or(statement);
    }
    let mut statement = statement;
    let _ = statement.visit(&mut Arrays);
    statement
}

/// Lists made by a subquery, which clients make of options and memberships: there are none of those.
struct Arrays;

impl VisitorMut for Arrays {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let is_none = match expr {
            Expr::Function(function) => {
                function.name.to_string().eq_ignore_ascii_case("array")
                    && matches!(function.args, FunctionArguments::Subquery(_))
            }
            Expr::CompoundIdentifier(parts) => parts.last().is_some_and(|part| part.value == "reloptions"),
            _ => false,
        };
        if is_none {
            let none = "arrow_cast(make_array(), 'List(Utf8)')";
            let parsed =
                Parser::new(&PostgreSqlDialect {}).try_with_sql(none).and_then(|mut p| p.parse_expr());
            if let Ok(none) = parsed {
                *expr = none;
            }
        }
        ControlFlow::Continue(())
    }
}

/// The functions of this server, in the columns of psql's list.
fn functions() -> Option<Statement> {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let mut rows =
        vec!["('public', 'json_member', 'text', 'json text, VARIADIC names text[]', 'func')".to_owned()];
    for view in Catalogue::embedded().views().iter().filter(|view| !view.params.is_empty()) {
        let params: Vec<String> = view.params.iter().map(|(name, p)| format!("{name} {}", p.kind)).collect();
        let (name, params) = (quoted(&view.name), quoted(&params.join(", ")));
        rows.push(format!("('public', {name}, 'TABLE', {params}, 'func')"));
    }
    let sql = format!(
        "select * from (values {}) as f (\"Schema\", \"Name\", \"Result data type\", \"Argument data types\", \"Type\") order by 2",
        rows.join(", ")
    );
    Parser::parse_sql(&PostgreSqlDialect {}, &sql).ok()?.pop()
}
