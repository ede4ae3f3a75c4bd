//! How large a statement is, told before it is planned: planning cannot be stopped, and depth costs stack.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::LazyLock;

use datafusion::sql::parser::Statement as Parsed;
use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, ObjectName, Query, Select, Statement, TableFactor, TableWithJoins, Visit as _, Visitor,
};
use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::QueryError;
use super::catalogue::Catalogue;
use super::session::RAW;

/// Bytes of a statement.
pub const LONGEST_STATEMENT: usize = 128 << 10;
/// Operators that hang on one another: each is a level of the tree that the engine walks down.
const DEEPEST: usize = 400;
/// Items of all lists: columns, values, arguments.
const MOST_ITEMS: usize = 20_000;
/// Columns of one `select`, as PostgreSQL has it.
const MOST_COLUMNS: usize = 1_664;
/// Sets of groups that `cube`, `rollup` and `grouping sets` of one `select` come to.
const MOST_SETS: usize = 1_024;
/// Tables that a statement reads, each as often as views and common tables come to it.
const MOST_TABLES: usize = 1_000;
/// Tables that one `select` joins: what planning costs grows faster than their number.
const MOST_JOINED: usize = 40;

fn too_large(says: String) -> QueryError {
    QueryError::Size(says)
}

/// Whether a text is of a size that can be parsed.
pub fn check_text(sql: &str, dialect: &dyn Dialect) -> Result<(), QueryError> {
    if sql.len() > LONGEST_STATEMENT {
        return Err(too_large(format!("{} bytes, at most {LONGEST_STATEMENT} are read", sql.len())));
    }
    // What is no row of tokens is no statement; the parser says so.
    let Ok(tokens) = Tokenizer::new(dialect, sql).tokenize() else { return Ok(()) };
    let mut depth = Depth { levels: vec![Level::default()], deepest: 0, items: 0 };
    tokens.iter().for_each(|token| depth.take(token));
    if depth.deepest > DEEPEST {
        return Err(too_large(format!(
            "{} operators hang on one another, at most {DEEPEST} may; list values with `in`, or join a list of them",
            depth.deepest
        )));
    }
    if depth.items > MOST_ITEMS {
        return Err(too_large(format!("{} items in lists, at most {MOST_ITEMS} are read", depth.items)));
    }
    Ok(())
}

/// What hangs on one another between two parentheses.
#[derive(Debug, Default, Clone, Copy)]
struct Level {
    /// `union` and what else goes on over a comma.
    sets: usize,
    /// `and`, `or`.
    logic: usize,
    /// All other operators since.
    run: usize,
}

/// The most levels that the tree of a text can have. Rather too many are counted than too few.
struct Depth {
    levels: Vec<Level>,
    deepest: usize,
    items: usize,
}

impl Depth {
    fn take(&mut self, token: &Token) {
        let is_inside = self.levels.len() > 1;
        let Some(level) = self.levels.last_mut() else { return };
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                // `x[1][1]` hangs on one another as `x + 1 + 1` does.
                level.run += 1;
                self.levels.push(Level::default());
            }
            Token::RParen | Token::RBracket | Token::RBrace if is_inside => _ = self.levels.pop(),
            Token::Comma => {
                self.items += 1;
                (level.logic, level.run) = (0, 0);
            }
            Token::SemiColon => self.levels = vec![Level::default()],
            Token::Word(word) => match word.keyword {
                Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::MINUS | Keyword::JOIN => {
                    level.sets += 1;
                    (level.logic, level.run) = (0, 0);
                }
                Keyword::AND | Keyword::OR | Keyword::XOR => {
                    level.logic += 1;
                    level.run = 0;
                }
                Keyword::IS
                | Keyword::NOT
                | Keyword::LIKE
                | Keyword::ILIKE
                | Keyword::SIMILAR
                | Keyword::RLIKE
                | Keyword::REGEXP
                | Keyword::BETWEEN
                | Keyword::IN
                | Keyword::AT
                | Keyword::COLLATE
                | Keyword::DIV
                | Keyword::OVERLAPS
                | Keyword::OPERATOR
                | Keyword::NOTNULL => level.run += 1,
                _ => {}
            },
            Token::Whitespace(_) | Token::Number(..) | Token::Period | Token::EOF => {}
            token if is_text(token) => {}
            _ => level.run += 1,
        }
        let all = self.levels.iter().map(|level| level.sets + level.logic + level.run).sum();
        self.deepest = self.deepest.max(all);
    }
}

fn is_text(token: &Token) -> bool {
    matches!(
        token,
        Token::SingleQuotedString(_)
            | Token::DoubleQuotedString(_)
            | Token::DollarQuotedString(_)
            | Token::EscapedStringLiteral(_)
            | Token::NationalStringLiteral(_)
            | Token::UnicodeStringLiteral(_)
            | Token::HexStringLiteral(_)
            | Token::Placeholder(_)
    )
}

