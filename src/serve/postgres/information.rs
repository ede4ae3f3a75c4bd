//! information_schema as PostgreSQL has it: tables, their columns and types in the standard's words.
//!
//! Source: PostgreSQL 16 documentation, chapter 37, "The Information Schema". The engine's own tables of that
//! name have fewer columns, and types by names that no client knows.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::{MemorySchemaProvider, SchemaProvider as _};
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use pgwire::api::portal::Format;
use pgwire::api::results::FieldInfo;

use super::rows::fields;
use crate::query::{QueryError, Session};
use crate::serve::described::{DATABASE, Described, VIEWS};

pub(super) const NAME: &str = "information_schema";
/// The schema of the tables behind the views.
pub(super) const LAKE: &str = "lake";

/// Its tables with their columns; those with a `#` are numbers. What is not listed below has no rows here.
const TABLES: [(&str, &str); 12] = [
    (
        "schemata",
        "catalog_name schema_name schema_owner default_character_set_catalog default_character_set_schema \
         default_character_set_name sql_path",
    ),
    (
        "tables",
        "table_catalog table_schema table_name table_type self_referencing_column_name reference_generation \
         user_defined_type_catalog user_defined_type_schema user_defined_type_name is_insertable_into is_typed \
         commit_action",
    ),
    (
        "columns",
        "table_catalog table_schema table_name column_name ordinal_position# column_default is_nullable data_type \
         character_maximum_length# character_octet_length# numeric_precision# numeric_precision_radix# \
         numeric_scale# datetime_precision# interval_type interval_precision# character_set_catalog \
         character_set_schema character_set_name collation_catalog collation_schema collation_name domain_catalog \
         domain_schema domain_name udt_catalog udt_schema udt_name scope_catalog scope_schema scope_name \
         maximum_cardinality# dtd_identifier is_self_referencing is_identity identity_generation identity_start \
         identity_increment identity_maximum identity_minimum identity_cycle is_generated generation_expression \
         is_updatable",
    ),
    (
        "views",
        "table_catalog table_schema table_name view_definition check_option is_updatable is_insertable_into \
         is_trigger_updatable is_trigger_deletable is_trigger_insertable_into",
    ),
    (
        "table_constraints",
        "constraint_catalog constraint_schema constraint_name table_catalog table_schema table_name \
         constraint_type is_deferrable initially_deferred enforced nulls_distinct",
    ),
    (
        "key_column_usage",
        "constraint_catalog constraint_schema constraint_name table_catalog table_schema table_name column_name \
         ordinal_position# position_in_unique_constraint#",
    ),
    (
        "constraint_column_usage",
        "table_catalog table_schema table_name column_name constraint_catalog constraint_schema constraint_name",
    ),
    (
        "referential_constraints",
        "constraint_catalog constraint_schema constraint_name unique_constraint_catalog unique_constraint_schema \
         unique_constraint_name match_option update_rule delete_rule",
    ),
    ("check_constraints", "constraint_catalog constraint_schema constraint_name check_clause"),
    (
        "routines",
        "specific_catalog specific_schema specific_name routine_catalog routine_schema routine_name routine_type \
         data_type type_udt_catalog type_udt_schema type_udt_name routine_body routine_definition external_language",
    ),
    (
        "triggers",
        "trigger_catalog trigger_schema trigger_name event_manipulation event_object_catalog event_object_schema \
         event_object_table action_order# action_condition action_statement action_orientation action_timing",
    ),
    (
        "sequences",
        "sequence_catalog sequence_schema sequence_name data_type numeric_precision# numeric_precision_radix# \
         numeric_scale# start_value minimum_value maximum_value increment cycle_option",
    ),
];

/// The columns of a row that have a value.
pub(super) type Row = HashMap<&'static str, String>;

/// A table or view, and its columns as clients are told them.
struct Listed {
    schema: String,
    name: String,
    columns: Vec<FieldInfo>,
    nullable: Vec<bool>,
}

/// Lays it over the engine's in a session.
pub(super) async fn add(session: &Session) -> Result<(), QueryError> {
    let context = session.context();
    let listed = listed(session).await?;
    let provider = MemorySchemaProvider::new();
    for (name, columns) in TABLES {
        let rows = match name {
            "schemata" => [NAME, LAKE, "pg_catalog", VIEWS].map(schemata).to_vec(),
            "tables" => listed.iter().map(tables).collect(),
            "columns" => listed.iter().flat_map(columns_of).collect(),
            "views" => listed.iter().filter(|own| own.schema == VIEWS).map(views).collect(),
            _ => Vec::new(),
        };
        provider.register_table(name.to_owned(), Arc::new(laid_out(columns, &rows)?))?;
    }
    let state = context.state_ref();
    state.write().config_mut().options_mut().catalog.information_schema = false;
    let catalogue = context.catalog(DATABASE);
    let catalogue = catalogue.ok_or_else(|| DataFusionError::Internal(format!("there is no {DATABASE}")))?;
    catalogue.register_schema(NAME, Arc::new(provider))?;
    Ok(())
}

