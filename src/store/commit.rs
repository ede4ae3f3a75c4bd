//! One commit to one table: what is new, into files, into one log entry.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::take_record_batch;

use super::disk::{self, Turn, failpoint};
use super::index::{Index, Seen};
use super::lake::{now_micros, random_hex};
use super::log::{self, Active};
use super::{Committed, Rows, StoreError, arrow_schema, parquet, stats};
use crate::model::Date;
use crate::schema::{DataFile, FileSet, Table, Value};

/// Days in one commit; a backfill over more is committed in parts.
const MOST_DAYS: usize = 64;
const ATTEMPTS: u32 = 50;

/// One table as this process knows it.
pub(super) struct TableState {
    pub table: &'static Table,
    pub folder: PathBuf,
    pub active: Active,
    pub index: Index,
    /// The newest `known` seen, in microseconds.
    pub known: i64,
    /// The same files, as readers get them.
    pub set: Arc<Vec<Arc<DataFile>>>,
}

/// Who commits, and with which next number.
pub(super) struct Writer {
    pub id: String,
    pub seq: i64,
}

impl TableState {
    /// Opens a table, and makes it when it is not there.
    pub fn open(table: &'static Table, folder: PathBuf) -> Result<TableState, StoreError> {
        let entries = folder.join("_delta_log");
        disk::make_folder(&entries)?;
        let mut state = TableState {
            table,
            folder,
            active: Active::default(),
            index: Index::default(),
            known: 0,
            set: Arc::default(),
        };
        state.refresh()?;
        if state.active.version.is_none() {
            let id = uuid();
            disk::create(
                &log::entry_path(&state.folder, 0),
                log::creation(table, &id, now_micros() / 1000).as_bytes(),
            )?;
            state.refresh()?;
        }
        Ok(state)
    }

    /// Takes in the versions others wrote.
    pub fn refresh(&mut self) -> Result<(), StoreError> {
        if self.active.read_on(self.table, &self.folder)? {
            self.known = self.known.max(self.newest_known());
            self.publish();
        }
        Ok(())
    }

    fn publish(&mut self) {
        self.set = Arc::new(self.active.files.values().cloned().collect());
    }

    /// The newest `known` of any file: no later commit may have an earlier one.
    fn newest_known(&self) -> i64 {
        let known = self.table.column("known").map(|(i, _)| i);
        let ranges = self.active.files.values().flat_map(|f| &f.ranges).filter(|r| Some(r.column) == known);
        let micros = ranges.filter_map(|r| match r.max {
            Some(Value::Timestamp(micros)) => Some(micros),
            _ => None,
        });
        micros.max().unwrap_or(0)
    }

    pub fn files(&self) -> FileSet {
        FileSet {
            table: self.table,
            root: format!("file://{}/", self.folder.display()),
            version: self.active.version.unwrap_or(0),
            files: self.set.clone(),
        }
    }

    /// Commits rows: those whose keys are new. Days beyond the cap go into further entries.
    pub fn commit(
        &mut self,
        rows: &Rows,
        writer: &mut Writer,
        index_bytes: usize,
    ) -> Result<Committed, StoreError> {
        let mut days: BTreeMap<Option<Date>, Vec<usize>> = BTreeMap::new();
        for (row, date) in rows.dates.iter().enumerate() {
            days.entry(*date).or_default().push(row);
        }
        let days: Vec<(Option<Date>, Vec<usize>)> = days.into_iter().collect();
        let mut out = Committed::default();
        for part in days.chunks(MOST_DAYS) {
            self.commit_days(rows, part, writer, &mut out)?;
        }
        out.version = self.active.version.unwrap_or(0);
        out.conflicts.sort_unstable();
        self.index.shrink(index_bytes);
        Ok(out)
    }

