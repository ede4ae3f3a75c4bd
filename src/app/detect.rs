//! `detect`: detections over history on demand, and the runs over what is new that `run` and `ingest` do.

use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream;
use tokio::task::JoinSet;

use super::{Failure, NOTHING_FOUND, detections, giving_way, open_existing, threads};
use crate::cli::Detect;
use crate::model::Time;
use crate::pipeline::{Bounds, DetectError, Detected, Detector, Rule};
use crate::query::{Answer, Object, Threads, quoted, write};
use crate::settings::Settings;
use crate::source::clock::{Clock as _, System};
use crate::store::Lake;

/// What is shown of a finding.
const SHOWN: [&str; 9] =
    ["occurred", "severity", "detection", "organization", "says", "agent_name", "grade", "trace", "key"];

pub(super) fn bounds(settings: &Settings) -> Bounds {
    Bounds {
        memory: settings.detections.memory,
        threads: threads(settings),
        timeout: Duration::from_secs(settings.detections.timeout.max(1)),
    }
}

fn fail(e: DetectError) -> Failure {
    Failure::of("run the detections", e)
}

/// Runs over what came in, unless another process sees to that.
pub(super) async fn once(
    lake: &Arc<Lake>,
    rules: Vec<Rule>,
    settings: &Settings,
) -> Result<Detected, Failure> {
    match Detector::take(lake.clone(), rules, bounds(settings)).map_err(fail)? {
        Some(mut detector) => detector.pass().await.map_err(fail),
        None => Ok(Detected::default()),
    }
}

/// Runs some over a span and prints what they find.
pub(super) async fn run(asked: Detect, settings: &Settings) -> Result<u8, Failure> {
    let mut rules = detections::rules(settings)?;
    for name in &asked.names {
        if !rules.iter().any(|rule| rule.name() == name) {
            return Err(Failure::says(format!(
                "find the detection `{name}`, or it is switched off{}; `agentrail detections` lists them",
                detections::near(name, rules.iter().map(Rule::name))
            )));
        }
    }
    rules.retain(|rule| asked.names.is_empty() || asked.names.iter().any(|name| name == rule.name()));
    if !asked.params.is_empty() {
        let [rule] = rules.as_mut_slice() else {
            return Err(Failure::says("set a parameter: name the one detection that has it"));
        };
        for (name, value) in &asked.params {
            rule.set(name, value).map_err(|e| Failure::of("set a parameter", e))?;
        }
    }
    let lake = open_existing(settings).await?;
    let until = match asked.until {
        Some(until) => until,
        None => end(&lake),
    };
    let keeps = !asked.dry_run && asked.params.is_empty();
    let (rows, failed) = if keeps {
        let detector = Detector::take(lake.clone(), rules.clone(), bounds(settings)).map_err(fail)?;
        let Some(mut detector) = detector else {
            return Err(Failure::says(
                "run the detections: another process has this work on the lake; add --dry-run, or leave it to it",
            ));
        };
        let detected = detector.span(asked.since, until).await.map_err(fail)?;
        (kept(&lake, &rules, (asked.since, until), settings).await?, detected.failed)
    } else {
        let detector = Detector::reading(lake.clone(), rules, bounds(settings)).map_err(fail)?;
        detector.look(asked.since, until).await.map_err(fail)?
    };
    let found = print(&rows, asked.format.into()).await?;
    for (name, says) in &failed {
        eprintln!("error: failed to run the detection `{name}`: {says}");
    }
    Ok(match (failed.is_empty(), found) {
        (false, _) => 1,
        (true, 0) => NOTHING_FOUND,
        _ => 0,
    })
}

/// After the last day of any table, and after today.
fn end(lake: &Lake) -> Time {
    let days = lake.pin().into_iter().flat_map(|set| set.files.iter().filter_map(|f| f.date).max());
    let today = System.now();
    days.max().map_or(today, |day| day.start().max(today)).date().plus_days(2).start()
}

