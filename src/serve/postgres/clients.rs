//! What clients ask in forms that the engine does not have, put so that it has.

use std::borrow::Cow;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    DataType, Expr, FunctionArguments, Statement, VisitMut as _, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use crate::query::{Catalogue, quoted};

/// Parts of texts that must be others before they are parsed: the JDBC driver compares a function by its
/// number where the engine knows its name.
const TEXTS: [(&str, &str); 1] = [("'pg_catalog.array_in'::regproc", "'array_in'")];

/// The text of statements with what the engine has no form for put as it has.
pub(super) fn put(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    for (theirs, ours) in TEXTS {
        if text.contains(theirs) {
            text = Cow::Owned(text.replace(theirs, ours));
        }
    }
    text
}

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

/// How subqueries begin that ask for what is not here, and what they are answered with.
const NONE: [(&str, &str); 4] = [
    ("SELECT pg_get_expr(", "cast(null as text)"),
    ("SELECT pg_catalog.pg_get_expr(", "cast(null as text)"),
    ("SELECT json_build_object(", "cast(null as text)"),
    ("SELECT pg_catalog.pg_type.typcollation", "cast(null as int)"),
];

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
            Expr::Cast { data_type: kind @ (DataType::JSON | DataType::JSONB), .. } => {
                *kind = DataType::Text;
                false
            }
            // SQLAlchemy asks what default, sequence and collation a column has: none.
            Expr::Subquery(query) => {
                let asks = query.to_string();
                let none = NONE.iter().find(|(begins, _)| asks.starts_with(begins));
                if let Some(none) = none.and_then(|(_, none)| parsed(none)) {
                    *expr = none;
                }
                false
            }
            // The engine knows no other escape than a backslash, which SQLAlchemy avoids.
            Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => {
                if escape_char.take_if(|escape| escape.to_string() == "'/'").is_some()
                    && let Some(other) = parsed(&format!("replace({pattern}, '/', '\\')"))
                {
                    **pattern = other;
                }
                false
            }
            Expr::CompoundIdentifier(parts) => parts.last().is_some_and(|part| part.value == "reloptions"),
            _ => false,
        };
        if is_none && let Some(none) = parsed("arrow_cast(make_array(), 'List(Utf8)')") {
            *expr = none;
        }
        ControlFlow::Continue(())
    }
}

fn parsed(text: &str) -> Option<Expr> {
    Parser::new(&PostgreSqlDialect {}).try_with_sql(text).ok()?.parse_expr().ok()
}

/// The functions of this server, in the columns of psql's list.
fn functions() -> Option<Statement> {
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
