//! What clients of PostgreSQL look up before they ask: pg_catalog, and the functions that read it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use datafusion::arrow::array::{Array as _, Int64Array, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::cast::{as_int64_array, as_string_array};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionImplementation, ScalarUDF, Signature, SimpleScalarUDF, TypeSignature,
    Volatility, create_udf,
};
use datafusion::scalar::ScalarValue;
use datafusion_pg_catalog::pg_catalog::context::{PgCatalogContextProvider, Role};
use datafusion_pg_catalog::pg_catalog::setup_pg_catalog;
use pgwire::error::PgWireError;

use super::conversation::locked;
use super::information;
use super::laid::{self, Classes, Doc, Docs, Function};
use super::variables::Variables;
use crate::query::{Object, QueryError, Session};
use crate::serve::Person;
use crate::serve::described::{DATABASE, Described, VIEWS};

/// The schemas that hold what there is to ask for.
const OWN: [&str; 2] = [VIEWS, information::LAKE];

/// Functions that have nothing to say here.
const NOTHING: [&str; 7] = [
    "pg_advisory_unlock_all",
    "pg_get_expr",
    "pg_get_function_sqlbody",
    "pg_get_functiondef",
    "pg_size_pretty",
    "pg_table_size",
    "to_regtype",
];

/// Whether a statement needs the functions of PostgreSQL; to lay them out takes a moment.
pub(super) fn is_needed(statement: &str) -> bool {
    const SIGNS: [&str; 14] = [
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
        "set_config",
        "format_type",
    ];
    let statement = statement.to_lowercase();
    SIGNS.iter().any(|sign| statement.contains(sign))
}

/// Whether it reads a table of pg_catalog, whose numbers of tables hold for as long as one session, or of
/// information_schema, which takes as long to lay out.
pub(super) fn is_read(statement: &str) -> bool {
    let statement = statement.to_lowercase();
    ["pg_catalog.", "to_regclass(", information::NAME].iter().any(|sign| statement.contains(sign))
}

/// Adds pg_catalog and its functions to a session of a person, with what tables and columns are where that
/// can be asked for.
pub(super) async fn add(
    session: &Session,
    person: &Person,
    variables: &Arc<Mutex<Variables>>,
    is_read: bool,
) -> Result<(), QueryError> {
    let context = session.context();
    setup_pg_catalog(context, DATABASE, Roles(person.name.clone())).map_err(|e| QueryError::from(*e))?;
    context.register_udf(constant("session_user", &person.name));
    context.register_udf(constant(
        "version",
        &format!("PostgreSQL 16.6 (agentrail {})", env!("CARGO_PKG_VERSION")),
    ));
    context.register_udf(of_oid("pg_get_userbyid", Arc::new(|_| Some(DATABASE.to_owned()))));
    for so in ["pg_function_is_visible", "pg_type_is_visible", "has_function_privilege"] {
        context.register_udf(truth(so, true));
    }
    context.register_udf(truth("pg_is_in_recovery", false));
    for none in NOTHING {
        context.register_udf(nothing(none));
    }
    let own = variables.clone();
    let setting = move |name: &str| locked(&own).show(&name.to_lowercase()).ok();
    context.register_udf(of_text("current_setting", Arc::new(setting)));
    context.register_udf(set_config(variables.clone()));
    let functions = Function::all();
    let (mut docs, mut classes) = (Docs::new(), HashMap::new());
    if is_read {
        classes = numbers(session).await?;
        docs = described(session, &classes).await?;
        information::add(session).await?;
        laid::add(session, &docs, &functions, &classes).await?;
    }
    context.register_udf(to_regclass(classes));
    let (functions, docs) = (Arc::new(functions), Arc::new(docs));
    let own = functions.clone();
    let returns = move |oid: i64| Some(own.get(&oid)?.returns.to_owned());
    context.register_udf(of_oid("pg_get_function_result", Arc::new(returns)));
    for name in ["pg_get_function_arguments", "pg_get_function_identity_arguments"] {
        let own = functions.clone();
        context.register_udf(of_oid(name, Arc::new(move |oid| own.get(&oid).map(Function::takes))));
    }
    let (columns, sources) = (docs.clone(), docs.clone());
    let source = move |oid: i64| sources.get(&oid)?.view.clone();
    context.register_udf(of_oid("pg_get_viewdef", Arc::new(source)));
    let of_table = move |oid: i64| docs.get(&oid).map(|doc| doc.says.clone());
    context.register_udf(describes("obj_description", Arc::new(move |oid, _| of_table(oid))));
    let of_column = move |oid: i64, number: i64| {
        columns.get(&oid)?.columns.get(usize::try_from(number).ok()?.checked_sub(1)?)?.clone()
    };
    context.register_udf(describes("col_description", Arc::new(of_column)));
    Ok(())
}

