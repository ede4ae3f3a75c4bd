//! Files: NDJSON or Parquet, by day, on the local disk or in an object store.
//!
//! The folders are those of Amazon Security Lake (docs.aws.amazon.com, "Collecting data from custom sources"):
//! `region=R/accountId=A/eventDay=YYYYMMDD/`, below one folder a class of OCSF, as each class is a source of its own.
//! A batch sent again writes the same file again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::json::ReaderBuilder;
use datafusion::arrow::json::reader::infer_json_schema_from_iterator;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::{Destination, Item, Outcome, SendError, line};

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Ndjson,
    Parquet,
}

/// A folder.
pub struct Files {
    place: Place,
    form: Form,
    /// Values of `region` and `accountId`; without them there is a folder a day only.
    partitions: Option<(String, String)>,
}

enum Place {
    Local(PathBuf),
    Far(Arc<dyn ObjectStore>, object_store::path::Path),
}

impl Files {
    pub fn local(folder: PathBuf, form: Form, partitions: Option<(String, String)>) -> Files {
        Files { place: Place::Local(folder), form, partitions }
    }

    pub fn far(
        store: Arc<dyn ObjectStore>,
        folder: object_store::path::Path,
        form: Form,
        partitions: Option<(String, String)>,
    ) -> Files {
        Files { place: Place::Far(store, folder), form, partitions }
    }

    /// The path of a file below the folder.
    fn path(&self, (class, day): &(String, String), items: &[&Item]) -> String {
        let day = day.replace('-', "");
        let folder = match &self.partitions {
            Some((region, account)) => {
                let source = if class.is_empty() { String::new() } else { format!("{class}/") };
                format!("{source}region={region}/accountId={account}/eventDay={day}")
            }
            None => format!("eventDay={day}"),
        };
        let mut digest = Sha256::new();
        items.iter().for_each(|item| digest.update(format!("{}\n", item.key)));
        let mut name = String::new();
        digest.finalize().iter().take(8).for_each(|byte| _ = write!(name, "{byte:02x}"));
        let first = items.first().map_or(0, |item| item.occurred.unix_micros() / 1000);
        let end = match self.form {
            Form::Ndjson => "ndjson",
            Form::Parquet => "parquet",
        };
        format!("{folder}/{first}-{name}.{end}")
    }

    async fn write(&self, path: &str, bytes: Vec<u8>) -> Result<(), String> {
        match &self.place {
            Place::Local(folder) => {
                let path = folder.join(path);
                let written = tokio::task::spawn_blocking(move || whole(&path, &bytes)).await;
                written.map_err(|e| e.to_string())?.map_err(|e| e.to_string())
            }
            Place::Far(store, folder) => {
                let at = object_store::path::Path::parse(format!("{folder}/{path}"));
                let at = at.map_err(|e| e.to_string())?;
                store.put(&at, PutPayload::from(bytes)).await.map(drop).map_err(|e| e.to_string())
            }
        }
    }
}

#[async_trait]
impl Destination for Files {
    async fn send(&mut self, batch: &[Item]) -> Result<Outcome, SendError> {
        let mut files: BTreeMap<(String, String), Vec<&Item>> = BTreeMap::new();
        for item in batch {
            // A file, and a source of Security Lake, has records of one class.
            let class = item.body.get("class_uid").map_or_else(String::new, Value::to_string);
            files.entry((class, item.occurred.date().to_string())).or_default().push(item);
        }
        for (of, items) in files {
            let path = self.path(&of, &items);
            let bytes = match self.form {
                Form::Ndjson => lines(&items),
                Form::Parquet => {
                    columns(&items).map_err(|e| SendError::Unfit(format!("write `{path}`: {e}")))?
                }
            };
            let written = self.write(&path, bytes).await;
            written.map_err(|e| SendError::later(format!("write `{path}`: {e}")))?;
        }
        Ok(Outcome::default())
    }
}

fn lines(items: &[&Item]) -> Vec<u8> {
    items.iter().flat_map(|item| line(&item.body).into_iter().chain([b'\n'])).collect()
}

/// Members of a record that may be anything, which a column holds as JSON text.
const FREE: [&str; 2] = ["unmapped", "data"];

fn columns(items: &[&Item]) -> Result<Vec<u8>, String> {
    let rows: Vec<Value> = items.iter().map(|item| Value::Object(typed(&item.body))).collect();
    parquet(&rows).or_else(|_| {
        // What differs in its members from record to record is a text of JSON.
        let text = |value: Value| match value {
            Value::Object(_) | Value::Array(_) => Value::String(value.to_string()),
            other => other,
        };
        let flat = |row: Value| match row {
            Value::Object(members) => {
                Value::Object(members.into_iter().map(|(name, value)| (name, text(value))).collect())
            }
            other => other,
        };
        parquet(&rows.into_iter().map(flat).collect::<Vec<_>>())
    })
}

fn parquet(rows: &[Value]) -> Result<Vec<u8>, String> {
    let schema = infer_json_schema_from_iterator(rows.iter().map(Ok)).map_err(|e| e.to_string())?;
    let schema = Arc::new(schema);
    let mut decoder = ReaderBuilder::new(schema.clone())
        .with_batch_size(rows.len().max(1))
        .with_coerce_primitive(true)
        .build_decoder()
        .map_err(|e| e.to_string())?;
    decoder.serialize(rows).map_err(|e| e.to_string())?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).map_err(|e| e.to_string())?))
        .build();
    let mut out = ArrowWriter::try_new(Vec::new(), schema, Some(properties)).map_err(|e| e.to_string())?;
    if let Some(batch) = decoder.flush().map_err(|e| e.to_string())? {
        out.write(&batch).map_err(|e| e.to_string())?;
    }
    out.into_inner().map_err(|e| e.to_string())
}

fn typed(body: &Map<String, Value>) -> Map<String, Value> {
    let one = |(name, value): (&String, &Value)| {
        let value = match value {
            Value::String(_) => value.clone(),
            free if FREE.contains(&name.as_str()) => Value::String(free.to_string()),
            other => nested(other),
        };
        (name.clone(), value)
    };
    body.iter().map(one).collect()
}

fn nested(value: &Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(typed(members)),
        Value::Array(items) => Value::Array(items.iter().map(nested).collect()),
        other => other.clone(),
    }
}

/// Writes a file that is there whole or not at all.
fn whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = folder.join(format!(".{name}.part"));
    let mut file = std::fs::File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    std::fs::File::open(folder)?.sync_all()
}
