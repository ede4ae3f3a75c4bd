//! Detections run over what is committed: by whoever has the lake's lease, over what is new, and on demand over
//! history.
//!
//! Invariants:
//! 1. What is kept depends on the rules and the lake alone, not on when, how often or in which portions they ran.
//! 2. A cursor moves only after the findings it covers are committed.
//! 3. A rule that fails stops no other; it is run again over the same.

mod judge;
mod look;
mod news;
mod rule;

pub use rule::Rule;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::rows::{Finding, RowSet};
use crate::model::{Ticks, Time};
use crate::query::{Object, Pinned, QueryError, Session, Share};
use crate::schema::FileSet;
use crate::store::{Lake, Lease, StoreError, Writer, arrow_schema};
use judge::{Change, Status, judge, lost};
use news::{Cursor, News, Pieces, merged};

/// Why a detection did not run.
#[derive(Debug, thiserror::Error)]
pub enum DetectError {
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error("write the findings")]
    Store(#[from] StoreError),
    #[error("end within {0:?}; narrow the detection, or raise `detections.timeout`")]
    TooLong(Duration),
    #[error(
        "stay below {0} findings of one run; narrow the detection, or switch it off in [detections.rules]"
    )]
    TooMany(usize),
}

impl DetectError {
    /// Whether less at once may do.
    fn is_memory(&self) -> bool {
        matches!(self, DetectError::Query(QueryError::Memory(_)))
    }
}

/// What a detection may use.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// Memory of all queries together; beyond it sorts and groups spill to disk.
    pub memory: usize,
    pub threads: usize,
    /// For each run of one.
    pub timeout: Duration,
}

/// What came of running detections.
#[derive(Debug, Clone, Default)]
pub struct Detected {
    /// Runs of a detection over a span.
    pub runs: u64,
    /// Findings that are open now and were not before.
    pub opened: u64,
    /// Findings that tell something else than before, or that others suppress now.
    pub changed: u64,
    pub withdrawn: u64,
    /// What failed, and why.
    pub failed: BTreeMap<String, String>,
    /// How long the runs of each took.
    pub took: BTreeMap<String, Duration>,
}

/// After a failure a rule waits this long, doubled by each further one up to an hour.
const PATIENCE: Duration = Duration::from_secs(30);
const MOST_PATIENCE: Duration = Duration::from_secs(3600);
const WORK: &str = "detect";

/// Runs detections. There is one at a time for a lake that writes.
pub struct Detector {
    lake: Arc<Lake>,
    rules: Vec<Rule>,
    bounds: Bounds,
    share: Share,
    writer: Writer,
    lease: Option<Lease>,
    /// Rules that failed, and when each is tried again.
    waiting: BTreeMap<String, Instant>,
}

impl Detector {
    /// `None` while another process does it.
    pub fn take(lake: Arc<Lake>, rules: Vec<Rule>, bounds: Bounds) -> Result<Option<Detector>, DetectError> {
        let Some(lease) = lake.lease(WORK)? else { return Ok(None) };
        let mut own = Detector::reading(lake, rules, bounds)?;
        own.lease = Some(lease);
        Ok(Some(own))
    }

    /// One that writes nothing.
    pub fn reading(lake: Arc<Lake>, rules: Vec<Rule>, bounds: Bounds) -> Result<Detector, DetectError> {
        let share = Share::new(bounds.memory, 0)?;
        let (writer, waiting) = (Writer::new(), BTreeMap::new());
        Ok(Detector { lake, rules, bounds, share, writer, lease: None, waiting })
    }

    /// Whether no other process does it by now.
    pub fn is_alone(&self) -> bool {
        self.lease.as_ref().is_some_and(Lease::is_held)
    }

    fn session(&self, files: Vec<FileSet>) -> Result<Session, QueryError> {
        let pinned =
            |files: FileSet| Pinned { schema: arrow_schema(files.table), files, store: self.lake.store() };
        let tables = files.into_iter().map(pinned).collect();
        Session::within(tables, &self.share, self.bounds.threads)
    }

