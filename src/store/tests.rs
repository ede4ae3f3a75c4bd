//! Cases of the committer on a real disk.

use super::*;
use crate::model::Time;
use crate::schema::table;

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
async fn a_key_is_there_once_across_writers_and_compaction() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lake");
    let (a, b) = (open(&path).await, open(&path).await);
    for step in 0..20u32 {
        let lake = if step % 2 == 0 { &a } else { &b };
        let done = lake.commit(vec![rows(step * 5..step * 5 + 10)]).await.unwrap();
        assert_eq!((done[0].added, done[0].duplicates), if step == 0 { (10, 0) } else { (5, 5) }, "{step}");
        if step == 12 {
            assert!(a.maintain().await.unwrap().merged_files >= 8);
        }
    }
    a.refresh().await.unwrap();
    let total: u64 = a.files("rejects").files.iter().map(|f| f.rows).sum();
    assert_eq!(total, 105);
    let again = open(&path).await;
    assert_eq!(again.commit(vec![rows(0..105)]).await.unwrap()[0].duplicates, 105);
    assert_eq!(again.id(), a.id());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpointed_table_opens_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lake");
    let lake = open(&path).await;
    for step in 0..105u32 {
        lake.commit(vec![rows(step..step + 1)]).await.unwrap();
    }
    assert_eq!(lake.maintain().await.unwrap().checkpoints, 1);
    // What a clean-up of the log would remove.
    for version in 0..50 {
        std::fs::remove_file(log::entry_path(&path.join("rejects"), version)).unwrap();
    }
    let again = open(&path).await;
    assert_eq!(again.files("rejects").files.iter().map(|f| f.rows).sum::<u64>(), 105);
    assert_eq!(again.commit(vec![rows(0..106)]).await.unwrap()[0].added, 1);
}

#[tokio::test]
async fn positions_and_formats_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lake");
    let lake = open(&path).await;
    assert_eq!(lake.position("file:/a"), None);
    lake.save_position("file:/a", "7").await.unwrap();
    assert_eq!(open(&path).await.position("file:/a").as_deref(), Some("7"));
    std::fs::write(path.join("lake.json"), r#"{"id":"x","format":9}"#).unwrap();
    let error = Lake::open(&path, Settings::default()).await.err().unwrap();
    assert!(error.to_string().contains("format is 9"), "{error}");
}
