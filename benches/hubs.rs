//! Event Hubs to Delta: `cargo bench --bench hubs -- [EVENTS]`.
//!
//! A hub of four partitions in this process, over TCP; one consumer as `run` has it. Once with a backlog of
//! half the events, an hour old, then with the other half as they are sent, as fast as the hub takes them. Told
//! are events a second until they are committed, and the memory at each quarter.
//!
//! `-- --minutes N` is a long run: `agentrail run` as a process of its own reads 300 events a second for so many
//! minutes, and what it holds is told each ten minutes: at the least, in the middle and at the most of its seconds.
//! What grows to a bound is there within half an hour, so that what grows besides is seen: the index of keys, whose
//! bound is a setting, and what nearly all detections look back on, at most 30 days, as a day goes by in each minute.
//! It needs no optimised program:
//! `cargo test --bench hubs -- --bench --minutes 15`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use agentrail::app;
use agentrail::pipeline::Pipeline;
use agentrail::settings::Settings;
use agentrail::simulate::hubs::{Hubs, Options};
use agentrail::simulate::{Plan, Spelling, World};
use agentrail::source::event_hubs::Lanes;
use agentrail::source::event_hubs::status::Status;
use agentrail::store::Lake;
use tokio::sync::watch;
use tokio::task::JoinSet;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const PARTITIONS: usize = 4;

#[tokio::main]
async fn main() -> Outcome<()> {
    if !std::env::args().any(|a| a == "--bench") {
        return Ok(());
    }
    tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).init();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let minutes = std::env::args().skip_while(|a| a != "--minutes").nth(1);
    if let Some(minutes) = minutes {
        return long(minutes.parse()?).await;
    }
    let count: usize = std::env::args().filter_map(|a| a.parse().ok()).next().unwrap_or(200_000);
    let bodies = bodies(count);
    let bytes = bodies.iter().map(Vec::len).sum::<usize>() / bodies.len().max(1);
    println!("{} events of {bytes} bytes, {PARTITIONS} partitions; {} MiB before", bodies.len(), memory()?);
    let folder = tempfile::tempdir()?;
    let (hubs, config) = hub(folder.path(), "").await?;
    let settings = Settings::load(Some(&config), std::iter::empty())?;
    let (old, new) = bodies.split_at(bodies.len() / 2);
    let hour_ago =
        i64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis())? - 3_600_000;
    for (n, body) in old.iter().enumerate() {
        hubs.publish_at("h", &(n % PARTITIONS).to_string(), body.clone(), hour_ago)?;
    }
    let lake = app::open(&settings).await?;
    let pipeline = Pipeline::start(lake.clone(), app::pipeline_settings(&settings));
    let (stop, stopped) = watch::channel(false);
    let lanes = Lanes { push: pipeline.push.clone(), bulk: pipeline.bulk.clone() };
    let (status, mut sources) = (Status::default(), JoinSet::new());
    let since = Instant::now();
    app::event_hubs::start(&settings, &lanes, &status, &stopped, &mut sources)?;
    drop(lanes);
    report("a backlog", &lake, 0, old.len(), since).await?;
    let since = Instant::now();
    for (n, body) in new.iter().enumerate() {
        hubs.publish("h", &(n % PARTITIONS).to_string(), body.clone())?;
        if n % 256 == 0 {
            tokio::task::yield_now().await;
        }
    }
    report("as sent", &lake, old.len(), bodies.len(), since).await?;
    stop.send(true)?;
    while let Some(ended) = sources.join_next().await {
        ended??;
    }
    pipeline.finish().await;
    Ok(())
}

/// A hub, and the configuration of who reads it into a lake beside it, with more of `[lake]`.
async fn hub(folder: &Path, lake: &str) -> Outcome<(Hubs, PathBuf)> {
    let hubs = Hubs::start(Options::default()).await?;
    hubs.create("h", PARTITIONS as u16, &[])?;
    let key = folder.join("key");
    std::fs::write(&key, hubs.connection_string())?;
    let config = folder.join("agentrail.toml");
    let text = format!(
        "[lake]\npath = \"{}\"\nfree_floor = 0\n{lake}[webhook]\nenabled = false\n[event_hubs]\nevery = 1\nexpiry = 10\n[[event_hubs.hubs]]\nhub = \"h\"\nendpoint = \"{}\"\nconnection_string = \"file:{}\"\n",
        folder.join("lake").display(),
        hubs.endpoint(),
        key.display()
    );
    std::fs::write(&config, text)?;
    Ok((hubs, config))
}

