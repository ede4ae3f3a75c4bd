//! One commit to one table: what is new, into files, into one log entry.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::take_record_batch;

use super::disk::failpoint;
use super::index::{Index, Seen};
use super::lake::{now_micros, random_hex};
use super::log::{self, Active};
use super::place::Place;
use super::{Committed, Rows, StoreError, arrow_schema, parquet, stats};
use crate::model::{Date, random_guid};
use crate::schema::{DataFile, FileSet, Table, Value};

/// Days in one commit; a backfill over more is committed in parts.
const MOST_DAYS: usize = 64;
const ATTEMPTS: u32 = 50;
/// Rows from which on a commit is large.
const LARGE: usize = 2000;
/// A generous guess of what writing takes.
const MICROS_A_ROW: i64 = 10;
const MICROS_TO_SYNC: i64 = 50_000;
/// A table far away that was read within this time is taken for the newest there is.
const RECENT: Duration = Duration::from_secs(10);

/// One table as this process knows it.
pub(super) struct TableState {
    pub table: &'static Table,
    pub place: Place,
    pub active: Active,
    pub index: Index,
    /// The newest `known` seen, in microseconds.
    pub known: i64,
    /// Whether an entry is known to be there that was not read.
    is_behind: bool,
    /// The same files, as readers get them.
    shown: Arc<Shown>,
}

/// The files of a table as readers get them, who wait for no commit: far away one takes its time.
pub(super) struct Shown {
    table: &'static Table,
    root: String,
    set: Mutex<(u64, Arc<Vec<Arc<DataFile>>>)>,
}

impl Shown {
    pub fn files(&self) -> FileSet {
        let (version, files) = locked(&self.set).clone();
        FileSet { table: self.table, root: self.root.clone(), version, files }
    }
}

/// Who commits: each of its files has the next number, in the order of its commits. Commits of one
/// writer wait for each other, so whoever must not wait for another has a writer of its own.
#[derive(Clone)]
pub struct Writer {
    id: Arc<str>,
    seq: Arc<Mutex<i64>>,
}

impl Writer {
    /// A writer of a name that no other has.
    pub fn new() -> Writer {
        Writer { id: random_hex(8).into(), seq: Arc::default() }
    }

    /// What its rows say in `writer`.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl Default for Writer {
    fn default() -> Writer {
        Writer::new()
    }
}

/// A day, and the indexes of its rows.
type Day = (Option<Date>, Vec<usize>);

/// A writer at work: others who share it wait.
struct Stamp<'w> {
    writer: &'w str,
    seq: MutexGuard<'w, i64>,
}

