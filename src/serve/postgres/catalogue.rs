//! What clients of PostgreSQL look up before they ask: pg_catalog, and the functions that read it.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array as _, AsArray as _, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::cast::{as_int64_array, as_string_array};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionImplementation, ScalarUDF, Signature, SimpleScalarUDF, Volatility,
    create_udf,
};
use datafusion::scalar::ScalarValue;
use datafusion_pg_catalog::pg_catalog::context::{PgCatalogContextProvider, Role};
use datafusion_pg_catalog::pg_catalog::setup_pg_catalog;

use super::information;
use super::variables::KNOWN;
use crate::query::{QueryError, Session};
use crate::serve::Person;
use crate::serve::described::{DATABASE, Described};

/// Whether a statement needs the functions of PostgreSQL; to lay them out takes a moment.
pub(super) fn is_needed(statement: &str) -> bool {
    const SIGNS: [&str; 13] = [
        information::NAME,
        "pg_",
        "reg",
        "current_",
        "session_user",
        "_description",
        "has_",
        "version",
        "quote_",
        "array_",
        "generate_series",
        "parse_ident",
        "format_type",
    ];
    let statement = statement.to_lowercase();
    SIGNS.iter().any(|sign| statement.contains(sign))
}

/// Whether it reads a table of pg_catalog, whose numbers of tables hold for as long as one session, or of
/// information_schema, which takes as long to lay out.
pub(super) fn is_read(statement: &str) -> bool {
    let statement = statement.to_lowercase();
    statement.contains("pg_catalog.") || statement.contains(information::NAME)
}

/// Adds pg_catalog and its functions to a session of a person, with what tables and columns are where that
/// can be asked for.
pub(super) async fn add(session: &Session, person: &Person, is_read: bool) -> Result<(), QueryError> {
    let context = session.context();
    setup_pg_catalog(context, DATABASE, Roles(person.name.clone())).map_err(|e| QueryError::from(*e))?;
    context.register_udf(constant("session_user", &person.name));
    context.register_udf(constant(
        "version",
        &format!("PostgreSQL 16.6 (agentrail {})", env!("CARGO_PKG_VERSION")),
    ));
    context.register_udf(of_oid("pg_get_userbyid", Arc::new(|_| Some(DATABASE.to_owned()))));
    context.register_udf(create_udf(
        "pg_function_is_visible",
        vec![DataType::Int64],
        DataType::Boolean,
        Volatility::Immutable,
        Arc::new(|_| Ok(ColumnarValue::Scalar(ScalarValue::Boolean(Some(true))))),
    ));
    context.register_udf(of_oid("pg_table_size", Arc::new(|_| None)));
    context.register_udf(of_oid("pg_size_pretty", Arc::new(|_| None)));
    context.register_udf(of_text("to_regtype", Arc::new(|_| None)));
    let setting = |name: &str| KNOWN.iter().find(|(known, _)| *known == name).map(|(_, v)| (*v).to_owned());
    context.register_udf(of_text("current_setting", Arc::new(setting)));
    context.register_udf(create_udf(
        "pg_is_in_recovery",
        vec![],
        DataType::Boolean,
        Volatility::Stable,
        Arc::new(|_| Ok(ColumnarValue::Scalar(ScalarValue::Boolean(Some(false))))),
    ));
    let docs = if is_read { docs(session).await? } else { Docs::new() };
    if is_read {
        information::add(session).await?;
    }
    let (columns, sources) = (docs.clone(), docs.clone());
    let source = move |oid: i64| sources.get(&oid)?.2.clone();
    context.register_udf(of_oid("pg_get_viewdef", Arc::new(source)));
    let of_table = move |oid: i64| docs.get(&oid).map(|(table, ..)| table.clone());
    context.register_udf(describes("obj_description", Arc::new(move |oid, _| of_table(oid))));
    let of_column = move |oid: i64, number: i64| {
        columns.get(&oid)?.1.get(usize::try_from(number).ok()?.checked_sub(1)?)?.clone()
    };
    context.register_udf(describes("col_description", Arc::new(of_column)));
    Ok(())
}

/// What a table or view is, what its columns are, and the text of a view.
type Docs = HashMap<i64, (String, Vec<Option<String>>, Option<String>)>;

