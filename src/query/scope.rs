//! What a person may see: rows of some organisations and projects, no secrets; a wall that no statement
//! looks over.

use std::fmt::{Debug, Formatter};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, AsArray as _, RecordBatch, StringArray, new_null_array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::ToDFSchema as _;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::TableType;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown, col, lit};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule as _;
use datafusion::physical_optimizer::filter_pushdown::FilterPushdown;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, ReplaceChildrenOptions};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, SendableRecordBatchStream,
};
use futures::StreamExt as _;

use super::lists::counted;
use crate::schema::Table;

/// What one person may see. The default is everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// Ids or names of organisations; empty means all.
    pub organizations: Vec<String>,
    /// Ids of projects; empty means all.
    pub projects: Vec<String>,
    /// Whether raw records and what names a credential are hidden.
    pub masked: bool,
    /// Of the log of queries, those of this person alone.
    pub only_of: Option<String>,
}

/// Columns that readers see as null: raw records, their unparsed parts, ids of credentials.
const MASKED: [&str; 7] =
    ["raw", "data", "authorization_id", "key_fingerprint", "token_id", "credential_key_id", "position"];
/// Columns of what is of the organisation that tell who did something: whoever is bound to projects sees them as null.
const DONE_BY: [&str; 2] = ["by_id", "by_name"];
/// The column that names a mechanism and then the credential, which readers see up to there.
const CUT: (&str, &str) = ("auth_mechanism", "authorizationId");
/// Lists of a verdict that tell of jobs in other projects, and the member that says something in words.
const LISTS: [(&str, &str); 2] = [("candidates", "why"), ("evidence", "says")];
/// Operators that cannot fail.
const COMPARES: [Operator; 6] =
    [Operator::Eq, Operator::NotEq, Operator::Lt, Operator::LtEq, Operator::Gt, Operator::GtEq];
/// Tables without a project whose rows are of the organisation, seen by whoever sees any of it.
const OF_ORGANIZATION: [&str; 4] = ["agents", "bindings", "identities", "coverage"];

impl Scope {
    /// Whether rows of some organisations or projects are hidden.
    pub fn is_part(&self) -> bool {
        !self.organizations.is_empty() || !self.projects.is_empty()
    }

    /// Whether some rows or columns of a table are hidden.
    pub(super) fn hides(&self, table: &Table) -> bool {
        self.rows(table).is_some()
            || table.columns.iter().any(|c| self.is_masked(&c.name) || self.is_cut(&c.name))
    }

    fn is_cut(&self, column: &str) -> bool {
        self.masked && column == CUT.0
    }

    fn is_masked(&self, column: &str) -> bool {
        self.masked && MASKED.contains(&column) || !self.projects.is_empty() && DONE_BY.contains(&column)
    }

    /// Which rows of a table are seen; `None` means all.
    fn rows(&self, table: &Table) -> Option<Expr> {
        let has = |name: &str| table.column(name).is_some();
        let among = |name: &str, texts: &[String]| {
            has(name).then(|| col(name).in_list(texts.iter().map(|text| lit(text.as_str())).collect(), false))
        };
        let mut all = Vec::new();
        if let Some(person) = self.only_of.as_ref().filter(|_| table.name == "queries_log") {
            all.push(col("person").eq(lit(person.as_str())));
        } else if table.name != "queries_log" && !self.organizations.is_empty() {
            let named = ["organization_id", "organization"].map(|name| among(name, &self.organizations));
            all.push(named.into_iter().flatten().reduce(Expr::or).unwrap_or_else(|| lit(false)));
        }
        if table.name != "queries_log" && !self.projects.is_empty() {
            match among("project_id", &self.projects) {
                // A pool is of the organisation, its queues are of projects.
                Some(among) if table.name == "pools" => all.push(among.or(col("project_id").is_null())),
                Some(among) => all.push(among),
                None if OF_ORGANIZATION.contains(&table.name) => {}
                None => all.push(lit(false)),
            }
        }
        conjunction(all)
    }
}

/// A table of which a person sees a part.
#[derive(Debug)]
pub(super) struct ScopedTable {
    inner: Arc<dyn TableProvider>,
    table: &'static Table,
    scope: Scope,
    schema: SchemaRef,
}

