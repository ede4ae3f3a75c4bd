//! Joins heed that nobody waits for them any more.

use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{FieldRef, Schema};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode as _};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, NestedLoopJoinExecBuilder};
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use futures::FutureExt as _;
use tokio_util::sync::CancellationToken;

tokio::task_local! {
    static BOUNDS: Bounds;
}

/// What holds for work in all of its tasks.
#[derive(Clone)]
struct Bounds {
    /// Tells what is planned in a task that nobody waits for it any more.
    stop: CancellationToken,
    /// What is taken as long as one of the tasks goes on.
    #[expect(dead_code, reason = "it is held")]
    held: Option<Held>,
}

/// Something that is taken for work, and given back when it is dropped.
pub type Held = Arc<dyn Any + Send + Sync>;

/// Does work whose joins end once it is told to stop, also where they would not come to a moment of rest; what is held
/// for it is given back once all of it has ended.
pub async fn stopped_by<T>(stop: CancellationToken, held: Option<Held>, work: impl Future<Output = T>) -> T {
    BOUNDS.scope(Bounds { stop, held }, work).await
}

/// The same for a part of the work that is done in a task of its own.
pub(super) fn stopped_alike<F: Future>(work: F) -> impl Future<Output = F::Output> {
    match BOUNDS.try_with(Clone::clone) {
        Ok(bounds) => BOUNDS.scope(bounds, work).left_future(),
        Err(_) => work.right_future(),
    }
}

/// A join by a condition compares all pairs of a batch before it gives its turn away, and those of which none
/// fits it may compare for days. Its condition is asked of some thousands of pairs at a time, and fails once
/// the work is told to stop.
#[derive(Debug)]
pub(super) struct Stopping;

impl PhysicalOptimizerRule for Stopping {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok(stop) = BOUNDS.try_with(|bounds| bounds.stop.clone()) else { return Ok(plan) };
        let heeding = |filter: &JoinFilter| {
            let own = Heeding { condition: filter.expression().clone(), stop: stop.clone() };
            JoinFilter::new(Arc::new(own), filter.column_indices().to_vec(), filter.schema().clone())
        };
        let heeded = plan.transform_up(|plan| {
            if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>()
                && let Some(filter) = join.filter()
            {
                let join =
                    NestedLoopJoinExecBuilder::from(join).with_filter(Some(heeding(filter))).build()?;
                return Ok(Transformed::yes(Arc::new(join) as Arc<dyn ExecutionPlan>));
            }
            if let Some(join) = plan.downcast_ref::<HashJoinExec>()
                && let Some(filter) = join.filter()
            {
                let join = join.builder().with_filter(Some(heeding(filter))).build_exec()?;
                return Ok(Transformed::yes(join));
            }
            Ok(Transformed::no(plan))
        });
        Ok(heeded?.data)
    }

    fn name(&self) -> &str {
        "Stopping"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// A condition that fails once it is told to stop.
#[derive(Debug)]
struct Heeding {
    condition: Arc<dyn PhysicalExpr>,
    stop: CancellationToken,
}

impl PartialEq for Heeding {
    fn eq(&self, other: &Heeding) -> bool {
        self.condition.eq(&other.condition)
    }
}

impl Eq for Heeding {}

impl Hash for Heeding {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.condition.hash(state);
    }
}

impl fmt::Display for Heeding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.condition.fmt(f)
    }
}

impl PhysicalExpr for Heeding {
    fn return_field(&self, schema: &Schema) -> Result<FieldRef> {
        self.condition.return_field(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        if self.stop.is_cancelled() {
            return Err(DataFusionError::Execution("nobody waits for this query any more".to_owned()));
        }
        self.condition.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.condition]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let condition = children.into_iter().next().unwrap_or_else(|| self.condition.clone());
        Ok(Arc::new(Heeding { condition, stop: self.stop.clone() }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.condition.fmt_sql(f)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use futures::StreamExt as _;

    use super::super::{Limits, Session};
    use super::*;

    #[test]
    fn joins_that_find_nothing_end_when_they_are_told_to() {
        for condition in ["a.v + b.w < 0", "a.v % 2 = b.w % 2 and a.v + b.w < 0"] {
            let (stop, (done, ends)) = (CancellationToken::new(), mpsc::channel());
            let own = stop.clone();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                runtime.block_on(stopped_by(own, None, async {
                    let limits = Limits { threads: 1, ..Limits::default() };
                    let session = Session::new(Vec::new(), limits).unwrap();
                    let sql = format!(
                        "select count(*) from generate_series(1, 3000000) a(v), generate_series(1, 3000000) b(w) \
                         where {condition}"
                    );
                    let mut answer = session.sql(&sql).await.unwrap();
                    done.send(answer.stream.next().await.unwrap().is_err()).unwrap();
                }));
            });
            assert!(ends.recv_timeout(Duration::from_secs(1)).is_err(), "{condition} ended by itself");
            stop.cancel();
            assert_eq!(ends.recv_timeout(Duration::from_secs(60)), Ok(true), "{condition}");
        }
    }
}
