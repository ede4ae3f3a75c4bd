//! The active files of a table as plain values: what the store keeps and a query plans over.

use std::sync::Arc;

use super::Table;
use crate::model::Date;

/// The files of one table at one version.
#[derive(Debug, Clone)]
pub struct FileSet {
    pub table: &'static Table,
    /// URL of the table's folder, for example `file:///var/lib/agentrail/events/`.
    pub root: String,
    /// The Delta version this is the state of.
    pub version: u64,
    pub files: Arc<Vec<Arc<DataFile>>>,
}

/// One active Parquet file.
#[derive(Debug, Clone, PartialEq)]
pub struct DataFile {
    /// Path below the table's folder, not percent-encoded.
    pub path: String,
    pub bytes: u64,
    pub rows: u64,
    /// Its partition; `None` for an unpartitioned table and for undated rows.
    pub date: Option<Date>,
    /// Statistics of the columns that have them.
    pub ranges: Vec<ColumnRange>,
}

/// What a file holds of one column. `min` and `max` may be wider than the values, never narrower.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnRange {
    /// Index into the table's columns.
    pub column: usize,
    pub min: Option<Value>,
    pub max: Option<Value>,
    pub nulls: Option<u64>,
}

/// A bound of a column.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
pub enum Value {
    Text(String),
    Bigint(i64),
    Boolean(bool),
    /// Microseconds since the epoch, UTC.
    Timestamp(i64),
}
