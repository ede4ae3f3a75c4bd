//! What drivers look up before they ask: catalogues, schemas, tables with their columns, keys.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow_flight::error::Result;
use arrow_flight::sql::metadata::{GetCatalogsBuilder, GetDbSchemasBuilder, GetTablesBuilder};
use arrow_flight::sql::{CommandGetDbSchemas, CommandGetTableTypes, CommandGetTables};
use datafusion::arrow::array::{AsArray as _, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use tonic::Status;

use super::refused::{flight, refusal};
use super::service::Door;
use super::sign_in::Signed;
use crate::query::{QueryError, Session};
use crate::serve::columns::plain;
use crate::serve::described::{DATABASE, Described, VIEWS};

/// The schema that the engine makes of all others.
const OF_THE_ENGINE: &str = "information_schema";

/// A primary key, of which there is none to a driver: keys are of texts that nobody joins by.
pub(super) static PRIMARY_KEYS: LazyLock<SchemaRef> = LazyLock::new(|| {
    columns(&[
        ("catalog_name", DataType::Utf8, true),
        ("db_schema_name", DataType::Utf8, true),
        ("table_name", DataType::Utf8, false),
        ("column_name", DataType::Utf8, false),
        ("key_name", DataType::Utf8, true),
        ("key_sequence", DataType::Int32, false),
    ])
});

/// Keys of other tables, imported, exported or across.
pub(super) static FOREIGN_KEYS: LazyLock<SchemaRef> = LazyLock::new(|| {
    columns(&[
        ("pk_catalog_name", DataType::Utf8, true),
        ("pk_db_schema_name", DataType::Utf8, true),
        ("pk_table_name", DataType::Utf8, false),
        ("pk_column_name", DataType::Utf8, false),
        ("fk_catalog_name", DataType::Utf8, true),
        ("fk_db_schema_name", DataType::Utf8, true),
        ("fk_table_name", DataType::Utf8, false),
        ("fk_column_name", DataType::Utf8, false),
        ("key_sequence", DataType::Int32, false),
        ("fk_key_name", DataType::Utf8, true),
        ("pk_key_name", DataType::Utf8, true),
        ("update_rule", DataType::UInt8, false),
        ("delete_rule", DataType::UInt8, false),
    ])
});

fn columns(all: &[(&str, DataType, bool)]) -> SchemaRef {
    let one = |(name, kind, nullable): &(&str, DataType, bool)| Field::new(*name, kind.clone(), *nullable);
    Arc::new(Schema::new(all.iter().map(one).collect::<Vec<_>>()))
}

pub(super) fn catalogs() -> Result<RecordBatch> {
    let mut rows = GetCatalogsBuilder::new();
    rows.append(DATABASE);
    rows.build()
}

pub(super) fn table_types() -> Result<RecordBatch> {
    let mut rows = CommandGetTableTypes {}.into_builder();
    rows.append("TABLE");
    rows.append("VIEW");
    rows.build()
}

fn type_of(schema: &str) -> &'static str {
    if schema == VIEWS { "VIEW" } else { "TABLE" }
}

/// The name of a type in SQL.
pub(super) fn sql_name(kind: &DataType) -> &'static str {
    match kind {
        DataType::Boolean => "BOOLEAN",
        DataType::Int64 | DataType::UInt64 => "BIGINT",
        DataType::Float64 => "DOUBLE",
        DataType::Timestamp(..) => "TIMESTAMP",
        DataType::Date32 => "DATE",
        DataType::Binary => "VARBINARY",
        DataType::List(_) => "ARRAY",
        DataType::Struct(_) => "STRUCT",
        kind if kind.is_integer() => "INTEGER",
        _ => "VARCHAR",
    }
}

/// The columns of a table with what each is.
fn described(schema: &str, name: &str, columns: &Schema) -> Schema {
    let own = Described::of(schema, name);
    let column = |field: &FieldRef| {
        let mut notes = HashMap::new();
        let mut note = |key: &str, value: &str| {
            notes.insert(format!("ARROW:FLIGHT:SQL:{key}"), value.to_owned());
        };
        note("CATALOG_NAME", DATABASE);
        note("DB_SCHEMA_NAME", schema);
        note("TABLE_NAME", name);
        note("TYPE_NAME", sql_name(field.data_type()));
        note("IS_READ_ONLY", "1");
        note("IS_AUTO_INCREMENT", "0");
        note("IS_CASE_SENSITIVE", "1");
        note("IS_SEARCHABLE", "1");
        if let Some(says) = own.column(field.name()) {
            note("REMARKS", says);
        }
        field.as_ref().clone().with_metadata(notes)
    };
    let says = HashMap::from([("ARROW:FLIGHT:SQL:REMARKS".to_owned(), own.says())]);
    Schema::new(columns.fields().iter().map(column).collect::<Vec<_>>()).with_metadata(says)
}

/// The schemas and the names in each.
fn names(session: &Session) -> Vec<(String, Vec<String>)> {
    let Some(catalog) = session.context().catalog(DATABASE) else { return Vec::new() };
    let own = catalog.schema_names().into_iter().filter(|schema| schema != OF_THE_ENGINE);
    own.map(|schema| {
        let names = catalog.schema(&schema).map(|own| own.table_names()).unwrap_or_default();
        (schema, names)
    })
    .collect()
}

/// The tables that were asked for; their columns only where those were, for views are planned to know them.
async fn rows(
    session: &Session,
    asked: CommandGetTables,
) -> std::result::Result<Result<RecordBatch>, QueryError> {
    let with_columns = asked.include_schema;
    let mut found = GetTablesBuilder::from(CommandGetTables { include_schema: false, ..asked.clone() });
    for (schema, names) in names(session) {
        for name in names {
            if let Err(error) = found.append(DATABASE, &schema, name, type_of(&schema), &Schema::empty()) {
                return Ok(Err(error));
            }
        }
    }
    let found = match found.build() {
        Ok(found) if with_columns => found,
        other => return Ok(other),
    };
    let mut rows = GetTablesBuilder::from(asked);
    let (schemas, names) = (found.column(1).as_string::<i32>(), found.column(2).as_string::<i32>());
    for (schema, name) in schemas.iter().flatten().zip(names.iter().flatten()) {
        let provider = session.context().table_provider(format!("{schema}.{name}").as_str()).await?;
        let columns = described(schema, name, &plain(&provider.schema()));
        if let Err(error) = rows.append(DATABASE, schema, name, type_of(schema), &columns) {
            return Ok(Err(error));
        }
    }
    Ok(rows.build())
}

impl Door {
    pub async fn schemas(
        &self,
        signed: &Signed,
        asked: CommandGetDbSchemas,
    ) -> std::result::Result<RecordBatch, Status> {
        let work = |session: Session| async move { Ok(names(&session)) };
        let names = self.gate.plan(&signed.asker(), "GetDbSchemas", work).await.map_err(refusal)?;
        let mut rows = GetDbSchemasBuilder::from(asked);
        names.into_iter().for_each(|(schema, _)| rows.append(DATABASE, schema));
        rows.build().map_err(flight)
    }

    pub async fn tables(
        &self,
        signed: &Signed,
        asked: CommandGetTables,
    ) -> std::result::Result<RecordBatch, Status> {
        let work = |session: Session| async move { rows(&session, asked).await };
        let rows = self.gate.plan(&signed.asker(), "GetTables", work).await.map_err(refusal)?;
        rows.map_err(flight)
    }
}