/// A state or a number is only changed after its commit stands, so a panic leaves it sound.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TableState {
    /// Opens a table, and makes it when it is not there.
    pub fn open(table: &'static Table, place: Place, index_bytes: usize) -> Result<TableState, StoreError> {
        place.inside("_delta_log").make()?;
        let shown = Shown { table, root: place.root(), set: Mutex::default() };
        let index = Index::new(index_bytes, place.scratch());
        let mut state = TableState {
            table,
            place,
            active: Active::default(),
            index,
            known: 0,
            is_behind: false,
            shown: Arc::new(shown),
        };
        state.refresh()?;
        if state.active.version.is_none() {
            let creation = log::creation(table, &uuid(), now_micros() / 1000);
            state.place.create(&log::entry_name(0), creation.as_bytes())?;
            state.refresh()?;
        }
        state.widen()?;
        Ok(state)
    }

    /// Tells other readers of columns that the table did not have when it was made.
    fn widen(&mut self) -> Result<(), StoreError> {
        loop {
            let Some(described) = self.active.described.clone() else { return Ok(()) };
            if self.table.columns.iter().all(|own| described.columns.contains(&own.name)) {
                return Ok(());
            }
            let version = self.active.version.map_or(0, |v| v + 1);
            let entry = log::widening(self.table, &described.id, now_micros() / 1000);
            self.place.create(&log::entry_name(version), entry.as_bytes())?;
            self.refresh()?;
        }
    }

    /// What readers look at.
    pub fn shown(&self) -> Arc<Shown> {
        self.shown.clone()
    }

    /// Takes in the versions others wrote.
    pub fn refresh(&mut self) -> Result<(), StoreError> {
        self.is_behind = false;
        if self.active.read_on(self.table, &self.place)? {
            self.known = self.known.max(self.newest_known());
            self.publish();
        }
        Ok(())
    }

    fn publish(&mut self) {
        let files = Arc::new(self.active.files.values().cloned().collect());
        *locked(&self.shown.set) = (self.active.version.unwrap_or(0), files);
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

    /// Finds the rows whose keys are new, day by day.
    fn fresh(&mut self, rows: &Rows, days: &[Day]) -> Result<(Vec<Day>, Committed), StoreError> {
        // Far away asking whether there is news takes as long as writing. Where there hardly is any it is
        // left to the entry: when it cannot be created, all is looked at again.
        if !self.place.is_remote() || self.is_behind || !self.active.is_read_within(RECENT) {
            self.refresh()?;
        }
        let mut found = Committed::default();
        let mut fresh: Vec<Day> = Vec::new();
        for (date, indexes) in days {
            self.index.cover(self.table, &self.place, *date, self.active.of_day(self.table, *date))?;
            let new = self.new_rows(rows, *date, indexes, &mut found)?;
            if !new.is_empty() {
                fresh.push((*date, new));
            }
        }
        Ok((fresh, found))
    }

    /// The time that rows written now are known since: always later than that of rows committed already.
    fn next_known(&self) -> i64 {
        now_micros().max(self.known + 1)
    }

    /// Names files in the log's next entry; false when that version is taken.
    fn name(
        &mut self,
        rows: &Rows,
        fresh: &[Day],
        files: &[Arc<DataFile>],
        known: i64,
    ) -> Result<bool, StoreError> {
        let version = self.active.version.map_or(0, |v| v + 1);
        let entry = log::entry(self.table, files, &[], now_micros() / 1000);
        if !self.place.create(&log::entry_name(version), entry.as_bytes())? {
            self.is_behind = true;
            return Ok(false);
        }
        failpoint("committed");
        self.active.created(version);
        self.known = known;
        for (file, (date, new)) in files.iter().zip(fresh) {
            self.index.enter(*date, &file.path, new.iter().map(|row| rows.keys[*row]));
            self.active.files.insert(file.path.clone(), file.clone());
        }
        self.publish();
        Ok(true)
    }

    fn target(&self) -> Target {
        Target { table: self.table, place: self.place.clone() }
    }

    /// The rows of a day whose keys neither the table nor an earlier row of the batch holds.
    fn new_rows(
        &mut self,
        rows: &Rows,
        date: Option<Date>,
        indexes: &[usize],
        found: &mut Committed,
    ) -> Result<Vec<usize>, StoreError> {
        let mut own: HashMap<u128, u64> = HashMap::with_capacity(indexes.len());
        let mut new = Vec::with_capacity(indexes.len());
        for &row in indexes {
            let key = rows.keys[row];
            let seen = match own.get(&key.key.0) {
                None => self.index.look(date, key)?,
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
        Ok(new)
    }
}

/// Commits rows: those whose keys are new. Days beyond the cap go into further entries.
pub(super) fn commit(
    state: &Mutex<TableState>,
    rows: &Rows,
    writer: &Writer,
) -> Result<Committed, StoreError> {
    let mut days: BTreeMap<Option<Date>, Vec<usize>> = BTreeMap::new();
    for (row, date) in rows.dates.iter().enumerate() {
        days.entry(*date).or_default().push(row);
    }
    let days: Vec<Day> = days.into_iter().collect();
    let mut out = Committed::default();
    let mut turn = Stamp { writer: &writer.id, seq: locked(&writer.seq) };
    for part in days.chunks(MOST_DAYS) {
        let large = part.iter().map(|(_, rows)| rows.len()).sum::<usize>() >= LARGE;
        let found = if large {
            commit_large(state, rows, part, &mut turn)?
        } else {
            let mut state = locked(state);
            commit_in_turn(&mut state, rows, part, &mut turn)?
        };
        out.added += found.added;
        out.duplicates += found.duplicates;
        out.conflicts.extend(found.conflicts);
    }
    let mut state = locked(state);
    out.version = state.active.version.unwrap_or(0);
    out.conflicts.sort_unstable();
    state.index.shrink();
    Ok(out)
}

/// All in one turn: nobody else commits to the table meanwhile, which is short for few rows.
fn commit_in_turn(
    state: &mut TableState,
    rows: &Rows,
    days: &[Day],
    stamp: &mut Stamp<'_>,
) -> Result<Committed, StoreError> {
    let _turn = state.place.turn()?;
    for attempt in 0..ATTEMPTS {
        let (fresh, found) = state.fresh(rows, days)?;
        if fresh.is_empty() {
            return Ok(found);
        }
        let known = state.next_known();
        let files = state.target().write(rows, &fresh, known, stamp)?;
        if state.name(rows, &fresh, &files, known)? {
            return Ok(found);
        }
        // A writer that takes no turns was faster: what it wrote may hold our keys.
        state.target().discard(&files);
        std::thread::sleep(pause(attempt, state.place.is_remote()));
    }
    Err(StoreError::Busy { table: state.table.name, attempts: ATTEMPTS })
}

/// How long to wait before the next try. Far away several machines are as fast as each other: who draws
/// another time than they do gets through.
fn pause(attempt: u32, remote: bool) -> Duration {
    let most = u64::from(attempt.min(20));
    let drawn = u64::from_str_radix(&random_hex(2), 16).unwrap_or_default();
    Duration::from_millis(if remote { drawn % (50 * (most + 1)) } else { most })
}

/// Writes many rows while others commit beside it, and takes a turn only to name the files. Rows are
/// stamped with the time at which that will be; where others made it late, or brought the same keys,
/// it is done again in one turn.
fn commit_large(
    state: &Mutex<TableState>,
    rows: &Rows,
    days: &[Day],
    stamp: &mut Stamp<'_>,
) -> Result<Committed, StoreError> {
    let (target, version, known, fresh, found) = {
        let mut state = locked(state);
        let (fresh, found) = state.fresh(rows, days)?;
        let new: usize = fresh.iter().map(|(_, rows)| rows.len()).sum();
        // Of now, not of the last guess: guesses on guesses would run ahead of the clock.
        let named = now_micros() + MICROS_TO_SYNC + new as i64 * MICROS_A_ROW;
        let known = state.next_known().max(named);
        (state.target(), state.active.version, known, fresh, found)
    };
    if fresh.is_empty() {
        return Ok(found);
    }
    let files = target.write(rows, &fresh, known, stamp)?;
    let mut state = locked(state);
    {
        let _turn = state.place.turn()?;
        state.refresh()?;
        let same = state.active.version == version || state.fresh(rows, days)?.0 == fresh;
        if same && state.known < known && state.name(rows, &fresh, &files, known)? {
            return Ok(found);
        }
    }
    target.discard(&files);
    commit_in_turn(&mut state, rows, days, stamp)
}

/// Where a table's files go.
struct Target {
    table: &'static Table,
    place: Place,
}

impl Target {
    /// Writes the new rows of each day to a file of its own.
    fn write(
        &self,
        rows: &Rows,
        fresh: &[Day],
        known: i64,
        stamp: &mut Stamp<'_>,
    ) -> Result<Vec<Arc<DataFile>>, StoreError> {
        let fail = |source| StoreError::Arrow { table: self.table.name, source };
        let mut files = Vec::with_capacity(fresh.len());
        for (date, new) in fresh {
            let own = if new.len() == rows.batch.num_rows() {
                rows.batch.clone()
            } else {
                let indexes = UInt32Array::from_iter_values(new.iter().map(|i| *i as u32));
                take_record_batch(&rows.batch, &indexes).map_err(fail)?
            };
            *stamp.seq += 1;
            let batch = stamped(self.table, &own, known, stamp).map_err(fail)?;
            let batch = parquet::sorted(self.table, &batch)?;
            let path = format!("{}part-{}.parquet", log::partition_folder(self.table, *date), random_hex(16));
            let bytes = parquet::write(self.table, &self.place, &path, &batch)?;
            let ranges = stats::ranges(self.table, &batch);
            files.push(Arc::new(DataFile {
                path,
                bytes,
                rows: batch.num_rows() as u64,
                date: *date,
                ranges,
            }));
        }
        Ok(files)
    }

    /// Removes files that no entry names.
    fn discard(&self, files: &[Arc<DataFile>]) {
        files.iter().for_each(|file| self.place.discard(&file.path));
    }
}

/// Adds `known`, `writer` and `seq`.
fn stamped(
    table: &'static Table,
    batch: &RecordBatch,
    known: i64,
    stamp: &Stamp<'_>,
) -> Result<RecordBatch, arrow::error::ArrowError> {
    let rows = batch.num_rows();
    let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
    columns.push(Arc::new(TimestampMicrosecondArray::from_value(known, rows).with_timezone("UTC")));
    columns.push(Arc::new(StringArray::from_iter_values(std::iter::repeat_n(stamp.writer, rows))));
    columns.push(Arc::new(Int64Array::from_value(*stamp.seq, rows)));
    RecordBatch::try_new(arrow_schema(table), columns)
}

/// A random GUID, as Delta wants for a table's id.
fn uuid() -> String {
    random_guid(u128::from_str_radix(&random_hex(16), 16).unwrap_or_default())
}
