//! What clients ask in forms that the engine does not have, put so that it has.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::sync::LazyLock;

use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident,
    Query, SelectItem, SetExpr, Statement, TableFactor, Value, VisitMut as _, VisitorMut, visit_expressions,
    visit_expressions_mut, visit_relations,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use pgwire::error::{PgWireError, PgWireResult};

use super::names::{self, Names};
use super::refused::error;
use super::statement::place;
use crate::query::{Catalogue, quoted};
use crate::schema::{Table, tables};

/// Parts of texts that must be others before they are parsed: the JDBC driver compares a function by its
/// number where the engine knows its name; it and psql ask of each type whether it is a row of a table; and the
/// driver asks how many columns a key may have.
const TEXTS: [(&str, &str); 3] = [
    ("'pg_catalog.array_in'::regproc", "'array_in'"),
    ("(SELECT c.relkind = 'c' FROM pg_catalog.pg_class c WHERE c.oid = t.typrelid)", "false"),
    ("SELECT setting FROM pg_catalog.pg_settings WHERE name='max_index_keys'", "select '32' as setting"),
];

/// The text of statements with what the engine has no form for put as it has.
pub(super) fn put(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    for (theirs, ours) in TEXTS {
        if text.contains(theirs) {
            text = Cow::Owned(text.replace(theirs, ours));
        }
    }
    match named_classes(&text) {
        Some(put) => Cow::Owned(put),
        None => text,
    }
}

/// `'name'::regclass` as `to_regclass('name')`: as a subquery, which it would be otherwise, it is nothing in a join.
fn named_classes(text: &str) -> Option<String> {
    if !text.to_lowercase().contains("regclass") {
        return None;
    }
    let mut tokens = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize().ok()?;
    let is_word = |token: Option<&Token>, own: &str| matches!(token, Some(Token::Word(word)) if word.value.eq_ignore_ascii_case(own));
    let (mut at, mut is_changed) = (0, false);
    while at < tokens.len() {
        let cast = tokens[at + 1..].first() == Some(&Token::DoubleColon);
        let schema = is_word(tokens.get(at + 2), "pg_catalog") && tokens.get(at + 3) == Some(&Token::Period);
        let end = if schema { at + 4 } else { at + 2 };
        let is_list = tokens.get(end + 1) == Some(&Token::LBracket);
        if let Token::SingleQuotedString(name) = &tokens[at]
            && cast
            && is_word(tokens.get(end), "regclass")
            && !is_list
        {
            let put = Token::make_word(&format!("to_regclass({})", quoted(name)), None);
            tokens.splice(at..=end, [put]);
            is_changed = true;
        }
        at += 1;
    }
    is_changed.then(|| tokens.iter().map(ToString::to_string).collect())
}

/// The statement in a form that the engine has, or why it cannot be.
pub(super) fn adapted(statement: Statement) -> PgWireResult<Statement> {
    let text = statement.to_string();
    // Npgsql, by which Power BI and .NET connect, asks for the types there are, and how each is received.
    if text.contains("typreceive") && text.contains("elemtypoid") {
        return Ok(types().unwrap_or(statement));
    }
    // asyncpg asks for the types of values that it has not met before.
    if text.contains("typeinfo_tree") {
        return Ok(met().unwrap_or(statement));
    }
    if NOT_HERE.iter().any(|part| text.contains(part))
        && asks_for_keys(&statement)
        && let Some(nothing) = nothing(&statement)
    {
        return Ok(nothing);
    }
    let mut statement = statement;
    if let ControlFlow::Break(refused) = statement.visit(&mut Forms) {
        return Err(refused);
    }
    let _ = statement.visit(&mut Names);
    Ok(statement)
}

/// What only questions for keys and indexes have: there are none of them here.
const NOT_HERE: [&str; 3] = ["_pg_expandarray", "conkey", "indkey"];