/// The findings of these rules in a span as they stand.
async fn kept(
    lake: &Lake,
    rules: &[Rule],
    (from, until): (Time, Time),
    settings: &Settings,
) -> Result<Vec<Object>, Failure> {
    lake.refresh().await.map_err(|e| Failure::of("read the lake", e))?;
    let names: Vec<String> = rules.iter().map(|rule| quoted(rule.name())).collect();
    let sql = format!(
        "select * from findings where status = 'open' and detection in ({}) and occurred >= timestamp '{from}' \
         and occurred < timestamp '{until}' order by occurred, key",
        if names.is_empty() { "''".to_owned() } else { names.join(", ") }
    );
    super::session(lake, settings)?.objects(&sql).await.map_err(|e| Failure::of("read the findings", e))
}

async fn print(rows: &[Object], format: crate::query::Format) -> Result<u64, Failure> {
    let cell = |row: &Object, name: &str| match name {
        "trace" => row.get("event_id").or(row.get("agent_name")).and_then(|v| v.as_str().map(str::to_owned)),
        _ => row
            .get(name)
            .and_then(|v| v.as_str().map(str::to_owned).or((!v.is_null()).then(|| v.to_string()))),
    };
    let columns = SHOWN.map(|name| {
        let values: StringArray = rows.iter().map(|row| cell(row, name)).collect();
        (name, Arc::new(values) as ArrayRef, true)
    });
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns).map_err(|e| Failure::of("show the findings", e))?;
    let schema = batch.schema();
    let stream = stream::iter((batch.num_rows() > 0).then_some(Ok(batch)));
    let answer =
        Answer { schema: schema.clone(), stream: Box::pin(RecordBatchStreamAdapter::new(schema, stream)) };
    match write(answer, format, &mut std::io::stdout().lock()).await {
        Err(e) if e.is_broken_pipe() => Ok(rows.len() as u64),
        done => done.map_err(|e| Failure::of("show the findings", e)),
    }
}

/// Runs them over what is new as long as no other process does, on threads that give way.
pub(super) fn start(
    lake: Arc<Lake>,
    rules: Vec<Rule>,
    settings: &Settings,
    stopped: impl Future<Output = ()> + Send + 'static,
    tasks: &mut JoinSet<()>,
) -> Result<Option<Threads>, Failure> {
    let seconds = settings.detections.every;
    if seconds == 0 {
        return Ok(None);
    }
    let own = giving_way("detect", "detections", threads(settings))?;
    let bounds = bounds(settings);
    tasks.spawn_on(every(lake, rules, bounds, Duration::from_secs(seconds), stopped), own.handle());
    Ok(Some(own))
}

async fn every(
    lake: Arc<Lake>,
    rules: Vec<Rule>,
    bounds: Bounds,
    rhythm: Duration,
    stopped: impl Future<Output = ()>,
) {
    tokio::pin!(stopped);
    let mut detector: Option<Detector> = None;
    loop {
        tokio::select! {
            () = &mut stopped => return,
            () = tokio::time::sleep(rhythm) => {}
        }
        if detector.as_ref().is_none_or(|own| !own.is_alone()) {
            detector = match Detector::take(lake.clone(), rules.clone(), bounds.clone()) {
                Ok(taken) => taken,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "detections cannot run");
                    continue;
                }
            };
        }
        let Some(own) = &mut detector else { continue };
        // What a stop interrupts is run again: its cursor has not moved.
        let ran = tokio::select! {
            () = &mut stopped => return,
            ran = own.pass() => ran,
        };
        match ran {
            Ok(ran) if ran.opened + ran.changed + ran.withdrawn > 0 => tracing::info!(
                findings = ran.opened,
                changed = ran.changed,
                withdrawn = ran.withdrawn,
                runs = ran.runs,
                "detections found something"
            ),
            Ok(_) => {}
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "detections could not run; the next pass runs them over the same"
            ),
        }
    }
}
