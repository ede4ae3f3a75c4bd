//! Many small files into few: per day, files of like size together, the open day included.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::compute::concat_batches;

use super::commit::TableState;
use super::disk::failpoint;
use super::lake::now_micros;
use super::place::Place;
use super::{StoreError, arrow_schema, log, parquet};
use crate::model::Date;
use crate::schema::{DataFile, Table};

/// So many files of one tier become one of the next.
const FAN: usize = 8;
/// Larger files are left alone.
const LARGE: u64 = 8 << 20;
/// Files of one merge, together: it holds their rows in memory, some ten times as much, twice.
const MOST: u64 = 24 << 20;

/// Files of one day that should become one.
pub(super) struct Group {
    pub table: &'static Table,
    pub place: Place,
    pub date: Option<Date>,
    pub files: Vec<Arc<DataFile>>,
}

/// The groups of a table that are worth merging now. A tier spans a factor of eight in size, so a
/// row is rewritten a few times in its life, and a day holds a bounded number of files.
pub(super) fn groups(state: &TableState) -> Vec<Group> {
    let mut tiers: BTreeMap<(Option<Date>, u32), Vec<Arc<DataFile>>> = BTreeMap::new();
    for file in state.active.files.values().filter(|f| weight(f) < LARGE) {
        // Below 64 KiB the size says more about the footer than about the rows.
        let tier = (weight(file) >> 16).max(1).ilog2() / 3;
        tiers.entry((file.date, tier)).or_default().push(file.clone());
    }
    tiers
        .into_iter()
        .filter(|(_, files)| files.len() >= FAN)
        .flat_map(|((date, _), files)| bounded(files).into_iter().map(move |files| (date, files)))
        .map(|(date, files)| Group { table: state.table, place: state.place.clone(), date, files })
        .collect()
}

/// Bytes of a file, or what its rows would at least have if they were less alike.
fn weight(file: &DataFile) -> u64 {
    file.bytes.max(file.rows * 64)
}

/// Files in parts of which each can be merged at once.
fn bounded(files: Vec<Arc<DataFile>>) -> Vec<Vec<Arc<DataFile>>> {
    let mut parts: Vec<Vec<Arc<DataFile>>> = Vec::new();
    let mut bytes = MOST;
    for file in files {
        bytes += weight(&file);
        match parts.last_mut().filter(|_| bytes <= MOST) {
            Some(part) => part.push(file),
            None => {
                bytes = weight(&file);
                parts.push(vec![file]);
            }
        }
    }
    parts.retain(|part| part.len() > 1);
    parts
}

/// Merges a group into a file that no entry names yet, without holding anybody up. `None` when
/// somebody else merged and vacuumed the files meanwhile.
pub(super) fn merge(group: &Group) -> Result<Option<Arc<DataFile>>, StoreError> {
    let schema = arrow_schema(group.table);
    let mut batches = Vec::with_capacity(group.files.len());
    for file in &group.files {
        match parquet::read(group.table, &group.place, file, None) {
            Ok(batch) => batches.push(batch),
            Err(e) if e.is_missing() => return Ok(None),
            Err(e) => return Err(e),
        }
    }
    let all = concat_batches(&schema, &batches)
        .map_err(|source| StoreError::Arrow { table: group.table.name, source })?;
    drop(batches);
    let all = parquet::sorted(group.table, &all)?;
    let path = format!(
        "{}part-{}.parquet",
        log::partition_folder(group.table, group.date),
        super::lake::random_hex(16)
    );
    let bytes = parquet::write(group.table, &group.place, &path, &all)?;
    let ranges = super::stats::ranges(group.table, &all);
    let new = Arc::new(DataFile { path, bytes, rows: all.num_rows() as u64, date: group.date, ranges });
    failpoint("compacted_written");
    Ok(Some(new))
}

/// Puts the merged file in place of the group's in one entry, unless one of them is gone by then.
pub(super) fn swap(state: &mut TableState, group: &Group, new: &Arc<DataFile>) -> Result<bool, StoreError> {
    let _turn = state.place.turn()?;
    loop {
        state.refresh()?;
        if !group.files.iter().all(|f| state.active.files.contains_key(&f.path)) {
            group.place.discard(&new.path);
            return Ok(false);
        }
        let version = state.active.version.map_or(0, |v| v + 1);
        let entry = log::entry(state.table, std::slice::from_ref(new), &group.files, now_micros() / 1000);
        if state.place.create(&log::entry_name(version), entry.as_bytes())? {
            failpoint("compacted_committed");
            state.refresh()?;
            let old: Vec<String> = group.files.iter().map(|f| f.path.clone()).collect();
            state.index.replaced(group.date, &old, &new.path);
            return Ok(true);
        }
    }
}

/// Takes the days before `first` out of a table; the files go with the next vacuum.
pub(super) fn expire(state: &mut TableState, first: Date) -> Result<usize, StoreError> {
    let _turn = state.place.turn()?;
    loop {
        state.refresh()?;
        let old: Vec<Arc<DataFile>> =
            state.active.files.values().filter(|f| f.date.is_some_and(|d| d < first)).cloned().collect();
        if old.is_empty() {
            return Ok(0);
        }
        let version = state.active.version.map_or(0, |v| v + 1);
        let entry = log::entry(state.table, &[], &old, now_micros() / 1000);
        if state.place.create(&log::entry_name(version), entry.as_bytes())? {
            state.refresh()?;
            return Ok(old.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_holds_no_more_than_its_share() {
        let file = |bytes| {
            Arc::new(DataFile { path: String::new(), bytes, rows: 1, date: None, ranges: Vec::new() })
        };
        let sizes = |bytes: &[u64]| -> Vec<Vec<u64>> {
            let parts = bounded(bytes.iter().map(|b| file(*b)).collect());
            parts.iter().map(|part| part.iter().map(|f| f.bytes).collect()).collect()
        };
        assert_eq!(sizes(&[1; 9]), [vec![1; 9]]);
        assert_eq!(sizes(&[7 << 20; 8]), [vec![7 << 20; 3], vec![7 << 20; 3], vec![7 << 20; 2]]);
        assert_eq!(sizes(&[MOST, MOST]), Vec::<Vec<u64>>::new());
    }
}
