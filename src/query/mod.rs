//! The SQL session over pinned files: views, functions, the catalogue of queries/.
//!
//! Invariants:
//! 1. A session sees one version of every table, whatever is committed meanwhile.
//! 2. Nothing a statement says writes, reads a file or changes a setting.
//! 3. A file is read only if its partition and statistics allow a match.
//! 4. What a [`Scope`] hides is hidden below every view, function and statement.
//! 5. A statement is planned only if its size is one that can be: planning is not stopped, and depth costs stack.

mod actions;
mod around;
mod bounded;
mod catalogue;
mod detection;
mod firsts;
mod function;
mod joined;
mod lists;
mod literal;
mod made;
mod moments;
mod narrowed;
mod pool;
mod pruning;
mod render;
mod scope;
mod session;
mod sigma;
mod size;
mod stopping;
mod table;
mod threads;
mod together;
mod trace;
mod views;
mod write;
mod yielding;

pub use actions::{Action, NOT_AUDITED, actions, names, silent};
pub use catalogue::{Catalogue, Param, Query, parse};
pub use detection::{Detection, FOUND, SEVERITIES, columns_fault, value_of};
pub use literal::quoted;
pub use made::Shortage;
pub use moments::with_seconds;
pub use render::{Told, how_sure, render, story};
pub use scope::Scope;
pub use session::{Answer, Limits, Place, Prepared, Session, Share};
pub use sigma::compile as compile_sigma;
pub use size::{LONGEST_STATEMENT, check_parsed, check_text};
pub use stopping::stopped_by;
pub use threads::{BLOCKING, Threads};
pub use trace::Trace;
pub use write::{Format, Object, WriteError, as_text, flat, is_nested, named, objects_of, told_apart, write};

use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;
use object_store::ObjectStore;

use crate::schema::FileSet;

/// A table's files with the Arrow schema they were written in.
#[derive(Debug, Clone)]
pub struct Pinned {
    pub files: FileSet,
    pub schema: SchemaRef,
    /// Where the files are; `None` for the local disk.
    pub store: Option<Arc<dyn ObjectStore>>,
}

/// A query that could not be answered.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error("{0}")]
    Plan(String),
    #[error("stay within the memory of a query; ask for less at once: {0}")]
    Memory(String),
    #[error("plan a statement of this size: {0}")]
    Size(String),
    #[error("read the query `{name}`: {says}")]
    Catalogue { name: String, says: String },
    #[error("find the report `{name}`{hint}; `agentrail report` lists them")]
    NoReport { name: String, hint: String },
    #[error("understand the parameter `{name}`: {says}")]
    Param { name: String, says: String },
}

impl From<DataFusionError> for QueryError {
    fn from(error: DataFusionError) -> QueryError {
        match error.find_root() {
            DataFusionError::ResourcesExhausted(says) => QueryError::Memory(says.clone()),
            other => {
                let says = error.strip_backtrace();
                // The disk to spill to has a bound as well, and no error of its own.
                let is_full = says.contains("the spilling process has exceeded");
                if is_full { QueryError::Memory(other.to_string()) } else { QueryError::Plan(says) }
            }
        }
    }
}