/// Whether a statement reads no more than can be planned.
pub(super) fn check(statement: &Parsed) -> Result<(), QueryError> {
    match statement {
        Parsed::Statement(statement) => check_parsed(statement),
        Parsed::Explain(explain) => check(&explain.statement),
        _ => Ok(()),
    }
}

pub fn check_parsed(statement: &Statement) -> Result<(), QueryError> {
    let mut tables = Tables::default();
    match statement.visit(&mut tables) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(says) => Err(too_large(says)),
    }
}

/// How many tables a view reads, itself through others.
static VIEWS: LazyLock<HashMap<&'static str, usize>> = LazyLock::new(|| {
    let mut known = HashMap::new();
    // A view reads those before it.
    for view in Catalogue::embedded().views() {
        let tables = tables_of(&view.sql, known.clone());
        known.insert(view.name.as_str(), tables);
    }
    known
});

/// How many tables a view reads; those that it reads are known.
fn tables_of(sql: &str, views: HashMap<&'static str, usize>) -> usize {
    let mut tables = Tables { views: Some(views), ..Tables::default() };
    for statement in Parser::parse_sql(&GenericDialect {}, sql).unwrap_or_default() {
        let _ = statement.visit(&mut tables);
    }
    tables.most.max(1)
}

/// Counts the tables of a statement.
#[derive(Default)]
struct Tables {
    /// Those of views, while they are counted themselves.
    views: Option<HashMap<&'static str, usize>>,
    scopes: Vec<Scope>,
    most: usize,
}

/// A query that is being counted.
#[derive(Default)]
struct Scope {
    /// The names of `with`, in their order.
    names: Vec<String>,
    /// How many tables each of them reads, as far as they are counted.
    counted: Vec<usize>,
    tables: usize,
}

impl Tables {
    fn add(&mut self, count: usize) -> ControlFlow<String> {
        if let Some(scope) = self.scopes.last_mut() {
            scope.tables = scope.tables.saturating_add(count);
            self.most = self.most.max(scope.tables);
        }
        if self.most > MOST_TABLES && self.views.is_none() {
            return ControlFlow::Break(format!(
                "it reads more than {MOST_TABLES} tables, each as often as it is named, also by views and `with`"
            ));
        }
        ControlFlow::Continue(())
    }

    fn of(&self, name: &str, is_plain: bool) -> usize {
        for scope in self.scopes.iter().rev().filter(|_| is_plain) {
            let own = scope.names.iter().zip(&scope.counted).rev().find(|(own, _)| *own == name);
            if let Some((_, counted)) = own {
                return *counted;
            }
        }
        self.views.as_ref().unwrap_or_else(|| &VIEWS).get(name).copied().unwrap_or(1)
    }
}

/// How many tables a `from` joins.
fn joined(from: &[TableWithJoins]) -> usize {
    let factor = |factor: &TableFactor| match factor {
        TableFactor::NestedJoin { table_with_joins, .. } => joined(std::slice::from_ref(table_with_joins)),
        _ => 1,
    };
    let of = |of: &TableWithJoins| {
        factor(&of.relation) + of.joins.iter().map(|join| factor(&join.relation)).sum::<usize>()
    };
    from.iter().map(of).sum()
}

