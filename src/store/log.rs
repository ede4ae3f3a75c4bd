//! The Delta log: one JSON file a version, each line an action; a checkpoint sums up what came before.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arrow::array::{Array as _, ArrayRef, AsArray as _, StructArray};
use arrow::datatypes::{DataType, Int64Type};
use serde_json::{Value as Json, json};

use super::place::Place;
use super::{StoreError, parquet, stats};
use crate::model::Date;
use crate::schema::{DataFile, Kind, PARTITION, Table};

/// What hive-style folders are called for a null.
const NULL_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

/// The file of an entry, relative to the table's folder.
pub(super) fn entry_name(version: u64) -> String {
    format!("_delta_log/{version:020}.json")
}

/// The folder of a day, relative to the table's.
pub(super) fn partition_folder(table: &Table, date: Option<Date>) -> String {
    match date {
        _ if !table.partitioned => String::new(),
        Some(date) => format!("{PARTITION}={date}/"),
        None => format!("{PARTITION}={NULL_PARTITION}/"),
    }
}

/// The first entry of a table: protocol and metadata.
pub(super) fn creation(table: &Table, id: &str, millis: i64) -> String {
    lines(&[
        json!({"commitInfo": {"timestamp": millis, "operation": "CREATE TABLE", "engineInfo": engine()}}),
        json!({"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}),
        metadata(table, id, millis),
    ])
}

/// The entry that tells of the columns that a later version of a table has.
pub(super) fn widening(table: &Table, id: &str, millis: i64) -> String {
    lines(&[
        json!({"commitInfo": {"timestamp": millis, "operation": "ADD COLUMNS", "engineInfo": engine()}}),
        metadata(table, id, millis),
    ])
}

fn metadata(table: &Table, id: &str, millis: i64) -> Json {
    let fields: Vec<Json> = table
        .columns
        .iter()
        .map(|c| json!({"name": c.name, "type": delta_type(&c.kind), "nullable": !c.required, "metadata": {"comment": c.doc}}))
        .chain(table.partitioned.then(|| {
            json!({"name": PARTITION, "type": "date", "nullable": true, "metadata": {"comment": "UTC day, the partition."}})
        }))
        .collect();
    let schema = json!({"type": "struct", "fields": fields}).to_string();
    let partitions: Vec<&str> = table.partitioned.then_some(PARTITION).into_iter().collect();
    json!({"metaData": {
        "id": id, "name": table.name, "description": table.doc, "format": {"provider": "parquet", "options": {}},
        "schemaString": schema, "partitionColumns": partitions, "createdTime": millis,
        // Thirty days by default: at a commit a second that is millions of entries to list. Who asks what
        // was believed before asks by `known`, not by version.
        "configuration": {"delta.logRetentionDuration": "interval 1 days"},
    }})
}

fn engine() -> String {
    format!("agentrail/{}", env!("CARGO_PKG_VERSION"))
}

fn delta_type(kind: &Kind) -> Json {
    let list = |item: Json| json!({"type": "array", "elementType": item, "containsNull": true});
    match kind {
        Kind::Text => json!("string"),
        Kind::Bigint => json!("long"),
        Kind::Boolean => json!("boolean"),
        Kind::Timestamp => json!("timestamp"),
        Kind::Binary => json!("binary"),
        Kind::TextList => list(json!("string")),
        Kind::StructList(fields) => {
            let fields: Vec<Json> = fields
                .iter()
                .map(|(name, kind)| json!({"name": name, "type": delta_type(kind), "nullable": true, "metadata": {}}))
                .collect();
            list(json!({"type": "struct", "fields": fields}))
        }
    }
}

fn lines(actions: &[Json]) -> String {
    actions.iter().map(|a| a.to_string() + "\n").collect()
}

/// An entry that adds files, removes files, or for a compaction does both with the same rows.
pub(super) fn entry(
    table: &Table,
    added: &[Arc<DataFile>],
    removed: &[Arc<DataFile>],
    millis: i64,
) -> String {
    let compaction = !removed.is_empty() && !added.is_empty();
    let operation = match (added.is_empty(), removed.is_empty()) {
        (false, false) => "OPTIMIZE",
        (true, false) => "DELETE",
        _ => "WRITE",
    };
    let mut actions = vec![json!({"commitInfo": {
        "timestamp": millis, "operation": operation, "operationParameters": {}, "engineInfo": engine(),
        "isBlindAppend": removed.is_empty(),
    }})];
    for file in removed {
        actions.push(json!({"remove": {
            "path": file.path, "deletionTimestamp": millis, "dataChange": !compaction, "extendedFileMetadata": true,
            "partitionValues": partition_values(table, file), "size": file.bytes,
        }}));
    }
    for file in added {
        actions.push(json!({"add": {
            "path": file.path, "partitionValues": partition_values(table, file), "size": file.bytes,
            "modificationTime": millis, "dataChange": !compaction, "stats": stats::to_json(table, file.rows, &file.ranges),
        }}));
    }
    lines(&actions)
}

fn partition_values(table: &Table, file: &DataFile) -> Json {
    if table.partitioned { json!({PARTITION: file.date.map(|d| d.to_string())}) } else { json!({}) }
}

/// The active files of a table as its log is read on.
#[derive(Debug, Clone, Default)]
pub(super) struct Active {
    /// The version read last; `None` before the first.
    pub version: Option<u64>,
    pub files: BTreeMap<String, Arc<DataFile>>,
    /// What the log says of the table itself.
    pub described: Option<Described>,
    /// When it was read last.
    read: Option<SystemTime>,
}

/// The id of a table, and the columns that other readers are told of.
#[derive(Debug, Clone)]
pub(super) struct Described {
    pub id: String,
    pub columns: Vec<String>,
}

impl Described {
    fn of(id: Option<&str>, schema: Option<&str>) -> Option<Described> {
        let schema: Json = serde_json::from_str(schema?).ok()?;
        let fields = schema.get("fields")?.as_array()?;
        let name = |field: &Json| Some(field.get("name")?.as_str()?.to_owned());
        Some(Described { id: id?.to_owned(), columns: fields.iter().filter_map(name).collect() })
    }
}

/// Entries are kept for a day, so whoever has read on within this time has missed none.
const FRESH: Duration = Duration::from_secs(600);

impl Active {
    /// The files of one day: a look-up, however many days there are.
    pub fn of_day(&self, table: &Table, date: Option<Date>) -> impl Iterator<Item = &DataFile> {
        let folder = partition_folder(table, date);
        let from = folder.clone();
        self.files
            .range(from..)
            .take_while(move |(path, _)| path.starts_with(&folder))
            .map(|(_, file)| file.as_ref())
    }

    /// Whether the log was read to its end within this time.
    pub fn is_read_within(&self, time: Duration) -> bool {
        self.read.is_some_and(|last| SystemTime::now().duration_since(last).is_ok_and(|since| since < time))
    }

    /// The next version is our own: it was created, so there is none after it.
    pub fn created(&mut self, version: u64) {
        self.version = Some(version);
        self.read = Some(SystemTime::now());
    }

    /// Reads every version after the one read last. Returns whether there was any.
    pub fn read_on(&mut self, table: &Table, place: &Place) -> Result<bool, StoreError> {
        let before = self.version;
        // From far away the checkpoint is one request where its entries are hundreds.
        if before.is_none() && place.is_remote() {
            self.start(table, place)?;
        }
        self.read_entries(table, place)?;
        let fresh = self.is_read_within(FRESH);
        self.read = Some(SystemTime::now());
        // The entries in between may have been cleaned up behind a checkpoint.
        if !fresh
            && let Some(checkpoint) = last_checkpoint(place)?
            && self.version.is_none_or(|v| v < checkpoint)
        {
            let (files, described) = read_checkpoint(table, place, checkpoint)?;
            (self.files, self.described) = (files, described.or(self.described.take()));
            self.version = Some(checkpoint);
            self.read_on(table, place)?;
        }
        Ok(self.version != before)
    }

    /// Begins at the last checkpoint; where there is none to be read, at the first entry.
    fn start(&mut self, table: &Table, place: &Place) -> Result<(), StoreError> {
        let Some(checkpoint) = last_checkpoint(place)? else { return Ok(()) };
        match read_checkpoint(table, place, checkpoint) {
            Ok((files, described)) => {
                (self.files, self.described, self.version) = (files, described, Some(checkpoint));
            }
            Err(e) if e.is_missing() => {}
            Err(e) => return Err(e),
        }
        Ok(())
    }

    /// Reads entries until there is no next one.
    fn read_entries(&mut self, table: &Table, place: &Place) -> Result<(), StoreError> {
        let mut ahead = 1;
        loop {
            let next = self.version.map_or(0, |v| v + 1);
            let names: Vec<String> = (next..next + ahead as u64).map(entry_name).collect();
            for (version, (name, bytes)) in (next..).zip(names.iter().zip(place.read_all(&names)?)) {
                let Some(bytes) = bytes else { return Ok(()) };
                let path = place.full(name);
                let text = String::from_utf8(bytes)
                    .map_err(|e| StoreError::Log { path: path.clone(), says: e.to_string() })?;
                self.apply(table, &text, &path)?;
                self.version = Some(version);
            }
            ahead = (ahead * 2).min(place.ahead());
        }
    }

    fn apply(&mut self, table: &Table, text: &str, path: &Path) -> Result<(), StoreError> {
        let wrong = |says: String| StoreError::Log { path: path.to_owned(), says };
        if text.trim().is_empty() {
            return Err(wrong("the entry is empty; restore the lake from a backup".into()));
        }
        for line in text.lines().filter(|l| !l.trim().is_empty()) {
            let action: Json = serde_json::from_str(line).map_err(|e| wrong(e.to_string()))?;
            if let Some(add) = action.get("add") {
                if add.get("deletionVector").is_some_and(|d| !d.is_null()) {
                    return Err(wrong(
                        "deletion vectors are not supported; purge them with the writer that made them"
                            .into(),
                    ));
                }
                let file = file_of(table, add)
                    .ok_or_else(|| wrong(format!("an added file cannot be understood: {add}")))?;
                self.files.insert(file.path.clone(), Arc::new(file));
            } else if let Some(remove) = action.get("remove") {
                if let Some(path) = remove.get("path").and_then(Json::as_str) {
                    self.files.remove(path);
                }
            } else if let Some(protocol) = action.get("protocol") {
                let version = |name: &str| protocol.get(name).and_then(Json::as_u64).unwrap_or(0);
                if version("minReaderVersion") > 1 || version("minWriterVersion") > 2 {
                    return Err(wrong(format!(
                        "another program raised the table's protocol to {protocol}, which this one cannot write"
                    )));
                }
            } else if let Some(meta) = action.get("metaData") {
                if meta.pointer("/configuration/delta.columnMapping.mode").is_some_and(|m| m != "none") {
                    return Err(wrong("column mapping is not supported".into()));
                }
                let text = |name: &str| meta.get(name).and_then(Json::as_str);
                self.described = Described::of(text("id"), text("schemaString"));
            }
        }
        Ok(())
    }
}

fn file_of(table: &Table, add: &Json) -> Option<DataFile> {
    let path = add.get("path")?.as_str()?.to_owned();
    let bytes = add.get("size")?.as_u64()?;
    let date = add.pointer(&format!("/partitionValues/{PARTITION}")).and_then(Json::as_str);
    let (rows, ranges) =
        add.get("stats").and_then(Json::as_str).map(|s| stats::from_json(table, s)).unwrap_or_default();
    Some(DataFile { path, bytes, rows: rows.unwrap_or(0), date: date.and_then(Date::parse), ranges })
}

/// The version of the last checkpoint; `None` when there is none.
pub(super) fn last_checkpoint(place: &Place) -> Result<Option<u64>, StoreError> {
    let Some(bytes) = place.read("_delta_log/_last_checkpoint")? else { return Ok(None) };
    let json = serde_json::from_slice::<Json>(&bytes).ok();
    Ok(json.and_then(|json| json.get("version")?.as_u64()))
}

/// The files of a checkpoint by their paths, and what it says of the table.
type Checkpoint = (BTreeMap<String, Arc<DataFile>>, Option<Described>);

fn read_checkpoint(table: &Table, place: &Place, version: u64) -> Result<Checkpoint, StoreError> {
    let name = format!("_delta_log/{version:020}.checkpoint.parquet");
    let columns =
        ["add.path", "add.size", "add.stats", "add.partitionValues", "metaData.id", "metaData.schemaString"];
    let path = place.full(&name);
    let mut files = BTreeMap::new();
    let mut described = None;
    for batch in parquet::batches(place, &name, &columns)? {
        described = described.or(batch.column_by_name("metaData").and_then(described_in));
        let Some(adds) = batch.column_by_name("add").and_then(|a| a.as_any().downcast_ref::<StructArray>())
        else {
            continue;
        };
        let text = |name: &str| {
            adds.column_by_name(name).map(|c| arrow::compute::cast(c, &arrow::datatypes::DataType::Utf8))
        };
        let (Some(Ok(paths)), Some(Ok(stats)), Some(sizes)) =
            (text("path"), text("stats"), adds.column_by_name("size"))
        else {
            let says = "the checkpoint has no paths, sizes or statistics".to_owned();
            return Err(StoreError::Log { path, says });
        };
        let (paths, stats) = (paths.as_string::<i32>(), stats.as_string::<i32>());
        let sizes = sizes.as_primitive::<Int64Type>();
        for i in (0..adds.len()).filter(|i| adds.is_valid(*i) && paths.is_valid(*i)) {
            let path = paths.value(i).to_owned();
            // The folder names the day as well, and is simpler to read than a map.
            let date =
                path.strip_prefix(&format!("{PARTITION}=")).and_then(|p| Date::parse(p.split('/').next()?));
            let (rows, ranges) =
                if stats.is_valid(i) { stats::from_json(table, stats.value(i)) } else { Default::default() };
            let bytes = u64::try_from(sizes.value(i)).unwrap_or(0);
            files.insert(
                path.clone(),
                Arc::new(DataFile { path, bytes, rows: rows.unwrap_or(0), date, ranges }),
            );
        }
    }
    Ok((files, described))
}

/// What a checkpoint says of the table itself, in one of its rows.
fn described_in(column: &ArrayRef) -> Option<Described> {
    let all = column.as_any().downcast_ref::<StructArray>()?;
    let text = |name: &str| arrow::compute::cast(all.column_by_name(name)?, &DataType::Utf8).ok();
    let (ids, schemas) = (text("id")?, text("schemaString")?);
    let (ids, schemas) = (ids.as_string::<i32>(), schemas.as_string::<i32>());
    let row =
        (0..all.len()).find(|row| all.is_valid(*row) && ids.is_valid(*row) && schemas.is_valid(*row))?;
    Described::of(Some(ids.value(row)), Some(schemas.value(row)))
}
