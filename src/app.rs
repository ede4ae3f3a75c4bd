//! Puts the parts together: settings to lake, sources, pipeline, session, and what each command prints.

mod ask;
pub mod collect;
mod demo;
mod detect;
mod detections;
mod doors;
pub mod event_hubs;
mod export;
mod failure;
mod ingest;
mod metrics;
mod reattribute;
mod score;
mod service;
mod simulate;
mod status;
mod storage;
mod users;

pub use failure::Failure;
pub use storage::open;
use storage::open_existing;

use std::path::{Path, PathBuf};

use clap::CommandFactory as _;

use crate::cli::{Cli, Command, Common};
use crate::query::{BLOCKING, Limits, Pinned, Session, Threads};
use crate::settings::{DEFAULTS, Settings};
use crate::store::{Lake, arrow_schema};

/// Exit codes besides 0 (done) and 1 (failed); clap itself ends with 2 (misused).
const NOTHING_FOUND: u8 = 3;
const NOT_SOUND: u8 = 4;

/// Runs one command and returns its exit code.
pub fn run(cli: Cli) -> Result<u8, Failure> {
    if let Command::Completions { shell } = cli.command {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "agentrail", &mut text);
        return ask::print(&text);
    }
    if matches!(&cli.command, Command::Check(check) if check.defaults) {
        return ask::print(DEFAULTS.as_bytes());
    }
    let settings = match (settings(&cli.common), &cli.command) {
        (Err(failure), Command::Check(_)) => return service::unsound("settings", &failure),
        (settings, _) => settings?,
    };
    log_to_stderr(&cli, &settings)?;
    runtime()?.block_on(async {
        match cli.command {
            Command::Demo(demo) => demo::run(demo, settings).await,
            Command::Ingest(ingest) => ingest::run(ingest, settings).await,
            Command::Run(run) => service::run(run, settings).await,
            Command::Serve => doors::run(&settings).await,
            Command::Export(asked) => export::run(asked, &settings).await,
            Command::User(asked) => users::run(asked, &settings),
            Command::Status(asked) => status::run(asked, &settings).await,
            Command::Check(_) => service::check(&settings).await,
            Command::Sql(sql) => ask::sql(sql, &settings).await,
            Command::Report(report) => ask::report(report, &settings).await,
            Command::Trace(trace) => ask::trace(trace, &settings).await,
            Command::Simulate(asked) => simulate::run(&asked).await,
            Command::Score(asked) => score::run(asked, &settings).await,
            Command::Detect(asked) => detect::run(asked, &settings).await,
            Command::Detections(asked) => detections::show(&asked, &settings).await,
            Command::Reattribute(asked) => reattribute::run(asked, &settings).await,
            Command::Maintain => service::maintain(&settings).await,
            Command::Completions { .. } => Ok(0),
        }
    })
}

/// The threads of this program.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(BLOCKING)
        .enable_all()
        .build()
        .map_err(|e| Failure::of("start the runtime", e))
}

/// Threads that give way to ingestion; `of` says what they do.
fn giving_way(name: &str, of: &str, count: usize) -> Result<Threads, Failure> {
    Threads::start(name, count).map_err(|e| Failure::of(format!("start the threads of the {of}"), e))
}

fn settings(common: &Common) -> Result<Settings, Failure> {
    let mut settings = Settings::load(common.config.as_deref(), std::env::vars())
        .map_err(|e| Failure::of("load the settings", e))?;
    if let Some(lake) = &common.lake {
        settings.lake.path.clone_from(lake);
    }
    if let Some(filter) = &common.log {
        settings.log.filter.clone_from(filter);
    }
    Ok(settings)
}