impl ScopedTable {
    pub fn new(inner: Arc<dyn TableProvider>, table: &'static Table, scope: Scope) -> ScopedTable {
        let shown = |field: &Arc<Field>| match scope.is_masked(field.name()) {
            true => Arc::new(field.as_ref().clone().with_nullable(true)),
            false => field.clone(),
        };
        let schema = Arc::new(Schema::new(inner.schema().fields().iter().map(shown).collect::<Vec<_>>()));
        ScopedTable { inner, table, scope, schema }
    }

    /// Whether a filter can be tried on rows that are not seen: it cannot fail, so it tells nothing of them.
    fn is_harmless(&self, filter: &Expr) -> bool {
        let is_seen = |name: &str| !self.scope.is_masked(name) && !self.scope.is_cut(name);
        let is_column = |e: &Expr| matches!(e, Expr::Column(c) if is_seen(&c.name));
        let is_value = |e: &Expr| matches!(e, Expr::Literal(..));
        match filter {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::And | Operator::Or, right }) => {
                self.is_harmless(left) && self.is_harmless(right)
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if COMPARES.contains(op) => {
                is_column(left) && is_value(right) || is_value(left) && is_column(right)
            }
            Expr::InList(list) => is_column(&list.expr) && list.list.iter().all(is_value),
            Expr::IsNull(e) | Expr::IsNotNull(e) => is_column(e),
            Expr::Between(b) => is_column(&b.expr) && is_value(&b.low) && is_value(&b.high),
            _ => false,
        }
    }
}

#[async_trait]
impl TableProvider for ScopedTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match self.is_harmless(filter) {
            true => TableProviderFilterPushDown::Inexact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let full = self.inner.schema();
        let asked: Vec<usize> = projection.cloned().unwrap_or_else(|| (0..full.fields().len()).collect());
        let rows = self.scope.rows(self.table);
        let mut read: Vec<usize> = asked
            .iter()
            .copied()
            .filter(|column| !self.scope.is_masked(full.field(*column).name()))
            .collect();
        let harmless: Vec<Expr> = filters.iter().filter(|filter| self.is_harmless(filter)).cloned().collect();
        for column in rows.iter().chain(&harmless).flat_map(Expr::column_refs) {
            read.push(full.index_of(&column.name)?);
        }
        read.sort_unstable();
        read.dedup();
        let tried: Vec<Expr> = harmless.into_iter().chain(rows.clone()).collect();
        let mut plan = trying(self.inner.scan(state, Some(&read), &tried, None).await?, tried, state)?;
        if let Some(rows) = rows {
            let predicate = state.create_physical_expr(rows, &plan.schema().to_dfschema()?)?;
            plan = Arc::new(FilterExec::try_new(predicate, plan)?);
        }
        let shown = asked.iter().map(|column| {
            let field = full.field(*column);
            let at = read.iter().position(|read| read == column);
            let list = LISTS.iter().find(|(name, _)| name == field.name() && !self.scope.projects.is_empty());
            match (at, list) {
                (Some(at), Some((_, says))) => Shown::Counted(at, says),
                (Some(at), None) if self.scope.is_cut(field.name()) => Shown::Cut(at),
                (Some(at), None) => Shown::AsIs(at),
                (None, _) => Shown::Hidden(field.data_type().clone()),
            }
        });
        Ok(Arc::new(Wall::new(plan, shown.collect(), Arc::new(self.schema.project(&asked)?))))
    }
}

/// The same plan, whose source tries filters where it reads, as far as it can: no rule of the optimizer comes there.
fn trying(
    plan: Arc<dyn ExecutionPlan>,
    tried: Vec<Expr>,
    state: &dyn Session,
) -> Result<Arc<dyn ExecutionPlan>> {
    let Some(tried) = conjunction(tried) else { return Ok(plan) };
    let tried = state.create_physical_expr(tried, &plan.schema().to_dfschema()?)?;
    let filter = Arc::new(FilterExec::try_new(tried, plan)?);
    let plan = FilterPushdown::new().optimize(filter, state.config_options())?;
    Ok(match plan.downcast_ref::<FilterExec>() {
        Some(left) => left.input().clone(),
        None => plan,
    })
}

