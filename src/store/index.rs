//! The keys of a table by day: exact, loaded when a day is first written to, and only a cache of
//! what the files hold. What memory has no room for is set aside on disk.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};

use super::aside::Aside;
use super::place::Place;
use super::{Cell, RowKey, StoreError, parquet};
use crate::model::{Date, Time};
use crate::schema::{DataFile, Table};

/// Keys of one day.
#[derive(Default)]
struct Day {
    keys: HashMap<u128, u64>,
    aside: Vec<Aside>,
    /// The files whose keys are in.
    files: HashSet<String>,
    used: u64,
}

/// Names of files that are gone are dropped once there are so many of them.
const SPARE: usize = 64;

/// What one entry costs in memory, map overhead included.
const ENTRY: usize = 48;
/// Keys of a day are set aside once they take this part of the memory; fewer are not worth a file.
const PART: usize = 8;
/// Files of keys that a day has before they are made one.
const MOST_ASIDE: usize = 16;
/// How long after keys could not be set aside it is tried again.
const AGAIN: Duration = Duration::from_secs(60);

/// What an index may take.
#[derive(Debug)]
pub(super) struct Room {
    /// Bytes of memory.
    bytes: usize,
    /// Where what does not fit is set aside.
    folder: PathBuf,
    /// When that failed.
    failed: Option<Instant>,
}

/// Keys of one table.
pub(super) struct Index {
    days: HashMap<Option<Date>, Day>,
    clock: u64,
    room: Room,
}

impl Day {
    fn look(&self, key: u128, folder: &Path) -> Result<Option<u64>, StoreError> {
        if let Some(check) = self.keys.get(&key) {
            return Ok(Some(*check));
        }
        for aside in &self.aside {
            let found =
                aside.look(key).map_err(StoreError::io("read keys that were set aside in", folder))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn memory(&self) -> usize {
        self.keys.len() * ENTRY + self.aside.iter().map(Aside::memory).sum::<usize>()
    }

    /// Whether its keys were set aside; else they stay in memory.
    fn set_aside(&mut self, room: &mut Room) -> bool {
        if room.failed.is_some_and(|at| at.elapsed() < AGAIN) {
            return false;
        }
        match Aside::of(&room.folder, self.keys.iter().map(|(key, check)| (*key, *check))) {
            Ok(aside) => {
                self.aside.push(aside);
                self.keys = HashMap::new();
                // Many are as good as one, but slower.
                if self.aside.len() > MOST_ASIDE
                    && let Ok(one) = Aside::merged(&room.folder, &self.aside)
                {
                    self.aside = vec![one];
                }
                true
            }
            Err(error) => {
                let folder = room.folder.display();
                tracing::warn!(%error, %folder, "keys stay in memory: they cannot be set aside");
                room.failed = Some(Instant::now());
                false
            }
        }
    }
}

/// What the index says of a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    New,
    Same,
    Conflict,
}

impl Index {
    /// Takes so many bytes of memory; what does not fit is set aside in `folder`.
    pub fn new(bytes: usize, folder: PathBuf) -> Index {
        Index { days: HashMap::new(), clock: 0, room: Room { bytes, folder, failed: None } }
    }

