//! The tables, read from schemas/.
//!
//! `schemas/<table>/<version>.toml` is a full picture of a table at that version. Invariants:
//! 1. A later version only widens: no column goes, changes its type or its place, or becomes required.
//! 2. A released file never changes; `schemas/locks.toml` holds its digest.
//! 3. `known`, `writer` and `seq` close every table; the committer fills them.

mod files;
mod parse;

pub use files::{ColumnRange, DataFile, FileSet, Value};
pub use parse::SchemaError;
#[cfg(all(test, feature = "io"))]
pub(crate) use parse::parse;

use std::sync::LazyLock;

/// The columns that the committer fills, last in every table and in this order.
pub const STAMPS: [&str; 3] = ["known", "writer", "seq"];

/// The partition column of event-like tables: the UTC day of `occurred`, null where a record names
/// no time of its own (so that the same state always has the same day, whenever it is seen).
pub const PARTITION: &str = "date";

/// One table.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    pub name: &'static str,
    pub version: u32,
    pub doc: String,
    /// The column whose text is unique in the table.
    pub key: String,
    /// Columns that must agree when a key comes again; where they differ it is a conflict.
    pub check: Vec<String>,
    /// Whether it is partitioned by [`PARTITION`].
    pub partitioned: bool,
    /// Rows are sorted by these within a file.
    pub sort: Vec<String>,
    /// Columns with a bloom filter.
    pub bloom: Vec<String>,
    /// Columns whose minimum and maximum are kept per file.
    pub stats: Vec<String>,
    pub columns: Vec<Column>,
}

/// One column of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    pub name: String,
    pub kind: Kind,
    pub required: bool,
    pub doc: String,
}

/// The type of a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    Text,
    Bigint,
    Boolean,
    /// Microseconds since the epoch, UTC.
    Timestamp,
    Binary,
    TextList,
    /// A list of structs of these fields, each text, bigint or timestamp.
    StructList(Vec<(String, Kind)>),
}

impl Table {
    pub fn column(&self, name: &str) -> Option<(usize, &Column)> {
        self.columns.iter().enumerate().find(|(_, c)| c.name == name)
    }
}

/// All tables, newest version of each, in the order in which a commit writes them: what others
/// cite comes first, `events` last.
pub fn tables() -> &'static [Table] {
    static TABLES: LazyLock<Vec<Table>> = LazyLock::new(|| {
        SOURCES.iter().map(|(name, version, text)| parse::embedded(name, *version, text)).collect()
    });
    &TABLES
}

/// The table of this name.
pub fn table(name: &str) -> Option<&'static Table> {
    tables().iter().find(|t| t.name == name)
}

macro_rules! sources {
    ($($name:literal $version:literal),* $(,)?) => {
        /// Name, version and text of each embedded schema file.
        pub const SOURCES: &[(&str, u32, &str)] = &[
            $(($name, $version, include_str!(concat!("../../schemas/", $name, "/", $version, ".toml")))),*
        ];
    };
}

sources! {
    "facts" 1, "jobs" 1, "runs" 1, "agents" 2, "pools" 1, "identities" 1, "bindings" 1, "grants" 1, "holdings" 1,
    "signins" 1, "coverage" 1, "rejects" 1, "findings" 2, "queries_log" 1, "export_rejects" 1, "revisions" 1, "events" 1,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_file_is_embedded_and_sound() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas");
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                assert!(table(&name).is_some(), "{name} is not embedded");
            }
        }
        for t in tables() {
            let names: Vec<&str> = t.columns.iter().map(|c| c.name.as_str()).collect();
            assert_eq!(names[names.len() - 3..], STAMPS, "{}", t.name);
            for c in t.sort.iter().chain(&t.bloom).chain(&t.stats).chain(&t.check).chain([&t.key]) {
                assert!(t.column(c).is_some(), "{}: no column {c}", t.name);
            }
        }
        assert_eq!(tables().last().map(|t| t.name), Some("events"));
    }

    /// A released schema is frozen. Print the new line with `cargo test schema -- --nocapture`.
    #[test]
    fn digests_are_locked() {
        let locks: toml::Table = toml::from_str(include_str!("../../schemas/locks.toml")).unwrap();
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas");
        let before = SOURCES.iter().flat_map(|(name, version, _)| (1..*version).map(move |n| (*name, n)));
        let before: Vec<(&str, u32, String)> = before
            .map(|(name, n)| (name, n, std::fs::read_to_string(format!("{folder}/{name}/{n}.toml")).unwrap()))
            .collect();
        let newest = SOURCES.iter().map(|(name, version, text)| (*name, *version, (*text).to_owned()));
        for (name, version, text) in newest.chain(before.clone()) {
            let digest = crate::model::RecordHash::of(text.as_bytes()).to_string();
            let entry = format!("{name}/{version}");
            println!("\"{entry}\" = \"{digest}\"");
            assert_eq!(locks.get(&entry).and_then(|d| d.as_str()), Some(digest.as_str()), "{entry}");
        }
        // A version has all that the one before it had, in the same order.
        for (name, version, text) in &before {
            let old = parse::parse(name, *version, text).unwrap();
            let mut now = table(name).unwrap().columns.iter();
            for column in &old.columns {
                let found = now.find(|c| c.name == column.name).unwrap();
                assert_eq!(
                    (&found.kind, found.required),
                    (&column.kind, column.required),
                    "{name}.{}",
                    column.name
                );
            }
        }
    }
}
