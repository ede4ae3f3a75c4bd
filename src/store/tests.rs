//! Cases of the committer: on a real disk, and in an object store that forgets with the test.

mod unkind;

use std::sync::Arc;

use arrow::array::Array as _;
use object_store::ObjectStore;
use object_store::memory::InMemory;

use super::place::Place;
use super::remote::{Io, Remote};
use super::*;
use crate::model::Time;
use crate::schema::table;

/// Memory for more keys than any test has.
const MUCH: usize = 1 << 20;

/// Where a lake of a test is. What holds for one place holds for the other.
enum Where {
    Disk(tempfile::TempDir),
    Store(Arc<dyn ObjectStore>),
}

fn everywhere() -> [Where; 2] {
    [Where::Disk(tempfile::tempdir().unwrap()), Where::Store(Arc::new(InMemory::new()))]
}

impl Where {
    fn place(&self) -> Place {
        match self {
            Where::Disk(folder) => Place::Local(folder.path().join("lake")),
            Where::Store(store) => {
                let (prefix, url) = ("a lake/of tests".into(), "memory://test/a%20lake/of%20tests");
                Place::Object(Remote::new(store.clone(), prefix, url, url, Arc::new(Io::start().unwrap())))
            }
        }
    }

    async fn open(&self) -> Lake {
        self.open_within(Settings::default().index_memory_bytes).await
    }

    /// With so much memory for the keys of each table.
    async fn open_within(&self, index_memory_bytes: usize) -> Lake {
        let settings = Settings { free_floor_bytes: 0, index_memory_bytes, ..Settings::default() };
        Lake::open_at(self.place(), settings).await.unwrap()
    }
}

fn row(builder: &mut Builder, key: &str, reason: &str) {
    builder.text(Some(key));
    builder.text(Some(reason));
    builder.text(None);
    builder.text(Some("test"));
    builder.int(Some(1));
    builder.time(Some(Time::from_unix_millis(1_000)));
    builder.text(None);
    builder.bytes(Some(b"x"));
    builder.end_row(RowKey::new(key), None);
}

fn rows(keys: impl Iterator<Item = u32>) -> Rows {
    let mut builder = Builder::new(table("rejects").unwrap());
    keys.for_each(|k| row(&mut builder, &format!("{k:064x}"), "syntax"));
    builder.finish().unwrap()
}

