//! Rows, by key, in one commit: Delta tables on the local disk or in an object store.
//!
//! Invariants:
//! 1. A table never holds a key of one day twice, whatever is delivered again, by whichever process.
//! 2. When [`Lake::commit`] returns, its rows survive a power cut and are visible to readers.
//! 3. `known` rises from commit to commit of a table; `seq` rises per writer in commit order.
//! 4. The tables are plain Delta: any reader opens them.

mod aside;
mod columns;
mod commit;
mod compact;
mod disk;
mod error;
mod fetch;
mod few;
mod index;
mod lake;
mod lease;
mod log;
mod maintain;
mod parquet;
mod place;
mod remote;
mod stats;

pub use columns::{Builder, Cell, arrow_schema};
pub use commit::Writer;
pub use disk::FAILPOINTS;
pub use error::StoreError;
pub use lake::{Lake, Settings};
pub use lease::Lease;
pub use maintain::Maintained;

use arrow::array::RecordBatch;

use crate::model::{Date, Key};
use crate::schema::Table;

/// Rows for one table. The batch holds the table's columns in schema order but for the stamps.
#[derive(Debug, Clone)]
pub struct Rows {
    pub table: &'static Table,
    pub batch: RecordBatch,
    /// One per row.
    pub keys: Vec<RowKey>,
    /// One per row: its partition; all `None` for an unpartitioned table.
    pub dates: Vec<Option<Date>>,
}

impl Rows {
    /// Only the rows of these indexes.
    pub fn only(&self, rows: &[usize]) -> Rows {
        let indexes = arrow::array::UInt32Array::from_iter_values(rows.iter().map(|row| *row as u32));
        let batch = arrow::compute::take_record_batch(&self.batch, &indexes)
            .unwrap_or_else(|e| unreachable!("rows of `{}`: {e}", self.table.name));
        let pick = |row: &usize| (self.keys[*row], self.dates[*row]);
        let (keys, dates) = rows.iter().map(pick).unzip();
        Rows { table: self.table, batch, keys, dates }
    }

    /// The rows of several parts of one table, in their order; `None` for no part.
    pub fn concat(mut parts: Vec<Rows>) -> Option<Rows> {
        if parts.len() < 2 {
            return parts.pop();
        }
        let batches: Vec<&RecordBatch> = parts.iter().map(|p| &p.batch).collect();
        let batch = arrow::compute::concat_batches(&parts[0].batch.schema(), batches)
            .unwrap_or_else(|e| unreachable!("parts of `{}` differ: {e}", parts[0].table.name));
        let table = parts[0].table;
        let (mut keys, mut dates) = (Vec::new(), Vec::new());
        for part in parts {
            keys.extend(part.keys);
            dates.extend(part.dates);
        }
        Some(Rows { table, batch, keys, dates })
    }
}

/// What a row is deduplicated by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowKey {
    pub key: Key,
    /// Digest of the columns that must agree when the key comes again; 0 when the table has none.
    pub check: u64,
}

impl RowKey {
    pub fn new(key: &str) -> RowKey {
        RowKey { key: Key::of(key), check: 0 }
    }

    /// A key with the values that must agree when it comes again.
    pub fn checked(key: &str, check: &[Cell<'_>]) -> RowKey {
        let texts: Vec<String> = check.iter().map(Cell::digestible).collect();
        let parts: Vec<&str> = texts.iter().map(String::as_str).collect();
        RowKey { key: Key::of(key), check: Key::of_parts(&parts).0 as u64 | 1 }
    }
}

/// What became of one `Rows`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Committed {
    /// The table's version that holds them now.
    pub version: u64,
    pub added: u64,
    /// Rows whose key was there already, in the table or earlier in the batch.
    pub duplicates: u64,
    /// Indexes of rows whose key was there with another check: not written.
    pub conflicts: Vec<usize>,
}

#[cfg(test)]
mod tests;