/// How a column is shown.
#[derive(Debug, Clone)]
enum Shown {
    /// The column that is read at this place.
    AsIs(usize),
    /// A text up to where it names a credential.
    Cut(usize),
    /// A list of which only the number of items is told, in this member.
    Counted(usize, &'static str),
    Hidden(DataType),
}

/// Reads what is behind it and shows what may be seen. It is a leaf: no rule of the optimizer takes the
/// predicate of a statement to rows that are not seen, where an error of it would tell of them.
#[derive(Debug)]
struct Wall {
    behind: Arc<dyn ExecutionPlan>,
    shown: Arc<[Shown]>,
    properties: Arc<PlanProperties>,
}

impl Wall {
    fn new(behind: Arc<dyn ExecutionPlan>, shown: Vec<Shown>, schema: SchemaRef) -> Wall {
        let partitions = behind.properties().output_partitioning().partition_count();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Wall { behind, shown: shown.into(), properties: Arc::new(properties) }
    }
}

impl DisplayAs for Wall {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "Scoped")
    }
}

impl ExecutionPlan for Wall {
    fn name(&self) -> &str {
        "Scoped"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let behind = self.behind.execute(partition, context)?;
        let (shown, schema) = (self.shown.clone(), self.schema());
        let to = schema.clone();
        let stream = behind.map(move |batch| Ok(show(&batch?, &shown, &to)?));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
    }
}

