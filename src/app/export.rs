//! `export`, and the exports of `run`: each destination on its own, on threads that give way to ingestion.

mod build;

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Failure, ask, giving_way, open_existing};
use crate::cli::{self, Format};
use crate::model::Ticks;
use crate::pipeline::relay::{self, Cursor, Relay, RelayError, Wish};
use crate::query::{Catalogue, Threads};
use crate::settings::{Destination, Settings};
use crate::source::clock::{Clock as _, System};
use crate::store::Lake;

/// Between two tries to be the one that sends, and after a pass that failed.
const AGAIN: Duration = Duration::from_secs(5);

/// Sends to every destination of the settings until told to stop; the tasks end with what is under way.
pub(super) fn start(
    settings: &Settings,
    lake: &Arc<Lake>,
    stopped: &watch::Receiver<bool>,
    tasks: &mut JoinSet<()>,
) -> Result<Option<Threads>, Failure> {
    check(settings)?;
    if settings.export.destinations.is_empty() {
        return Ok(None);
    }
    let threads = giving_way("export", "exports", 1)?;
    let every = Duration::from_secs(settings.export.every.max(1));
    let names: Vec<&str> = settings.export.destinations.iter().map(|own| own.name.as_str()).collect();
    tracing::info!(
        destinations = names.join(", "),
        "exports begin; `agentrail export status` tells how far they are"
    );
    for own in &settings.export.destinations {
        let (own, settings, lake, stopped) = (own.clone(), settings.clone(), lake.clone(), stopped.clone());
        let sends = async move { send(&own, &settings, lake, every, stopped).await };
        tasks.spawn_on(sends, threads.handle());
    }
    Ok(Some(threads))
}

async fn send(
    own: &Destination,
    settings: &Settings,
    lake: Arc<Lake>,
    every: Duration,
    mut stopped: watch::Receiver<bool>,
) {
    let mut relay: Option<Relay> = None;
    loop {
        let wait = match turn(own, settings, &lake, &mut relay, &mut stopped).await {
            Ok(true) => Duration::ZERO,
            Ok(false) => every,
            Err(failure) => {
                tracing::warn!(destination = own.name, "{failure}");
                if let Some(relay) = &mut relay {
                    relay.failed(failure.to_string().trim_start_matches("error: failed to ")).await;
                }
                AGAIN
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = stopped.wait_for(|stop| *stop) => return,
        }
        if *stopped.borrow() {
            return;
        }
    }
}

/// One pass of a destination; says whether more is there already.
async fn turn(
    own: &Destination,
    settings: &Settings,
    lake: &Arc<Lake>,
    relay: &mut Option<Relay>,
    stopped: &mut watch::Receiver<bool>,
) -> Result<bool, Failure> {
    let fail = |e: RelayError| Failure::of(format!("export to `{}`", own.name), e);
    if relay.as_ref().is_none_or(|relay| !relay.is_alone()) {
        *relay = None;
        let (order, destination) = (build::order(own)?, build::destination(own, settings)?);
        *relay = Relay::take(lake.clone(), order, destination).await.map_err(fail)?;
    }
    let Some(relay) = relay else { return Ok(false) };
    relay.pass(stopped).await.map(|(_, more)| more).map_err(fail)
}

/// Whether each destination could be sent to; connects to nothing.
pub(super) fn check(settings: &Settings) -> Result<String, Failure> {
    let mut names: Vec<&str> = Vec::new();
    for own in &settings.export.destinations {
        let named =
            |e: Failure| Failure::of(format!("understand the destination `{}` in [export]", own.name), e);
        build::order(own).map_err(named)?;
        build::destination(own, settings).map_err(named)?;
        if names.contains(&own.name.as_str()) {
            return Err(Failure::says(format!(
                "understand the settings in [export]: the destination `{}` is there twice; give each a name of its own",
                own.name
            )));
        }
        names.push(&own.name);
    }
    Ok(format!("would send to {}", names.join(", ")))
}

/// Whether what each destination is sent can be asked of the lake.
pub(super) async fn plans(settings: &Settings, lake: &Lake) -> Vec<(String, Result<String, Failure>)> {
    let mut said = Vec::new();
    for own in &settings.export.destinations {
        let planned = async {
            let order = build::order(own)?;
            let planned = relay::check(lake, &order).await;
            planned.map_err(|e| Failure::of("understand its shape and filter", e))
        };
        let says = planned.await.map(|()| "its shape and filter are understood".to_owned());
        said.push((format!("export `{}`", own.name), says));
    }
    said
}

/// The command.
pub(super) async fn run(asked: cli::Export, settings: &Settings) -> Result<u8, Failure> {
    match asked {
        cli::Export::Status { format } => status(settings, &ready(settings, None).await?, format).await,
        cli::Export::Run { once: true } => once(settings, &ready(settings, None).await?).await,
        cli::Export::Run { once: false } => on(settings, &ready(settings, None).await?).await,
        cli::Export::Shapes => shapes(),
        cli::Export::Rewind { name, to } => {
            if to > System.now() {
                return Err(Failure::says(format!("rewind `{name}` to {to}: that is yet to come")));
            }
            wish(settings, &name, Wish::Rewind(to.unix_micros())).await?;
            ask::print(format!("{name}: whatever was known since {to} goes out again, {SOON}\n").as_bytes())
        }
        cli::Export::Replay { name } => {
            wish(settings, &name, Wish::Replay).await?;
            ask::print(format!("{name}: what was refused goes out again, {SOON}\n").as_bytes())
        }
    }
}

/// The lake, for destinations that are sound; this one must be among them.
async fn ready(settings: &Settings, name: Option<&str>) -> Result<Arc<Lake>, Failure> {
    check(settings)?;
    if let Some(name) = name {
        one(settings, name)?;
    }
    if settings.export.destinations.is_empty() {
        return Err(Failure::says(
            "export: no destination is configured; add [[export.destinations]] to the configuration",
        ));
    }
    open_existing(settings).await
}

async fn wish(settings: &Settings, name: &str, wish: Wish) -> Result<(), Failure> {
    let lake = ready(settings, Some(name)).await?;
    let left = relay::wish(&lake, name, wish).await;
    left.map_err(|e| Failure::of("leave word for who sends", e))
}

const SOON: &str = "as soon as `agentrail run` or `agentrail export run` looks next";

fn one<'s>(settings: &'s Settings, name: &str) -> Result<&'s Destination, Failure> {
    let all = &settings.export.destinations;
    all.iter().find(|own| own.name == name).ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|own| own.name.as_str()).collect();
        Failure::says(format!("find the destination `{name}`; the configuration has: {}", names.join(", ")))
    })
}

