//! Where a destination stands: what was confirmed, and what it said last.

use serde::{Deserialize, Serialize};

use crate::model::Time;
use crate::query::quoted;

/// A row of a table in the order in which rows go out: of commits, of which no two of a table have the same
/// `known`; within one of when they occurred; then of their keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mark {
    /// Microseconds.
    pub known: i64,
    /// Microseconds.
    pub occurred: i64,
    pub key: String,
}

/// The cursor of a destination, and its account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cursor {
    pub events: Mark,
    pub revisions: Mark,
    pub findings: Mark,
    /// Behind what was not to be sent when it began.
    pub begun: Mark,
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
    /// Behind all that was known up to a moment.
    pub fn behind(known: i64) -> Mark {
        Mark::from(known + 1)
    }

    /// Before all that is known from a moment on.
    fn from(known: i64) -> Mark {
        Mark { known, occurred: i64::MIN, key: String::new() }
    }

    /// The rows behind it, as a predicate; `key` is the column of the table's key.
    pub fn beyond(&self, alias: &str, key: &str) -> String {
        self.predicate(alias, key, '>', ">")
    }

    /// The rows up to it, as a predicate.
    pub fn within(&self, alias: &str, key: &str) -> String {
        self.predicate(alias, key, '<', "<=")
    }

    fn predicate(&self, a: &str, key: &str, side: char, last: &str) -> String {
        // Times that a text cannot say are before everything.
        let at = |micros: i64| format!("timestamp '{}'", Time::from_unix_micros(micros.max(0)));
        let (known, own) = (at(self.known), quoted(&self.key));
        if self.occurred < 0 {
            // No row of the commit itself is before it.
            return match side {
                '>' => format!("{a}.known >= {known}"),
                _ => format!("{a}.known < {known}"),
            };
        }
        let occurred = at(self.occurred);
        format!(
            "{a}.known {side}= {known} and ({a}.known {side} {known} or {a}.occurred {side} {occurred} \
             or ({a}.occurred = {occurred} and {a}.{key} {last} {own}))"
        )
    }
}

impl Cursor {
    /// Everything that was known before a moment counts as sent. What is still to be sent stays so.
    pub fn rewind(&mut self, to: Time) {
        let to = Mark::from(to.unix_micros());
        for mark in [&mut self.events, &mut self.revisions, &mut self.findings, &mut self.begun] {
            if *mark > to {
                mark.clone_from(&to);
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_says_what_lies_behind_it() {
        let mark = Mark { known: 5_000_000, occurred: 1_000_000, key: "it's".to_owned() };
        assert_eq!(
            mark.beyond("t", "key"),
            "t.known >= timestamp '1970-01-01T00:00:05.0000000Z' and (t.known > timestamp '1970-01-01T00:00:05.0000000Z' \
             or t.occurred > timestamp '1970-01-01T00:00:01.0000000Z' \
             or (t.occurred = timestamp '1970-01-01T00:00:01.0000000Z' and t.key > 'it''s'))"
        );
        let after = Mark::behind(4_999_999);
        assert_eq!(after.beyond("t", "key"), "t.known >= timestamp '1970-01-01T00:00:05.0000000Z'");
        assert_eq!(after.within("t", "key"), "t.known < timestamp '1970-01-01T00:00:05.0000000Z'");
        assert!(after < mark && Mark::behind(5_000_000) > mark);
    }

    #[test]
    fn nothing_is_passed_over_by_a_rewind() {
        let (early, late) = (Mark::from(5), Mark::from(50));
        let mut cursor = Cursor { events: early.clone(), revisions: late.clone(), ..Cursor::default() };
        cursor.rewind(Time::from_unix_micros(100));
        assert_eq!((&cursor.events, &cursor.revisions), (&early, &late));
        cursor.rewind(Time::from_unix_micros(20));
        assert_eq!((&cursor.events, &cursor.revisions), (&early, &Mark::from(20)));
    }
}