/// Whether a statement reads nothing but the catalogue, and what keys are made of.
fn asks_for_keys(statement: &Statement) -> bool {
    let (mut has_catalogue, mut has_own) = (false, false);
    let _ = visit_relations(statement, |relation| {
        let name = relation.0.last().and_then(|part| part.as_ident()).map(|name| name.value.to_lowercase());
        let name = name.unwrap_or_default();
        has_catalogue |= name.starts_with("pg_");
        has_own |= tables().iter().any(|table| table.name == name)
            || Catalogue::embedded().views().iter().any(|view| view.name == name);
        ControlFlow::<()>::Continue(())
    });
    let mut has_keys = false;
    let _ = visit_expressions(statement, |expr| {
        let name = match expr {
            Expr::Identifier(name) => Some(name.value.to_lowercase()),
            Expr::CompoundIdentifier(parts) => parts.last().map(|part| part.value.to_lowercase()),
            Expr::Function(function) => Some(function.name.to_string().to_lowercase()),
            _ => None,
        };
        has_keys |= name.is_some_and(|name| NOT_HERE.iter().any(|part| name.ends_with(part)));
        ControlFlow::<()>::Continue(())
    });
    has_catalogue && !has_own && has_keys
}

/// An answer without rows, in the columns of a statement.
fn nothing(statement: &Statement) -> Option<Statement> {
    let Statement::Query(query) = statement else { return None };
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let name = |item: &SelectItem| match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.clone()),
        SelectItem::UnnamedExpr(expr) => Some(names::of(expr).unwrap_or_else(|| "?column?".to_owned())),
        _ => None,
    };
    let names = select.projection.iter().map(name).collect::<Option<Vec<_>>>()?;
    let column = |(n, name): (usize, &String)| {
        let name = if names[..n].contains(name) { &names::apart(name, n) } else { name };
        format!("cast(null as text) as \"{}\"", name.replace('"', "\"\""))
    };
    let columns: Vec<String> = names.iter().enumerate().map(column).collect();
    // It takes as many values as the statement does.
    let mut places = 0;
    let _ = visit_expressions(statement, |expr| {
        let own = place(expr).and_then(|own| u16::try_from(own).ok());
        places = places.max(own.unwrap_or(0));
        ControlFlow::<()>::Continue(())
    });
    let taken: String = (1..=places).map(|own| format!(" and ${own} is null")).collect();
    let sql = format!("select {} where false{taken}", columns.join(", "));
    Parser::parse_sql(&PostgreSqlDialect {}, &sql).ok()?.pop()
}

/// How subqueries begin that ask for what is not here, and what they are answered with.
const NONE: [(&str, &str); 4] = [
    ("SELECT pg_get_expr(", "cast(null as text)"),
    ("SELECT pg_catalog.pg_get_expr(", "cast(null as text)"),
    ("SELECT json_build_object(", "cast(null as text)"),
    ("SELECT pg_catalog.pg_type.typcollation", "cast(null as int)"),
];

/// Forms of PostgreSQL that the engine has otherwise, or would take for something else.
struct Forms;

