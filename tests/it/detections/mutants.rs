//! A statement with one of its predicates taken away, on its syntax tree.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, JoinConstraint, JoinOperator, Query, SelectItem, SetExpr, Value, VisitMut as _,
    VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

/// A statement without a predicate.
pub struct Mutant {
    pub sql: String,
    /// What was put in place of what.
    pub what: String,
}

/// All mutants of a statement. The bounds of the span it is run over are no predicates of its own; what it
/// says is no part of what it finds.
pub fn mutants(sql: &str) -> Vec<Mutant> {
    let mut out = Vec::new();
    loop {
        let mut statements = Parser::parse_sql(&GenericDialect {}, sql).unwrap();
        let mut hand = Hand { target: out.len(), seen: 0, what: None };
        let _ = statements.visit(&mut hand);
        let Some(what) = hand.what else { return out };
        out.push(Mutant { sql: statements[0].to_string(), what });
    }
}

struct Hand {
    target: usize,
    seen: usize,
    what: Option<String>,
}

impl Hand {
    fn put(&mut self, expr: &mut Expr, value: bool) {
        let text = expr.to_string();
        if self.what.is_some() || text.contains("$from") || text.contains("$until") {
            return;
        }
        if self.seen == self.target {
            self.what = Some(format!(
                "{value} in place of {}",
                text.split_whitespace().collect::<Vec<_>>().join(" ")
            ));
            *expr = Expr::Value(Value::Boolean(value).into());
        }
        self.seen += 1;
    }

    /// The operands of a condition; a whole condition too, where it is one predicate.
    fn condition(&mut self, expr: &mut Expr, is_whole: bool) {
        match expr {
            Expr::Nested(inner) => self.condition(inner, is_whole),
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
                for side in [left, right] {
                    self.condition(side, false);
                    if !is_junction(side) {
                        self.put(side, true);
                    }
                }
            }
            Expr::BinaryOp { left, op: BinaryOperator::Or, right } => {
                for side in [left, right] {
                    self.condition(side, false);
                    if !is_junction(side) {
                        self.put(side, false);
                    }
                }
            }
            other if is_whole => self.put(other, true),
            _ => {}
        }
    }
}

fn is_junction(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_junction(inner),
        Expr::BinaryOp { op, .. } => matches!(op, BinaryOperator::And | BinaryOperator::Or),
        _ => false,
    }
}

fn constraint(operator: &mut JoinOperator) -> Option<&mut Expr> {
    let constraint = match operator {
        JoinOperator::Join(c)
        | JoinOperator::Inner(c)
        | JoinOperator::Left(c)
        | JoinOperator::LeftOuter(c)
        | JoinOperator::Right(c)
        | JoinOperator::RightOuter(c)
        | JoinOperator::FullOuter(c)
        | JoinOperator::Semi(c)
        | JoinOperator::LeftSemi(c)
        | JoinOperator::RightSemi(c)
        | JoinOperator::Anti(c)
        | JoinOperator::LeftAnti(c)
        | JoinOperator::RightAnti(c) => c,
        _ => return None,
    };
    match constraint {
        JoinConstraint::On(expr) => Some(expr),
        _ => None,
    }
}

impl Hand {
    fn body(&mut self, body: &mut SetExpr) {
        match body {
            SetExpr::SetOperation { left, right, .. } => {
                self.body(left);
                self.body(right);
            }
            SetExpr::Select(select) => {
                for item in &mut select.projection {
                    if let SelectItem::ExprWithAlias { expr, alias } = item
                        && alias.value == "says"
                    {
                        *expr = Expr::Value(Value::SingleQuotedString(String::new()).into());
                    }
                }
                let joins = select.from.iter_mut().flat_map(|from| &mut from.joins);
                let on: Vec<&mut Expr> =
                    joins.filter_map(|join| constraint(&mut join.join_operator)).collect();
                let conditions = [&mut select.selection, &mut select.having, &mut select.qualify];
                for expr in on.into_iter().chain(conditions.into_iter().flatten()) {
                    self.condition(expr, true);
                }
            }
            _ => {}
        }
    }
}

impl VisitorMut for Hand {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        self.body(&mut query.body);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Case { conditions, .. } => {
                for when in conditions {
                    self.condition(&mut when.condition, false);
                    self.put(&mut when.condition, false);
                }
            }
            Expr::Function(function) => {
                if let Some(filter) = &mut function.filter {
                    self.condition(filter, true);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

#[test]
fn each_predicate_is_taken_away_once() {
    let sql = "with a as (select x, case when x = 1 and y = 2 then 3 end as z from t where p and (q or r)) \
        select x, case when m then n end as says from a join b on a.i = b.i and a.t >= $from where x > 1";
    let what: Vec<String> = mutants(sql).into_iter().map(|m| m.what.replace(" in place of ", "<-")).collect();
    let mut sorted: Vec<&str> = what.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    let wanted = [
        "false<-q",
        "false<-r",
        "false<-x = 1 AND y = 2",
        "true<-a.i = b.i",
        "true<-p",
        "true<-x = 1",
        "true<-x > 1",
        "true<-y = 2",
    ];
    assert_eq!(sorted, wanted);
}