    /// Runs each rule over what is new for it: records, verdicts decided again, rows of tables it reads. A rule
    /// that is new or another than before is run over all.
    pub async fn pass(&mut self) -> Result<Detected, DetectError> {
        let mut detected = Detected::default();
        self.lake.refresh().await?;
        let files = self.lake.pin();
        let session = self.session(files.clone())?;
        let cursor = Cursor::of(&self.lake);
        let now = Instant::now();
        let rules = self.rules.clone();
        let due: Vec<&Rule> =
            rules.iter().filter(|rule| self.waiting.get(rule.name()).is_none_or(|at| *at <= now)).collect();
        let news = News::read(&session, &files, &due, &cursor).await?;
        let has_findings = files.iter().any(|set| set.table.name == "findings" && !set.files.is_empty());
        let has_other = due.iter().any(|rule| cursor.is_other(rule));
        let kept = if has_findings && has_other { news::kept(&session).await? } else { BTreeMap::new() };
        let spans = |rule: &Rule| {
            let mut spans = news.spans(rule, &cursor);
            if let Some(own) = cursor.is_other(rule).then(|| kept.get(rule.name())).flatten() {
                spans.extend(own.iter().map(|(first, last)| (*first, *last + Ticks(10))));
                spans = merged(spans, Ticks(0));
            }
            spans
        };
        let due: Vec<(&Rule, Vec<_>)> = due.into_iter().map(|rule| (rule, spans(rule))).collect();
        look::lend_heard(&session, due.iter().filter(|due| !due.1.is_empty()).map(|due| due.0)).await;
        let mut next = cursor.clone();
        for (rule, spans) in due {
            if !self.is_alone() {
                break;
            }
            let ran = self.run(rule, &session, &spans, &mut detected).await;
            match ran {
                Ok(()) => {
                    self.waiting.remove(rule.name());
                    next.rules.insert(rule.name().to_owned(), news.seen_by(rule, &cursor));
                }
                Err(DetectError::Store(e)) => return Err(e.into()),
                Err(error) => {
                    let seen = next.rules.entry(rule.name().to_owned()).or_default();
                    let times = seen.failed.as_ref().map_or(0, |(_, times)| *times) + 1;
                    let says = told(&error);
                    tracing::warn!(
                        detection = rule.name(),
                        error = says,
                        times,
                        "a detection failed; it is run again later"
                    );
                    seen.failed = Some((says.clone(), times));
                    let wait = PATIENCE.saturating_mul(1 << times.min(7)).min(MOST_PATIENCE);
                    self.waiting.insert(rule.name().to_owned(), now + wait);
                    detected.failed.insert(rule.name().to_owned(), says);
                }
            }
        }
        if next != cursor {
            next.save(&self.lake).await?;
        }
        Ok(detected)
    }

    /// Runs the rules over a span, whatever ran there before, and keeps what they find.
    pub async fn span(&mut self, from: Time, until: Time) -> Result<Detected, DetectError> {
        let mut detected = Detected::default();
        self.lake.refresh().await?;
        let session = self.session(self.lake.pin())?;
        let rules = self.rules.clone();
        look::lend_heard(&session, rules.iter()).await;
        for rule in rules {
            match self.run(&rule, &session, &[(from, until)], &mut detected).await {
                Ok(()) => {}
                Err(DetectError::Store(e)) => return Err(e.into()),
                Err(error) => drop(detected.failed.insert(rule.name().to_owned(), told(&error))),
            }
        }
        Ok(detected)
    }

    /// What the rules find in a span, as rows of `findings` by name, in order of time; nothing is kept, and
    /// nothing is suppressed but by what is found in the span itself.
    pub async fn look(
        &self,
        from: Time,
        until: Time,
    ) -> Result<(Vec<Object>, BTreeMap<String, String>), DetectError> {
        self.lake.refresh().await?;
        let session = self.session(self.lake.pin())?;
        look::lend_heard(&session, self.rules.iter()).await;
        let (mut rows, mut failed) = (Vec::new(), BTreeMap::new());
        for rule in &self.rules {
            let mut changes = Vec::new();
            let mut pieces = Pieces::of(&[(from, until)], rule.window());
            while let Some(piece) = pieces.next() {
                match self.bounded(look::found(&session, rule, piece)).await {
                    Ok(found) => changes.extend(found),
                    Err(error) if error.is_memory() && pieces.halve(piece) => {}
                    Err(error) => {
                        failed.insert(rule.name().to_owned(), told(&error));
                        break;
                    }
                }
            }
            let judged = judge(changes, Vec::new(), &Default::default(), rule.suppress());
            rows.extend(judged.into_iter().filter(|c| c.status == Status::Open).map(|change| {
                let mut row = change.found.row;
                row.insert("key".to_owned(), change.found.key.into());
                row
            }));
        }
        rows.sort_by_key(|row| (look::moment(row, "occurred"), look::text(row, "key")));
        Ok((rows, failed))
    }

