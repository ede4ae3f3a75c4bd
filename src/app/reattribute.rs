//! `reattribute`: the verdicts of a span looked at again, and what changed.

use std::fmt::Write as _;

use super::{Failure, ask, open_existing, pipeline_settings};
use crate::cli::{Format, Reattribute};
use crate::model::Time;
use crate::pipeline::{Change, Reviser};
use crate::settings::Settings;

/// Decides again, commits what differs, and prints it.
pub(super) async fn run(asked: Reattribute, settings: &Settings) -> Result<u8, Failure> {
    let lake = open_existing(settings).await?;
    let fail = |e: crate::pipeline::ReviseError| Failure::of("look at the verdicts again", e);
    let reviser = Reviser::take(lake, pipeline_settings(settings)).map_err(|e| fail(e.into()))?;
    let Some(mut reviser) = reviser else {
        return Err(Failure::says(
            "look at the verdicts again: another process has this work on the lake; stop it, or leave it to it",
        ));
    };
    // What came in since the last pass is looked at as well, whatever span was asked for.
    let mut revised = reviser.pass().await.map_err(fail)?;
    let until = asked.until.unwrap_or(Time(i64::MAX / 2));
    let span = reviser.span(asked.since, until).await.map_err(fail)?;
    revised.looked_at += span.looked_at;
    revised.changed += span.changed;
    revised.changes.extend(span.changes);

    if asked.format != Format::Table {
        let json = serde_json::json!({
            "looked_at": revised.looked_at, "changed": revised.changed, "changes": revised.changes,
        });
        return ask::print(format!("{json}\n").as_bytes());
    }
    let mut out = String::new();
    revised.changes.iter().for_each(|change| line(&mut out, change));
    let more = revised.changed - (revised.changes.len() as u64).min(revised.changed);
    if more > 0 {
        let _ = writeln!(out, "... and {more} more; see lake.revisions");
    }
    let _ = writeln!(out, "{} verdicts looked at, {} changed", revised.looked_at, revised.changed);
    ask::print(out.as_bytes())
}

fn line(out: &mut String, change: &Change) {
    let agent = |name: &Option<String>| name.as_ref().map_or_else(String::new, |n| format!(" {n}"));
    let _ = writeln!(
        out,
        "{}  {}  {}: {}{} ({}) -> {}{} ({}), {}",
        change.occurred,
        change.event_id,
        change.action,
        change.old_executor,
        agent(&change.old_agent),
        change.old_grade,
        change.executor,
        agent(&change.agent),
        change.grade,
        change.why
    );
}
