//! pg_catalog where its maker has less than clients look up: comments, the functions of this server, privileges.
//!
//! Source: PostgreSQL 16 documentation, chapter 53, "System Catalogs".

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{RecordBatch, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::Schema;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::error::DataFusionError;
use datafusion::functions_nested::expr_fn::{make_array, string_to_array};
use datafusion::prelude::{DataFrame, Expr, SessionContext, col, lit};
use datafusion::scalar::ScalarValue;
use pgwire::api::Type;

use super::information::{Row, row};
use crate::query::{Catalogue, QueryError, Session};
use crate::serve::described::{DATABASE, VIEWS};

const NAME: &str = "pg_catalog";
/// The numbers of the functions here begin behind those of PostgreSQL's own and of tables.
const FIRST_FUNCTION: i64 = 1_000_000;

/// What a table or view is, what its columns are, and the text of a view.
pub(super) struct Doc {
    pub says: String,
    pub columns: Vec<Option<String>>,
    pub view: Option<String>,
}

/// The numbers that this session's pg_catalog gives tables and views, by schema and name.
pub(super) type Classes = HashMap<(String, String), i64>;

/// By the number of the table.
pub(super) type Docs = HashMap<i64, Doc>;

/// A function of this server.
pub(super) struct Function {
    name: String,
    says: String,
    pub returns: &'static str,
    /// Names and types; the last may take any number of values.
    params: Vec<(String, String)>,
    is_variadic: bool,
}

impl Function {
    /// Those that there are, by their number.
    pub fn all() -> HashMap<i64, Function> {
        let own = |name: &str, says: &str, returns, params: [(&str, &str); 2], is_variadic| Function {
            name: name.to_owned(),
            says: says.to_owned(),
            returns,
            params: params.map(|(name, kind)| (name.to_owned(), kind.to_owned())).to_vec(),
            is_variadic,
        };
        let address = [("address", "text"), ("network", "text")];
        let member = [("json", "text"), ("names", "text[]")];
        let scalar = [
            own("in_network", "Whether an address is in a network.", "boolean", address, false),
            own("json_member", "What a JSON text has under these names.", "text", member, true),
        ];
        let views = Catalogue::embedded().views().iter().filter(|view| !view.params.is_empty());
        let tables = views.map(|view| Function {
            name: view.name.clone(),
            says: view.title.clone(),
            returns: "TABLE",
            params: view.params.iter().map(|(name, param)| (name.clone(), param.kind.clone())).collect(),
            is_variadic: false,
        });
        (FIRST_FUNCTION..).zip(scalar.into_iter().chain(tables)).collect()
    }

    /// Its parameters as PostgreSQL writes them.
    pub fn takes(&self) -> String {
        let one = |(n, (name, kind)): (usize, &(String, String))| {
            let is_last = self.is_variadic && n + 1 == self.params.len();
            format!("{}{name} {kind}", if is_last { "VARIADIC " } else { "" })
        };
        self.params.iter().enumerate().map(one).collect::<Vec<_>>().join(", ")
    }

    fn row(&self, oid: i64, schema: &str) -> Row {
        let texts = |each: &dyn Fn(&(String, String)) -> String| -> String {
            self.params.iter().map(each).collect::<Vec<_>>().join(" ")
        };
        let (is_table, text) = (self.returns == "TABLE", oid_of("text"));
        let mut own = row([
            ("proname", self.name.as_str()),
            ("pronamespace", schema),
            ("proowner", "0"),
            ("prolang", "12"),
            ("procost", "1"),
            ("prosupport", "-"),
            ("prokind", "f"),
            ("prosecdef", "false"),
            ("proleakproof", "false"),
            ("proisstrict", "false"),
            ("provolatile", "s"),
            ("proparallel", "s"),
            ("pronargdefaults", "0"),
            ("provariadic", if self.is_variadic { &text } else { "0" }),
            ("prorows", if is_table { "1000" } else { "0" }),
            ("proretset", if is_table { "true" } else { "false" }),
            ("prorettype", &oid_of(self.returns)),
            ("prosrc", self.name.as_str()),
        ]);
        own.insert("oid", oid.to_string());
        own.insert("pronargs", self.params.len().to_string());
        own.insert("proargtypes", texts(&|(_, kind)| oid_of(kind)));
        own.insert("proargnames", texts(&|(name, _)| name.clone()));
        own
    }
}

/// The number that PostgreSQL has for a type of a parameter.
fn oid_of(kind: &str) -> String {
    let kind = match kind {
        "boolean" => Type::BOOL,
        "bigint" => Type::INT8,
        "timestamp" => Type::TIMESTAMPTZ,
        "text[]" => Type::TEXT_ARRAY,
        "TABLE" => Type::RECORD,
        _ => Type::TEXT,
    };
    kind.oid().to_string()
}

/// Lays these over the tables of a session's pg_catalog.
pub(super) async fn add(
    session: &Session,
    docs: &Docs,
    functions: &HashMap<i64, Function>,
    classes: &Classes,
) -> Result<(), QueryError> {
    let context = session.context();
    let class = |name: &str| {
        classes.get(&(NAME.to_owned(), name.to_owned())).copied().unwrap_or_default().to_string()
    };
    let [of_tables, of_functions] = ["pg_class", "pg_proc"].map(class);
    let sql = format!("select oid from pg_catalog.pg_namespace where nspname = '{VIEWS}'");
    let public = session.objects(&sql).await?;
    let public = public.first().and_then(|row| row.get("oid")?.as_i64()).unwrap_or_default().to_string();
    let mut comments = Vec::new();
    for (oid, doc) in docs {
        comments.push(comment(*oid, &of_tables, 0, &doc.says));
        let columns = doc.columns.iter().enumerate().filter_map(|(n, says)| Some((n, says.as_ref()?)));
        comments.extend(columns.map(|(n, says)| comment(*oid, &of_tables, n + 1, says)));
    }
    comments.extend(functions.iter().map(|(oid, own)| comment(*oid, &of_functions, 0, &own.says)));
    let rows: Vec<Row> = functions.iter().map(|(oid, own)| own.row(*oid, &public)).collect();
    let names = string_to_array(col("proargnames"), lit(" "), lit(ScalarValue::Utf8(None)));
    let procs = with(context, "pg_proc", &rows).await?;
    let classes = context.table(format!("{NAME}.pg_class")).await?;
    let types = context.table(format!("{NAME}.pg_type")).await?;
    let schemas = context.table(format!("{NAME}.pg_namespace")).await?;
    let own = [
        ("pg_description", with(context, "pg_description", &comments).await?),
        ("pg_proc", procs.with_column("proargnames", names)?.with_column("proacl", may("X"))?),
        ("pg_class", classes.with_column("relacl", may("r"))?),
        ("pg_namespace", schemas.with_column("nspacl", may("U"))?),
        ("pg_type", types.with_column("typacl", may("U"))?),
    ];
    let catalogue = context.catalog(DATABASE);
    let missing = || DataFusionError::Internal(format!("there is no {NAME}"));
    let catalogue = catalogue.ok_or_else(missing)?;
    let below = catalogue.schema(NAME).ok_or_else(missing)?;
    let own = own.into_iter().map(|(name, table)| (name, table.into_view())).collect();
    catalogue.register_schema(NAME, Arc::new(Laid { below, own }))?;
    Ok(())
}

/// What whoever is connected may do: read a table, use a schema, call a function.
fn may(what: &str) -> Expr {
    make_array(vec![lit(format!("={what}/{DATABASE}"))])
}

fn comment(oid: i64, class: &str, column: usize, says: &str) -> Row {
    let (oid, column) = (oid.to_string(), column.to_string());
    row([("objoid", &oid), ("classoid", class), ("objsubid", &column), ("description", says)])
}

/// A table of pg_catalog with more rows.
async fn with(context: &SessionContext, name: &str, rows: &[Row]) -> Result<DataFrame, DataFusionError> {
    let below = context.table(format!("{NAME}.{name}")).await?;
    let fields = below.schema().fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let column =
        |name: &str| -> StringArray { rows.iter().map(|row| row.get(name).map(String::as_str)).collect() };
    let columns = schema.fields().iter().map(|field| cast(&column(field.name()), field.data_type()));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    below.union(context.read_batch(RecordBatch::try_new(schema, columns)?)?)
}

/// A schema, some of whose tables are others.
#[derive(Debug)]
struct Laid {
    below: Arc<dyn SchemaProvider>,
    own: HashMap<&'static str, Arc<dyn TableProvider>>,
}

#[async_trait]
impl SchemaProvider for Laid {
    fn table_names(&self) -> Vec<String> {
        self.below.table_names()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        match self.own.get(name) {
            Some(own) => Ok(Some(own.clone())),
            None => self.below.table(name).await,
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.below.table_exist(name)
    }
}
