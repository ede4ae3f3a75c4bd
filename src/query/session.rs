//! One session: pinned tables under `lake`, the views over them, and statements that only read.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::{MemorySchemaProvider, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::common::config::ConfigNonZeroUsize;
use datafusion::common::tree_node::{TreeNode as _, TreeNodeRecursion};
use datafusion::datasource::MemTable;
use datafusion::execution::cache::cache_manager::{CacheManagerConfig, FileMetadataCache};
use datafusion::execution::cache::default_cache::DefaultCache;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::memory_pool::TrackConsumersPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{FunctionRegistry as _, SessionStateBuilder};
use datafusion::logical_expr::expr::{Cast, Placeholder};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable as _, LogicalPlan, ScalarUDF};
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use futures::{FutureExt as _, StreamExt as _};

use super::bounded::bound;
use super::catalogue::Catalogue;
use super::firsts::Firsts;
use super::function::{Function, InNetwork, JsonMember, typed};
use super::joined::{Joined, Joins};
use super::made::Shortage;
use super::moments::Moments;
use super::pool::Pool;
use super::scope::{Scope, ScopedTable};
use super::size::{check, check_text};
use super::stopping::Stopping;
use super::table::{PinnedTable, store_url};
use super::views::{Planner, Views};
use super::write::{Object, objects};
use super::yielding::{Constants, Yielding, rows_of_a_batch};
use super::{Pinned, QueryError};

/// What one session may use.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Memory of one session; sorts and aggregates spill beyond it.
    pub memory_bytes: usize,
    pub threads: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { memory_bytes: 1 << 30, threads: std::thread::available_parallelism().map_or(1, usize::from) }
    }
}

/// Of what takes memory so many are named when there is too little.
const MOST_TOLD: NonZeroUsize = NonZeroUsize::new(5).unwrap();

/// Where the columns of files are, as their ends say: read once for all sessions, as a file has a name of its own and
/// never changes. A process has one store.
static ENDS: LazyLock<Arc<FileMetadataCache>> = LazyLock::new(|| Arc::new(DefaultCache::new(ENDS_BYTES)));
const ENDS_BYTES: usize = 64 << 20;

/// Memory, and room on the disk to spill to, that sessions share.
#[derive(Clone)]
pub struct Share {
    runtime: Arc<RuntimeEnv>,
    shortage: Shortage,
}

impl Share {
    /// `spill_bytes` of 0 leaves the disk to the default of the engine.
    pub fn new(memory_bytes: usize, spill_bytes: u64) -> Result<Share, QueryError> {
        let pool = TrackConsumersPool::new(Pool::new(memory_bytes), MOST_TOLD);
        let caches = CacheManagerConfig::default()
            .with_file_metadata_cache(Some(ENDS.clone()))
            .with_metadata_cache_limit(ENDS_BYTES);
        let mut runtime =
            RuntimeEnvBuilder::new().with_memory_pool(Arc::new(pool)).with_cache_manager(caches);
        if spill_bytes > 0 {
            runtime = runtime.with_max_temp_directory_size(spill_bytes);
        }
        Ok(Share { runtime: runtime.build_arc()?, shortage: Shortage::default() })
    }

    /// The same, whose functions make nothing more while memory is short.
    pub fn heeding(self, shortage: &Shortage) -> Share {
        Share { shortage: shortage.clone(), ..self }
    }
}

/// A statement that was planned and can be run with values for its parameters.
#[derive(Debug, Clone)]
pub struct Prepared {
    plan: LogicalPlan,
}

/// What a statement tells of a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// What it is compared with, or else must be.
    pub kind: Option<DataType>,
    /// What it is made of whatever it is.
    pub cast: Option<DataType>,
}

impl Place {
    /// The type of a parameter of which a client tells nothing; without a word of the statement it is a text.
    pub fn as_told(self) -> DataType {
        self.kind.or(self.cast).unwrap_or(DataType::Utf8)
    }
}

impl Prepared {
    /// The columns of the answer.
    pub fn schema(&self) -> SchemaRef {
        Arc::new(self.plan.schema().as_arrow().clone())
    }