/// What tables and columns are, by the number that this session's pg_catalog gives a table.
async fn docs(session: &Session) -> Result<Docs, QueryError> {
    let sql = "select c.oid, n.nspname, c.relname from pg_catalog.pg_class c \
         join pg_catalog.pg_namespace n on n.oid = c.relnamespace where n.nspname in ('public', 'lake')";
    let context = session.context();
    let mut docs = Docs::new();
    for batch in context.sql(sql).await?.collect().await? {
        let oids = cast(batch.column(0), &DataType::Int64).map_err(DataFusionError::from)?;
        let texts = [1, 2].map(|column: usize| cast(batch.column(column), &DataType::Utf8));
        let [schemas, names] = texts;
        let (schemas, names) =
            (schemas.map_err(DataFusionError::from)?, names.map_err(DataFusionError::from)?);
        for row in 0..batch.num_rows() {
            let (schema, name) = (schemas.as_string::<i32>().value(row), names.as_string::<i32>().value(row));
            let oid = oids.as_primitive::<Int64Type>().value(row);
            let own = Described::of(schema, name);
            let provider = context.table_provider(format!("{schema}.{name}").as_str()).await?;
            let doc = |column: &str| own.column(column).map(str::to_owned);
            let columns = provider.schema().fields().iter().map(|field| doc(field.name())).collect();
            docs.insert(oid, (own.says(), columns, own.view.map(|view| view.sql.clone())));
        }
    }
    Ok(docs)
}

/// A function without arguments.
fn constant(name: &str, value: &str) -> ScalarUDF {
    let value = ScalarValue::Utf8(Some(value.to_owned()));
    let answer = Arc::new(move |_: &[ColumnarValue]| Ok(ColumnarValue::Scalar(value.clone())));
    create_udf(name, vec![], DataType::Utf8, Volatility::Stable, answer)
}

/// A function of one argument that gives a text; clients add flags to some.
fn any(name: &str, answer: ScalarFunctionImplementation) -> ScalarUDF {
    let signature = Signature::variadic_any(Volatility::Stable);
    SimpleScalarUDF::new_with_signature(name, signature, DataType::Utf8, answer).into()
}

/// A text for the number of something.
fn of_oid(name: &str, text: Arc<dyn Fn(i64) -> Option<String> + Send + Sync>) -> ScalarUDF {
    let answer = move |args: &[ColumnarValue]| {
        let oids = ColumnarValue::values_to_arrays(args)?.remove(0);
        let oids = cast(&oids, &DataType::Int64)?;
        let texts: StringArray = as_int64_array(&oids)?.iter().map(|oid| text(oid?)).collect();
        Ok(ColumnarValue::Array(Arc::new(texts)))
    };
    any(name, Arc::new(answer))
}

/// What is said of a name.
type Text = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// A text for a name.
fn of_text(name: &str, text: Text) -> ScalarUDF {
    let answer = move |args: &[ColumnarValue]| {
        let names = cast(&ColumnarValue::values_to_arrays(args)?.remove(0), &DataType::Utf8)?;
        let texts: StringArray = as_string_array(&names)?.iter().map(|name| text(name?)).collect();
        Ok(ColumnarValue::Array(Arc::new(texts)))
    };
    any(name, Arc::new(answer))
}

/// A text for a table's number and a second argument: a column's number, or the name of a catalogue.
fn describes(name: &str, text: Arc<dyn Fn(i64, i64) -> Option<String> + Send + Sync>) -> ScalarUDF {
    let second = if name == "col_description" { DataType::Int64 } else { DataType::Utf8 };
    let answer = move |args: &[ColumnarValue]| {
        let args = ColumnarValue::values_to_arrays(args)?;
        let oids = cast(&args[0], &DataType::Int64)?;
        let numbers = cast(&args[1], &DataType::Int64)?;
        let (oids, numbers) = (as_int64_array(&oids)?, as_int64_array(&numbers)?);
        let one = |row: usize| {
            let number = if numbers.is_valid(row) { numbers.value(row) } else { 0 };
            oids.is_valid(row).then(|| text(oids.value(row), number))?
        };
        let texts: StringArray = (0..oids.len()).map(one).collect();
        Ok(ColumnarValue::Array(Arc::new(texts)))
    };
    create_udf(name, vec![DataType::Int64, second], DataType::Utf8, Volatility::Stable, Arc::new(answer))
}

/// The roles of the database: whoever is connected.
#[derive(Debug, Clone)]
struct Roles(String);

#[async_trait::async_trait]
impl PgCatalogContextProvider for Roles {
    async fn roles(&self) -> Vec<String> {
        vec![self.0.clone()]
    }

    async fn role(&self, name: &str) -> Option<Role> {
        (name == self.0).then(|| Role {
            name: name.to_owned(),
            is_superuser: false,
            can_login: true,
            can_create_db: false,
            can_create_role: false,
            can_create_user: false,
            can_replication: false,
            grants: Vec::new(),
            inherited_roles: Vec::new(),
        })
    }
}
