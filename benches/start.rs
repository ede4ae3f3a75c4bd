//! From nothing to the first verdict and the first second look, over a year that is stored already.
//!
//! `cargo bench --bench start -- [COPIES]` simulates four days of 13,700 runs and a thousand agents, lays
//! copies of their rows into the days before, without the raw records of events and jobs, which no start
//! reads, and a sighting of each agent a day; 90 copies are a year of ten million jobs. Then a process of
//! its own opens the lake, takes in one event of the last day and looks at verdicts again, three times.
//! START_LAKE names a folder to keep the lake in and to find it again.

mod lake;
#[path = "lake/looked.rs"]
mod looked;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use agentrail::model::Time;
use agentrail::pipeline::{Pipeline, Reviser};
use agentrail::simulate::{Plan, Spelling, World};
use agentrail::source::{Outcome as Became, Payload};
use agentrail::store::{Lake, Settings, Writer};
use arrow::array::{AsArray as _, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use lake::{Outcome, ingest, rows_of, settings, shifted};
use looked::looked_at_all;
use tokio::sync::oneshot;

// As the program has it.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DAYS: i32 = 4;

#[tokio::main]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if !arguments.iter().any(|a| a == "--bench") {
        return Ok(());
    }
    if let Some(path) = arguments.iter().position(|a| a == "--start").and_then(|at| arguments.get(at + 1)) {
        return start(Path::new(path)).await;
    }
    let copies: i32 = arguments.iter().filter_map(|a| a.parse().ok()).next().unwrap_or(9);
    let folder = tempfile::tempdir()?;
    let folder = std::env::var("START_LAKE").map_or(folder.path().to_owned(), Into::into);
    if !folder.join("lake").exists() {
        build(&folder, copies).await?;
    }
    let lake = open(&folder.join("lake")).await?;
    for set in lake.pin() {
        let rows: u64 = set.files.iter().map(|file| file.rows).sum();
        println!("{:<11} {rows:>11} rows in {} files", set.table.name, set.files.len());
    }
    drop(lake);
    for _ in 0..3 {
        let own = std::env::current_exe()?;
        let status = Command::new(own).args(["--bench", "--start"]).arg(&folder).status()?;
        if !status.success() {
            return Err("the start failed".into());
        }
    }
    Ok(())
}

async fn open(path: &Path) -> Outcome<Arc<Lake>> {
    let settings = Settings { free_floor_bytes: 0, ..Settings::default() };
    Ok(Arc::new(Lake::open(path, settings).await?))
}

async fn build(folder: &Path, copies: i32) -> Outcome<()> {
    let path = folder.join("lake");
    let world = World::build(&Plan {
        runs: 13_700 * DAYS as usize,
        agents: 500,
        projects: 200,
        actions: 5,
        days: DAYS as usize,
        ..Plan::quiet()
    });
    let lake = open(&path).await?;
    ingest(&lake, &world, folder).await?;
    let last = world.events().last().ok_or("no events")?;
    let mut line = Vec::new();
    last.write(Spelling::Rest, &mut line);
    let line = String::from_utf8(line)?.replace(&last.id, "a1000000-0000-4000-8000-000000000001");
    std::fs::write(folder.join("event.json"), line)?;
    if let Some(mut reviser) = Reviser::take(lake.clone(), settings())? {
        reviser.pass().await?;
    }
    lake.maintain().await?;
    let writer = Writer::new();
    for set in lake.pin() {
        for file in set.files.iter() {
            for batch in rows_of(&path.join(set.table.name).join(&file.path))? {
                let batch = batch?;
                for copy in (1..=copies).filter(|_| file.date.is_some()) {
                    let rows = shifted(set.table, &batch, file.date, -copy * DAYS, false)?;
                    lake.commit(&writer, vec![rows]).await?;
                }
                let seen = sightings(&batch)?;
                for day in (1..=copies * DAYS).filter(|_| file.date.is_none() && seen.num_rows() > 0) {
                    let rows = shifted(set.table, &seen, None, -day, true)?;
                    lake.commit(&writer, vec![rows]).await?;
                }
            }
        }
    }
    lake.maintain().await?;
    looked_at_all(&lake).await
}

/// The rows of a batch that say that an agent was seen.
fn sightings(batch: &RecordBatch) -> Outcome<RecordBatch> {
    let is_sighting = |key: Option<&str>| Some(key?.starts_with("agent/") && key?.contains('@'));
    let rows: BooleanArray = match batch.column_by_name("key") {
        Some(keys) => keys.as_string::<i32>().iter().map(is_sighting).collect(),
        None => return Ok(batch.slice(0, 0)),
    };
    Ok(filter_record_batch(batch, &rows)?)
}

/// What a process does first.
async fn start(folder: &Path) -> Outcome<()> {
    let text = std::fs::read_to_string(folder.join("event.json"))?;
    let since = Instant::now();
    let lake = open(&folder.join("lake")).await?;
    let opened = since.elapsed();
    let pipeline = Pipeline::start(lake.clone(), settings());
    let (done, answer) = oneshot::channel();
    let observed = Time::parse("2026-03-20T00:00:00Z").ok_or("no time")?;
    let payload = Payload {
        bytes: text.into(),
        source: "bench".to_owned(),
        url: None,
        observed,
        about: None,
        position: None,
        done,
    };
    pipeline.push.send(payload).await.map_err(|e| e.to_string())?;
    let Became::Committed(account) = answer.await? else { return Err("the event was not stored".into()) };
    assert_eq!(account.events, 1);
    let told = since.elapsed();
    pipeline.finish().await;
    let mut reviser = Reviser::take(lake, settings())?.ok_or("somebody else looks at verdicts")?;
    reviser.pass().await?;
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default().to_owned();
    println!("opened {opened:.1?}, first verdict {told:.1?}, looked again {:.1?}, {peak}", since.elapsed());
    Ok(())
}
