//! A commit stays as quick after many versions as it was at first.
//!
//! `cargo bench --bench commit -- 10000` commits that many times, ten rows each, with a maintenance
//! pass every 500, and prints the median of the first and the last hundred, and of those before each
//! tenth of the way, beside this disk's own fsync of a small file. A million versions take days where
//! they are real, so after each pass the log's older entries are given the time of two days ago, and the
//! files that a merge replaced, which are kept for a week, are removed.

use std::io::Write as _;
use std::time::Instant;

use agentrail::model::Time;
use agentrail::schema::table;
use agentrail::store::{Builder, Lake, RowKey, Rows, Settings, Writer};

fn rows(commit: usize) -> Rows {
    let table = table("rejects").unwrap_or_else(|| unreachable!("rejects is a table"));
    let mut builder = Builder::new(table);
    for row in 0..10 {
        let key = format!("{commit:032x}{row:032x}");
        builder.text(Some(&key));
        builder.text(Some("syntax"));
        builder.text(None);
        builder.text(Some("bench"));
        builder.int(Some(0));
        builder.time(Some(Time::from_unix_millis(commit as i64)));
        builder.text(None);
        builder.bytes(Some(&[b'x'; 200]));
        builder.end_row(RowKey::new(&key), None);
    }
    builder.finish().unwrap_or_else(|| unreachable!("there are rows"))
}

/// Gives entries of a log the time of two days ago.
fn age(log: &std::path::Path, versions: std::ops::Range<u64>) {
    let before = std::time::SystemTime::now() - std::time::Duration::from_secs(2 * 86_400);
    for version in versions {
        for name in [format!("{version:020}.json"), format!("{version:020}.checkpoint.parquet")] {
            // One that is cleaned up already is not there, and few versions have a checkpoint.
            if let Ok(file) = std::fs::File::options().append(true).open(log.join(name)) {
                file.set_modified(before).unwrap_or_else(|e| panic!("age an entry: {e}"));
            }
        }
    }
}

/// Removes the files that the table does not name any more.
fn vacuum(lake: &Lake, folder: &std::path::Path) {
    let set = lake.files("rejects");
    let named: std::collections::HashSet<&str> = set.files.iter().map(|f| f.path.as_str()).collect();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.to_string_lossy().ends_with(".parquet") && !named.contains(&*name.to_string_lossy()) {
            std::fs::remove_file(entry.path()).unwrap_or_else(|e| panic!("remove a file: {e}"));
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2] * 1000.0
}

#[tokio::main]
async fn main() {
    if !std::env::args().any(|a| a == "--bench") {
        return;
    }
    let commits: usize = std::env::args().filter_map(|a| a.parse().ok()).next().unwrap_or(2000);
    let folder = tempfile::tempdir().unwrap_or_else(|e| panic!("make a folder: {e}"));
    let fsync = median(
        (0..200)
            .map(|i| {
                let start = Instant::now();
                let path = folder.path().join(format!("f{i}"));
                let file = std::fs::File::create(path)
                    .and_then(|mut f| f.write_all(&[0; 4096]).and_then(|()| f.sync_all()));
                file.unwrap_or_else(|e| panic!("write a file: {e}"));
                start.elapsed().as_secs_f64()
            })
            .collect(),
    );
    let settings = Settings { free_floor_bytes: 0, ..Settings::default() };
    let lake = Lake::open(&folder.path().join("lake"), settings).await.unwrap_or_else(|e| panic!("{e}"));
    let writer = Writer::new();
    let mut times = Vec::with_capacity(commits);
    let mut aged = 0;
    for commit in 0..commits {
        let rows = rows(commit);
        let start = Instant::now();
        lake.commit(&writer, vec![rows]).await.unwrap_or_else(|e| panic!("{e}"));
        times.push(start.elapsed().as_secs_f64());
        if commit % 500 == 499 {
            lake.maintain().await.unwrap_or_else(|e| panic!("{e}"));
            let newest = lake.files("rejects").version;
            age(&folder.path().join("lake/rejects/_delta_log"), aged..newest);
            aged = newest;
            if commit % 10_000 == 9_999 {
                vacuum(&lake, &folder.path().join("lake/rejects"));
            }
        }
        if commit % (commits / 10).max(500) == 0 && commit > 0 {
            println!("{commit}: median {:.2} ms", median(times[commit.saturating_sub(100)..].to_vec()));
        }
    }
    let first = median(times[..100.min(commits)].to_vec());
    let last = median(times[commits.saturating_sub(100)..].to_vec());
    println!(
        "{commits} commits: median {first:.2} ms at first, {last:.2} ms at last ({:.2}x); fsync of this disk {fsync:.2} ms; {} files",
        last / first,
        lake.files("rejects").files.len()
    );
}
