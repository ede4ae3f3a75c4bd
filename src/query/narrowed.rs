//! A view over a part of the rows that it reads, for what need not read the whole lake.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Query, Statement, visit_relations_mut};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

/// What the part of a table is called: that of `lake.jobs` is `some_jobs`.
const PART: &str = "some_";

/// A statement whose `with` names parts of tables and that reads a view as if it were of these parts: the same
/// with that view as one of its named queries.
///
/// # Errors
/// When one of the texts is not a single query, or the statement names no part; says which.
pub(super) fn narrowed(sql: &str, view: &str, text: &str) -> Result<String, String> {
    let (mut own, mut base) = (query(sql)?, query(text)?);
    let with = own.with.take().ok_or("it names no part of a table")?;
    let named = |name: &str| with.cte_tables.iter().any(|cte| cte.alias.name.value == name);
    let _ = visit_relations_mut(&mut base, |relation| {
        let part =
            relation.0.last().and_then(|last| last.as_ident()).map(|last| format!("{PART}{}", last.value));
        if let Some(part) = part.filter(|part| relation.0.len() > 1 && named(part)) {
            *relation = vec![part.as_str().into()].into();
        }
        ControlFlow::<()>::Continue(())
    });
    Ok(format!("{with}, {view} as ({base}) {own}"))
}

fn query(sql: &str) -> Result<Box<Query>, String> {
    let statements = Parser::parse_sql(&GenericDialect {}, sql).map_err(|e| e.to_string())?;
    match <[Statement; 1]>::try_from(statements) {
        Ok([Statement::Query(query)]) => Ok(query),
        _ => Err("it is not one query".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_reads_the_parts_that_are_named() {
        let view =
            "with n as (select * from lake.jobs j) select n.x from n left join lake.pools p on p.x = n.x";
        let sql = "with some_jobs as (select * from lake.jobs where x < 1) select * from jobs where x > $y";
        assert_eq!(
            narrowed(sql, "jobs", view).unwrap(),
            "WITH some_jobs AS (SELECT * FROM lake.jobs WHERE x < 1), jobs as \
             (WITH n AS (SELECT * FROM some_jobs j) SELECT n.x FROM n LEFT JOIN lake.pools p ON p.x = n.x) \
             SELECT * FROM jobs WHERE x > $y"
        );
        assert!(narrowed("select 1", "jobs", view).is_err());
        assert!(
            narrowed(sql, "jobs", "select 1; select 2").is_err()
                && narrowed(sql, "jobs", "select from").is_err()
        );
    }
}
