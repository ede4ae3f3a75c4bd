//! The keys of a table by day: exact, loaded when a day is first written to, and only a cache of
//! what the files hold.

use std::collections::{HashMap, HashSet};

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};

use super::place::Place;
use super::{Cell, RowKey, StoreError, parquet};
use crate::model::{Date, Time};
use crate::schema::{DataFile, Table};

/// Keys of one day.
#[derive(Default)]
struct Day {
    keys: HashMap<u128, u64>,
    /// The files whose keys are in.
    files: HashSet<String>,
    used: u64,
}

/// Names of files that are gone are dropped once there are so many of them.
const SPARE: usize = 64;

/// What one entry costs in memory, map overhead included.
const ENTRY: usize = 48;

/// Keys of one table.
#[derive(Default)]
pub(super) struct Index {
    days: HashMap<Option<Date>, Day>,
    clock: u64,
}

/// What the index says of a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    New,
    Same,
    Conflict,
}

impl Index {
    /// Reads what the day's files hold and the index does not.
    pub fn cover<'f>(
        &mut self,
        table: &'static Table,
        place: &Place,
        date: Option<Date>,
        files: impl Iterator<Item = &'f DataFile>,
    ) -> Result<(), StoreError> {
        self.clock += 1;
        let day = self.days.entry(date).or_default();
        day.used = self.clock;
        let there: Vec<&DataFile> = files.filter(|f| f.date == date).collect();
        // Files come with every commit and go when they are merged: their names would pile up.
        if day.files.len() > 2 * there.len() + SPARE {
            let names: HashSet<&str> = there.iter().map(|f| f.path.as_str()).collect();
            day.files.retain(|path| names.contains(path.as_str()));
        }
        let new: Vec<&DataFile> = there.into_iter().filter(|f| !day.files.contains(&f.path)).collect();
        let mut columns: Vec<&str> = vec![&table.key];
        columns.extend(table.check.iter().map(String::as_str));
        parquet::read_each(table, place, &new, &columns, |file, batch| {
            for key in keys(table, &batch)? {
                day.keys.insert(key.key.0, key.check);
            }
            day.files.insert(file.path.clone());
            Ok(())
        })?;
        Ok(())
    }

    pub fn look(&self, date: Option<Date>, key: RowKey) -> Seen {
        match self.days.get(&date).and_then(|d| d.keys.get(&key.key.0)) {
            None => Seen::New,
            Some(check) if *check == key.check => Seen::Same,
            Some(_) => Seen::Conflict,
        }
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

    /// Forgets the days used longest ago until the rest fits.
    pub fn shrink(&mut self, bytes: usize) {
        while self.days.len() > 1 && self.days.values().map(|d| d.keys.len() * ENTRY).sum::<usize>() > bytes {
            let Some(oldest) = self.days.iter().min_by_key(|(_, d)| d.used).map(|(date, _)| *date) else {
                return;
            };
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
        let mut index = Index::default();
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
}
