//! `run`, `check` and `maintain`: the commands of a background service.

use std::sync::Arc;
use std::time::Duration;

use super::ingest::file_settings;
use super::{
    Failure, NOT_SOUND, ask, giving_way, open, open_existing, pipeline_settings, session, storage, threads,
};
use crate::cli;
use crate::decode::is_audit;
use crate::objects::is_url;
use crate::pipeline::{Pipeline, Reviser};
use crate::settings::{Settings, Webhook};
use crate::source::event_hubs::Lanes;
use crate::source::event_hubs::status::Status;
use crate::source::{clock, files, webhook};
use crate::store::Lake;

/// Runs all sources until told to stop, then drains.
pub(super) async fn run(asked: cli::Run, settings: Settings) -> Result<u8, Failure> {
    // Before anything runs that would have to be drained.
    let told_to_stop = told_to_stop()?;
    let rules = super::detections::rules(&settings)?;
    let lake = open(&settings).await?;
    let pipeline = Pipeline::start(lake.clone(), pipeline_settings(&settings));
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut sources = tokio::task::JoinSet::new();
    if settings.webhook.enabled {
        let checked = webhook_settings(&settings.webhook)?;
        let (intake, stopped) = (pipeline.push.clone(), until(stopped.clone()));
        sources.spawn(async move {
            webhook::serve(checked, intake, stopped)
                .await
                .map_err(|e| Failure::of("run the webhook listener", e))
        });
    }
    // A look at object storage costs requests, and takes as long as its listing: it has a rhythm of its own.
    let (urls, paths) = settings.files.watch.iter().cloned().partition::<Vec<String>, _>(|p| is_url(p));
    for paths in [paths, urls].into_iter().filter(|paths| !paths.is_empty()) {
        let (intake, stopped) = (pipeline.bulk.clone(), until(stopped.clone()));
        let (checked, lake) = (file_settings(&settings, &paths)?, lake.clone());
        sources.spawn(async move {
            let positions = move |partition: &str| lake.position(partition);
            files::watch(&checked, &paths, intake, &classifier(), &positions, stopped)
                .await
                .map_err(|e| Failure::of("watch the files", e))
        });
    }
    if !settings.azure_devops.organizations.is_empty() {
        let clock = Arc::new(clock::System);
        super::collect::start(&settings, clock, asked.record, &pipeline.push, &lake, &stopped, &mut sources)?;
    }
    let status = Status::default();
    if !settings.event_hubs.hubs.is_empty() {
        let lanes = Lanes { push: pipeline.push.clone(), bulk: pipeline.bulk.clone() };
        super::event_hubs::start(&settings, &lanes, &status, &stopped, &mut sources)?;
    }
    if sources.is_empty() {
        return Err(Failure::says(
            "run: no source is configured; enable [webhook], name paths in `files.watch`, `azure_devops.organizations` or hubs in [event_hubs]",
        ));
    }
    let metrics = super::metrics::of(&pipeline, &status);
    let gate = super::doors::open(&settings, &lake, metrics, &stopped, &mut sources).await?;
    let mut behind = tokio::task::JoinSet::new();
    let export = super::export::start(&settings, &lake, &stopped, &mut behind)?;
    let detect = super::detect::start(lake.clone(), rules, &settings, until(stopped.clone()), &mut behind)?;
    let upkeep = giving_way("upkeep", "maintenance", threads(&settings))?;
    let tidy = maintain_every(lake.clone(), settings.commit.maintain_every, until(stopped.clone()));
    behind.spawn_on(tidy, upkeep.handle());
    behind.spawn_on(revise_every(lake.clone(), settings.clone(), until(stopped)), upkeep.handle());
    tracing::info!(lake = %storage::shown(&settings), "agentrail runs");

    let word = super::status::Word::new(lake.clone(), &settings).await;
    let ended = tokio::select! {
        () = told_to_stop => None,
        ended = sources.join_next() => ended,
        () = word.keep(|| pipeline.ledger(), &status) => None,
    };
    tracing::info!("stopping: sources end, then what they handed over is committed");
    let _ = stop.send(true);
    let mut failure = None;
    let mut next = ended;
    while let Some(done) = match next.take() {
        Some(done) => Some(done),
        None => sources.join_next().await,
    } {
        match done {
            Ok(Ok(())) => {}
            Ok(Err(e)) => failure = Some(e),
            Err(e) => failure = Some(Failure::of("run a source", e)),
        }
    }
    let ledger = pipeline.finish().await;
    if let Some(gate) = gate {
        gate.written().await;
    }
    while behind.join_next().await.is_some() {}
    drop((export, detect, upkeep));
    tracing::info!(events = ledger.events, facts = ledger.facts, rejects = ledger.rejects, "stopped");
    failure.map_or(Ok(0), Err)
}

