//! What a statement asks: rows, or something of the connection itself. Everything else is refused by name.

use std::ops::ControlFlow;
use std::sync::LazyLock;

use datafusion::sql::sqlparser::ast::{
    CastKind, CloseCursor, CopyLegacyCsvOption, CopyLegacyOption, CopyOption, CopySource, CopyTarget,
    DataType, DiscardObject, Expr, FetchDirection, Ident, ObjectNamePart, Query, Set, Statement, Value,
    ValueWithSpan, visit_expressions, visit_expressions_mut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use pgwire::error::PgWireResult;

use super::clients::{adapted, put};
use super::refused::{error, query};
use super::rows::Copy;
use crate::query::{LONGEST_STATEMENT, check_parsed, check_text};

/// One statement, understood.
#[derive(Debug, Clone)]
pub(super) enum Asked {
    /// Rows.
    Rows(Box<Statement>),
    /// Rows as the data of a copy.
    Copy(Box<Statement>, Copy),
    /// A setting of the connection, its value, and the tag to answer with.
    Set(String, String),
    Reset(Option<String>),
    /// The connection as it was when it began.
    Discard,
    Show(String),
    Begin,
    /// The tag: COMMIT or ROLLBACK.
    End(&'static str),
    Declare(String, bool, Box<Query>),
    /// So many rows of a cursor; `None` means all.
    Fetch(String, Option<usize>),
    /// `None` means all cursors.
    Close(Option<String>),
    /// A statement under a name, and the types of its parameters as far as they are said.
    Prepare(String, Box<Statement>, Vec<DataType>),
    /// What was prepared, with these for its parameters.
    Execute(String, Vec<Expr>),
    /// `None` means all that was prepared.
    Deallocate(Option<String>),
    /// Something that changes nothing here.
    Nothing(&'static str),
}

/// Parses a text of statements.
pub(super) fn parse(text: &str) -> PgWireResult<Vec<Statement>> {
    static PARSER: LazyLock<PostgresCompatibilityParser> = LazyLock::new(PostgresCompatibilityParser::new);
    // Before anything walks down its tree.
    check_text(text, &PostgreSqlDialect {}).map_err(query)?;
    let parsed = PARSER.parse(&put(text));
    let parsed = parsed.map_err(|e| error("42601", format!("failed to understand the statement: {e}")))?;
    parsed.iter().try_for_each(check_parsed).map_err(query)?;
    parsed.into_iter().map(adapted).collect()
}

/// What a statement asks.
pub(super) fn understand(statement: Statement) -> PgWireResult<Asked> {
    Ok(match statement {
        Statement::Query(_) => Asked::Rows(Box::new(statement)),
        Statement::Explain { statement: of, analyze, verbose, .. } => {
            if !matches!(*of, Statement::Query(_)) {
                return Err(only_reads("EXPLAIN of anything but a query"));
            }
            Asked::Rows(Box::new(Statement::Explain {
                statement: of,
                analyze,
                verbose,
                describe_alias: datafusion::sql::sqlparser::ast::DescribeAlias::Explain,
                query_plan: false,
                estimate: false,
                format: None,
                options: None,
            }))
        }
        Statement::Copy { source, to: true, target: CopyTarget::Stdout, options, legacy_options, .. } => {
            let query = match source {
                CopySource::Query(query) => Statement::Query(query),
                CopySource::Table { table_name, columns } => {
                    let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
                    let columns = if columns.is_empty() { "*".to_owned() } else { columns.join(", ") };
                    let query = parse(&format!("select {columns} from {table_name}"))?;
                    query.into_iter().next().ok_or_else(|| error("42601", "failed to understand the copy"))?
                }
            };
            Asked::Copy(Box::new(query), copy(&options, &legacy_options)?)
        }
        Statement::Copy { .. } => return Err(only_reads("COPY other than TO STDOUT")),
        Statement::Set(set) => match set {
            Set::SingleAssignment { variable, values, .. } => {
                let values: Vec<String> = values.iter().map(plain).collect();
                Asked::Set(variable.to_string().replace('"', "").to_lowercase(), values.join(", "))
            }
            Set::SetTimeZone { value, .. } => Asked::Set("timezone".to_owned(), plain(&value)),
            Set::SetNames { charset_name, .. } => {
                Asked::Set("client_encoding".to_owned(), charset_name.to_string())
            }
            Set::SetTransaction { .. } => Asked::Nothing("SET"),
            other => return Err(error("0A000", format!("failed to run `SET {other}`: it is not offered"))),
        },
        Statement::Reset(reset) => Asked::Reset(match reset.reset {
            datafusion::sql::sqlparser::ast::Reset::ALL => None,
            datafusion::sql::sqlparser::ast::Reset::ConfigurationParameter(name) => {
                Some(name.to_string().to_lowercase())
            }
        }),
        Statement::ShowVariable { variable } => {
            let words: Vec<String> = variable.iter().map(|word| word.value.to_lowercase()).collect();
            Asked::Show(words.join("_"))
        }
        Statement::StartTransaction { .. } => Asked::Begin,
        Statement::Commit { .. } => Asked::End("COMMIT"),
        Statement::Rollback { savepoint: None, .. } => Asked::End("ROLLBACK"),
        Statement::Rollback { .. } => Asked::Nothing("ROLLBACK"),
        Statement::Savepoint { .. } => Asked::Nothing("SAVEPOINT"),
        Statement::ReleaseSavepoint { .. } => Asked::Nothing("RELEASE"),
        Statement::Declare { stmts } => {
            let Ok([declare]) = <[_; 1]>::try_from(stmts) else {
                return Err(error("42601", "failed to declare a cursor: declare one at a time"));
            };
            let (Some(name), Some(query)) = (declare.names.first(), declare.for_query) else {
                return Err(error("42601", "failed to declare a cursor: it has no query"));
            };
            if declare.scroll == Some(true) {
                return Err(error("0A000", "failed to declare a cursor that scrolls: it only goes forward"));
            }
            Asked::Declare(name.value.clone(), declare.hold == Some(true), query)
        }
        Statement::Fetch { name, direction, .. } => Asked::Fetch(name.value, count(&direction)?),
        Statement::Close { cursor } => Asked::Close(match cursor {
            CloseCursor::All => None,
            CloseCursor::Specific { name } => Some(name.value),
        }),
        Statement::Discard { object_type: DiscardObject::ALL } => Asked::Discard,
        // Plans, sequences and temporary tables: of those there are none.
        Statement::Discard { .. } => Asked::Nothing("DISCARD"),
        Statement::Deallocate { name, .. } => {
            let is_all = name.quote_style.is_none() && name.value.eq_ignore_ascii_case("all");
            Asked::Deallocate((!is_all).then(|| named(&name)))
        }
        Statement::UNLISTEN { .. } => Asked::Nothing("UNLISTEN"),
        Statement::Prepare { name, data_types, statement } => {
            if !matches!(*statement, Statement::Query(_)) {
                return Err(only_reads("PREPARE of anything but a query"));
            }
            Asked::Prepare(named(&name), statement, data_types)
        }
        Statement::Execute { name: Some(name), parameters, immediate: false, .. } => {
            match name.0.as_slice() {
                [ObjectNamePart::Identifier(name)] => Asked::Execute(named(name), parameters),
                _ => return Err(error("42601", format!("failed to execute `{name}`: it is no name"))),
            }
        }
        other => {
            let text = other.to_string();
            return Err(only_reads(text.split_whitespace().next().unwrap_or("this")));
        }
    })
}

/// A name as it is kept: in lower case, unless it is quoted.
fn named(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

/// The number of a parameter; one that is no number is beyond all.
pub(super) fn place(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::Placeholder(place), .. }) => {
            Some(place.trim_start_matches('$').parse().unwrap_or(usize::MAX))
        }
        _ => None,
    }
}

/// The places of parameters that are cast to lists of `oid`.
pub(super) fn lists_of_oids(statement: &Statement) -> Vec<usize> {
    let mut places = Vec::new();
    let _ = visit_expressions(statement, |expr| {
        if let Expr::Cast { expr: inner, data_type, .. } = expr
            && data_type.to_string().eq_ignore_ascii_case("oid[]")
        {
            places.extend(place(inner));
        }
        ControlFlow::<()>::Continue(())
    });
    places
}

/// A query with these in place of `$1`, `$2`, ..., of these types as far as they are said.
pub(super) fn filled(mut query: Statement, types: &[DataType], values: &[Expr]) -> PgWireResult<Statement> {
    if !values.iter().all(|value| is_constant(value, 3)) {
        return Err(error("0A000", "failed to execute: values are constants here; write them out"));
    }
    // A value stands as often as its place does.
    let sizes: Vec<usize> = values.iter().map(|value| value.to_string().len()).collect();
    let mut size = 0;
    let _ = visit_expressions(&query, |expr| {
        let value = place(expr).and_then(|place| sizes.get(place.checked_sub(1)?));
        size += value.copied().unwrap_or(0);
        ControlFlow::<()>::Continue(())
    });
    if size > LONGEST_STATEMENT {
        let says = format!(
            "failed to execute: with its values the statement has {size} bytes, at most {LONGEST_STATEMENT} are read"
        );
        return Err(error("54001", says));
    }
    let mut last = types.len();
    let _ = visit_expressions_mut(&mut query, |expr| {
        let Some(place) = place(expr) else { return ControlFlow::<()>::Continue(()) };
        last = last.max(place);
        if let Some(value) = place.checked_sub(1).and_then(|n| values.get(n)) {
            let value = Box::new(Expr::Nested(Box::new(value.clone())));
            *expr = match types.get(place - 1) {
                Some(kind) => Expr::Cast {
                    kind: CastKind::Cast,
                    expr: value,
                    data_type: kind.clone(),
                    array: false,
                    format: None,
                },
                None => *value,
            };
        }
        ControlFlow::Continue(())
    });
    if values.len() != last {
        let says = format!("failed to execute: the statement takes {last} values, and {} came", values.len());
        return Err(error("42601", says));
    }
    Ok(query)
}

/// Whether an expression is a constant, or a list of such.
fn is_constant(expr: &Expr, depth: usize) -> bool {
    let inner = |expr: &Expr| depth > 0 && is_constant(expr, depth - 1);
    match expr {
        Expr::Value(ValueWithSpan { value, .. }) => !matches!(value, Value::Placeholder(_)),
        Expr::TypedString(_) => true,
        Expr::UnaryOp { expr, .. } | Expr::Nested(expr) | Expr::Cast { expr, .. } => inner(expr),
        Expr::Array(list) => list.elem.iter().all(inner),
        _ => false,
    }
}

fn only_reads(what: &str) -> pgwire::error::PgWireError {
    error("25006", format!("failed to run {what}: this server only reads"))
}

/// The text of a value, without its quotes.
fn plain(expr: &Expr) -> String {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) => text.clone(),
        other => other.to_string(),
    }
}

