//! Operators that make many rows of few give others their turn, so that a query can be stopped.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode as _, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_expr::expressions::Literal;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;

use super::size::LONGEST_STATEMENT;

/// The engine lets what reads wait for its turn. A join that multiplies what it has read does not read for a
/// long time, and holds its thread for as long.
#[derive(Debug)]
pub(super) struct Yielding;

const MULTIPLY: [&str; 3] = ["Join", "Unnest", "Recursive"];

impl PhysicalOptimizerRule for Yielding {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let wrapped = plan.transform_up(|plan| {
            let multiplies = MULTIPLY.iter().any(|word| plan.name().contains(word));
            Ok(match multiplies {
                true => Transformed::yes(Arc::new(CooperativeExec::new(plan)) as Arc<dyn ExecutionPlan>),
                false => Transformed::no(plan),
            })
        });
        Ok(wrapped?.data)
    }

    fn name(&self) -> &str {
        "Yielding"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Each constant of a row is made as often as a batch has rows, so a statement that names a long one often
/// would make gigabytes of it at once.
#[derive(Debug)]
pub(super) struct Constants;

/// Bytes of the texts and lists among the constants of one operator: about as many as a statement can say.
const MOST_CONSTANTS: usize = 2 * LONGEST_STATEMENT;
/// Bytes that the constants of a statement come to in a batch of rows.
const MOST_REPEATED: usize = 64 << 20;
/// Rows of a batch, as the engine has them.
const MOST_ROWS: usize = 8_192;

fn beyond_itself(value: &ScalarValue) -> usize {
    value.size().saturating_sub(size_of::<ScalarValue>())
}

/// How many rows a batch may have, so that its constants do not take the memory of all.
pub(super) fn rows_of_a_batch(plan: &LogicalPlan) -> Result<usize> {
    let mut bytes = 1;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::Literal(value, _) = expr {
                    bytes += beyond_itself(value);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok((MOST_REPEATED / bytes).clamp(1, MOST_ROWS))
}

impl PhysicalOptimizerRule for Constants {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.apply(|plan| {
            let mut bytes = 0;
            plan.apply_expressions(&mut |expr| {
                expr.apply(|expr| {
                    bytes +=
                        expr.downcast_ref::<Literal>().map_or(0, |literal| beyond_itself(literal.value()));
                    Ok(TreeNodeRecursion::Continue)
                })
            })?;
            match bytes > MOST_CONSTANTS {
                true => Err(DataFusionError::ResourcesExhausted(format!(
                    "constants of {bytes} bytes in one step, at most {MOST_CONSTANTS} are used"
                ))),
                false => Ok(TreeNodeRecursion::Continue),
            }
        })?;
        Ok(plan)
    }

    fn name(&self) -> &str {
        "Constants"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use futures::StreamExt as _;

    use super::super::{Limits, Session};

    /// On one thread, a join that makes rows for hours lets a clock on the same thread go on.
    #[test]
    fn a_join_that_multiplies_holds_no_thread() {
        let (done, ends) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                let limits = Limits { threads: 1, ..Limits::default() };
                let session = Session::new(Vec::new(), limits).unwrap();
                let sql = "select count(*) from generate_series(1, 3000000) a, generate_series(1, 3000000) b";
                let mut answer = session.sql(sql).await.unwrap();
                let waited = tokio::time::timeout(Duration::from_millis(200), answer.stream.next()).await;
                done.send(waited.is_err()).unwrap();
            });
        });
        assert!(ends.recv_timeout(Duration::from_secs(60)).expect("the clock went on"));
    }
}
