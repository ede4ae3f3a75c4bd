//! Runs that were under way while no job of theirs is known to have been: a plain walk, without `attribute`.

use std::collections::HashMap;

use serde_json::Value as Json;

use super::allowed::{Job, Rows, object, text, time};
use crate::model::{Ticks, Time};
use crate::query::Object;

/// A kind of run, whether a release, and its number.
type Key = (bool, i64);

/// Runs, and what explains what they were at.
pub(super) struct Gaps {
    runs: Vec<Run>,
    by_day: HashMap<i32, Vec<usize>>,
    /// When a job of a run waited or ran.
    busy: HashMap<Key, Vec<(Time, Time)>>,
    /// When the timelines of all runs were read.
    heard: Vec<(Time, Time)>,
    slack: Ticks,
}

/// A run as its newest record has it.
struct Run {
    key: Key,
    project: String,
    from: Time,
    until: Time,
    seen: Time,
}

/// What the records of one request say of how long it waited.
#[derive(Default)]
struct Wait {
    queued: Option<Time>,
    seen: Option<Time>,
    received: Option<Time>,
    assigned: Option<Time>,
    finished: Option<Time>,
}

impl Gaps {
    pub fn new(rows: &Rows, jobs: &[Job], slack: Ticks) -> Gaps {
        let mut busy: HashMap<Key, Vec<(Time, Time)>> = HashMap::new();
        let mut projects: HashMap<Key, &str> = HashMap::new();
        for job in jobs.iter().filter(|job| !job.agent.is_empty()) {
            let key = (job.release, job.run);
            busy.entry(key).or_default().push((job.from, job.until));
            if !job.project.is_empty() {
                projects.entry(key).or_insert(&job.project);
            }
        }
        for (key, span) in waits(&rows.jobs) {
            busy.entry(key).or_default().push(span);
        }
        let mut newest: HashMap<Key, Run> = HashMap::new();
        for run in rows.runs.iter().filter_map(run) {
            let slot = newest.entry(run.key);
            let slot = slot.or_insert(Run { key: run.key, project: String::new(), ..run });
            if slot.seen <= run.seen {
                (slot.from, slot.until, slot.seen) = (run.from, run.until, run.seen);
            }
            if !run.project.is_empty() {
                slot.project = run.project;
            }
        }
        let mut runs: Vec<Run> = newest.into_values().collect();
        let mut by_day: HashMap<i32, Vec<usize>> = HashMap::new();
        for (index, run) in runs.iter_mut().enumerate() {
            if run.project.is_empty() {
                run.project = projects.get(&run.key).map(|own| (*own).to_owned()).unwrap_or_default();
            }
            let days = (run.from - slack).date().0..=(run.until + slack).date().0;
            days.for_each(|day| by_day.entry(day).or_default().push(index));
        }
        Gaps { runs, by_day, busy, heard: heard(&rows.heard), slack }
    }

    /// Whether a run of a project was at something then that no record tells; `seen` is when the timeline of a
    /// build was read last.
    pub fn any(&self, at: Time, is_in: impl Fn(&str) -> bool, seen: impl Fn(i64, Time) -> bool) -> bool {
        let (from, until) = (at - self.slack, at + self.slack);
        if self.heard.iter().any(|span| span.0 <= from && until <= span.1) {
            return false;
        }
        let around = self.by_day.get(&at.date().0).into_iter().flatten().map(|index| &self.runs[*index]);
        let meets = |span: &(Time, Time)| span.0 <= until && span.1 >= from;
        around
            .filter(|run| meets(&(run.from, run.until)) && (run.project.is_empty() || is_in(&run.project)))
            .filter(|run| run.key.0 || !seen(run.key.1, until))
            .any(|run| !self.busy.get(&run.key).into_iter().flatten().any(meets))
    }
}

/// What a record of a run says of when it was under way; for a day where it has neither an end nor a result.
fn run(row: &Object) -> Option<Run> {
    let (from, seen) = (time(row, "started")?, time(row, "observed").unwrap_or_default());
    let under_way = || Some(from + Ticks::days(1)).filter(|_| text(row, "result").is_empty());
    let until = time(row, "finished").or_else(under_way)?.max(from);
    let key = (text(row, "run_kind") == "release", row.get("run_id")?.as_i64()?);
    Some(Run { key, project: text(row, "project_id"), from, until, seen })
}

/// From when until when the requests of runs waited for an agent.
fn waits(rows: &[Object]) -> Vec<(Key, (Time, Time))> {
    let mut all: HashMap<(Key, i64), Wait> = HashMap::new();
    for row in rows {
        let number = |name: &str| row.get(name).and_then(Json::as_i64);
        let (Some(run), Some(request)) = (number("run_id"), number("request_id")) else { continue };
        let wait = all.entry(((text(row, "run_kind") == "release", run), request)).or_default();
        wait.queued = wait.queued.or(time(row, "queued"));
        for (slot, name) in [
            (&mut wait.received, "received"),
            (&mut wait.assigned, "assigned"),
            (&mut wait.finished, "finished"),
            (&mut wait.seen, "observed"),
        ] {
            *slot = (*slot).max(time(row, name));
        }
    }
    let span = |wait: Wait| {
        let over = wait.received.or(wait.assigned).or(wait.finished).or(wait.seen);
        Some((wait.queued?, over?))
    };
    all.into_iter().filter_map(|((key, _), wait)| Some((key, span(wait)?))).collect()
}

/// When the timelines of all runs were read, spans that touch as one.
fn heard(rows: &[Object]) -> Vec<(Time, Time)> {
    let own = rows.iter().filter(|row| text(row, "kind") == "heard.runs").map(|row| object(row, "raw"));
    let mut spans: Vec<_> = own.filter_map(|raw| Some((time(&raw, "from")?, time(&raw, "until")?))).collect();
    spans.sort_unstable();
    let mut out: Vec<(Time, Time)> = Vec::new();
    for span in spans {
        match out.last_mut().filter(|last| span.0 <= last.1) {
            Some(last) => last.1 = last.1.max(span.1),
            None => out.push(span),
        }
    }
    out
}