impl Visitor for Tables {
    type Break = String;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<String> {
        let ctes = query.with.iter().flat_map(|with| &with.cte_tables);
        let names = ctes.map(|cte| cte.alias.name.value.to_lowercase()).collect();
        self.scopes.push(Scope { names, ..Scope::default() });
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<String> {
        let Some(done) = self.scopes.pop() else { return ControlFlow::Continue(()) };
        match self.scopes.last_mut() {
            // The queries of `with` come first, and count where they are named.
            Some(outer) if outer.counted.len() < outer.names.len() => {
                outer.counted.push(done.tables.max(1));
                ControlFlow::Continue(())
            }
            _ => self.add(done.tables),
        }
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<String> {
        if select.projection.len() > MOST_COLUMNS {
            let count = select.projection.len();
            return ControlFlow::Break(format!("{count} columns, at most {MOST_COLUMNS} are made"));
        }
        let joined = joined(&select.from);
        if joined > MOST_JOINED {
            return ControlFlow::Break(format!(
                "{joined} tables joined in one select, at most {MOST_JOINED} are"
            ));
        }
        let GroupByExpr::Expressions(groups, _) = &select.group_by else { return ControlFlow::Continue(()) };
        let sets = groups.iter().fold(1_usize, |sets, group| {
            sets.saturating_mul(match group {
                Expr::Cube(of) => 1_usize.checked_shl(of.len() as u32).unwrap_or(usize::MAX),
                Expr::Rollup(of) => of.len() + 1,
                Expr::GroupingSets(of) => of.len().max(1),
                _ => 1,
            })
        });
        if sets > MOST_SETS {
            return ControlFlow::Break(format!("{sets} sets of groups, at most {MOST_SETS} are made"));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<String> {
        let mut parts = relation.0.iter().rev().map(|part| part.to_string().trim_matches('"').to_lowercase());
        let (name, schema) = (parts.next().unwrap_or_default(), parts.next());
        let count = match schema.as_deref() {
            // What a view reads has often its name.
            Some(RAW) => 1,
            schema => self.of(&name, schema.is_none()),
        };
        self.add(count)
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<String> {
        match factor {
            TableFactor::Table { .. } | TableFactor::Derived { .. } | TableFactor::NestedJoin { .. } => {
                ControlFlow::Continue(())
            }
            TableFactor::Function { name, .. } => self.pre_visit_relation(name),
            _ => self.add(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(sql: &str) -> String {
        let checked = check_text(sql, &GenericDialect {}).and_then(|()| {
            let parsed = Parser::parse_sql(&GenericDialect {}, sql).unwrap();
            parsed.iter().try_for_each(check_parsed)
        });
        checked.err().map(|e| e.to_string()).unwrap_or_default()
    }

    fn chain(of: &str, by: &str, count: usize) -> String {
        vec![of; count].join(by)
    }

    #[test]
    fn what_hangs_on_one_another_is_counted() {
        for (of, by) in [
            ("1", "+"),
            ("'a'", "||"),
            ("true", " or "),
            ("1 = 1", " and "),
            ("select 1, 2", " union all "),
            ("select 1 where true", " except "),
            ("1", " is not null and "),
            ("1", " between 1 and "),
            ("now()", " at time zone "),
        ] {
            let text = |count| format!("select {}", chain(of, by, count).trim_start_matches("select "));
            assert!(says(&text(2_000)).contains("hang on one another"), "{by}");
            assert_eq!(check_text(&text(190), &GenericDialect {}).err().map(|e| e.to_string()), None, "{by}");
        }
        for text in [format!("select 1{}", "::int".repeat(2_000)), format!("select x{}", "[1]".repeat(2_000))]
        {
            assert!(says(&text).contains("hang on one another"), "{text}");
        }
        // Depth adds up over parentheses, and a closed one more than was opened hides nothing.
        let nested = format!("select ({}(1))", "1+".repeat(300) + &format!("({}1)", "1+".repeat(300)));
        assert!(check_text(&nested, &GenericDialect {}).is_err());
        assert!(check_text(&format!(")))){}1", "1+".repeat(2_000)), &GenericDialect {}).is_err());
    }

    #[test]
    fn lists_and_lengths_are_bounded() {
        assert_eq!(says(&format!("select 1 in ({})", chain("1", ",", 19_000))), "");
        assert!(says(&format!("select 1 in ({})", chain("1", ",", 21_000))).contains("items in lists"));
        assert!(says(&format!("select '{}'", "x".repeat(LONGEST_STATEMENT))).contains("bytes"));
    }

    #[test]
    fn tables_count_as_often_as_they_are_read() {
        let many = |count| chain("actions", " a cross join ", count);
        assert_eq!(says(&format!("select 1 from {}", many(2))), "");
        assert!(says(&format!("select 1 from {}", many(MOST_JOINED + 1))).contains("tables joined"));
        let nested = format!("select 1 from (({}) cross join actions)", many(MOST_JOINED));
        assert!(says(&nested).contains("tables joined"));
        let counted = chain("(select count(*) from actions)", " + ", MOST_TABLES);
        assert!(says(&format!("select 1 where {counted} > 1")).contains("size"));
        let doubling = |count: usize| {
            let more: String =
                (1..count).map(|n| format!(", c{n} as (select 1 from c{} a, c{} b)", n - 1, n - 1)).collect();
            format!("with c0 as (select 1){more} select 1 from c{}", count - 1)
        };
        assert_eq!(says(&doubling(5)), "");
        assert!(says(&doubling(30)).contains("tables"));
        assert!(says(&format!("explain {}", doubling(30))).contains("tables"));
        // The same name inside hides the one outside, and reads it.
        let hiding = |levels: usize| {
            let hides = "with t as (select 1 from t a, t b) select 1 from (".repeat(levels);
            format!("{hides}select 1 from t{}", ") x".repeat(levels))
        };
        assert_eq!(says(&hiding(4)), "");
        assert!(says(&hiding(12)).contains("tables"));
        let cube = |count: usize| format!("select 1 from t group by cube({})", chain("a", ",", count));
        assert_eq!(says(&cube(8)), "");
        assert!(says(&cube(20)).contains("sets of groups"));
        assert!(says(&format!("select {} from t", chain("a", ",", 2_000))).contains("columns"));
    }

    #[test]
    fn all_that_is_in_the_catalogue_can_be_asked() {
        let catalogue = Catalogue::embedded();
        for query in catalogue.views().iter().chain(catalogue.reports()) {
            assert_eq!(says(&query.sql), "", "{}", query.name);
        }
        for view in catalogue.views() {
            let tables = tables_of(&view.sql, VIEWS.clone());
            assert!(tables < MOST_TABLES / 4, "{} reads {tables} tables", view.name);
            assert_eq!(Some(&tables), VIEWS.get(view.name.as_str()), "{} reads a view after it", view.name);
        }
    }
}
