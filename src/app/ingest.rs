//! `ingest`: files once, with progress and an account of every record.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use super::{Failure, ask, open, pipeline_settings, storage};
use crate::cli::{Format, Ingest};
use crate::objects::{Access, is_url};
use crate::pipeline::{Detected, Ledger, Pipeline, ReviseError, Revised, Reviser};
use crate::settings::Settings;
use crate::source::files;
use crate::store::Lake;

/// Ingests the paths and prints the account.
pub(super) async fn run(ingest: Ingest, mut settings: Settings) -> Result<u8, Failure> {
    if let Some(organization) = ingest.organization {
        settings.decode.organization = organization;
    }
    let lake = open(&settings).await?;
    let rules = super::detections::rules(&settings)?;
    let (ledger, revised, mut failed) = once(&lake, &settings, &ingest.paths, ingest.again, true).await?;
    let detected = match settings.detections.at_ingest {
        true => super::detect::once(&lake, rules, &settings).await,
        false => Ok(Detected::default()),
    };
    let detected = detected.unwrap_or_else(|e| {
        failed.push(e.to_string().trim_start_matches("error: failed to ").to_owned());
        Detected::default()
    });
    failed.extend(detected.failed.iter().map(|(name, says)| format!("run the detection `{name}`: {says}")));
    // Many small files slow every reader: leave the lake as `run` would keep it.
    let tidied = lake.maintain().await;
    ask::print(account(&ledger, &revised, &detected, ingest.format).as_bytes())?;
    for says in &failed {
        eprintln!("error: failed to {says}");
    }
    tidied.map_err(|e| Failure::of("tidy the lake after the ingest", e))?;
    Ok(u8::from(!failed.is_empty()))
}

/// What came in may change verdicts given before; where `run` has the lake, it sees to that.
async fn look_again(lake: &Arc<Lake>, settings: &Settings) -> Result<Revised, ReviseError> {
    match Reviser::take(lake.clone(), pipeline_settings(settings))? {
        Some(mut reviser) => reviser.pass().await,
        None => Ok(Revised::default()),
    }
}

/// Ingests `paths` into the lake; returns the account, what it changed, and what could not be taken.
pub(super) async fn once(
    lake: &Arc<Lake>,
    settings: &Settings,
    paths: &[String],
    again: bool,
    progress: bool,
) -> Result<(Ledger, Revised, Vec<String>), Failure> {
    let checked = file_settings(settings, paths)?;
    let pipeline = Pipeline::start(lake.clone(), pipeline_settings(settings));
    let bar = progress.then(bar).flatten();
    let intake = pipeline.bulk.clone();
    let positions = |partition: &str| if again { None } else { lake.position(partition) };
    let report =
        files::ingest_once(&checked, paths, intake, &super::service::classifier(), &positions, |done| {
            if let Some(bar) = &bar {
                bar.set_length(done.total);
                bar.set_position(done.bytes);
                bar.set_message(done.file.to_owned());
            }
        })
        .await;
    let ledger = pipeline.finish().await;
    let mut report = report.map_err(|e| Failure::of("ingest", e))?;
    let revised = look_again(lake, settings).await;
    let revised = revised.unwrap_or_else(|e| {
        // What came in is stored and told all the same; the next pass looks again.
        let says = Failure::of("look at the verdicts again", e).to_string();
        report.failed.push(says.trim_start_matches("error: failed to ").to_owned());
        Revised::default()
    });
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    Ok((ledger, revised, report.failed))
}

/// How these paths are read; what reaches object storage is asked for only if they need it.
pub(super) fn file_settings(settings: &Settings, paths: &[String]) -> Result<files::Settings, Failure> {
    let own = &settings.files;
    let is_remote = paths.iter().any(|path| is_url(path));
    Ok(files::Settings {
        chunk: own.chunk,
        max_document: own.max_document,
        under_way: 3 * settings.commit.max_bytes,
        every: Duration::from_secs(if is_remote { own.urls_every.max(1) } else { own.every }),
        storage: if is_remote { storage::access(settings)? } else { Access::default() },
    })
}

fn bar() -> Option<indicatif::ProgressBar> {
    std::io::stderr().is_terminal().then(|| {
        let bar = indicatif::ProgressBar::new(0);
        let style = "{bar:32} {bytes}/{total_bytes} {bytes_per_sec} {wide_msg}";
        if let Ok(style) = indicatif::ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        bar
    })
}

/// The account, so that a reader can check that nothing was dropped.
fn account(ledger: &Ledger, revised: &Revised, detected: &Detected, format: Format) -> String {
    if format != Format::Table {
        return json(ledger, revised, detected);
    }
    let mut out = String::new();
    let new = |table: &str| ledger.tables.get(table).copied().unwrap_or_default();
    let _ = writeln!(
        out,
        "{:>12} records in {} payloads, {} bytes",
        ledger.records, ledger.payloads, ledger.bytes
    );
    let events = new("events");
    let _ = writeln!(
        out,
        "{:>12} events   {} new, {} there already, {} in conflict with the stored event",
        ledger.events, events.added, events.known_already, ledger.conflicts
    );
    let _ = writeln!(out, "{:>12} facts", ledger.facts);
    for (kind, n) in &ledger.kinds {
        let _ = writeln!(out, "{n:>12}   {kind}");
    }
    let _ = writeln!(out, "{:>12} rejects", ledger.rejects);
    for (reason, n) in &ledger.reasons {
        let _ = writeln!(out, "{n:>12}   {reason}");
    }
    let _ = writeln!(out, "{:>12} verdicts revised by what came in", revised.changed);
    let _ = writeln!(out, "{:>12} findings", detected.opened);
    for (what, n) in [("changed", detected.changed), ("withdrawn", detected.withdrawn)] {
        if n > 0 {
            let _ = writeln!(out, "{n:>12}   {what}");
        }
    }
    out
}

fn json(ledger: &Ledger, revised: &Revised, detected: &Detected) -> String {
    let tables: serde_json::Map<String, serde_json::Value> = ledger
        .tables
        .iter()
        .map(|(table, rows)| {
            (
                (*table).to_owned(),
                serde_json::json!({"added": rows.added, "known_already": rows.known_already}),
            )
        })
        .collect();
    let account = serde_json::json!({
        "payloads": ledger.payloads, "bytes": ledger.bytes, "records": ledger.records,
        "events": ledger.events, "facts": ledger.facts, "rejects": ledger.rejects,
        "conflicts": ledger.conflicts, "heard": ledger.heard,
        "kinds": ledger.kinds, "reasons": ledger.reasons, "tables": tables,
        "revised": revised.changed, "findings": detected.opened, "withdrawn": detected.withdrawn,
    });
    format!("{account}\n")
}