    /// What the statement tells of `$1`, `$2`, ...; at most so many.
    pub fn places(&self, most: usize) -> Result<Vec<Place>, QueryError> {
        let (mut types, mut casts) = (self.plan.get_parameter_types()?, HashMap::new());
        self.plan.apply_with_subqueries(|plan| {
            if let LogicalPlan::Limit(limit) = plan {
                for expr in [&limit.skip, &limit.fetch].into_iter().flatten() {
                    if let Expr::Placeholder(own) = expr.as_ref() {
                        types.entry(own.id.clone()).or_default().get_or_insert(DataType::Int64);
                    }
                }
            }
            let schema = merge_schema(&plan.inputs());
            plan.apply_expressions(|expr| {
                expr.apply(|expr| {
                    if let Some((own, item)) = searched(expr)
                        && let Ok(item) = item.get_type(&schema)
                    {
                        types.insert(own.id.clone(), Some(DataType::new_list(item, true)));
                    }
                    if let Expr::Cast(Cast { expr, field }) = expr
                        && let Expr::Placeholder(own) = expr.as_ref()
                    {
                        casts.entry(own.id.clone()).or_insert_with(|| field.data_type().clone());
                    }
                    Ok(TreeNodeRecursion::Continue)
                })
            })
        })?;
        let number = |name: &str| name.trim_start_matches('$').parse::<usize>().ok();
        if let Some(named) = types.keys().find(|name| number(name).is_none()) {
            let says = "drivers bind values by place; write `?`, or `$1`, `$2`, ...".to_owned();
            return Err(QueryError::Param { name: named.clone(), says });
        }
        let count = types.keys().filter_map(|name| number(name)).max().unwrap_or(0);
        if count > most {
            let says = format!("a statement has at most {most} parameters");
            return Err(QueryError::Param { name: format!("${count}"), says });
        }
        let place = |n: usize| {
            let name = format!("${n}");
            Place { kind: types.remove(&name).flatten(), cast: casts.remove(&name) }
        };
        Ok((1..=count).map(place).collect())
    }

    /// The statement with these values for `$1`, `$2`, ...
    pub fn with(self, values: Vec<ScalarValue>) -> Result<Prepared, QueryError> {
        if values.is_empty() {
            return Ok(self);
        }
        let places = self.places(usize::MAX)?.len();
        if values.len() > places {
            let says =
                format!("the statement has {places} parameters, and {} values were given", values.len());
            return Err(QueryError::Param { name: format!("${}", values.len()), says });
        }
        Ok(Prepared { plan: self.plan.with_param_values(values)? })
    }
}

/// The list, and what is looked for in it, of `x = any($1)`: the engine takes the list for one of its items.
fn searched(expr: &Expr) -> Option<(&Placeholder, &Expr)> {
    match expr {
        Expr::ScalarFunction(call) if call.name() == "array_has" => match call.args.as_slice() {
            [Expr::Placeholder(list), item] => Some((list, item)),
            _ => None,
        },
        _ => None,
    }
}

/// Rows as they come.
pub struct Answer {
    pub schema: SchemaRef,
    pub stream: SendableRecordBatchStream,
}

/// A session over one version of every table; a clone of it is the same session.
#[derive(Clone)]
pub struct Session {
    context: SessionContext,
    views: Arc<Views>,
    /// Whether statements are of people: those of the program itself may be of any size.
    is_asked: bool,
}

/// The schema of the raw tables.
pub(super) const RAW: &str = "lake";

impl Session {
    pub fn new(tables: Vec<Pinned>, limits: Limits) -> Result<Session, QueryError> {
        let share = Share::new(limits.memory_bytes, 0)?;
        Session::made(tables, &share, limits.threads, &Scope::default(), false)
    }

    /// A session in which everything a scope hides is hidden, within a share of memory.
    pub fn scoped(
        tables: Vec<Pinned>,
        share: &Share,
        threads: usize,
        scope: &Scope,
    ) -> Result<Session, QueryError> {
        Session::made(tables, share, threads, scope, true)
    }

    /// A session of the program itself within a share of memory: what it states may be of any size.
    pub fn within(tables: Vec<Pinned>, share: &Share, threads: usize) -> Result<Session, QueryError> {
        Session::made(tables, share, threads, &Scope::default(), false)
    }