    async fn run(
        &self,
        rule: &Rule,
        session: &Session,
        spans: &[(Time, Time)],
        detected: &mut Detected,
    ) -> Result<(), DetectError> {
        let since = Instant::now();
        let mut pieces = Pieces::of(spans, rule.window());
        while let Some(piece) = pieces.next() {
            match self.bounded(self.changes(rule, session, piece)).await {
                Ok(changes) => self.keep(rule, changes, detected).await?,
                // What it keeps does not depend on the pieces.
                Err(error) if error.is_memory() && pieces.halve(piece) => {
                    tracing::debug!(detection = rule.name(), error = told(&error), "run over half as much");
                    continue;
                }
                Err(error) => return Err(error),
            }
            detected.runs += 1;
        }
        if !spans.is_empty() {
            *detected.took.entry(rule.name().to_owned()).or_default() += since.elapsed();
        }
        Ok(())
    }

    async fn bounded<T>(&self, work: impl Future<Output = Result<T, DetectError>>) -> Result<T, DetectError> {
        let timeout = self.bounds.timeout;
        tokio::time::timeout(timeout, work).await.unwrap_or(Err(DetectError::TooLong(timeout)))
    }

    /// What a run over a span changes.
    async fn changes(
        &self,
        rule: &Rule,
        session: &Session,
        span: (Time, Time),
    ) -> Result<Vec<Change>, DetectError> {
        let found = look::found(session, rule, span).await?;
        // What the run before this one wrote is there already.
        let files = self.lake.files("findings");
        if found.is_empty() && files.files.is_empty() {
            return Ok(Vec::new());
        }
        let written = self.session(vec![files])?;
        let is_chain = rule.suppress().0 > 0;
        let stored = look::stored(&written, rule, (!is_chain).then_some(span)).await?;
        let lost = lost(&found, &stored, span).collect::<Vec<_>>();
        let withdrawn =
            if lost.is_empty() { Default::default() } else { look::disproved(session, lost).await? };
        Ok(judge(found, stored, &withdrawn, rule.suppress()))
    }

    async fn keep(
        &self,
        rule: &Rule,
        changes: Vec<Change>,
        detected: &mut Detected,
    ) -> Result<(), DetectError> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut rows = RowSet::default();
        for change in &changes {
            match change.status {
                Status::Open if change.revision == 0 => detected.opened += 1,
                Status::Withdrawn => detected.withdrawn += 1,
                _ if change.revision > 0 => detected.changed += 1,
                _ => {}
            }
            rows.found(&Finding {
                key: &change.found.key,
                revision: change.revision,
                status: change.status.as_str(),
                occurred: change.found.at,
                digest: &change.found.digest(),
                row: &change.found.row,
            });
        }
        self.lake.commit(&self.writer, rows.finish(Vec::new())).await?;
        tracing::debug!(detection = rule.name(), changes = changes.len(), "findings written");
        Ok(())
    }
}

/// An error with its causes on one line.
fn told(error: &dyn std::error::Error) -> String {
    let mut says = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        says.push_str(": ");
        says.push_str(&cause.to_string());
        next = cause.source();
    }
    says
}

/// The rules whose last run failed, with why and how often.
pub fn failing(lake: &Lake) -> BTreeMap<String, (String, u32)> {
    let rules = Cursor::of(lake).rules.into_iter();
    rules.filter_map(|(name, seen)| Some((name, seen.failed?))).collect()
}