    fn commit_days(
        &mut self,
        rows: &Rows,
        days: &[(Option<Date>, Vec<usize>)],
        writer: &mut Writer,
        out: &mut Committed,
    ) -> Result<(), StoreError> {
        let _turn = Turn::take(&self.folder.join("_delta_log").join("_writer.lock"))?;
        for attempt in 0..ATTEMPTS {
            self.refresh()?;
            let mut found = Committed::default();
            let mut fresh: Vec<(Option<Date>, Vec<usize>)> = Vec::new();
            for (date, indexes) in days {
                self.index.cover(self.table, &self.folder, *date, self.active.of_day(self.table, *date))?;
                let new = self.new_rows(rows, *date, indexes, &mut found);
                if !new.is_empty() {
                    fresh.push((*date, new));
                }
            }
            if !fresh.is_empty() {
                let files = self.write(rows, &fresh, writer)?;
                let version = self.active.version.map_or(0, |v| v + 1);
                let entry = log::entry(self.table, &files, &[], now_micros() / 1000);
                if !disk::create(&log::entry_path(&self.folder, version), entry.as_bytes())? {
                    // A writer that takes no turns was faster: what it wrote may hold our keys.
                    for file in &files {
                        disk::discard(&self.folder.join(&file.path));
                    }
                    std::thread::sleep(std::time::Duration::from_millis(u64::from(attempt.min(20))));
                    continue;
                }
                failpoint("committed");
                self.active.version = Some(version);
                for (file, (date, new)) in files.iter().zip(&fresh) {
                    self.index.enter(*date, &file.path, new.iter().map(|row| rows.keys[*row]));
                    self.active.files.insert(file.path.clone(), file.clone());
                }
                self.publish();
            }
            out.added += found.added;
            out.duplicates += found.duplicates;
            out.conflicts.extend(found.conflicts);
            return Ok(());
        }
        Err(StoreError::Busy { table: self.table.name, attempts: ATTEMPTS })
    }

    /// The rows of a day whose keys neither the table nor an earlier row of the batch holds.
    fn new_rows(
        &self,
        rows: &Rows,
        date: Option<Date>,
        indexes: &[usize],
        found: &mut Committed,
    ) -> Vec<usize> {
        let mut own: HashMap<u128, u64> = HashMap::with_capacity(indexes.len());
        let mut new = Vec::with_capacity(indexes.len());
        for &row in indexes {
            let key = rows.keys[row];
            let seen = match own.get(&key.key.0) {
                None => self.index.look(date, key),
                Some(check) if *check == key.check => Seen::Same,
                Some(_) => Seen::Conflict,
            };
            match seen {
                Seen::New => {
                    own.insert(key.key.0, key.check);
                    new.push(row);
                    found.added += 1;
                }
                Seen::Same => found.duplicates += 1,
                Seen::Conflict => found.conflicts.push(row),
            }
        }
        new
    }

    fn write(
        &mut self,
        rows: &Rows,
        fresh: &[(Option<Date>, Vec<usize>)],
        writer: &mut Writer,
    ) -> Result<Vec<Arc<DataFile>>, StoreError> {
        self.known = now_micros().max(self.known);
        let known = self.known;
        let fail = |source| StoreError::Arrow { table: self.table.name, source };
        let mut files = Vec::with_capacity(fresh.len());
        for (date, new) in fresh {
            let own = if new.len() == rows.batch.num_rows() {
                rows.batch.clone()
            } else {
                let indexes = UInt32Array::from_iter_values(new.iter().map(|i| *i as u32));
                take_record_batch(&rows.batch, &indexes).map_err(fail)?
            };
            writer.seq += 1;
            let batch = stamp(self.table, &own, known, writer).map_err(fail)?;
            let batch = parquet::sorted(self.table, &batch)?;
            files.push(Arc::new(self.file(*date, &batch)?));
        }
        Ok(files)
    }

    /// Writes one file of sorted, stamped rows.
    pub fn file(&self, date: Option<Date>, batch: &RecordBatch) -> Result<DataFile, StoreError> {
        let path = format!("{}part-{}.parquet", log::partition_folder(self.table, date), random_hex(16));
        let bytes = parquet::write(self.table, &self.folder.join(&path), batch)?;
        let ranges = stats::ranges(self.table, batch);
        Ok(DataFile { path, bytes, rows: batch.num_rows() as u64, date, ranges })
    }
}

/// Adds `known`, `writer` and `seq`.
fn stamp(
    table: &'static Table,
    batch: &RecordBatch,
    known: i64,
    writer: &Writer,
) -> Result<RecordBatch, arrow::error::ArrowError> {
    let rows = batch.num_rows();
    let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
    columns.push(Arc::new(TimestampMicrosecondArray::from_value(known, rows).with_timezone("UTC")));
    columns.push(Arc::new(StringArray::from_iter_values(std::iter::repeat_n(&writer.id, rows))));
    columns.push(Arc::new(Int64Array::from_value(writer.seq, rows)));
    RecordBatch::try_new(arrow_schema(table), columns)
}

/// A random GUID, as Delta wants for a table's id.
fn uuid() -> String {
    let hex = random_hex(16);
    format!("{}-{}-4{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
}