/// Events a second of a long run.
const STEADY: u64 = 300;
/// Bytes of a long run's index of keys: those of about six minutes.
const INDEX: usize = 5_000_000;
/// Minutes of a long run that are told of as one.
const TOLD: u64 = 10;

async fn long(minutes: u64) -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let (hubs, config) = hub(folder.path(), &format!("index_memory = {INDEX}\n")).await?;
    // As many runs as there is time for: runs that came again would only grow.
    let runs = (minutes * 60 * STEADY) as usize / 19 + 1;
    let days = minutes as usize;
    let world = World::build(&Plan { runs, agents: 100, actions: 17, days, ..Plan::quiet() });
    let events: Vec<_> = world.events().iter().collect();
    let mut own = Command::new(env!("CARGO_BIN_EXE_agentrail"));
    let mut own = own.args(["run", "--log", "warn", "--config"]).arg(&config).spawn()?;
    let since = Instant::now();
    let (mut sent, mut seconds, mut all) = (0_u64, 0, Vec::new());
    while seconds < minutes * 60 {
        // A machine with too little to spare sends fewer, and says so all the same.
        while sent < since.elapsed().as_secs() * STEADY && since.elapsed().as_secs() <= seconds {
            let (event, round) = (events[sent as usize % events.len()], sent as usize / events.len());
            let mut body = Vec::new();
            event.write(Spelling::EventGrid, &mut body);
            let id = format!("{round:08x}{}", &event.id[8..]);
            let body = String::from_utf8(body)?.replace(&event.id, &id).into_bytes();
            hubs.publish("h", &(sent as usize % PARTITIONS).to_string(), body)?;
            sent += 1;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        if since.elapsed().as_secs() > seconds {
            seconds += 1;
            all.push(held(&own.id().to_string())?);
        }
        if !all.is_empty() && (seconds % (TOLD * 60) == 0 || seconds == minutes * 60) {
            all.sort_unstable();
            let [least, middle, most] = [all[0], all[all.len() / 2], all[all.len() - 1]];
            println!(
                "minute {}: {sent} sent, held {least} to {most} MiB, {middle} in the middle",
                seconds / 60
            );
            all.clear();
        }
        if let Some(status) = own.try_wait()? {
            return Err(format!("the reader ended: {status}").into());
        }
    }
    Command::new("kill").args(["-TERM", &own.id().to_string()]).status()?;
    let status = own.wait()?;
    let lake = Lake::open(&folder.path().join("lake"), Default::default()).await?;
    let stored: u64 = lake.files("events").files.iter().map(|f| f.rows).sum();
    println!("{sent} sent, {stored} stored when it was told to stop, {status}");
    Ok(())
}

/// Waits until `until` events are stored, of which `from` are already.
async fn report(what: &str, lake: &Arc<Lake>, from: usize, until: usize, since: Instant) -> Outcome<()> {
    let mut quarter = 1;
    loop {
        lake.refresh().await?;
        let stored = lake.files("events").files.iter().map(|f| f.rows as usize).sum::<usize>();
        while quarter <= 4 && stored >= from + (until - from) * quarter / 4 {
            let rate = (stored - from) as f64 / since.elapsed().as_secs_f64();
            println!("{what}: {stored} stored, {rate:.0} events/s so far, {} MiB", memory()?);
            quarter += 1;
        }
        if stored >= until {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn bodies(count: usize) -> Vec<Vec<u8>> {
    let world = World::build(&Plan { runs: count / 19, agents: 100, actions: 17, days: 10, ..Plan::quiet() });
    let one = |event: &agentrail::simulate::SimEvent| {
        let mut body = Vec::new();
        event.write(Spelling::EventGrid, &mut body);
        body
    };
    world.events().iter().take(count).map(one).collect()
}

/// MiB that the process holds, the hub included.
fn memory() -> Outcome<usize> {
    held("self")
}

/// MiB that a process holds; the pages of its own program are not counted, which a debug build has many of.
fn held(process: &str) -> Outcome<usize> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap_or_default();
    Ok(line.trim().trim_end_matches(" kB").parse::<usize>().unwrap_or_default() / 1024)
}