    /// Reads what the day's files hold and the index does not.
    pub fn cover<'f>(
        &mut self,
        table: &'static Table,
        place: &Place,
        date: Option<Date>,
        files: impl Iterator<Item = &'f DataFile>,
    ) -> Result<(), StoreError> {
        self.clock += 1;
        self.days.entry(date).or_default().used = self.clock;
        // A commit covers many days before it ends: those of before must fit beside this one.
        self.shrink();
        let (day, room) = (self.days.entry(date).or_default(), &mut self.room);
        let there: Vec<&DataFile> = files.filter(|f| f.date == date).collect();
        // Files come with every commit and go when they are merged: their names would pile up.
        if day.files.len() > 2 * there.len() + SPARE {
            let names: HashSet<&str> = there.iter().map(|f| f.path.as_str()).collect();
            day.files.retain(|path| names.contains(path.as_str()));
        }
        let new: Vec<&DataFile> = there.into_iter().filter(|f| !day.files.contains(&f.path)).collect();
        let mut columns: Vec<&str> = vec![&table.key];
        columns.extend(table.check.iter().map(String::as_str));
        let covered = parquet::read_each(table, place, &new, &columns, |file, batch| {
            for key in keys(table, &batch)? {
                // A file that was merged by others holds what is known already.
                if day.aside.is_empty() || day.look(key.key.0, &room.folder)?.is_none() {
                    day.keys.insert(key.key.0, key.check);
                }
            }
            day.files.insert(file.path.clone());
            if day.keys.len() * ENTRY > room.bytes {
                day.set_aside(room);
            }
            Ok(())
        });
        if covered.is_err() {
            self.days.remove(&date);
        }
        covered
    }

    /// What cannot be read is forgotten, and read anew from the files of the day with the next commit.
    pub fn look(&mut self, date: Option<Date>, key: RowKey) -> Result<Seen, StoreError> {
        let Some(day) = self.days.get(&date) else { return Ok(Seen::New) };
        let found = day.look(key.key.0, &self.room.folder);
        if found.is_err() {
            self.days.remove(&date);
        }
        Ok(match found? {
            None => Seen::New,
            Some(check) if check == key.check => Seen::Same,
            Some(_) => Seen::Conflict,
        })
    }

    /// Enters the keys of a file just committed.
    pub fn enter(&mut self, date: Option<Date>, file: &str, keys: impl Iterator<Item = RowKey>) {
        let day = self.days.entry(date).or_default();
        day.keys.extend(keys.map(|k| (k.key.0, k.check)));
        day.files.insert(file.to_owned());
    }

    /// A compaction wrote nothing new: the new file is covered when the old ones were.
    pub fn replaced(&mut self, date: Option<Date>, old: &[String], new: &str) {
        if let Some(day) = self.days.get_mut(&date)
            && old.iter().all(|f| day.files.contains(f))
        {
            day.files.insert(new.to_owned());
        }
    }

    /// Sets aside the days that have most, and forgets those used longest ago, until the rest fits.
    pub fn shrink(&mut self) {
        while self.days.values().map(Day::memory).sum::<usize>() > self.room.bytes {
            let largest = self.days.values_mut().max_by_key(|day| day.keys.len());
            if let Some(day) = largest
                && !day.keys.is_empty()
                && day.keys.len() * ENTRY >= self.room.bytes / PART
                && day.set_aside(&mut self.room)
            {
                continue;
            }
            let oldest = self.days.iter().min_by_key(|(_, day)| day.used).map(|(date, _)| *date);
            // The day in hand is never forgotten.
            let Some(oldest) = oldest.filter(|_| self.days.len() > 1) else { return };
            self.days.remove(&oldest);
        }
    }
}