    fn made(
        tables: Vec<Pinned>,
        share: &Share,
        threads: usize,
        scope: &Scope,
        is_asked: bool,
    ) -> Result<Session, QueryError> {
        let mut config = SessionConfig::new()
            .with_information_schema(true)
            .with_default_catalog_and_schema("agentrail", "public")
            .with_target_partitions(threads.max(1));
        let options = config.options_mut();
        options.execution.time_zone = Some("UTC".into());
        options.execution.parquet.pushdown_filters = true;
        options.execution.parquet.schema_force_view_types = false;
        options.sql_parser.map_string_types_to_utf8view = false;
        let mut state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(share.runtime.clone())
            .with_default_features()
            .with_physical_optimizer_rule(Arc::new(Firsts))
            .with_physical_optimizer_rule(Arc::new(Stopping))
            .with_physical_optimizer_rule(Arc::new(Yielding));
        if is_asked {
            state = state.with_physical_optimizer_rule(Arc::new(Constants));
        }
        let state = state.build();
        let mut context = SessionContext::new_with_state(state);
        bound(&context, &share.shortage);
        context.register_function_rewrite(Arc::new(Joins::new(Joined::new(&share.shortage))))?;
        context.register_function_rewrite(Arc::new(Moments))?;
        if let Some(catalog) = context.catalog("agentrail") {
            catalog.register_schema(RAW, Arc::new(MemorySchemaProvider::new()))?;
        }
        for pinned in tables {
            if let Some(store) = &pinned.store {
                context.register_object_store(store_url(&pinned.files)?.as_ref(), store.clone());
            }
            let table = pinned.files.table;
            let mut provider: Arc<dyn TableProvider> = Arc::new(PinnedTable::new(pinned));
            if scope.hides(table) {
                provider = Arc::new(ScopedTable::new(provider, table, scope.clone()));
            }
            context.register_table(format!("{RAW}.{}", table.name), provider)?;
        }
        context.register_udf(ScalarUDF::new_from_impl(JsonMember::new()));
        context.register_udf(ScalarUDF::new_from_impl(InNetwork::new()));
        let views = Arc::new(Views::new(Planner::new(&context)));
        if let Some(catalog) = context.catalog("agentrail") {
            catalog.register_schema("public", views.clone())?;
        }
        for view in Catalogue::embedded().views().iter().filter(|view| !view.params.is_empty()) {
            let function = Function::new(view, Planner::new(&context));
            context.register_udtf(&view.name, Arc::new(function));
        }
        Ok(Session { context, views, is_asked })
    }

    fn plan(&self, sql: &str) -> Result<LogicalPlan, QueryError> {
        // All tables are in memory, so planning never waits for anything.
        let state = self.context.state();
        let plan = state.statement_to_plan(self.parse(sql)?).now_or_never();
        let plan = plan.ok_or_else(|| QueryError::Plan("planning waited for something".to_owned()))??;
        options().verify_plan(&plan)?;
        Ok(plan)
    }

    /// Parses one statement, of a size that can be planned.
    fn parse(&self, sql: &str) -> Result<Statement, QueryError> {
        if self.is_asked {
            check_text(sql, &GenericDialect {})?;
        }
        let state = self.context.state();
        let statement = state.sql_to_statement(sql, &state.config().options().sql_parser.dialect)?;
        if self.is_asked {
            check(&statement)?;
        }
        Ok(statement)
    }

    /// How many threads its statements may use.
    pub(super) fn threads(&self) -> usize {
        self.context.copied_config().target_partitions()
    }

    /// The engine's own session, for what a protocol adds to it.
    pub fn context(&self) -> &SessionContext {
        &self.context
    }

    /// Has rows under a name of their own, in place of what had that name before.
    pub fn lend(&self, name: &str, schema: SchemaRef, rows: Vec<RecordBatch>) -> Result<(), QueryError> {
        self.views.lend(name, Arc::new(MemTable::try_new(schema, vec![rows])?));
        Ok(())
    }

    /// Plans one statement, which can only read.
    pub async fn prepare(&self, text: &str) -> Result<Prepared, QueryError> {
        self.prepare_parsed(self.parse(text)?).await
    }

    /// Plans one parsed statement, which can only read.
    pub async fn prepare_parsed(&self, statement: Statement) -> Result<Prepared, QueryError> {
        if self.is_asked {
            check(&statement)?;
        }
        let plan = self.context.state().statement_to_plan(statement).await?;
        options().verify_plan(&plan)?;
        Ok(Prepared { plan })
    }

    /// Answers a statement that was planned in this session.
    pub async fn execute(&self, prepared: Prepared) -> Result<Answer, QueryError> {
        self.run(prepared.plan).await
    }

    /// Answers one statement, which can only read.
    pub async fn sql(&self, text: &str) -> Result<Answer, QueryError> {
        self.run(self.plan(text)?).await
    }

    /// All rows of a statement as JSON objects.
    pub async fn objects(&self, text: &str) -> Result<Vec<Object>, QueryError> {
        objects(self.sql(text).await?).await
    }