fn show(batch: &RecordBatch, shown: &[Shown], schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let rows = batch.num_rows();
    let columns = shown.iter().map(|shown| -> Result<ArrayRef, ArrowError> {
        match shown {
            Shown::AsIs(at) => Ok(batch.column(*at).clone()),
            Shown::Cut(at) => cut(batch.column(*at)),
            Shown::Counted(at, says) => counted(batch.column(*at), says),
            Shown::Hidden(kind) => Ok(new_null_array(kind, rows)),
        }
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let options = datafusion::arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
}

fn cut(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let texts = cast(column, &DataType::Utf8)?;
    let short = texts
        .as_string::<i32>()
        .iter()
        .map(|text| text.and_then(|text| text.split(CUT.1).next()).map(str::trim_end));
    cast(&short.collect::<StringArray>(), column.data_type())
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::Int64Array;
    use datafusion::arrow::datatypes::Int64Type;
    use datafusion::datasource::MemTable;
    use datafusion::datasource::physical_plan::{FileScanConfigBuilder, ParquetSource};
    use datafusion::datasource::source::DataSourceExec;
    use datafusion::execution::object_store::ObjectStoreUrl;
    use datafusion::physical_plan::displayable;
    use datafusion::prelude::SessionContext;
    use futures::FutureExt as _;

    use super::*;
    use crate::schema;

    /// Two events, behind a provider that leaves filters to others.
    fn scoped(scope: Scope) -> Arc<ScopedTable> {
        let text = |name: &str| Field::new(name, DataType::Utf8, true);
        let fields = ["organization_id", "organization", "project_id", "details", "raw"].map(text);
        let fields = fields.into_iter().chain([Field::new("seq", DataType::Int64, false)]);
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let texts = |own: [&str; 2]| Arc::new(StringArray::from(own.to_vec())) as ArrayRef;
        let columns = vec![
            texts(["o1", "o2"]),
            texts(["contoso", "fabrikam"]),
            texts(["p1", "p2"]),
            texts(["1", "a secret"]),
            texts(["{}", "{}"]),
            Arc::new(Int64Array::from(vec![1, 2])),
        ];
        let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
        let inner = Arc::new(MemTable::try_new(schema, vec![vec![batch]]).unwrap());
        Arc::new(ScopedTable::new(inner, schema::table("events").unwrap(), scope))
    }

    fn count(scope: Scope, rest: &str) -> Result<i64> {
        let context = SessionContext::new();
        context.register_table("events", scoped(scope)).unwrap();
        let sql = format!("select count(*) from events {rest}");
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let rows = runtime.block_on(async { context.sql(&sql).await?.collect().await })?;
        Ok(rows[0].column(0).as_primitive::<Int64Type>().value(0))
    }

    #[test]
    fn what_is_behind_the_wall_reads_what_can_match() {
        let schema = Arc::new(Schema::new(vec![Field::new("event_id", DataType::Utf8, true)]));
        let source = ParquetSource::new(schema.clone()).with_pushdown_filters(true);
        let files = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), Arc::new(source)).build();
        let state = SessionContext::new().state();
        let tried = vec![col("event_id").eq(lit("x"))];
        let plan = trying(DataSourceExec::from_data_source(files), tried, &state).unwrap();
        let told = displayable(plan.as_ref()).one_line().to_string();
        assert!(told.starts_with("DataSourceExec") && told.contains("predicate=event_id@0 = x"), "{told}");
    }

    #[test]
    fn rows_are_hidden_whatever_is_behind_the_wall() {
        let of = |organizations: &[&str], projects: &[&str]| Scope {
            organizations: organizations.iter().map(|o| (*o).to_owned()).collect(),
            projects: projects.iter().map(|p| (*p).to_owned()).collect(),
            ..Scope::default()
        };
        // What is of no project is of nobody who is bound to one, unless all of the organisation may know it.
        let rows = |table: &str| of(&[], &["p1"]).rows(schema::table(table).unwrap());
        assert_eq!((rows("signins"), rows("rejects")), (Some(lit(false)), Some(lit(false))));
        assert_eq!((rows("agents"), rows("coverage")), (None, None));
        let agents = schema::table("agents").unwrap();
        assert!(of(&[], &["p1"]).hides(agents) && !of(&[], &[]).hides(agents));
        assert!(
            of(&["contoso"], &["p1"]).is_masked("by_name") && !of(&["contoso"], &[]).is_masked("by_name")
        );
        assert_eq!(count(of(&[], &[]), "").unwrap(), 2);
        assert_eq!(count(of(&["contoso"], &[]), "").unwrap(), 1);
        assert_eq!(count(of(&["o2"], &[]), "").unwrap(), 1);
        assert_eq!(count(of(&["contoso"], &["p2"]), "").unwrap(), 0);
        assert_eq!(count(of(&[], &["p1"]), "where seq > 0 or true").unwrap(), 1);
        // On the hidden row it would fail, and tell what is in it.
        assert_eq!(count(of(&["contoso"], &[]), "where cast(details as bigint) > 0").unwrap(), 1);
        assert!(count(of(&[], &[]), "where cast(details as bigint) > 0").is_err());
        let masked = Scope { masked: true, ..Scope::default() };
        assert_eq!(count(masked.clone(), "where raw is null").unwrap(), 2);
        assert_eq!(count(masked, "where raw like '%'").unwrap(), 0);
    }

    #[test]
    fn a_filter_that_can_fail_is_left_to_those_who_see_the_row() {
        use TableProviderFilterPushDown::{Inexact, Unsupported};
        let scope = Scope { organizations: vec!["contoso".to_owned()], ..Scope::default() };
        let number = datafusion::logical_expr::cast(col("details"), DataType::Int64).gt(lit(0_i64));
        let truth = datafusion::logical_expr::cast(col("details"), DataType::Boolean);
        let seen = col("seq").gt(lit(0_i64));
        let filters = [seen.clone(), number.clone(), seen.and(number), truth];
        let taken = scoped(scope).supports_filters_pushdown(&filters.iter().collect::<Vec<_>>()).unwrap();
        assert_eq!(taken, [Inexact, Unsupported, Unsupported, Unsupported]);
    }

    #[test]
    fn no_filter_is_tried_on_what_is_masked() {
        // Tried on what is there, `is null` would tell of each row whether it has a record.
        let filters = [col("raw").is_null(), col(CUT.0).eq(lit("PAT")), col("seq").is_null()];
        let taken = |masked| {
            let table = scoped(Scope { masked, ..Scope::default() });
            table.supports_filters_pushdown(&filters.iter().collect::<Vec<_>>()).unwrap()
        };
        use TableProviderFilterPushDown::{Inexact, Unsupported};
        assert_eq!(taken(true), [Unsupported, Unsupported, Inexact]);
        assert_eq!(taken(false), [Inexact, Inexact, Inexact]);
    }

    #[test]
    fn the_optimizer_sees_no_more_than_a_leaf() {
        let context = SessionContext::new();
        let scope = Scope { organizations: vec!["contoso".to_owned()], ..Scope::default() };
        let state = context.state();
        let plan = scoped(scope);
        let plan = plan.scan(&state, None, &[], None).now_or_never().unwrap().unwrap();
        assert_eq!(plan.name(), "Scoped");
        assert!(plan.children().is_empty());
    }
}