async fn on(settings: &Settings, lake: &Arc<Lake>) -> Result<u8, Failure> {
    let told_to_stop = super::service::told_to_stop()?;
    let (stop, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let threads = start(settings, lake, &stopped, &mut tasks)?;
    told_to_stop.await;
    tracing::info!("stopping: what is under way ends");
    let _ = stop.send(true);
    while tasks.join_next().await.is_some() {}
    drop(threads);
    Ok(0)
}

/// Sends all there is, or says what is in the way.
async fn once(settings: &Settings, lake: &Arc<Lake>) -> Result<u8, Failure> {
    let told_to_stop = super::service::told_to_stop()?;
    let (stop, stopped) = watch::channel(false);
    let all = async {
        // At the same time: one that is down holds up itself alone.
        let each = settings.export.destinations.iter().map(|own| {
            let (mut relay, mut stopped) = (None, stopped.clone());
            async move {
                while turn(own, settings, lake, &mut relay, &mut stopped).await? {}
                let says = || {
                    format!(
                        "export to `{}`: another process sends to it; leave it to that one, or stop it",
                        own.name
                    )
                };
                relay.map(drop).ok_or_else(|| Failure::says(says()))
            }
        });
        futures::future::join_all(each).await.into_iter().collect::<Result<(), Failure>>()
    };
    tokio::select! {
        done = all => done?,
        () = told_to_stop => {
            let _ = stop.send(true);
            return Err(Failure::says("export everything: it was told to stop; the next run goes on"));
        }
    }
    status(settings, lake, Format::Table).await
}

async fn status(settings: &Settings, lake: &Arc<Lake>, format: Format) -> Result<u8, Failure> {
    let mut lines = String::new();
    let mut objects = Vec::new();
    for own in &settings.export.destinations {
        let cursor = relay::stands(lake, &own.name);
        let known = cursor.clone().unwrap_or_default();
        let order = build::order(own)?;
        let (waiting, since) =
            relay::waiting(lake, &order, &known).await.map_err(|e| Failure::of("count what waits", e))?;
        let age = since.map(|since| (System.now().0 - since.0).max(0) / Ticks::seconds(1).0);
        if format != Format::Table {
            objects.push(serde_json::json!({
                "name": own.name, "kind": own.kind, "begun": cursor.is_some(), "sent": known.sent,
                "updates": known.updates, "refused": known.refused, "waiting": waiting,
                "oldest_seconds": age, "confirmed": known.confirmed, "fault": known.fault,
                "since": known.since, "cursor": { "events": known.events, "revisions": known.revisions, "findings": known.findings },
            }));
            continue;
        }
        line(&mut lines, own, &known, cursor.is_some(), waiting, age);
    }
    if format != Format::Table {
        return ask::print(format!("{}\n", serde_json::Value::Array(objects)).as_bytes());
    }
    ask::print(lines.as_bytes())
}

fn line(out: &mut String, own: &Destination, known: &Cursor, begun: bool, waiting: u64, age: Option<i64>) {
    let state = if begun { "" } else { ", nothing was sent yet" };
    let _ = writeln!(
        out,
        "{} ({}): {} sent, of which {} updates; {} refused; {waiting} wait{}{state}",
        own.name,
        own.kind,
        known.sent,
        known.updates,
        known.refused,
        age.map_or_else(String::new, |age| format!(", the oldest known for {age} s"))
    );
    if let Some(at) = &known.confirmed {
        let _ = writeln!(out, "    last confirmed {at}");
    }
    if let Some(fault) = &known.fault {
        let _ = writeln!(out, "    since {}: failed to {fault}", known.since.as_deref().unwrap_or_default());
    }
}

fn shapes() -> Result<u8, Failure> {
    let mut out = String::new();
    for shape in Catalogue::embedded().shapes() {
        let _ = writeln!(out, "{:<18} {}", shape.name, shape.title);
    }
    ask::print(out.as_bytes())
}

/// The text of a shape: ours by name, or a file of the operator's.
fn shape(name: &str) -> Result<relay::Shape, Failure> {
    let fail = |e: &dyn std::fmt::Display| Failure::says(format!("read the shape `{name}`: {e}"));
    if Path::new(name).extension().is_some_and(|end| end == "sql") {
        let text = std::fs::read_to_string(name).map_err(|e| fail(&e))?;
        let query = crate::query::parse(name, &text).map_err(|e| fail(&e))?;
        return Ok(relay::Shape { name: name.to_owned(), sql: query.sql });
    }
    let all = Catalogue::embedded().shapes();
    let found = all.iter().find(|shape| shape.name == name);
    let query = found.ok_or_else(|| {
        fail(&"there is none of this name; `agentrail export shapes` lists them, and a path ends in `.sql`")
    })?;
    Ok(relay::Shape { name: query.name.clone(), sql: query.sql.clone() })
}
