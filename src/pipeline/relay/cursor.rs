//! Where a destination stands: what was confirmed, and what it said last.

use serde::{Deserialize, Serialize};

use crate::model::Time;

/// A row of a table in the order of its commits: no two commits of a table have the same `known`, and
/// within one `seq` rises.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mark {
    /// Microseconds.
    pub known: i64,
    pub seq: i64,
}

/// The cursor of a destination, and its account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cursor {
    pub events: Mark,
    pub revisions: Mark,
    pub findings: Mark,
    /// Items confirmed, of which so many were updates.
    pub sent: u64,
    pub updates: u64,
    pub refused: u64,
    /// When something was last confirmed.
    pub confirmed: Option<String>,
    /// Why nothing goes out at the moment, and since when.
    pub fault: Option<String>,
    pub since: Option<String>,
}

impl Mark {
    pub fn at(known: i64) -> Mark {
        Mark { known, seq: i64::MAX }
    }

    /// The rows behind it, as a predicate.
    pub fn beyond(self, alias: &str) -> String {
        let known = Time::from_unix_micros(self.known);
        let Mark { seq, .. } = self;
        format!(
            "{alias}.known >= timestamp '{known}' and ({alias}.known > timestamp '{known}' or {alias}.seq > {seq})"
        )
    }

    /// The rows up to it, as a predicate.
    pub fn within(self, alias: &str) -> String {
        let known = Time::from_unix_micros(self.known);
        let Mark { seq, .. } = self;
        format!(
            "{alias}.known <= timestamp '{known}' and ({alias}.known < timestamp '{known}' or {alias}.seq <= {seq})"
        )
    }
}

impl Cursor {
    /// Everything that was known before a moment counts as sent.
    pub fn rewind(&mut self, to: Time) {
        let mark = Mark { known: to.unix_micros(), seq: 0 };
        (self.events, self.revisions, self.findings) = (mark, mark, mark);
    }

    pub fn went_wrong(&mut self, says: String, now: Time) {
        if self.fault.is_none() {
            self.since = Some(now.to_string());
        }
        self.fault = Some(says);
    }

    pub fn went_well(&mut self, now: Time) {
        (self.fault, self.since) = (None, None);
        self.confirmed = Some(now.to_string());
    }
}
