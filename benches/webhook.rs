//! Acknowledgements of the webhook: `cargo bench --bench webhook -- [SECONDS]`.
//!
//! Three runs against one service in this process: a thousand requests a second of one event each,
//! the same with `agentrail ingest` of 300000 events beside it, and batches of a hundred events as fast as they are taken.
//! A request's time counts from when it was due, so a stall is not hidden by the requests that it
//! kept from being sent. Everything, the senders included, shares this machine's cores.

#[path = "lake/events.rs"]
mod events;
#[path = "lake/settings.rs"]
mod settings;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use agentrail::model::Time;
use agentrail::pipeline::{Pipeline, Settings};
use agentrail::simulate::{Plan, Spelling, World};
use agentrail::source::webhook;
use agentrail::store::{Lake, Settings as StoreSettings};
use events::write_events;
use settings::settings;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Requests a second, and the connections that carry them.
const RATE: usize = 1000;
const CONNECTIONS: usize = 50;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    if !std::env::args().any(|a| a == "--bench") {
        return Ok(());
    }
    // RUST_LOG=agentrail=debug tells how long each batch was prepared and committed.
    tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).init();
    let seconds: usize = std::env::args().filter_map(|a| a.parse().ok()).next().unwrap_or(10);
    let folder = tempfile::tempdir()?;
    let fsync = percentiles(fsyncs(folder.path())?);
    println!("fsync of a small file with its folder: p50 {:.2} ms, p99 {:.2} ms", fsync.0, fsync.1);

    let settings = StoreSettings { free_floor_bytes: 0, ..StoreSettings::default() };
    let lake_folder = folder.path().join("lake");
    let lake = Arc::new(Lake::open(&lake_folder, settings).await?);
    let pipeline = Pipeline::start(lake.clone(), pipeline_settings());
    let tidy = tokio::spawn({
        let lake = lake.clone();
        async move {
            loop {
                tokio::time::sleep(Duration::from_secs(5)).await;
                if let Err(error) = lake.maintain().await {
                    eprintln!("{error:?}");
                }
            }
        }
    });
    let checked = webhook::Settings {
        listen: "127.0.0.1:0".to_owned(),
        behind_tls_proxy: false,
        hec_tokens: Vec::new(),
        event_grid_keys: Vec::new(),
        hook_credentials: Vec::new(),
        max_body: 32 << 20,
        max_concurrent: 256,
        request_timeout: Duration::from_secs(30),
    };
    let listener = webhook::bind(&checked).await?;
    let address = listener.local_addr()?;
    let server =
        tokio::spawn(webhook::serve_on(listener, checked, pipeline.push.clone(), std::future::pending()));

    let bodies = Arc::new(bodies(seconds * RATE * 2 + 200_000));
    let next = Arc::new(AtomicUsize::new(0));
    let quiet = percentiles(paced(address, &bodies, &next, seconds).await?);
    println!(
        "{RATE} requests/s of one event: p50 {:.2} ms, p99 {:.2} ms ({:.1}x the p99 of fsync)",
        quiet.0,
        quiet.1,
        quiet.1 / fsync.1
    );

    let bulk = folder.path().join("bulk.ndjson");
    write_bulk(&bulk, 300_000)?;
    let start = Instant::now();
    let mut ingest = std::process::Command::new(env!("CARGO_BIN_EXE_agentrail"))
        .args(["--lake".as_ref(), lake_folder.as_os_str(), "ingest".as_ref(), bulk.as_os_str()])
        .stdout(std::process::Stdio::null())
        .spawn()?;
    let ingest = tokio::task::spawn_blocking(move || ingest.wait().map(|_| start.elapsed().as_secs_f64()));
    let busy = percentiles(paced(address, &bodies, &next, seconds).await?);
    println!(
        "the same with `agentrail ingest` of 300000 events beside it: p50 {:.2} ms, p99 {:.2} ms ({:.1}x alone)",
        busy.0,
        busy.1,
        busy.1 / quiet.1
    );
    println!("that ingest took {:.1} s", ingest.await??);

    let (events, start) = (100_000, Instant::now());
    batches(address, &bodies, &next, events).await?;
    println!("batches of 100 events: {:.0} events/s", events as f64 / start.elapsed().as_secs_f64());
    tidy.abort();
    server.abort();
    pipeline.finish().await;
    Ok(())
}

