//! What a table, a view and each of their columns is, in the words of the schemas and of the catalogue.

use crate::query::{Catalogue, Query};
use crate::schema::{self, Table};

/// The database, or catalogue, that there is.
pub(super) const DATABASE: &str = "agentrail";
/// The schema of the views.
pub(super) const VIEWS: &str = "public";

/// A table or a view of a session.
pub(super) struct Described {
    pub view: Option<&'static Query>,
    table: Option<&'static Table>,
}

impl Described {
    pub fn of(schema: &str, name: &str) -> Described {
        let views = Catalogue::embedded().views();
        let view = views.iter().find(|view| schema == VIEWS && view.name == name);
        Described { view, table: schema::table(name) }
    }

    pub fn says(&self) -> String {
        match self.view {
            Some(view) => view.title.clone(),
            None => self.table.map(|table| table.doc.clone()).unwrap_or_default(),
        }
    }

    /// What a column is; a view shows columns of the tables it reads.
    pub fn column(&self, name: &str) -> Option<&'static str> {
        let read = self.view.map(|view| view.reads.as_slice()).unwrap_or_default();
        let tables = self.table.into_iter().chain(read.iter().filter_map(|read| schema::table(read)));
        let (_, column) = tables.into_iter().find_map(|table| table.column(name))?;
        Some(column.doc.as_str()).filter(|doc| !doc.is_empty())
    }
}