async fn listed(session: &Session) -> Result<Vec<Listed>, QueryError> {
    let context = session.context();
    let mut all = Vec::new();
    for schema in [VIEWS, LAKE] {
        let provider = context.catalog(DATABASE).and_then(|catalogue| catalogue.schema(schema));
        let Some(provider) = provider else { continue };
        let mut names = provider.table_names();
        names.sort_unstable();
        for name in names {
            let Some(table) = provider.table(&name).await? else { continue };
            let own = table.schema();
            let columns = fields(&own, &Format::UnifiedText)
                .map_err(|error| DataFusionError::External(Box::new(error)))?;
            let nullable = own.fields().iter().map(|field| field.is_nullable()).collect();
            all.push(Listed { schema: schema.to_owned(), name, columns, nullable });
        }
    }
    Ok(all)
}

pub(super) fn row<const N: usize>(values: [(&'static str, &str); N]) -> Row {
    values.into_iter().map(|(name, value)| (name, value.to_owned())).collect()
}

fn schemata(schema: &str) -> Row {
    row([("catalog_name", DATABASE), ("schema_name", schema), ("schema_owner", DATABASE)])
}

fn place(own: &Listed) -> Row {
    row([("table_catalog", DATABASE), ("table_schema", &own.schema), ("table_name", &own.name)])
}

fn tables(own: &Listed) -> Row {
    let kind = if own.schema == VIEWS { "VIEW" } else { "BASE TABLE" };
    let mut out = place(own);
    out.extend(row([("table_type", kind), ("is_insertable_into", "NO"), ("is_typed", "NO")]));
    out
}

fn views(own: &Listed) -> Row {
    let mut out = place(own);
    out.extend(row([("check_option", "NONE"), ("is_updatable", "NO"), ("is_insertable_into", "NO")]));
    let may = ["is_trigger_updatable", "is_trigger_deletable", "is_trigger_insertable_into"];
    out.extend(may.map(|what| (what, "NO".to_owned())));
    let text = Described::of(&own.schema, &own.name).view.map(|view| view.sql.clone());
    out.extend(text.map(|text| ("view_definition", text)));
    out
}

fn columns_of(own: &Listed) -> Vec<Row> {
    let one = |(at, (field, nullable)): (usize, (&FieldInfo, &bool))| {
        let number = (at + 1).to_string();
        let mut out = place(own);
        let udt = field.datatype().name();
        out.extend(row([
            ("column_name", field.name()),
            ("ordinal_position", &number),
            ("is_nullable", if *nullable { "YES" } else { "NO" }),
            ("data_type", standard(udt)),
            ("udt_catalog", DATABASE),
            ("udt_schema", "pg_catalog"),
            ("udt_name", udt),
            ("dtd_identifier", &number),
            ("is_self_referencing", "NO"),
            ("is_identity", "NO"),
            ("identity_cycle", "NO"),
            ("is_generated", "NEVER"),
            ("is_updatable", "NO"),
        ]));
        out.extend(size(udt).iter().map(|(name, value)| (*name, (*value).to_owned())));
        out
    };
    own.columns.iter().zip(&own.nullable).enumerate().map(one).collect()
}

/// The name that the standard has for a type of PostgreSQL.
fn standard(udt: &str) -> &str {
    match udt {
        "bool" => "boolean",
        "int2" => "smallint",
        "int4" => "integer",
        "int8" => "bigint",
        "float4" => "real",
        "float8" => "double precision",
        "varchar" => "character varying",
        "timestamp" => "timestamp without time zone",
        "timestamptz" => "timestamp with time zone",
        "time" => "time without time zone",
        array if array.starts_with('_') => "ARRAY",
        same => same,
    }
}

/// How large values of a type of PostgreSQL can be.
fn size(udt: &str) -> &'static [(&'static str, &'static str)] {
    match udt {
        "int2" => &[("numeric_precision", "16"), ("numeric_precision_radix", "2"), ("numeric_scale", "0")],
        "int4" => &[("numeric_precision", "32"), ("numeric_precision_radix", "2"), ("numeric_scale", "0")],
        "int8" => &[("numeric_precision", "64"), ("numeric_precision_radix", "2"), ("numeric_scale", "0")],
        "float4" => &[("numeric_precision", "24"), ("numeric_precision_radix", "2")],
        "float8" => &[("numeric_precision", "53"), ("numeric_precision_radix", "2")],
        "timestamp" | "timestamptz" | "time" => &[("datetime_precision", "6")],
        "date" => &[("datetime_precision", "0")],
        "text" | "varchar" => &[("character_octet_length", "1073741824")],
        _ => &[],
    }
}

/// Rows as a table of these columns.
fn laid_out(columns: &str, rows: &[Row]) -> Result<MemTable, DataFusionError> {
    let (mut shown, mut arrays) = (Vec::new(), Vec::<ArrayRef>::new());
    for column in columns.split_whitespace() {
        let name = column.trim_end_matches('#');
        let values = rows.iter().map(|row| row.get(name).map(String::as_str));
        let (kind, array): (DataType, ArrayRef) = match name == column {
            true => (DataType::Utf8, Arc::new(values.collect::<StringArray>())),
            false => {
                let numbers = values.map(|value| value?.parse().ok());
                (DataType::Int32, Arc::new(numbers.collect::<Int32Array>()))
            }
        };
        shown.push(Field::new(name, kind, true));
        arrays.push(array);
    }
    let schema = Arc::new(Schema::new(shown));
    let batch = RecordBatch::try_new(schema.clone(), arrays)?;
    MemTable::try_new(schema, vec![vec![batch]])
}