    /// All rows of a statement with named parameters as JSON objects.
    pub async fn objects_with(
        &self,
        text: &str,
        values: Vec<(&str, ScalarValue)>,
    ) -> Result<Vec<Object>, QueryError> {
        objects(self.sql_with(text, values).await?).await
    }

    /// Answers a statement with named parameters (`$name`).
    pub async fn sql_with(&self, text: &str, values: Vec<(&str, ScalarValue)>) -> Result<Answer, QueryError> {
        self.run(self.plan(text)?.with_param_values(values)?).await
    }

    async fn run(&self, plan: LogicalPlan) -> Result<Answer, QueryError> {
        let mut state = self.context.state();
        if self.is_asked {
            let rows = rows_of_a_batch(&plan)?;
            state.config_mut().options_mut().execution.batch_size = ConfigNonZeroUsize::try_new(rows)?;
        }
        let stream = DataFrame::new(state, plan).execute_stream().await?;
        let schema = stream.schema();
        // What is looked up of the views themselves is planned as it is read: the session is there until then.
        let own = self.context.clone();
        let stream = stream.inspect(move |_| _ = &own);
        Ok(Answer { schema: schema.clone(), stream: Box::pin(RecordBatchStreamAdapter::new(schema, stream)) })
    }

    /// Answers a report of the catalogue. Parameters not given take their defaults.
    pub async fn report(&self, name: &str, given: &[(String, String)]) -> Result<Answer, QueryError> {
        let report = Catalogue::embedded().report(name)?;
        if let Some((unknown, _)) = given.iter().find(|(n, _)| !report.params.iter().any(|(p, _)| p == n)) {
            let names: Vec<&str> = report.params.iter().map(|(p, _)| p.as_str()).collect();
            let says = format!("the report has no such parameter; it has: {}", names.join(", "));
            return Err(QueryError::Param { name: unknown.clone(), says });
        }
        let mut values = Vec::new();
        for (name, param) in &report.params {
            let refused = |says: String| QueryError::Param { name: name.clone(), says };
            let mut of_name = given.iter().filter(|(n, _)| n == name).map(|(_, value)| value);
            let first = of_name.next();
            if of_name.next().is_some() {
                return Err(refused("it is given more than once; give one value".to_owned()));
            }
            let text = first.or(param.default.as_ref());
            let text =
                text.ok_or_else(|| refused(format!("it must be given, as {name}=<{}>", param.kind)))?;
            let value = typed(&ScalarValue::Utf8(Some(text.clone())), &param.kind)
                .map_err(|_| refused(format!("`{text}` is no {}", param.kind)))?;
            values.push((name.as_str(), value));
        }
        if values.is_empty() { self.sql(&report.sql).await } else { self.sql_with(&report.sql, values).await }
    }
}

fn options() -> SQLOptions {
    SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn values_are_by_place_and_no_more_than_there_are_places() {
        let session = Session::new(Vec::new(), Limits::default()).unwrap();
        let of = async |text: &str| session.prepare(text).await.unwrap();
        let places = of("select $3, $1 + 1").await.places(3).unwrap();
        let as_told = |places: Vec<Place>| places.into_iter().map(Place::as_told).collect::<Vec<_>>();
        assert_eq!(as_told(places), [DataType::Int64, DataType::Utf8, DataType::Utf8]);
        let says = |refused: Option<QueryError>| refused.map(|e| e.to_string()).unwrap_or_default();
        let placed = async |text: &str| as_told(of(text).await.places(3).unwrap());
        assert_eq!(placed("select 1 limit $1 offset $2").await, [DataType::Int64, DataType::Int64]);
        let list = |item| DataType::new_list(item, true);
        assert_eq!(placed("select array_has($1, 'a')").await, [list(DataType::Utf8)]);
        assert_eq!(placed("select array_has($1::int[], 1)").await, [list(DataType::Int32)]);
        // What it is compared with counts before what it is cast to elsewhere.
        assert_eq!(placed("select $1::text from (select 1 as a) where a < $1").await, [DataType::Int64]);
        assert!(says(of("select $who").await.places(3).err()).contains("by place"));
        assert!(says(of("select $4").await.places(3).err()).contains("at most 3"));
        let with = async |text: &str, values: usize| of(text).await.with(vec![1.into(); values]).err();
        assert_eq!(says(with("select $1, $2", 2).await), "");
        assert!(says(with("select $1", 2).await).contains("has 1 parameters, and 2 values"));
        assert!(says(with("select 1", 1).await).contains("has 0 parameters"));
    }
}