/// The part of the time between two passes after which the first one begins.
const FIRST_MAINTENANCE: u64 = 6;

/// The time before each pass of maintenance. The first is soon after a start: a service that is started over and
/// over tidies all the same.
fn waits(seconds: u64) -> impl Iterator<Item = Duration> {
    let all = std::iter::once(seconds.div_ceil(FIRST_MAINTENANCE)).chain(std::iter::repeat(seconds));
    all.map(Duration::from_secs)
}

async fn maintain_every(lake: Arc<Lake>, seconds: u64, stopped: impl Future<Output = ()>) {
    if seconds == 0 {
        return;
    }
    tokio::pin!(stopped);
    for wait in waits(seconds) {
        tokio::select! {
            () = &mut stopped => return,
            () = tokio::time::sleep(wait) => {}
        }
        if let Err(error) = lake.maintain().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a maintenance pass failed; the next one tries again"
            );
        }
    }
}

/// Looks at verdicts again as long as no other process does.
async fn revise_every(lake: Arc<Lake>, settings: Settings, stopped: impl Future<Output = ()>) {
    let seconds = settings.attribute.revise_every;
    if seconds == 0 {
        return;
    }
    tokio::pin!(stopped);
    let mut reviser = None;
    loop {
        tokio::select! {
            () = &mut stopped => return,
            () = tokio::time::sleep(Duration::from_secs(seconds)) => {}
        }
        if reviser.as_ref().is_none_or(|own: &Reviser| !own.is_alone()) {
            reviser = match Reviser::take(lake.clone(), pipeline_settings(&settings)) {
                Ok(taken) => taken,
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "verdicts cannot be looked at again"
                    );
                    continue;
                }
            };
        }
        let Some(own) = &mut reviser else { continue };
        match own.pass().await {
            Ok(revised) if revised.changed > 0 => {
                tracing::info!(looked_at = revised.looked_at, changed = revised.changed, "verdicts revised");
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "verdicts could not be looked at again; the next pass does it"
            ),
        }
    }
}

/// Ends when the flag turns true, or nobody can turn it any more.
pub(super) async fn until(mut flag: tokio::sync::watch::Receiver<bool>) {
    let _ = flag.wait_for(|stop| *stop).await;
}

/// Ends with the first signal to stop; signals are heard from now on.
pub(super) fn told_to_stop() -> Result<impl Future<Output = ()>, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let hear = |kind| signal(kind).map_err(|e| Failure::of("listen for the signal to stop", e));
    let (mut term, mut int) = (hear(SignalKind::terminate())?, hear(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
    })
}

/// How the file source tells audit records from the rest, which is ingested first.
pub(super) fn classifier() -> impl Fn(&[u8]) -> bool + Send + Sync + Clone + 'static {
    is_audit
}

pub(super) fn webhook_settings(settings: &Webhook) -> Result<webhook::Settings, Failure> {
    let checked = webhook::Settings {
        listen: settings.listen.clone(),
        behind_tls_proxy: settings.behind_tls_proxy,
        hec_tokens: settings.hec_tokens.clone(),
        event_grid_keys: settings.event_grid_keys.clone(),
        hook_credentials: settings.hook_credentials.clone(),
        max_body: settings.max_body,
        max_concurrent: settings.max_concurrent,
        request_timeout: Duration::from_secs(settings.request_timeout),
    };
    checked.check().map_err(|e| Failure::of("understand the settings in [webhook]", e))?;
    Ok(checked)
}

