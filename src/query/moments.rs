//! Times as people write them: `'2026-03-05 10:00'`, which the engine knows with seconds alone.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{Between, BinaryExpr, Cast, Expr, ExprSchemable as _};

/// Gives seconds to the texts that times are compared with or that are cast to times.
#[derive(Debug)]
pub(super) struct Moments;

impl FunctionRewrite for Moments {
    fn name(&self) -> &str {
        "Moments"
    }

    fn rewrite(&self, mut expr: Expr, schema: &DFSchema, _: &ConfigOptions) -> Result<Transformed<Expr>> {
        let is_time = |expr: &Expr| expr.get_type(schema).is_ok_and(|kind| is_timestamp(&kind));
        let is_changed = match &mut expr {
            Expr::BinaryExpr(BinaryExpr { left, right, op }) if op.supports_propagation() => {
                (is_time(left) && whole(right)) || (is_time(right) && whole(left))
            }
            Expr::Between(Between { expr, low, high, .. }) if is_time(expr) => whole(low) | whole(high),
            Expr::InList(InList { expr, list, .. }) if is_time(expr) => {
                list.iter_mut().fold(false, |is_changed, item| whole(item) | is_changed)
            }
            Expr::Cast(Cast { expr, field }) if is_timestamp(field.data_type()) => whole(expr),
            _ => false,
        };
        Ok(if is_changed { Transformed::yes(expr) } else { Transformed::no(expr) })
    }
}

fn is_timestamp(kind: &DataType) -> bool {
    matches!(kind, DataType::Timestamp(..))
}

/// Gives a text of a day, an hour and a minute its seconds. Returns whether it was one.
fn whole(expr: &mut Expr) -> bool {
    let Expr::Literal(ScalarValue::Utf8(Some(text)), _) = expr else { return false };
    let own = with_seconds(text);
    let is_one = own.is_some();
    *text = own.unwrap_or_else(|| std::mem::take(text));
    is_one
}

/// A text of a day, an hour and a minute with seconds; `None` for any other.
pub fn with_seconds(text: &str) -> Option<String> {
    let (time, zone) = text.split_at(seconds_at(text)?);
    Some(format!("{time}:00{zone}"))
}

/// Where the seconds of a text are missing: behind `YYYY-MM-DD HH:MM`, at its end or before a zone.
fn seconds_at(text: &str) -> Option<usize> {
    const FORM: &[u8] = b"0000-00-00 00:00";
    let (time, zone) = text.split_at_checked(FORM.len())?;
    let fits = |(own, form): (u8, &u8)| match form {
        b'0' => own.is_ascii_digit(),
        b' ' => own == b' ' || own == b'T',
        form => own == *form,
    };
    let is_zone = zone.trim_start().chars().next().is_none_or(|c| "Zz+-".contains(c));
    (time.bytes().zip(FORM).all(fits) && is_zone).then_some(FORM.len())
}

#[cfg(test)]
mod tests {
    use super::super::{Limits, Session};
    use super::*;

    #[test]
    fn a_time_without_seconds_is_one_and_nothing_else_is() {
        for (text, expected) in [
            ("2026-03-05 10:00", Some(16)),
            ("2026-03-05T10:00Z", Some(16)),
            ("2026-03-05 10:00+01", Some(16)),
            ("2026-03-05 10:00:00", None),
            ("2026-03-05", None),
            ("2026-03-05 10:00 o'clock", None),
            ("yesterday, at \u{e9}\u{e9}\u{e9}", None),
        ] {
            assert_eq!(seconds_at(text), expected, "{text}");
        }
    }

    #[tokio::test]
    async fn times_are_compared_as_they_are_written() {
        let session = Session::new(Vec::new(), Limits::default()).unwrap();
        let from = "from (select timestamp '2026-03-05 10:00:30' as a, '2026-03-05 10:00' as b)";
        for (condition, count) in [
            ("a > '2026-03-05 10:00'", 1),
            ("'2026-03-05T10:01Z' > a", 1),
            ("a between '2026-03-05 10:00' and '2026-03-05 10:01'", 1),
            ("a in ('2026-03-05 10:00', '2026-03-05 10:00:30')", 1),
            ("a - interval '30 seconds' = '2026-03-05 10:00'", 1),
            ("a::date = '2026-03-05'", 1),
            ("timestamp '2026-03-05 10:00' < a", 1),
            ("b = '2026-03-05 10:00'", 1),
            ("b = '2026-03-05 10:00:00'", 0),
        ] {
            let sql = format!("select count(*) as c {from} where {condition}");
            let rows = session.objects(&sql).await.unwrap();
            assert_eq!(rows[0]["c"], count, "{condition}");
        }
    }
}
