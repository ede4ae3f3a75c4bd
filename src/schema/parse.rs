//! Reads one schema file.

use serde::Deserialize;

use super::{Column, Kind, Table};

/// A schema file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    #[error("read schema `{table}`: {source}")]
    Toml { table: String, source: toml::de::Error },
    #[error(
        "read schema `{table}`: column `{column}` has the unknown type `{kind}`; use text, bigint, boolean, timestamp, binary, list or list<text>"
    )]
    Kind { table: String, column: String, kind: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    doc: String,
    key: String,
    #[serde(default)]
    check: Vec<String>,
    partition: Option<String>,
    sort: Vec<String>,
    bloom: Vec<String>,
    stats: Vec<String>,
    column: Vec<FileColumn>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileColumn {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    required: bool,
    doc: String,
    #[serde(default)]
    fields: Vec<FileField>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileField {
    name: String,
    #[serde(rename = "type")]
    kind: String,
}

/// Reads the text of a schema file.
pub fn parse(name: &'static str, version: u32, text: &str) -> Result<Table, SchemaError> {
    let file: File =
        toml::from_str(text).map_err(|source| SchemaError::Toml { table: name.to_owned(), source })?;
    let mut columns = Vec::with_capacity(file.column.len());
    for c in file.column {
        let kind = |kind: &str| {
            scalar(kind).ok_or_else(|| SchemaError::Kind {
                table: name.to_owned(),
                column: c.name.clone(),
                kind: kind.to_owned(),
            })
        };
        let kind = match c.kind.as_str() {
            "list<text>" => Kind::TextList,
            "list" => Kind::StructList(
                c.fields.iter().map(|f| Ok((f.name.clone(), kind(&f.kind)?))).collect::<Result<_, _>>()?,
            ),
            other => kind(other)?,
        };
        columns.push(Column { name: c.name, kind, required: c.required, doc: c.doc });
    }
    Ok(Table {
        name,
        version,
        doc: file.doc,
        key: file.key,
        check: file.check,
        partitioned: file.partition.is_some(),
        sort: file.sort,
        bloom: file.bloom,
        stats: file.stats,
        columns,
    })
}

/// Reads a schema that is part of the program; a test reads each of them, so this cannot fail.
pub(super) fn embedded(name: &'static str, version: u32, text: &str) -> Table {
    parse(name, version, text).unwrap_or_else(|e| unreachable!("embedded schema: {e}"))
}

fn scalar(kind: &str) -> Option<Kind> {
    Some(match kind {
        "text" => Kind::Text,
        "bigint" => Kind::Bigint,
        "boolean" => Kind::Boolean,
        "timestamp" => Kind::Timestamp,
        "binary" => Kind::Binary,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_key_or_type_is_refused() {
        let good = "doc = \"\"\nkey = \"a\"\nsort = []\nbloom = []\nstats = []\n[[column]]\nname = \"a\"\ntype = \"text\"\ndoc = \"\"\n";
        assert!(parse("t", 1, good).is_ok());
        assert!(
            parse("t", 1, &good.replace("\"text\"", "\"string\""))
                .unwrap_err()
                .to_string()
                .contains("`string`")
        );
        assert!(parse("t", 1, &good.replace("bloom", "blom")).is_err());
    }
}