/// Says what is not sound.
pub(super) fn unsound(name: &str, failure: &Failure) -> Result<u8, Failure> {
    let says = failure.to_string();
    ask::print(format!("wrong   {name}: {}\n", says.trim_start_matches("error: ")).as_bytes())?;
    Ok(NOT_SOUND)
}

/// Says whether configuration and lake are sound; connects to nothing but a lake's object store.
pub(super) async fn check(settings: &Settings) -> Result<u8, Failure> {
    let mut sound = true;
    let mut say = |name: &str, result: Result<String, Failure>| {
        let line = match result {
            Ok(says) => format!("ok      {name}: {says}\n"),
            Err(failure) => {
                sound = false;
                return unsound(name, &failure);
            }
        };
        ask::print(line.as_bytes())
    };
    say("settings", Ok("understood".to_owned()))?;
    if settings.webhook.enabled {
        say("webhook", webhook_settings(&settings.webhook).map(|s| format!("would listen on {}", s.listen)))?;
    }
    for pattern in &settings.files.watch {
        let checked = file_settings(settings, std::slice::from_ref(pattern));
        let named = checked.and_then(|checked| {
            files::check(&checked, pattern).map_err(|e| Failure::of("watch the files", e))
        });
        let says = |files| match files {
            Some(n) => format!("`{pattern}` names {n} files now"),
            None => format!("`{pattern}` would be listed every {} s", settings.files.urls_every),
        };
        say("files", named.map(says))?;
    }
    if !settings.azure_devops.organizations.is_empty() {
        let checked = super::collect::rest_settings(settings, None);
        let says =
            checked.map(|_| format!("would collect {}", settings.azure_devops.organizations.join(", ")));
        say("azure_devops", says)?;
    }
    if !settings.event_hubs.hubs.is_empty() {
        say("event_hubs", super::event_hubs::check(settings))?;
    }
    if !settings.export.destinations.is_empty() {
        say("export", super::export::check(settings))?;
    }
    for (door, says) in super::doors::check(settings) {
        say(door, says)?;
    }
    say("detections", super::detections::check(settings))?;
    let name = storage::shown(settings);
    match storage::find(settings).await {
        Err(failure) => say("lake", Err(failure)).map(drop)?,
        Ok(Some(lake)) => {
            let tables = lake.pin();
            let files: usize = tables.iter().map(|t| t.files.len()).sum();
            let rows: u64 = tables.iter().flat_map(|t| t.files.iter()).map(|f| f.rows).sum();
            say(
                "lake",
                Ok(format!("`{name}` holds {rows} rows in {files} files of {} tables", tables.len())),
            )?;
            say("files", whole(&lake).await)?;
            say("queries", session(&lake, settings).map(|_| "all views stand".to_owned()))?;
            for (name, says) in super::export::plans(settings, &lake).await {
                say(&name, says)?;
            }
        }
        Ok(None) => {
            let says = format!("`{name}` is not there yet; the first ingest makes it");
            say("lake", storage::vacant(settings).await.map(|()| says)).map(drop)?;
        }
    }
    Ok(if sound { 0 } else { NOT_SOUND })
}

/// Whether every file that the tables name is there as it was written.
async fn whole(lake: &Lake) -> Result<String, Failure> {
    let damaged = lake.damaged().await.map_err(|e| Failure::of("look at the files of the lake", e))?;
    match damaged.first() {
        None => Ok("all are there, of the size they were written with".to_owned()),
        Some(first) => Err(Failure::says(format!(
            "find {} files of the lake as they were written, `{}` among them: restore them from a backup",
            damaged.len(),
            first.display()
        ))),
    }
}

/// One maintenance pass.
pub(super) async fn maintain(settings: &Settings) -> Result<u8, Failure> {
    let lake = open_existing(settings).await?;
    let done = lake.maintain().await.map_err(|e| Failure::of("maintain the lake", e))?;
    ask::print(format!("{done}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_maintenance_comes_soon_after_a_start() {
        let first = |seconds| waits(seconds).take(3).map(|wait| wait.as_secs()).collect::<Vec<_>>();
        assert_eq!((first(60), first(1)), (vec![10, 60, 60], vec![1, 1, 1]));
    }
}
