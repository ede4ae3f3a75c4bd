//! The first row of each group without a number for every row, where a statement asks for those numbered 1.

use std::fmt::{self, Formatter};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use datafusion::arrow::compute::kernels::cmp::not_distinct;
use datafusion::arrow::compute::{partition, take_record_batch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode as _, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal};
use datafusion::physical_expr::utils::split_conjunction;
use datafusion::physical_expr::window::StandardWindowExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowUDFExpr};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, InputOrderMode, PhysicalExpr, PlanProperties,
    SendableRecordBatchStream, apply_expression_roots,
};
use futures::StreamExt as _;

/// The engine numbers the rows of each group by itself, at some ten microseconds a group: of what is in its
/// newest state alone most groups have one row. Where nothing but the number 1 is asked for, the rows that begin
/// a group are taken from the sorted ones.
#[derive(Debug)]
pub(super) struct Firsts;

impl PhysicalOptimizerRule for Firsts {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let one = |plan: Arc<dyn ExecutionPlan>| {
            let own = plan.downcast_ref::<FilterExec>().and_then(|filter| {
                let mut numbers = split_conjunction(filter.predicate()).into_iter().filter_map(is_one);
                numbers.find_map(|number| below(filter.input(), number))
            });
            Ok(match own {
                Some(below) => Transformed::yes(replace_children_if_necessary(plan, vec![below?])?),
                None => Transformed::no(plan),
            })
        };
        Ok(plan.transform_up(one)?.data)
    }

    fn name(&self) -> &str {
        "Firsts"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The column that a condition says is 1.
fn is_one(condition: &Arc<dyn PhysicalExpr>) -> Option<usize> {
    let equal = condition.downcast_ref::<BinaryExpr>().filter(|own| *own.op() == Operator::Eq)?;
    let column = |side: &Arc<dyn PhysicalExpr>| side.downcast_ref::<Column>().map(Column::index);
    let is_one = |side: &Arc<dyn PhysicalExpr>| {
        let literal = side.downcast_ref::<Literal>();
        literal.is_some_and(|literal| *literal.value() == ScalarValue::UInt64(Some(1)))
    };
    let (left, right) = (equal.left(), equal.right());
    column(left).filter(|_| is_one(right)).or_else(|| column(right).filter(|_| is_one(left)))
}

/// The same plan with the first rows in place of all, where this column of it is their number in their group.
fn below(plan: &Arc<dyn ExecutionPlan>, number: usize) -> Option<Result<Arc<dyn ExecutionPlan>>> {
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let number = projection.expr().get(number)?.expr.downcast_ref::<Column>()?.index();
        let below = below(projection.input(), number)?;
        return Some(below.and_then(|below| replace_children_if_necessary(plan.clone(), vec![below])));
    }
    let window = plan.downcast_ref::<BoundedWindowAggExec>()?;
    let [own] = window.window_expr() else { return None };
    let function = own.as_any().downcast_ref::<StandardWindowExpr>()?.get_standard_func_expr();
    let function = function.as_any().downcast_ref::<WindowUDFExpr>()?;
    let is_number = function.fun().name() == "row_number" && number == window.input().schema().fields().len();
    let is_sorted = matches!(window.input_order_mode, InputOrderMode::Sorted);
    (is_number && is_sorted && !own.partition_by().is_empty()).then(|| {
        Ok(Arc::new(FirstsExec {
            input: window.input().clone(),
            groups: own.partition_by().to_vec(),
            properties: window.properties().clone(),
        }) as Arc<dyn ExecutionPlan>)
    })
}

/// Of rows sorted by their group, the first of each with its number, which is 1.
#[derive(Debug)]
struct FirstsExec {
    input: Arc<dyn ExecutionPlan>,
    groups: Vec<Arc<dyn PhysicalExpr>>,
    properties: Arc<PlanProperties>,
}

impl DisplayAs for FirstsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut Formatter<'_>) -> fmt::Result {
        let groups: Vec<String> = self.groups.iter().map(ToString::to_string).collect();
        write!(f, "FirstsExec: of=[{}]", groups.join(", "))
    }
}

impl ExecutionPlan for FirstsExec {
    fn name(&self) -> &str {
        "FirstsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        apply_expression_roots(&self.groups, f)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (groups, properties) = (self.groups.clone(), self.properties.clone());
        Ok(Arc::new(FirstsExec { input: children.swap_remove(0), groups, properties }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let (groups, schema) = (self.groups.clone(), self.schema());
        let (mut last, to) = (Vec::new(), schema.clone());
        let firsts = input.map(move |batch| firsts(&batch?, &groups, &mut last, &to));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, firsts)))
    }
}

/// The rows of a batch that begin a group; `last` is the group of the row before the batch, where there was one.
fn firsts(
    batch: &RecordBatch,
    groups: &[Arc<dyn PhysicalExpr>],
    last: &mut Vec<ArrayRef>,
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let rows = batch.num_rows();
    if rows == 0 {
        return Ok(RecordBatch::new_empty(schema.clone()));
    }
    let own =
        groups.iter().map(|group| group.evaluate(batch)?.into_array(rows)).collect::<Result<Vec<_>>>()?;
    let mut goes_on = !last.is_empty();
    for (last, own) in last.iter().zip(&own) {
        goes_on = goes_on && not_distinct(last, &own.slice(0, 1))?.value(0);
    }
    let starts = partition(&own)?.ranges().into_iter().map(|range| range.start as u64);
    let starts: UInt64Array = starts.skip(usize::from(goes_on)).collect();
    *last = own.iter().map(|own| own.slice(rows - 1, 1)).collect();
    let numbers: ArrayRef = Arc::new(UInt64Array::from(vec![1; starts.len()]));
    let taken = if starts.len() == rows { batch.clone() } else { take_record_batch(batch, &starts)? };
    Ok(RecordBatch::try_new(schema.clone(), [taken.columns(), &[numbers]].concat())?)
}

#[cfg(test)]
mod tests {
    use super::super::{Limits, Session, objects_of};
    use super::*;

    async fn asked(sql: &str) -> String {
        let session = Session::new(Vec::new(), Limits::default()).unwrap();
        let mut answer = session.sql(sql).await.unwrap();
        let mut all = Vec::new();
        while let Some(batch) = answer.stream.next().await {
            all.extend(objects_of(&batch.unwrap()).unwrap());
        }
        serde_json::to_string(&all).unwrap()
    }

    /// Many batches, groups of none to thousands of rows, groups of NULL.
    fn numbered(which: &str) -> String {
        format!(
            "select count(*) as n, sum(v) as s, count(g) as g, min(v) as least from (
               select *, row_number() over (partition by g, h order by v desc) as nth from (
                 select value as v, case when value % 7 <> 0 then value * value % 5003 end as g, value % 3 = 0 as h
                 from generate_series(1, 100000)))
             where {which}"
        )
    }

    #[tokio::test]
    async fn the_first_of_each_group_is_the_one_numbered_1() {
        let expected = asked(&numbered("nth < 2")).await;
        for which in ["nth = 1", "1 = nth", "nth = 1 and v > 0"] {
            assert_eq!(asked(&numbered(which)).await, expected, "{which}");
        }
        let plan = |which| async move { asked(&format!("explain {}", numbered(which))).await };
        assert!(plan("nth = 1").await.contains("FirstsExec"));
        // Where others are asked for as well, all are numbered.
        for which in ["nth = 2", "nth = 1 or v = 1", "nth < 2"] {
            assert!(!plan(which).await.contains("FirstsExec"), "{which}");
        }
    }
}