impl VisitorMut for Forms {
    type Break = PgWireError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<PgWireError> {
        if let SetExpr::Select(select) = query.body.as_mut() {
            select.projection.iter_mut().for_each(counted);
            if let Some(condition) = &mut select.selection {
                let _ = visit_expressions_mut(condition, |expr| {
                    seen(expr);
                    ControlFlow::<()>::Continue(())
                });
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, table: &mut TableFactor) -> ControlFlow<PgWireError> {
        match table {
            TableFactor::Table { sample: Some(_), .. } => {
                ControlFlow::Break(not_offered("TABLESAMPLE", "take `where random() < 0.01`"))
            }
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<PgWireError> {
        match expr {
            // Lists made by a subquery, which clients make of options and memberships: there are none of those.
            Expr::Function(Function { name, args: FunctionArguments::Subquery(query), .. })
                if name.to_string().eq_ignore_ascii_case("array") =>
            {
                let asked = query.to_string();
                let is_of_catalogue = ["pg_", "reloptions"].iter().any(|part| asked.contains(part));
                let list = match is_of_catalogue {
                    true => "arrow_cast(make_array(), 'List(Utf8)')".to_owned(),
                    false => format!("(select array_agg(c) from ({asked}) as t(c))"),
                };
                if let Some(list) = parsed(&list) {
                    *expr = list;
                }
            }
            Expr::CompoundIdentifier(parts)
                if parts.last().is_some_and(|part| part.value == "reloptions") =>
            {
                if let Some(none) = parsed("arrow_cast(make_array(), 'List(Utf8)')") {
                    *expr = none;
                }
            }
            Expr::Function(function) => formatted(function),
            Expr::Cast { data_type: kind @ (DataType::JSON | DataType::JSONB), .. } => *kind = DataType::Text,
            // GUIDs are texts in lower case.
            Expr::Cast { expr: inner, data_type: DataType::Uuid, .. } => {
                if let Some(text) = parsed(&format!("lower(cast({inner} as text))")) {
                    *expr = text;
                }
            }
            Expr::Cast { data_type: DataType::Array(ArrayElemTypeDef::SquareBracket(kind, _)), .. }
                if **kind == DataType::Uuid =>
            {
                **kind = DataType::Text
            }
            // SQLAlchemy asks what default, sequence and collation a column has: none.
            Expr::Subquery(query) => {
                let asks = query.to_string();
                let none = NONE.iter().find(|(begins, _)| asks.starts_with(begins));
                if let Some(none) = none.and_then(|(_, none)| parsed(none)) {
                    *expr = none;
                }
            }
            // The engine knows no other escape than a backslash, which SQLAlchemy avoids.
            Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => {
                if escape_char.take_if(|escape| escape.to_string() == "'/'").is_some()
                    && let Some(other) = parsed(&format!("replace({pattern}, '/', '\\')"))
                {
                    **pattern = other;
                }
            }
            // The engine would take its pattern for a regular expression.
            Expr::SimilarTo { .. } => {
                return ControlFlow::Break(not_offered(
                    "SIMILAR TO",
                    "write `like`, or `~` and a regular expression",
                ));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn not_offered(what: &str, instead: &str) -> PgWireError {
    error("0A000", format!("failed to run {what}: it is not offered here; {instead}"))
}

/// Whether there is a row, as a column: the engine can only count them there.
fn counted(item: &mut SelectItem) {
    let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else { return };
    let Expr::Exists { subquery, negated } = expr else { return };
    let sign = if *negated { "=" } else { ">" };
    let counted =
        parsed(&format!("(select count(*) {sign} 0 from (select 1 from ({subquery}) t limit 1) t)"));
    let Some(counted) = counted else { return };
    let name = match item {
        SelectItem::ExprWithAlias { alias, .. } => alias.clone(),
        _ => Ident::new("exists"),
    };
    *item = SelectItem::ExprWithAlias { expr: counted, alias: name };
}

/// Of what has one name in both schemas, a name alone means that in `public`.
fn seen(expr: &mut Expr) {
    static HIDDEN: LazyLock<String> = LazyLock::new(|| {
        let views = Catalogue::embedded().views();
        let is_view =
            |table: &&Table| views.iter().any(|view| view.params.is_empty() && view.name == table.name);
        let names: Vec<String> = tables().iter().filter(is_view).map(|table| quoted(table.name)).collect();
        names.join(", ")
    });
    let Expr::Function(Function { name, args: FunctionArguments::List(args), .. }) = expr else { return };
    if !name.to_string().to_lowercase().ends_with("pg_table_is_visible") || args.args.len() != 1 {
        return;
    }
    let condition = format!(
        "{} not in (select c.oid from pg_catalog.pg_class c join pg_catalog.pg_namespace n \
         on n.oid = c.relnamespace where n.nspname = 'lake' and c.relname in ({}))",
        args.args[0], *HIDDEN
    );
    if let Some(condition) = parsed(&condition) {
        *expr = condition;
    }
}

/// Parts of PostgreSQL's patterns for times, longest first, and what the engine has for each.
const PATTERNS: [(&str, &str); 21] = [
    ("YYYY", "%Y"),
    ("HH24", "%H"),
    ("HH12", "%I"),
    ("Month", "%B"),
    ("MON", "%b"),
    ("Mon", "%b"),
    ("DDD", "%j"),
    ("Day", "%A"),
    ("Dy", "%a"),
    ("YY", "%y"),
    ("MM", "%m"),
    ("DD", "%d"),
    ("HH", "%I"),
    ("MI", "%M"),
    ("SS", "%S"),
    ("MS", "%3f"),
    ("US", "%6f"),
    ("AM", "%p"),
    ("PM", "%p"),
    ("IW", "%V"),
    ("ID", "%u"),
];

/// `to_char` with a pattern of PostgreSQL, which the engine would print as it stands.
fn formatted(function: &mut Function) {
    let FunctionArguments::List(args) = &mut function.args else { return };
    let is_named = function.name.to_string().to_lowercase().ends_with("to_char");
    let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(pattern)))) = args.args.get_mut(1) else {
        return;
    };
    if let (true, Value::SingleQuotedString(text)) = (is_named, &mut pattern.value)
        && !text.contains('%')
    {
        *text = strftime(text);
    }
}

fn strftime(pattern: &str) -> String {
    let (mut out, mut rest) = (String::new(), pattern);
    while let Some(letter) = rest.chars().next() {
        if let Some(text) = rest.strip_prefix('"')
            && let Some((text, behind)) = text.split_once('"')
        {
            out.push_str(text);
            rest = behind;
        } else if let Some((theirs, ours)) = PATTERNS.iter().find(|(theirs, _)| rest.starts_with(theirs)) {
            out.push_str(ours);
            rest = &rest[theirs.len()..];
        } else {
            out.push(letter);
            rest = &rest[letter.len_utf8()..];
        }
    }
    out
}

fn parsed(text: &str) -> Option<Expr> {
    Parser::new(&PostgreSqlDialect {}).try_with_sql(text).ok()?.parse_expr().ok()
}

/// Types of values, each by its number and that of its lists (`pg_type.dat`).
const TYPES: [(&str, u32, u32); 21] = [
    ("bool", 16, 1000),
    ("bytea", 17, 1001),
    ("char", 18, 1002),
    ("name", 19, 1003),
    ("int8", 20, 1016),
    ("int2", 21, 1005),
    ("int4", 23, 1007),
    ("text", 25, 1009),
    ("oid", 26, 1028),
    ("json", 114, 199),
    ("float4", 700, 1021),
    ("float8", 701, 1022),
    ("bpchar", 1042, 1014),
    ("varchar", 1043, 1015),
    ("date", 1082, 1182),
    ("time", 1083, 1183),
    ("timestamp", 1114, 1115),
    ("timestamptz", 1184, 1185),
    ("interval", 1186, 1187),
    ("numeric", 1700, 1231),
    ("uuid", 2950, 2951),
];

/// The types of this server in the columns in which Npgsql asks for them: those of values before their lists.
fn types() -> Option<Statement> {
    let one = |(name, oid, _): &(&str, u32, u32)| format!("('pg_catalog', {oid}, '{name}', 'b', false, 0)");
    let list = |(name, oid, lists): &(&str, u32, u32)| {
        format!("('pg_catalog', {lists}, '_{name}', 'a', false, {oid})")
    };
    let rows: Vec<String> = TYPES.iter().map(one).chain(TYPES.iter().map(list)).collect();
    let sql = format!(
        "select * from (values {}) as t (nspname, oid, typname, typtype, typnotnull, elemtypoid) \
         order by typtype desc, oid",
        rows.join(", ")
    );
    Parser::parse_sql(&PostgreSqlDialect {}, &sql).ok()?.pop()
}

/// Those of the types of this server that are asked for by number, and what their lists are of, in the columns
/// in which asyncpg asks for them.
fn met() -> Option<Statement> {
    let value = |(name, oid, _): &(&str, u32, u32)| format!("({oid}, '{name}', 0, null, 1, null)");
    let list =
        |(name, oid, lists): &(&str, u32, u32)| format!("({lists}, '_{name}', {oid}, ',', 0, '{name}')");
    let rows: Vec<String> = TYPES.iter().map(value).chain(TYPES.iter().map(list)).collect();
    let none = "cast(null as int)";
    let sql = format!(
        "with known as (select * from (values {}) as t (oid, name, elemtype, elemdelim, depth, elemtype_name)) \
         select oid, 'pg_catalog' as ns, name, 'b' as kind, {none} as basetype, elemtype, elemdelim, \
         {none} as range_subtype, {none} as attrtypoids, {none} as attrnames, depth, \
         cast(null as text) as basetype_name, elemtype_name, cast(null as text) as range_subtype_name from known \
         where array_has($1::oid[], oid) \
         or oid in (select elemtype from known where array_has($1::oid[], oid)) order by depth desc",
        rows.join(", ")
    );
    Parser::parse_sql(&PostgreSqlDialect {}, &sql).ok()?.pop()
}

#[cfg(test)]
mod tests {
    use super::super::statement::parse;

    fn put(text: &str) -> String {
        parse(text).map(|all| all[0].to_string()).unwrap_or_else(|refused| refused.to_string())
    }

    #[test]
    fn forms_that_the_engine_takes_for_others_are_put_in_its_own_or_refused() {
        assert!(put("select to_char(t, 'YYYY-MM-DD\"T\"HH24:MI:SS.MS')").contains("'%Y-%m-%dT%H:%M:%S.%3f'"));
        assert!(put("select to_char(t, '%Y')").contains("'%Y'"));
        let list = put("select array(select a from t)");
        assert!(list.contains("array_agg(c)") && list.contains("(SELECT a FROM t)"), "{list}");
        assert!(put("select array(select 1 from pg_catalog.pg_roles)").contains("make_array()"));
        assert!(put("select exists (select 1 from t), 2").contains("SELECT count(*) > 0"));
        assert!(put("select not exists (select 1 from t)").contains("SELECT"));
        assert!(put("select 1 where a = 'AB'::uuid").contains("lower(CAST('AB' AS TEXT))"));
        assert!(put("select 1 where a = any($1::uuid[])").contains("$1::TEXT[]"));
        let class = put("select 1 from t where a = 'pg_class'::regclass and b = 'c.d'::pg_catalog.regclass");
        assert!(class.contains("a = to_regclass('pg_class') AND b = to_regclass('c.d')"), "{class}");
        for same in ["select $$'a'::regclass$$", "select 'say ''a''::regclass'"] {
            assert!(put(same).contains("::regclass"), "{}", put(same));
        }
        assert!(put("select 1 from t where a similar to 'b%'").contains("SIMILAR TO: it is not offered"));
        assert!(put("select 1 from t tablesample system (1)").contains("TABLESAMPLE: it is not offered"));
    }

    #[test]
    fn what_is_not_here_is_answered_with_no_rows_in_the_columns_that_were_asked_for() {
        let keys = "pg_catalog.pg_constraint c where c.oid = $2";
        let none = put(&format!("select c.conname as \"FK\", unnest(conkey), a.x from {keys}"));
        assert!(none.ends_with("WHERE false AND $1 IS NULL AND $2 IS NULL"), "{none}");
        assert!(none.contains("AS \"FK\"") && none.contains("AS \"unnest\"") && none.contains("AS \"x\""));
        assert!(!put("select count(*) from actions where details like '%indkey%'").contains("WHERE false"));
        assert!(!put("select relname, 'indkey' from pg_catalog.pg_class").contains("WHERE false"));
        let visible = put("select 1 from pg_catalog.pg_class c where pg_catalog.pg_table_is_visible(c.oid)");
        assert!(visible.contains("c.oid NOT IN (SELECT c.oid") && visible.contains("'jobs'"), "{visible}");
        assert!(!visible.contains("'events'"), "{visible}");
        let types = put("select t.oid, elemtypoid from (select typ.typreceive from pg_type typ) t");
        assert!(types.contains("'_timestamptz', 'a', false, 1184"), "{types}");
    }
}
