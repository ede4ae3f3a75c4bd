//! All detections over a lake of ten million events, and what one more commit costs.
//!
//! `cargo bench --bench detect -- [COPIES]` simulates four days, lays copies of their rows into the days before
//! (57 are some ten million events), runs every detection over all of it, and then after each of a few commits.
//! `--small` does so with two copies of a small day, for a look in the dev profile. DETECT_LAKE names a folder
//! to keep the lake in and to find it again.

mod lake;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agentrail::pipeline::{Bounds, Detected, Detector, Rule};
use agentrail::query::Detection;
use agentrail::simulate::{Plan, World};
use agentrail::store::{Lake, Settings, Writer};
use lake::{Outcome, ingest, rows_of, shifted};

// As the program has it.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Commits whose cost is measured.
const COMMITS: i32 = 5;

#[tokio::main]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if !arguments.iter().any(|a| a == "--bench") {
        return Ok(());
    }
    let is_small = arguments.iter().any(|a| a == "--small");
    let (runs, days, copies) = if is_small { (200, 1, 2) } else { (13_700, 4, 57) };
    let copies: i32 = arguments.iter().filter_map(|a| a.parse().ok()).next().unwrap_or(copies);
    let scratch = tempfile::tempdir()?;
    let folder = std::env::var("DETECT_LAKE").map_or(scratch.path().to_owned(), Into::into);
    let path = folder.join("lake");
    let plan = Plan { runs: runs * days as usize, days: days as usize, ..Plan::quiet() };
    let is_new = !path.exists();
    let lake = Arc::new(Lake::open(&path, Settings { free_floor_bytes: 0, ..Settings::default() }).await?);
    if is_new {
        ingest(&lake, &World::build(&plan), &folder).await?;
        lake.maintain().await?;
        copied(&lake, &path, copies, days).await?;
        lake.maintain().await?;
    }
    let events: u64 = lake.files("events").files.iter().map(|file| file.rows).sum();
    let rules =
        Detection::embedded().iter().map(|own| Rule::new(own.clone(), "")).collect::<Result<Vec<_>, _>>()?;
    println!("{} detections, {events} events", rules.len());
    let bounds = Bounds {
        memory: 1 << 30,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        timeout: Duration::from_secs(3600),
    };
    let mut detector = Detector::take(lake.clone(), rules, bounds)?.ok_or("somebody else runs them")?;
    let since = Instant::now();
    let all = detector.pass().await?;
    told("all of it", since.elapsed(), &all);
    let mut slowest: Vec<_> = all.took.iter().collect();
    slowest.sort_by_key(|(_, took)| std::cmp::Reverse(**took));
    for (name, took) in slowest.into_iter().take(10) {
        println!("    {name:<40} {took:.2?}");
    }
    let since = Instant::now();
    let none = detector.pass().await?;
    told("nothing new", since.elapsed(), &none);
    for nth in 1..=COMMITS {
        one_more(&lake, &path, 400 + nth).await?;
        let since = Instant::now();
        let more = detector.pass().await?;
        told("one commit of a hundred events", since.elapsed(), &more);
    }
    let status = std::fs::read_to_string("/proc/self/status")?;
    println!("{}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default());
    Ok(())
}

fn told(what: &str, took: Duration, detected: &Detected) {
    println!(
        "{what}: {took:.2?}, {} runs, {} findings, {} changed, {} withdrawn, {} failed",
        detected.runs,
        detected.opened,
        detected.changed,
        detected.withdrawn,
        detected.failed.len()
    );
    detected.failed.iter().for_each(|(name, says)| println!("    failed: {name}: {says}"));
}

/// The simulated days, as so many days before.
async fn copied(lake: &Arc<Lake>, path: &Path, copies: i32, days: i32) -> Outcome<()> {
    let writer = Writer::new();
    for set in lake.pin() {
        for file in set.files.iter().filter(|file| file.date.is_some()) {
            for batch in rows_of(&path.join(set.table.name).join(&file.path))? {
                let batch = batch?;
                for copy in 1..=copies {
                    let rows = shifted(set.table, &batch, file.date, -copy * days, false)?;
                    lake.commit(&writer, vec![rows]).await?;
                }
            }
        }
    }
    Ok(())
}

/// A hundred events of the last day as of later days.
async fn one_more(lake: &Arc<Lake>, path: &Path, days: i32) -> Outcome<()> {
    let set = lake.files("events");
    let last =
        set.files.iter().filter(|file| file.rows > 100).max_by_key(|file| file.date).ok_or("no events")?;
    let batch = rows_of(&path.join("events").join(&last.path))?.next().ok_or("no rows")??;
    let rows = shifted(set.table, &batch.slice(0, 100), last.date, days, false)?;
    lake.commit(&Writer::new(), vec![rows]).await?;
    Ok(())
}