fn count(direction: &FetchDirection) -> PgWireResult<Option<usize>> {
    let number = |value: &ValueWithSpan| {
        value.to_string().parse().map_err(|_| error("42601", format!("failed to fetch `{value}` rows")))
    };
    Ok(match direction {
        FetchDirection::Next | FetchDirection::Forward { limit: None } => Some(1),
        FetchDirection::Count { limit } | FetchDirection::Forward { limit: Some(limit) } => {
            Some(number(limit)?)
        }
        FetchDirection::All | FetchDirection::ForwardAll => None,
        other => return Err(error("0A000", format!("failed to fetch {other}: cursors only go forward"))),
    })
}

fn copy(options: &[CopyOption], legacy: &[CopyLegacyOption]) -> PgWireResult<Copy> {
    let mut copy = Copy { csv: false, header: false, delimiter: None, null: None, quote: None };
    let wrong = |option: &dyn std::fmt::Display| {
        Err(error(
            "0A000",
            format!(
                "failed to copy with {option}: FORMAT csv or text, HEADER, DELIMITER, NULL and QUOTE are offered"
            ),
        ))
    };
    for option in options {
        match option {
            CopyOption::Format(name) if name.value.eq_ignore_ascii_case("csv") => copy.csv = true,
            CopyOption::Format(name) if name.value.eq_ignore_ascii_case("text") => copy.csv = false,
            CopyOption::Header(header) => copy.header = *header,
            CopyOption::Delimiter(delimiter) if delimiter.is_ascii() => copy.delimiter = Some(*delimiter),
            CopyOption::Null(null) => copy.null = Some(null.clone()),
            CopyOption::Quote(quote) if quote.is_ascii() => copy.quote = Some(*quote),
            CopyOption::Encoding(name) if is_utf8(name) => {}
            other => return wrong(other),
        }
    }
    for option in legacy {
        match option {
            CopyLegacyOption::Csv(csv) => {
                copy.csv = true;
                for option in csv {
                    match option {
                        CopyLegacyCsvOption::Header => copy.header = true,
                        CopyLegacyCsvOption::Quote(quote) if quote.is_ascii() => copy.quote = Some(*quote),
                        other => return wrong(other),
                    }
                }
            }
            CopyLegacyOption::Header => copy.header = true,
            CopyLegacyOption::Delimiter(delimiter) if delimiter.is_ascii() => {
                copy.delimiter = Some(*delimiter);
            }
            CopyLegacyOption::Null(null) => copy.null = Some(null.clone()),
            other => return wrong(other),
        }
    }
    Ok(copy)
}