/// Logs go to standard error, so that answers on standard output stay clean. A one-shot command is
/// quiet unless it is asked to log; the service logs as the settings say.
fn log_to_stderr(cli: &Cli, settings: &Settings) -> Result<(), Failure> {
    let service = matches!(
        cli.command,
        Command::Run(_) | Command::Serve | Command::Export(crate::cli::Export::Run { once: false })
    );
    let filter = if service || cli.common.log.is_some() { settings.log.filter.as_str() } else { "warn" };
    // delta-rs reports an empty log folder as an error while it creates a table.
    // The clients of Azure log each fault several times as an error; whoever calls them says it once, with
    // what is done about it. Before the filter, which may want to hear them.
    let azure = "azure_core=off,azure_core_amqp=off,azure_identity=off,azure_messaging_eventhubs=off,fe2o3_amqp=off,typespec_client_core=off";
    let filter = format!("{azure},{filter},buoyant_kernel=off,delta_kernel=off,deltalake_core=warn");
    let filter = tracing_subscriber::EnvFilter::try_new(&filter).map_err(|e| {
        Failure::of(
            format!(
                "understand the log filter `{}`; write `info` or `agentrail=debug,warn`",
                settings.log.filter
            ),
            e,
        )
    })?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_writer(std::io::stderr);
    let done = match settings.log.format.as_str() {
        "json" => log.json().try_init(),
        _ => log.with_target(false).try_init(),
    };
    done.map_err(|e| Failure::says(format!("start the log: {e}")))
}

/// A session over the lake as it is now.
fn session(lake: &Lake, settings: &Settings) -> Result<Session, Failure> {
    let tables = lake
        .pin()
        .into_iter()
        .map(|files| Pinned { schema: arrow_schema(files.table), files, store: lake.store() })
        .collect();
    let limits = Limits { memory_bytes: settings.query.memory, threads: threads(settings) };
    Session::new(tables, limits).map_err(|e| Failure::of("start a query session", e))
}

/// The threads of a statement.
fn threads(settings: &Settings) -> usize {
    match settings.query.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n,
    }
}

/// How payloads are taken, as the settings say.
pub fn pipeline_settings(settings: &Settings) -> crate::pipeline::Settings {
    use crate::model::Ticks;
    crate::pipeline::Settings {
        linger: std::time::Duration::from_millis(settings.commit.linger_ms),
        max_bytes: settings.commit.max_bytes,
        limits: crate::decode::Limits {
            body: settings.decode.max_inflated,
            record: settings.decode.max_record,
            depth: settings.decode.max_depth,
        },
        tolerance: crate::attribute::Tolerance {
            clock: Ticks::seconds(i64::from(settings.attribute.clock_tolerance)),
            window: Ticks::days(i64::from(settings.attribute.window_days)),
        },
        retention: (settings.lake.retention_days > 0)
            .then(|| Ticks::days(i64::from(settings.lake.retention_days))),
        organization: Some(settings.decode.organization.clone()).filter(|o| !o.is_empty()),
        max_jobs: settings.attribute.max_jobs,
        max_news: settings.attribute.max_news,
    }
}

/// A path as its owner wrote it, absolute.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::{Arc, Mutex, mpsc};

    use super::*;

    #[test]
    fn much_that_waits_for_a_disk_at_once_is_done_by_few_threads() {
        const MUCH: usize = 200;
        let runtime = runtime().unwrap();
        let (begun, begins) = mpsc::channel();
        let (go, wait) = mpsc::channel::<()>();
        let wait = Arc::new(Mutex::new(wait));
        for _ in 0..MUCH {
            let (begun, wait) = (begun.clone(), wait.clone());
            runtime.spawn_blocking(move || {
                let _ = begun.send(std::thread::current().id());
                let _ = wait.lock().unwrap().recv();
            });
        }
        drop(begun);
        let mut threads: HashSet<_> = begins.iter().take(BLOCKING).collect();
        // Whoever else was started is there by the time that as many others have been and gone.
        (0..MUCH).for_each(|_| std::thread::spawn(|| ()).join().unwrap());
        drop(go);
        threads.extend(begins);
        assert_eq!(threads.len(), BLOCKING);
    }
}
