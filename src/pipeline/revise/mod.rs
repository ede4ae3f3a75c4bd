//! Verdicts looked at again: what evidence that came later changes is written as revisions.
//!
//! One process at a time does this for a lake, driven by its own cursor over committed facts, so a
//! crash costs no revision: the cursor moves only after them, and the same revision has the same key.

mod look;
mod news;
mod pairs;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Settings;
use super::paging::Attributor;
use super::prepare::now;
use super::stored::session;
use crate::attribute::Touched;
use crate::model::{Date, Ticks, Time};
use crate::query::{QueryError, Session};
use crate::store::{Lake, Lease, StoreError, Writer};
pub(super) use news::Projects;
use news::{Ask, Cursor};
use serde::{Deserialize, Serialize};

/// Why verdicts could not be looked at again; nothing is lost, the next pass does it.
#[derive(Debug, thiserror::Error)]
pub enum ReviseError {
    #[error("read the records of the lake")]
    Query(#[from] QueryError),
    #[error("write the revisions")]
    Store(#[from] StoreError),
}

/// What a look changed.
#[derive(Debug, Clone, Default)]
pub struct Revised {
    /// Verdicts that new evidence could touch.
    pub looked_at: u64,
    pub changed: u64,
    /// The first of the changes.
    pub changes: Vec<Change>,
}

/// One verdict that changed.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Change {
    pub event_id: String,
    pub occurred: String,
    pub action: String,
    pub old_executor: String,
    pub old_grade: String,
    pub old_agent: Option<String>,
    pub executor: String,
    pub grade: String,
    pub agent: Option<String>,
    pub why: String,
}

/// So many changes are told one by one; the others are counted.
const TOLD: usize = 1000;
const PARTITION: &str = "revise";

/// Days of which something could not be read when their events were decided.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct Unread {
    first: i32,
    last: i32,
    /// When that was last so.
    at: i64,
}

const UNREAD: &str = "revise.unread";
/// A batch that was decided is committed, or given up, within this time.
const COMMITTED_WITHIN: Ticks = Ticks::seconds(600);

impl Unread {
    fn of(lake: &Lake) -> Option<Unread> {
        serde_json::from_str(&lake.position(UNREAD)?).ok()
    }

    /// Notes days, so that their verdicts are looked at again whatever comes.
    pub(super) async fn note(lake: &Lake, days: &BTreeSet<Date>) -> Result<(), StoreError> {
        let (Some(first), Some(last)) = (days.first(), days.last()) else { return Ok(()) };
        let mut own = Unread { first: first.0, last: last.0, at: now().0 };
        if let Some(before) = Unread::of(lake) {
            (own.first, own.last) = (own.first.min(before.first), own.last.max(before.last));
        }
        lake.save_position(UNREAD, &serde_json::to_string(&own).unwrap_or_default()).await
    }
}

fn cursor(lake: &Lake) -> Cursor {
    lake.position(PARTITION).and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

/// Which ids names of projects stood for when that was last looked at.
pub(super) fn projects(lake: &Lake) -> Projects {
    cursor(lake).projects
}

/// Looks at verdicts again. There is one at a time for a lake.
pub struct Reviser {
    lake: Arc<Lake>,
    settings: Settings,
    attributor: Attributor,
    writer: Writer,
    lease: Lease,
}

impl Reviser {
    /// `None` while another process does it.
    pub fn take(lake: Arc<Lake>, settings: Settings) -> Result<Option<Reviser>, StoreError> {
        let Some(lease) = lake.lease(PARTITION)? else { return Ok(None) };
        let attributor = Attributor::new(&settings);
        Ok(Some(Reviser { lake, settings, attributor, writer: Writer::new(), lease }))
    }

    /// Whether no other process does it by now.
    pub fn is_alone(&self) -> bool {
        self.lease.is_held()
    }

    /// Looks at the verdicts that were given without what was committed since the last pass, and at
    /// those committed since that were given without what came before.
    pub async fn pass(&mut self) -> Result<Revised, ReviseError> {
        let mut revised = Revised::default();
        while self.is_alone() && self.part(&mut revised).await? {}
        Ok(revised)
    }

    /// A part of a pass, of no more news than memory is meant to hold: whatever the parts are, the end is
    /// the same. Returns whether there is another.
    async fn part(&mut self, revised: &mut Revised) -> Result<bool, ReviseError> {
        let since = std::time::Instant::now();
        self.lake.refresh().await?;
        let session = session(&self.lake, &[])?;
        let cursor = cursor(&self.lake);
        let news = news::read(&session, &self.lake, &self.settings, &cursor).await?;
        self.attributor.pair(news.cursor.projects.clone());
        let mut asks = news.asks;
        let unread = Unread::of(&self.lake).filter(|_| !news.more);
        if let Some(Unread { first, last, .. }) = unread {
            let (from, until) = (Date(first).start(), Date(last).plus_days(1).start());
            asks.push(Ask::new(Touched::span(self.settings.tolerance, from, until), i64::MIN));
        }
        let read = since.elapsed();
        self.look(&session, &asks, revised).await?;
        tracing::debug!(?read, took = ?since.elapsed(), looked_at = revised.looked_at, "looked again");
        if news.cursor != cursor {
            let text = serde_json::to_string(&news.cursor).unwrap_or_default();
            self.lake.save_position(PARTITION, &text).await?;
        }
        // What was decided then is committed by now.
        if unread.is_some_and(|days| Time(days.at) + COMMITTED_WITHIN < now()) {
            self.lake.save_position(UNREAD, "").await?;
        }
        Ok(news.more)
    }

    /// Looks at every verdict on an event of this span.
    pub async fn span(&mut self, from: Time, until: Time) -> Result<Revised, ReviseError> {
        self.lake.refresh().await?;
        let session = session(&self.lake, &[])?;
        self.attributor.pair(projects(&self.lake));
        let touched = Touched::span(self.settings.tolerance, from, until);
        let mut revised = Revised::default();
        self.look(&session, &[Ask::new(touched, i64::MIN)], &mut revised).await?;
        Ok(revised)
    }

    async fn look(
        &mut self,
        session: &Session,
        asks: &[Ask],
        revised: &mut Revised,
    ) -> Result<(), ReviseError> {
        if asks.is_empty() {
            return Ok(());
        }
        let mut elsewhere = Vec::with_capacity(asks.len());
        for ask in asks {
            elsewhere.push(ask.elsewhere(session).await?);
        }
        let days: BTreeSet<Date> = self.lake.files("events").files.iter().filter_map(|f| f.date).collect();
        for day in days {
            let of_day = asks.iter().zip(&elsewhere).filter_map(|(ask, days)| ask.of_day(day, days));
            let rows = of_day.collect::<Vec<_>>().join(" or ");
            if !rows.is_empty() {
                self.day(session, day, &rows, asks, revised).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