fn pipeline_settings() -> Settings {
    Settings { max_jobs: 1_000_000, ..settings() }
}

/// What the disk itself needs to make a small file durable, in milliseconds.
fn fsyncs(folder: &Path) -> std::io::Result<Vec<f64>> {
    use std::io::Write as _;
    (0..400)
        .map(|i| {
            let start = Instant::now();
            let mut file = std::fs::File::create(folder.join(format!("f{i}")))?;
            file.write_all(&[0; 4096])?;
            file.sync_all()?;
            std::fs::File::open(folder)?.sync_all()?;
            Ok(start.elapsed().as_secs_f64() * 1000.0)
        })
        .collect()
}

fn percentiles(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |part: f64| values[((values.len() - 1) as f64 * part) as usize];
    (at(0.5), at(0.99))
}

/// Distinct events, each in Splunk's wrapping.
fn bodies(count: usize) -> Vec<Vec<u8>> {
    let world = World::build(&Plan { runs: count / 19, agents: 100, actions: 17, days: 10, ..Plan::quiet() });
    let one = |event: &agentrail::simulate::SimEvent| {
        let mut body = b"{\"event\":".to_vec();
        event.write(Spelling::Export, &mut body);
        body.push(b'}');
        body
    };
    world.events().iter().take(count).map(one).collect()
}

fn write_bulk(path: &Path, count: usize) -> std::io::Result<()> {
    // Another year, so that none of them is among the bodies.
    let plan = Plan {
        runs: count / 19,
        agents: 100,
        actions: 17,
        days: 10,
        day: Time::parse("2025-03-05T00:00:00Z").unwrap(),
        ..Plan::quiet()
    };
    write_events(&World::build(&plan), path)
}

/// Sends at the rate for so long; the milliseconds of each request since it was due.
async fn paced(
    address: SocketAddr,
    bodies: &Arc<Vec<Vec<u8>>>,
    next: &Arc<AtomicUsize>,
    seconds: usize,
) -> Outcome<Vec<f64>> {
    let start = Instant::now() + Duration::from_millis(50);
    let mut senders = tokio::task::JoinSet::new();
    for connection in 0..CONNECTIONS {
        let (bodies, next) = (bodies.clone(), next.clone());
        senders.spawn(async move {
            let mut stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let mut times = Vec::new();
            for n in (connection..seconds * RATE).step_by(CONNECTIONS) {
                let due = start + Duration::from_secs_f64(n as f64 / RATE as f64);
                tokio::time::sleep_until(due.into()).await;
                let body = &bodies[next.fetch_add(1, Ordering::Relaxed) % bodies.len()];
                post(&mut stream, body).await?;
                times.push(due.elapsed().as_secs_f64() * 1000.0);
            }
            Outcome::Ok(times)
        });
    }
    let mut all = Vec::new();
    while let Some(times) = senders.join_next().await {
        all.extend(times??);
    }
    Ok(all)
}

async fn batches(
    address: SocketAddr,
    bodies: &Arc<Vec<Vec<u8>>>,
    next: &Arc<AtomicUsize>,
    events: usize,
) -> Outcome<()> {
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (bodies, next) = (bodies.clone(), next.clone());
        senders.spawn(async move {
            let mut stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            for _ in 0..events / 100 / 16 {
                let first = next.fetch_add(100, Ordering::Relaxed);
                let body: Vec<u8> =
                    (0..100).flat_map(|i| bodies[(first + i) % bodies.len()].clone()).collect();
                post(&mut stream, &body).await?;
            }
            Outcome::Ok(())
        });
    }
    while let Some(done) = senders.join_next().await {
        done??;
    }
    Ok(())
}

/// One request on an open connection; anything but a 200 fails.
async fn post(stream: &mut TcpStream, body: &[u8]) -> Outcome<()> {
    let head =
        format!("POST /services/collector HTTP/1.1\r\nHost: bench\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body].concat()).await?;
    let mut answer = Vec::new();
    loop {
        let mut part = [0; 1024];
        let n = stream.read(&mut part).await?;
        answer.extend_from_slice(&part[..n]);
        // Every answer of this door ends with the brace of its one object.
        if n == 0 || answer.ends_with(b"}") {
            break;
        }
    }
    if answer.starts_with(b"HTTP/1.1 200") {
        return Ok(());
    }
    Err(format!("the webhook answered {}", String::from_utf8_lossy(&answer)).into())
}