/// The keys of stored rows, made as they were when the rows were new.
fn keys(table: &'static Table, batch: &RecordBatch) -> Result<Vec<RowKey>, StoreError> {
    let text = |name: &str| {
        let column = batch.column_by_name(name).unwrap_or_else(|| batch.column(0));
        arrow::compute::cast(column, &DataType::Utf8)
            .map_err(|source| StoreError::Arrow { table: table.name, source })
    };
    let key = text(&table.key)?;
    let key = key.as_string::<i32>();
    let checks: Vec<_> = table.check.iter().filter_map(|c| batch.column_by_name(c)).collect();
    Ok((0..batch.num_rows())
        .map(|row| {
            if checks.is_empty() {
                return RowKey::new(key.value(row));
            }
            let cells: Vec<Cell<'_>> = checks
                .iter()
                .map(|column| match column.data_type() {
                    DataType::Int64 => {
                        let c = column.as_primitive::<Int64Type>();
                        Cell::Int(c.is_valid(row).then(|| c.value(row)))
                    }
                    DataType::Timestamp(..) => {
                        let c = column.as_primitive::<TimestampMicrosecondType>();
                        Cell::Time(c.is_valid(row).then(|| Time::from_unix_micros(c.value(row))))
                    }
                    _ => {
                        let c = column.as_string::<i32>();
                        Cell::Text(c.is_valid(row).then(|| c.value(row)))
                    }
                })
                .collect();
            RowKey::checked(key.value(row), &cells)
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::table;

    #[test]
    fn files_that_were_merged_are_not_remembered_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::Local(folder.path().to_owned());
        let table = table("events").unwrap();
        let file = |path: String| DataFile { path, bytes: 1, rows: 1, date: None, ranges: Vec::new() };
        let mut index = Index::new(256 << 20, folder.path().to_owned());
        for commit in 0..10_000_u64 {
            // As many as a day has between two merges; all are known, so none is read.
            let there: Vec<DataFile> = (commit / 100 * 100..commit).map(|n| file(n.to_string())).collect();
            index.cover(table, &place, None, there.iter()).unwrap();
            let key = RowKey::new(&commit.to_string());
            index.enter(None, &commit.to_string(), [key].into_iter());
        }
        let day = &index.days[&None];
        assert!(day.files.len() <= 2 * 100 + SPARE + 1, "{} files", day.files.len());
        assert_eq!(day.keys.len(), 10_000);
    }

    #[test]
    fn what_does_not_fit_is_set_aside_and_known_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let (bytes, day) = (100 * ENTRY, Some(Date(20_000)));
        let mut index = Index::new(bytes, folder.path().to_owned());
        let key = |n: u64| RowKey::checked(&n.to_string(), &[Cell::Int(Some(7))]);
        for n in 0..10_000 {
            assert_eq!(index.look(day, key(n)).unwrap(), Seen::New);
            index.enter(day, &n.to_string(), [key(n)].into_iter());
            index.shrink();
            assert!(index.days[&day].keys.len() <= 100);
        }
        assert!(index.days[&day].aside.len() <= MOST_ASIDE);
        for n in 0..10_000 {
            assert_eq!(index.look(day, key(n)).unwrap(), Seen::Same, "{n}");
        }
        assert_eq!(index.look(day, RowKey::checked("5", &[Cell::Int(Some(8))])).unwrap(), Seen::Conflict);
        assert_eq!(index.look(day, key(10_000)).unwrap(), Seen::New);
        assert_eq!(index.look(Some(Date(1)), key(5)).unwrap(), Seen::New);
    }

    #[test]
    fn keys_that_cannot_be_set_aside_stay() {
        let mut index = Index::new(100 * ENTRY, PathBuf::from("/nowhere at all"));
        let key = |n: u64| RowKey::new(&n.to_string());
        for n in 0..1000 {
            index.enter(None, &n.to_string(), [key(n)].into_iter());
            index.shrink();
        }
        assert!((0..1000).all(|n| index.look(None, key(n)).unwrap() == Seen::Same));
    }

    #[test]
    fn no_memory_at_all_is_no_end_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut index = Index::new(0, folder.path().to_owned());
        for n in 0..10_u64 {
            index.enter(None, &n.to_string(), [RowKey::new(&n.to_string())].into_iter());
            index.shrink();
        }
        assert!((0..10_u64).all(|n| index.look(None, RowKey::new(&n.to_string())).unwrap() == Seen::Same));
    }

    #[test]
    fn days_that_are_covered_one_after_another_share_the_memory() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::Local(folder.path().to_owned());
        let mut index = Index::new(100 * ENTRY, folder.path().to_owned());
        for day in 0..60 {
            let date = Some(Date(20_000 + day));
            index.cover(table("events").unwrap(), &place, date, std::iter::empty()).unwrap();
            let keys = (0..90_u64).map(|n| RowKey::new(&format!("{day}/{n}")));
            index.enter(date, &day.to_string(), keys);
            assert!(index.days.values().map(|day| day.keys.len()).sum::<usize>() <= 190);
        }
    }
}