async fn open(folder: &std::path::Path) -> Lake {
    Lake::open(folder, Settings { free_floor_bytes: 0, ..Settings::default() }).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn large_commits_in_a_row_do_not_run_ahead_of_the_clock() {
    for place in everywhere() {
        let (lake, writer) = (place.open().await, Writer::new());
        for step in 0..30u32 {
            lake.commit(&writer, vec![rows(step * 2000..(step + 1) * 2000)]).await.unwrap();
        }
        let set = lake.files("rejects");
        let (known, _) = set.table.column("known").unwrap();
        let ranges = set.files.iter().flat_map(|file| &file.ranges).filter(|range| range.column == known);
        let newest = ranges.filter_map(|range| match range.max {
            Some(crate::schema::Value::Timestamp(micros)) => Some(micros),
            _ => None,
        });
        let ahead = newest.max().unwrap() - super::lake::now_micros();
        // What one of them is given to end.
        assert!(ahead <= 50_000 + 2000 * 10, "{ahead}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_there_once_across_writers_and_compaction() {
    // With less memory than one commit takes, and with none, keys are set aside all the time.
    for (place, memory) in
        everywhere().into_iter().chain(everywhere()).chain(everywhere()).zip([MUCH, MUCH, 200, 200, 0, 0])
    {
        let (a, b) = (place.open_within(memory).await, place.open_within(memory).await);
        for step in 0..20u32 {
            let lake = if step % 2 == 0 { &a } else { &b };
            let done = lake.commit(&Writer::new(), vec![rows(step * 5..step * 5 + 10)]).await.unwrap();
            let expected = if step == 0 { (10, 0) } else { (5, 5) };
            assert_eq!((done[0].added, done[0].duplicates), expected, "{step}");
            if step == 12 {
                assert!(a.maintain().await.unwrap().merged_files >= 8);
            }
        }
        a.refresh().await.unwrap();
        let total: u64 = a.files("rejects").files.iter().map(|f| f.rows).sum();
        assert_eq!(total, 105);
        assert!(a.damaged().await.unwrap().is_empty());
        let again = place.open_within(memory).await;
        assert_eq!(again.commit(&Writer::new(), vec![rows(0..105)]).await.unwrap()[0].duplicates, 105);
        assert_eq!(again.id(), a.id());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_commit_finds_the_keys_of_another_process() {
    for place in everywhere() {
        let (a, b) = (place.open().await, place.open().await);
        let writer = Writer::new();
        let (a_done, b_done) =
            tokio::join!(a.commit(&writer, [vec![rows(0..5000)], vec![rows(4000..4100)]].concat()), async {
                let first = b.commit(&Writer::new(), vec![rows(2000..7000)]).await?;
                b.commit(&Writer::new(), vec![rows(0..7000)]).await.map(|second| [first, second].concat())
            });
        let added: u64 = [a_done.unwrap(), b_done.unwrap()].concat().iter().map(|done| done.added).sum();
        assert_eq!(added, 7000);
        // Files too large to be fetched whole are read by their columns.
        let again = place.open().await;
        assert_eq!(again.commit(&Writer::new(), vec![rows(0..7001)]).await.unwrap()[0].added, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpointed_table_opens_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lake");
    let lake = open(&path).await;
    for step in 0..105u32 {
        lake.commit(&Writer::new(), vec![rows(step..step + 1)]).await.unwrap();
    }
    assert_eq!(lake.maintain().await.unwrap().checkpoints, 1);
    let entry = |version| path.join("rejects").join(log::entry_name(version));
    let before = std::time::SystemTime::now() - std::time::Duration::from_secs(2 * 86_400);
    for version in 0..=lake.files("rejects").version {
        let file = std::fs::File::options().append(true).open(entry(version)).unwrap();
        file.set_modified(before).unwrap();
    }
    for step in 0..105u32 {
        lake.commit(&Writer::new(), vec![rows(step + 105..step + 106)]).await.unwrap();
    }
    assert_eq!(lake.maintain().await.unwrap().checkpoints, 1);
    assert!(!entry(0).exists() && !entry(99).exists() && entry(120).exists(), "the log is kept for a day");
    let again = open(&path).await;
    assert_eq!(again.files("rejects").files.iter().map(|f| f.rows).sum::<u64>(), 210);
    assert_eq!(again.commit(&Writer::new(), vec![rows(0..211)]).await.unwrap()[0].added, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_in_an_object_store_stands_for_the_entries_before_it() {
    let place = Where::Store(Arc::new(InMemory::new()));
    let lake = place.open().await;
    for step in 0..105u32 {
        lake.commit(&Writer::new(), vec![rows(step..step + 1)]).await.unwrap();
    }
    let behind = place.open().await;
    assert_eq!(lake.maintain().await.unwrap().checkpoints, 1);
    for step in 105..120u32 {
        lake.commit(&Writer::new(), vec![rows(step..step + 1)]).await.unwrap();
    }
    // As the clean-up leaves it after a day.
    let table = place.place().inside("rejects");
    (0..100).for_each(|version| table.discard(&log::entry_name(version)));
    let again = place.open().await;
    assert_eq!(again.files("rejects").files.iter().map(|f| f.rows).sum::<u64>(), 120);
    for lake in [&again, &behind] {
        assert_eq!(lake.commit(&Writer::new(), vec![rows(0..120)]).await.unwrap()[0].duplicates, 120);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vacuum_removes_what_no_entry_names_and_nothing_else() {
    for place in everywhere() {
        let lake = place.open().await;
        for day in 1..10 {
            lake.commit(&Writer::new(), vec![dated(day)]).await.unwrap();
        }
        let table = place.place().inside("findings");
        let named = lake.files("findings").files[0].path.clone();
        let orphan = format!("{}orphan.parquet", &named[..=named.find('/').unwrap()]);
        table.replace(&orphan, b"x").unwrap();
        let delta = maintain::open_table(&table).await.unwrap();
        let vacuum =
            delta.vacuum().with_retention_period(Default::default()).with_enforce_retention_duration(false);
        let (_, removed) = vacuum.with_mode(deltalake::operations::vacuum::VacuumMode::Full).await.unwrap();
        assert_eq!(removed.files_deleted.len(), 1, "{removed:?}");
        assert_eq!(table.read(&orphan).unwrap(), None);
        assert!(lake.damaged().await.unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_and_formats_are_kept() {
    for place in everywhere() {
        let lake = place.open().await;
        assert_eq!(lake.position("file:/a"), None);
        lake.save_position("file:/a", "7").await.unwrap();
        lake.save_position("file:/a", "8").await.unwrap();
        assert_eq!(place.open().await.position("file:/a").as_deref(), Some("8"));
        place.place().replace("lake.json", br#"{"id":"x","format":9}"#).unwrap();
        let error = Lake::open_at(place.place(), Settings::default()).await.err().unwrap();
        assert!(error.to_string().contains("format is 9"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_processes_say_of_themselves_is_there_until_they_end() {
    for place in everywhere() {
        let lake = place.open().await;
        assert!(lake.told().await.unwrap().is_empty());
        for (name, says) in [("b", "1"), ("a", "2"), ("b", "3")] {
            lake.tell(name, says.to_owned()).await.unwrap();
        }
        let told = place.open().await.told().await.unwrap();
        assert_eq!(told, [("a".to_owned(), b"2".to_vec()), ("b".to_owned(), b"3".to_vec())]);
        lake.untell("b");
        assert_eq!(lake.told().await.unwrap().len(), 1);
        // It is part of the lake.
        place.open().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_lake_is_left_alone() {
    for place in everywhere() {
        place.place().make().unwrap();
        place.place().replace("other.txt", b"mine").unwrap();
        let error = Lake::open_at(place.place(), Settings::default()).await.err().unwrap();
        assert!(error.to_string().contains("holds no lake"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_one_process_s_until_it_lets_go() {
    for place in everywhere() {
        let (a, b) = (place.open().await, place.open().await);
        let lease = a.lease("work").unwrap().unwrap();
        assert!(lease.is_held());
        assert!(b.lease("work").unwrap().is_none());
        assert!(b.lease("other").unwrap().is_some());
        drop(lease);
        assert!(b.lease("work").unwrap().is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lease_of_a_dead_process_goes_to_the_next_when_its_time_is_over() {
    let place = Where::Store(Arc::new(InMemory::new()));
    let lake = place.open().await;
    let blob = |until: i64| format!(r#"{{"owner":"dead","until":{until}}}"#);
    let now = lake::now_micros();
    place.place().replace("_work.lease", blob(now + 30_000_000).as_bytes()).unwrap();
    assert!(lake.lease("work").unwrap().is_none());
    place.place().replace("_work.lease", blob(now - 30_000_000).as_bytes()).unwrap();
    assert!(lake.lease("work").unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_gone_is_found_out() {
    for place in everywhere() {
        let lake = place.open().await;
        lake.commit(&Writer::new(), vec![rows(0..3)]).await.unwrap();
        lake.commit(&Writer::new(), vec![dated(1)]).await.unwrap();
        let file = lake.files("rejects").files[0].path.clone();
        place.place().inside("rejects").discard(&file);
        assert_eq!(lake.damaged().await.unwrap(), [place.place().inside("rejects").full(&file)]);
    }
}

/// A power cut: what was not synced by then is gone, a name that its folder did not sync as well.
/// Copies what would be left of `from` to `to`.
fn power_cut(steps: &[disk::Step], from: &std::path::Path, to: &std::path::Path) {
    use disk::Step;
    use std::collections::{HashMap, HashSet};
    // Contents that are durable, by the file that holds them; names, and whether they are durable.
    let mut identity: HashMap<std::path::PathBuf, usize> = HashMap::new();
    let mut durable: HashSet<usize> = HashSet::new();
    let mut named: HashMap<std::path::PathBuf, (usize, bool)> = HashMap::new();
    for (i, step) in steps.iter().enumerate() {
        match step {
            Step::Made(path) => {
                identity.insert(path.clone(), i);
                named.insert(path.clone(), (i, false));
                if path.is_dir() {
                    durable.insert(i);
                }
            }
            Step::Linked(old, new) => {
                let id = identity[old];
                identity.insert(new.clone(), id);
                named.insert(new.clone(), (id, false));
            }
            // The worst disk keeps a removal at once and an addition only when it must.
            Step::Removed(path) => {
                named.remove(path);
            }
            Step::Synced(path) => {
                if let Some(id) = identity.get(path) {
                    durable.insert(*id);
                }
                for (name, entry) in &mut named {
                    if name.parent() == Some(path) {
                        entry.1 = true;
                    }
                }
            }
        }
    }
    let kept = |path: &std::path::Path| {
        path.ancestors()
            .take_while(|p| *p != from)
            .all(|p| named.get(p).is_some_and(|(id, listed)| *listed && durable.contains(id)))
    };
    std::fs::create_dir_all(to).unwrap();
    let mut paths: Vec<_> = named.keys().filter(|p| p.starts_with(from) && *p != from && kept(p)).collect();
    paths.sort();
    for path in paths {
        let target = to.join(path.strip_prefix(from).unwrap());
        // What is a folder in the end was one from the start; a file removed since is not needed.
        if path.is_dir() {
            std::fs::create_dir_all(&target).unwrap();
        } else if path.exists() {
            std::fs::copy(path, &target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_loses_nothing_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lake");
    let own = |steps: &[disk::Step]| -> Vec<disk::Step> {
        // Other tests share the record: only steps below this folder count.
        let inside = |p: &std::path::Path| p.starts_with(&path) || path.starts_with(p);
        steps
            .iter()
            .filter(|s| match s {
                disk::Step::Made(p) | disk::Step::Synced(p) | disk::Step::Removed(p) => inside(p),
                disk::Step::Linked(_, p) => inside(p),
            })
            .cloned()
            .collect()
    };
    let lake = open(&path).await;
    let mut acknowledged = Vec::new();
    for step in 0..24u32 {
        let name = if step % 3 == 0 { "events" } else { "rejects" };
        if name == "rejects" {
            lake.commit(&Writer::new(), vec![rows(step * 4..step * 4 + 4)]).await.unwrap();
        } else {
            lake.commit(&Writer::new(), vec![dated(step)]).await.unwrap();
        }
        if step == 15 {
            lake.maintain().await.unwrap();
        }
        let marks = own(&disk::STEPS.lock().unwrap()).len();
        acknowledged.push(marks);
    }
    let steps = own(&disk::STEPS.lock().unwrap());
    for (n, cut) in acknowledged.iter().enumerate().filter(|(n, _)| n % 5 == 3 || *n == 23) {
        let left = folder.path().join(format!("left-{n}"));
        power_cut(&steps[..*cut], &path, &left);
        let again = open(&left).await;
        let count = |table: &'static str| again.files(table).files.iter().map(|f| f.rows).sum::<u64>();
        let dated = n as u64 / 3 + 1;
        assert_eq!(count("findings"), dated, "after {n}");
        assert_eq!(count("rejects"), (n as u64 + 1 - dated) * 4, "after {n}");
        // Every file that the log names is there, whole.
        for table in ["rejects", "findings"] {
            for file in again.files(table).files.iter() {
                let found = std::fs::metadata(left.join(table).join(&file.path)).unwrap().len();
                assert_eq!(found, file.bytes);
            }
        }
        // And the same rows given again are known.
        assert_eq!(again.commit(&Writer::new(), vec![rows(4..8)]).await.unwrap()[0].duplicates, 4);
    }
}

/// One row of a table with a day.
fn dated(n: u32) -> Rows {
    dated_as(n, &format!("k{n}"))
}

fn dated_as(n: u32, key: &str) -> Rows {
    let mut builder = Builder::new(table("findings").unwrap());
    let occurred = Time::from_unix_millis(i64::from(n) * 86_400_000);
    builder.text(Some(key));
    builder.text(Some("d"));
    builder.text(Some("low"));
    builder.text(None);
    builder.time(Some(occurred));
    (0..4).for_each(|_| builder.text(None));
    builder.int(None);
    (0..4).for_each(|_| builder.text(None));
    builder.int(None);
    (0..2).for_each(|_| builder.text(None));
    (0..3).for_each(|_| builder.texts(std::iter::empty()));
    (0..2).for_each(|_| builder.text(None));
    builder.int(None);
    (0..3).for_each(|_| builder.text(None));
    builder.int(None);
    builder.text(None);
    builder.items(std::iter::empty::<[Cell<'_>; 4]>());
    builder.end_row(RowKey::new(key), Some(occurred.date()));
    builder.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn days_beyond_the_retention_leave_the_table() {
    for place in everywhere() {
        let settings = Settings { free_floor_bytes: 0, retention_days: Some(30), ..Settings::default() };
        let lake = Lake::open_at(place.place(), settings).await.unwrap();
        lake.commit(&Writer::new(), vec![dated(1), rows(0..3)]).await.unwrap();
        assert_eq!(lake.maintain().await.unwrap().expired_files, 1);
        assert!(lake.files("findings").files.is_empty());
        assert_eq!(lake.files("rejects").files.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_before_gets_the_columns_that_its_schema_has_now() {
    let text = include_str!("../../schemas/findings/1.toml");
    let old: &'static Table = Box::leak(Box::new(crate::schema::parse("findings", 1, text).unwrap()));
    for place in everywhere() {
        place.open().await;
        let folder = place.place().inside("findings");
        // As the program of before made it.
        let (own, dated) = (folder.clone(), dated(1));
        tokio::task::spawn_blocking(move || {
            own.replace(&log::entry_name(0), log::creation(old, "x", 0).as_bytes()).unwrap();
            let columns = dated.batch.columns()[..old.columns.len() - 3].to_vec();
            let schema = arrow_schema(old);
            let fields: arrow::datatypes::Fields =
                schema.fields().iter().take(columns.len()).cloned().collect();
            let batch =
                RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(fields)), columns).unwrap();
            let rows = Rows { table: old, batch, keys: dated.keys, dates: dated.dates };
            let mut state = commit::TableState::open(old, own.clone(), 1 << 20).unwrap();
            state.refresh().unwrap();
            let found = commit::commit(&std::sync::Mutex::new(state), &rows, &Writer::new()).unwrap();
            assert_eq!(found.added, 1);
        })
        .await
        .unwrap();

        let lake = place.open().await;
        assert_eq!(lake.commit(&Writer::new(), vec![dated_as(1, "k1")]).await.unwrap()[0].duplicates, 1);
        let version = lake.files("findings").version;
        assert_eq!(place.open().await.files("findings").version, version, "told twice");
        let entries = (0..=version).filter_map(|n| folder.read(&log::entry_name(n)).unwrap());
        let told =
            entries.map(|bytes| String::from_utf8(bytes).unwrap()).filter(|text| text.contains("metaData"));
        let told: Vec<String> = told.collect();
        assert_eq!(told.len(), 2);
        assert!(told[1].contains("owasp") && told[1].contains(r#""id":"x""#), "{}", told[1]);
        // Rows of both kinds become one file.
        for n in 0..8 {
            lake.commit(&Writer::new(), vec![dated_as(1, &format!("more{n}"))]).await.unwrap();
        }
        lake.maintain().await.unwrap();
        let files = lake.files("findings");
        assert_eq!((files.files.len(), files.files[0].rows), (1, 9));
        let all = parquet::read(table("findings").unwrap(), &folder, &files.files[0], None);
        let all = tokio::task::block_in_place(|| all.unwrap());
        assert_eq!(all.column_by_name("status").unwrap().null_count(), 9);
    }
}