/// Whether an encoding is the one that is spoken here.
pub(super) fn is_utf8(name: &str) -> bool {
    ["utf8", "utf-8", "unicode"].iter().any(|own| name.trim_matches('\'').eq_ignore_ascii_case(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_read_is_refused_by_name_before_it_is_planned() {
        let says = |text: &str| {
            let statement = parse(text).unwrap().remove(0);
            understand(statement).err().map(|e| e.to_string()).unwrap_or_default()
        };
        for text in [
            "create table t (a int)",
            "insert into t values (1)",
            "delete from t",
            "explain delete from t",
            "copy t from stdin",
            "copy t to '/tmp/x'",
        ] {
            assert!(says(text).contains("this server only reads"), "{text}: {}", says(text));
        }
        assert!(says("prepare p as delete from t").contains("only reads"));
        for text in [
            "prepare p as select 1",
            "execute p(1)",
            "deallocate p",
            "select 1",
            "explain select 1",
            "copy t to stdout",
            "begin",
            "fetch 1 from c",
        ] {
            assert_eq!(says(text), "", "{text}");
        }
    }

    #[test]
    fn what_was_prepared_is_filled_with_as_many_values_as_it_takes() {
        let filled = |text: &str, values: &str| {
            let mut statements = parse(&format!("{text}; execute p{values}")).unwrap();
            let Ok(Asked::Execute(_, values)) = understand(statements.remove(1)) else { unreachable!() };
            let Ok(Asked::Prepare(name, query, types)) = understand(statements.remove(0)) else {
                unreachable!()
            };
            assert_eq!(name, "p");
            super::filled(*query, &types, &values).map(|query| query.to_string()).map_err(|e| e.to_string())
        };
        assert_eq!(filled("prepare p as select a", "").unwrap(), "SELECT a");
        let query = "prepare P (int) as select a from t where b = $1 and c = $2";
        assert_eq!(
            filled(query, "(-2, 'x')").unwrap(),
            "SELECT a FROM t WHERE b = CAST((-2) AS INT) AND c = ('x')"
        );
        for value in ["1 + 1", "(select 1)", "now()"] {
            assert!(filled(query, &format!("({value}, 'x')")).unwrap_err().contains("constants"));
        }
        let often = format!("prepare p as select a from t where a in ({})", vec!["$1"; 200].join(","));
        assert!(filled(&often, &format!("('{}')", "x".repeat(1000))).unwrap_err().contains("at most"));
        assert!(filled(query, "(1)").unwrap_err().contains("takes 2 values, and 1 came"));
        assert!(filled("prepare p as select 1", "(1)").unwrap_err().contains("takes 0 values"));
    }

    #[test]
    fn a_statement_too_large_is_not_parsed() {
        let long = format!("select {}1", "1+".repeat(20_000));
        assert!(parse(&long).unwrap_err().to_string().contains("of this size"));
        // What may be parsed fits the stack of any thread.
        let text = format!("select {}1", "1+".repeat(390));
        let statement = parse(&text).unwrap().remove(0);
        assert!(statement.clone().to_string().len() > 780);
    }
}