/// The numbers of tables and views.
async fn numbers(session: &Session) -> Result<Classes, QueryError> {
    let sql = "select c.oid, n.nspname, c.relname from pg_catalog.pg_class c \
         join pg_catalog.pg_namespace n on n.oid = c.relnamespace";
    let one = |row: Object| {
        let text = |name: &str| row.get(name).and_then(|own| own.as_str()).map(str::to_owned);
        Some(((text("nspname")?, text("relname")?), row.get("oid")?.as_i64()?))
    };
    Ok(session.objects(sql).await?.into_iter().filter_map(one).collect())
}

/// What tables and columns are.
async fn described(session: &Session, classes: &Classes) -> Result<Docs, QueryError> {
    let mut docs = Docs::new();
    for ((schema, name), oid) in classes.iter().filter(|((schema, _), _)| OWN.contains(&schema.as_str())) {
        let own = Described::of(schema, name);
        let provider = session.context().table_provider(format!("{schema}.{name}").as_str()).await?;
        let doc = |column: &str| own.column(column).map(str::to_owned);
        let columns = provider.schema().fields().iter().map(|field| doc(field.name())).collect();
        let view = own.view.map(|view| view.sql.clone());
        docs.insert(*oid, Doc { says: own.says(), columns, view });
    }
    Ok(docs)
}

/// The number of what a name names, with its schema or in the first that has it.
fn to_regclass(classes: Classes) -> ScalarUDF {
    let number = move |name: &str| {
        let name = name.replace('"', "").to_lowercase();
        let of = |schema: &str, name: &str| classes.get(&(schema.to_owned(), name.to_owned())).copied();
        match name.split_once('.') {
            Some((schema, name)) => of(schema, name),
            None => ["pg_catalog", VIEWS].iter().find_map(|schema| of(schema, &name)),
        }
    };
    let answer = move |args: &[ColumnarValue]| {
        let names = cast(&ColumnarValue::values_to_arrays(args)?.remove(0), &DataType::Utf8)?;
        let numbers: Int64Array = as_string_array(&names)?.iter().map(|name| number(name?)).collect();
        Ok(ColumnarValue::Array(cast(&numbers, &DataType::Int32)?))
    };
    create_udf("to_regclass", vec![DataType::Utf8], DataType::Int32, Volatility::Stable, Arc::new(answer))
}

/// A function without arguments.
fn constant(name: &str, value: &str) -> ScalarUDF {
    let value = ScalarValue::Utf8(Some(value.to_owned()));
    let answer = Arc::new(move |_: &[ColumnarValue]| Ok(ColumnarValue::Scalar(value.clone())));
    create_udf(name, vec![], DataType::Utf8, Volatility::Stable, answer)
}

/// Any arguments, or none.
fn of_anything() -> Signature {
    Signature::one_of(vec![TypeSignature::VariadicAny, TypeSignature::Nullary], Volatility::Stable)
}

/// A function that gives a text, whatever its arguments; clients add flags to some.
fn any(name: &str, answer: ScalarFunctionImplementation) -> ScalarUDF {
    SimpleScalarUDF::new_with_signature(name, of_anything(), DataType::Utf8, answer).into()
}

/// A function that says one thing of anything.
fn truth(name: &str, is_so: bool) -> ScalarUDF {
    let answer = move |_: &[ColumnarValue]| Ok(ColumnarValue::Scalar(ScalarValue::Boolean(Some(is_so))));
    SimpleScalarUDF::new_with_signature(name, of_anything(), DataType::Boolean, Arc::new(answer)).into()
}

/// A function that has nothing to say.
fn nothing(name: &str) -> ScalarUDF {
    any(name, Arc::new(|_| Ok(ColumnarValue::Scalar(ScalarValue::Utf8(None)))))
}

/// `set_config(name, value, is_local)`: a setting of this connection.
fn set_config(variables: Arc<Mutex<Variables>>) -> ScalarUDF {
    let answer = move |args: &[ColumnarValue]| {
        let args = ColumnarValue::values_to_arrays(args)?;
        let (names, values) = (as_string_array(&args[0])?, as_string_array(&args[1])?);
        for (name, value) in names.iter().zip(values) {
            let (name, value) = (name.unwrap_or_default().to_lowercase(), value.unwrap_or_default());
            let done = locked(&variables).set(&name, value);
            done.map_err(|refused| match refused {
                PgWireError::UserError(told) => DataFusionError::Execution(told.message),
                other => DataFusionError::External(Box::new(other)),
            })?;
        }
        Ok(ColumnarValue::Array(args[1].clone()))
    };
    let takes = vec![DataType::Utf8, DataType::Utf8, DataType::Boolean];
    create_udf("set_config", takes, DataType::Utf8, Volatility::Volatile, Arc::new(answer))
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
