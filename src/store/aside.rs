//! Keys set aside on disk: sorted, in a file without a name, behind a filter that knows most keys that are not in it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use ::parquet::bloom_filter::Sbbf;

/// A key, and the digest of what must agree when it comes again.
pub(super) type Entry = (u128, u64);

/// Bytes of an entry in the file.
const WIDTH: usize = 24;
/// Entries that are read at once: a page of memory.
const PAGE: usize = 170;
/// The share of keys that are not there and are looked for all the same.
const WRONG: f64 = 0.01;

/// Gone with this value, and with the process.
pub(super) struct Aside {
    file: File,
    count: usize,
    /// The first key of each page.
    first: Vec<u128>,
    filter: Sbbf,
}

impl Aside {
    /// Writes entries that come sorted by key, each key once; `most` is at least as many as there are.
    fn write(
        folder: &Path,
        most: usize,
        entries: impl Iterator<Item = io::Result<Entry>>,
    ) -> io::Result<Aside> {
        let filter = Sbbf::new_with_ndv_fpp(most as u64, WRONG).map_err(io::Error::other)?;
        let mut aside = Aside { file: tempfile::tempfile_in(folder)?, count: 0, first: Vec::new(), filter };
        let mut file = BufWriter::new(&aside.file);
        for entry in entries {
            let (key, check) = entry?;
            if aside.count.is_multiple_of(PAGE) {
                aside.first.push(key);
            }
            aside.count += 1;
            let bytes = key.to_be_bytes();
            aside.filter.insert(&bytes[..]);
            file.write_all(&bytes)?;
            file.write_all(&check.to_be_bytes())?;
        }
        file.flush()?;
        drop(file);
        Ok(aside)
    }

    pub fn of(folder: &Path, entries: impl Iterator<Item = Entry>) -> io::Result<Aside> {
        let mut all: Vec<Entry> = entries.collect();
        all.sort_unstable();
        Aside::write(folder, all.len(), all.into_iter().map(Ok))
    }

    /// One in place of several.
    pub fn merged(folder: &Path, all: &[Aside]) -> io::Result<Aside> {
        let mut pages: Vec<_> = all.iter().map(Aside::entries).collect();
        let mut next = BinaryHeap::new();
        for (n, own) in pages.iter_mut().enumerate() {
            if let Some(entry) = own.next() {
                next.push(Reverse((entry?, n)));
            }
        }
        let mut last = None;
        let entries = std::iter::from_fn(|| {
            loop {
                let Reverse((entry, n)) = next.pop()?;
                match pages[n].next() {
                    Some(Ok(after)) => next.push(Reverse((after, n))),
                    Some(Err(error)) => return Some(Err(error)),
                    None => {}
                }
                if last.replace(entry.0) != Some(entry.0) {
                    return Some(Ok(entry));
                }
            }
        });
        Aside::write(folder, all.iter().map(|own| own.count).sum(), entries)
    }

    fn page(&self, number: usize) -> io::Result<Vec<Entry>> {
        let from = number * PAGE;
        let mut bytes = vec![0; PAGE.min(self.count - from) * WIDTH];
        self.file.read_exact_at(&mut bytes, (from * WIDTH) as u64)?;
        let entry = |bytes: &[u8]| {
            let (key, check) = bytes.split_at(size_of::<u128>());
            let key = key.try_into().map_or(0, u128::from_be_bytes);
            (key, check.try_into().map_or(0, u64::from_be_bytes))
        };
        Ok(bytes.chunks_exact(WIDTH).map(entry).collect())
    }

    fn entries(&self) -> impl Iterator<Item = io::Result<Entry>> {
        (0..self.first.len()).flat_map(|number| match self.page(number) {
            Ok(page) => page.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        })
    }

    /// The digest of a key that is in it.
    pub fn look(&self, key: u128) -> io::Result<Option<u64>> {
        if !self.filter.check(&key.to_be_bytes()[..]) {
            return Ok(None);
        }
        let Some(number) = self.first.partition_point(|first| *first <= key).checked_sub(1) else {
            return Ok(None);
        };
        let page = self.page(number)?;
        Ok(page.binary_search_by_key(&key, |(own, _)| *own).ok().map(|at| page[at].1))
    }

    /// Bytes that it takes of memory.
    pub fn memory(&self) -> usize {
        const BLOCK: usize = 32;
        self.filter.num_blocks() * BLOCK + self.first.len() * size_of::<u128>()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_set_aside_is_found_and_nothing_else(
            parts in proptest::collection::vec(proptest::collection::hash_map(any::<u128>(), any::<u64>(), 0..1000), 1..5),
            others in proptest::collection::vec(any::<u128>(), 50),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let all: HashMap<u128, u64> = parts.iter().flatten().map(|(key, check)| (*key, *check)).collect();
            let write = |part: &HashMap<u128, u64>| Aside::of(folder.path(), part.iter().map(|(k, c)| (*k, *c)));
            let asides: Vec<Aside> = parts.iter().map(|part| write(part).unwrap()).collect();
            let one = Aside::merged(folder.path(), &asides).unwrap();
            prop_assert_eq!(one.count, all.len());
            prop_assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none());
            for (key, check) in &all {
                prop_assert_eq!(one.look(*key).unwrap(), Some(*check));
            }
            for other in others.iter().filter(|other| !all.contains_key(other)) {
                prop_assert_eq!(one.look(*other).unwrap(), None);
            }
        }
    }

    #[test]
    fn a_key_in_several_is_in_the_merged_one_once() {
        let folder = tempfile::tempdir().unwrap();
        let of = |keys: std::ops::Range<u128>| Aside::of(folder.path(), keys.map(|key| (key, 7))).unwrap();
        let one = Aside::merged(folder.path(), &[of(0..400), of(200..600), of(0..0)]).unwrap();
        assert_eq!(one.count, 600);
        assert_eq!((one.look(599).unwrap(), one.look(600).unwrap()), (Some(7), None));
    }

    #[test]
    fn most_keys_that_are_not_there_cost_no_reading() {
        let folder = tempfile::tempdir().unwrap();
        let spread = |n: u128| n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let aside = Aside::of(folder.path(), (0..20_000).map(|n| (spread(n), 0))).unwrap();
        let passed = (20_000..40_000).filter(|n| aside.filter.check(&spread(*n).to_be_bytes()[..])).count();
        assert!(passed < 400, "{passed}");
        assert!(aside.memory() < 20_000 * 4, "{}", aside.memory());
    }
}
