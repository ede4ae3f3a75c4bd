//! What a look at a span changes: which findings are new, suppressed, changed or no longer so.
//!
//! Suppression depends on all findings about a subject in the order of their times, never on when they were
//! found: what is kept is the same whatever came first.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{RecordHash, Ticks, Time};
use crate::query::Object;

/// How a finding stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Open,
    Suppressed,
    Withdrawn,
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Open => "open",
            Status::Suppressed => "suppressed",
            Status::Withdrawn => "withdrawn",
        }
    }

    pub fn of(text: &str) -> Status {
        match text {
            "suppressed" => Status::Suppressed,
            "withdrawn" => Status::Withdrawn,
            _ => Status::Open,
        }
    }
}

/// What a detection found, whether that is kept or not.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Found {
    /// Detection, organisation, subject and what completed it.
    pub key: String,
    /// Organisation and subject.
    pub about: (String, String),
    pub at: Time,
    /// The columns of a row of `findings`, by name.
    pub row: Object,
}

/// A finding as it is stored.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub found: Found,
    pub revision: i64,
    pub status: Status,
}

/// A row to write.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Change {
    pub found: Found,
    pub revision: i64,
    pub status: Status,
}

/// The columns whose change makes a revision.
const TOLD: [&str; 15] = [
    "severity",
    "says",
    "events",
    "agent_id",
    "agent_name",
    "executor",
    "grade",
    "pool_id",
    "pool_name",
    "machine",
    "job_id",
    "run_id",
    "run_kind",
    "project_id",
    "organization",
];

impl Found {
    /// A digest of what it tells.
    pub fn digest(&self) -> String {
        let told = TOLD.map(|name| self.row.get(name).map(ToString::to_string).unwrap_or_default());
        RecordHash::of(told.join("\u{1f}").as_bytes()).to_string()[..16].to_owned()
    }
}

/// The stored findings of a span that a look did not find again.
pub(super) fn lost<'s>(
    found: &[Found],
    stored: &'s [Stored],
    (from, until): (Time, Time),
) -> impl Iterator<Item = &'s Stored> {
    let keys: BTreeSet<&str> = found.iter().map(|f| f.key.as_str()).collect();
    let is_lost = move |own: &&Stored| {
        let at = own.found.at;
        own.status != Status::Withdrawn && from <= at && at < until && !keys.contains(own.found.key.as_str())
    };
    stored.iter().filter(is_lost).collect::<Vec<_>>().into_iter()
}

/// What changes when a look found these, and `withdrawn` of the stored ones are no longer so. `stored` are all
/// findings of the detection that can bear on them.
pub(super) fn judge(
    found: Vec<Found>,
    stored: Vec<Stored>,
    withdrawn: &BTreeSet<String>,
    suppress: Ticks,
) -> Vec<Change> {
    let mut all: BTreeMap<String, (Found, Option<Stored>, bool)> = BTreeMap::new();
    for own in stored {
        let stands = own.status != Status::Withdrawn && !withdrawn.contains(&own.found.key);
        all.insert(own.found.key.clone(), (own.found.clone(), Some(own), stands));
    }
    for found in found {
        let before = all.remove(&found.key).and_then(|(_, before, _)| before);
        all.insert(found.key.clone(), (found, before, true));
    }
    let mut in_order: Vec<_> = all.into_values().collect();
    in_order.sort_by(|(a, ..), (b, ..)| (a.at, &a.key).cmp(&(b.at, &b.key)));
    let mut last: BTreeMap<(String, String), Time> = BTreeMap::new();
    let mut changes = Vec::new();
    for (found, before, stands) in in_order {
        let is_soon = last.get(&found.about).is_some_and(|last| found.at < *last + suppress);
        let status = match (stands, is_soon) {
            (false, _) => Status::Withdrawn,
            (true, true) => Status::Suppressed,
            (true, false) => {
                last.insert(found.about.clone(), found.at);
                Status::Open
            }
        };
        let revision = match &before {
            None => 0,
            Some(own) if own.status == status && own.found.digest() == found.digest() => continue,
            Some(own) => own.revision + 1,
        };
        changes.push(Change { found, revision, status });
    }
    changes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(at: i64, subject: u8) -> Found {
        let mut row = Object::new();
        row.insert("says".to_owned(), format!("{subject} at {at}").into());
        let key = format!("{subject}/{at}");
        Found { key, about: (String::new(), subject.to_string()), at: Time(at), row }
    }

    /// Writes changes as a lake would.
    fn write(stored: &mut BTreeMap<String, Stored>, changes: Vec<Change>) {
        for Change { found, revision, status } in changes {
            stored.insert(found.key.clone(), Stored { found, revision, status });
        }
    }

    /// One look at a span of what there is by then.
    fn look(
        stored: &mut BTreeMap<String, Stored>,
        there: &BTreeSet<(i64, u8)>,
        span: (i64, i64),
        suppress: i64,
    ) {
        let seen: Vec<Found> = there
            .iter()
            .filter(|(at, _)| span.0 <= *at && *at < span.1)
            .map(|(at, subject)| found(*at, *subject))
            .collect();
        let old: Vec<Stored> = stored.values().cloned().collect();
        let gone = lost(&seen, &old, (Time(span.0), Time(span.1))).map(|s| s.found.key.clone()).collect();
        write(stored, judge(seen, old, &gone, Ticks(suppress)));
    }

    fn picture(stored: &BTreeMap<String, Stored>) -> Vec<(String, Status)> {
        let stands = stored.values().filter(|own| own.status != Status::Withdrawn);
        stands.map(|own| (own.found.key.clone(), own.status)).collect()
    }

    proptest! {
        #[test]
        fn any_portions_in_any_order_end_with_the_same_findings(
            all in prop::collection::btree_set((0_i64..200, 0_u8..3), 0..40),
            order in prop::collection::vec(any::<u16>(), 40),
            portion in 1_usize..7,
            gone in 0_usize..5,
            suppress in prop_oneof![Just(0_i64), 1_i64..40],
        ) {
            let mut whole = BTreeMap::new();
            let stays: BTreeSet<(i64, u8)> = all.iter().copied().skip(gone).collect();
            look(&mut whole, &stays, (0, 200), suppress);

            // The same in portions of another order, some of it looked at before it was no longer so.
            let mut shuffled: Vec<((i64, u8), u16)> = all.iter().copied().zip(order).collect();
            shuffled.sort_by_key(|(_, nth)| *nth);
            let (mut parts, mut there) = (BTreeMap::new(), BTreeSet::new());
            for some in shuffled.chunks(portion) {
                there.extend(some.iter().map(|(one, _)| *one));
                for ((at, _), _) in some {
                    look(&mut parts, &there, (at - 3, at + 4), suppress);
                }
            }
            for one in all.iter().take(gone) {
                there.remove(one);
                look(&mut parts, &there, (one.0, one.0 + 1), suppress);
            }
            prop_assert_eq!(picture(&whole), picture(&parts));

            // Looked at once more, nothing changes.
            let before = parts.values().map(|own| own.revision).sum::<i64>();
            look(&mut parts, &stays, (0, 200), suppress);
            prop_assert_eq!(before, parts.values().map(|own| own.revision).sum::<i64>());
        }
    }

    #[test]
    fn after_a_finding_others_about_the_same_are_suppressed_for_so_long() {
        let mut stored = BTreeMap::new();
        let there = BTreeSet::from([(0, 0), (5, 0), (5, 1), (10, 0), (12, 0)]);
        look(&mut stored, &there, (0, 100), 10);
        let open: Vec<&str> =
            stored.values().filter(|s| s.status == Status::Open).map(|s| s.found.key.as_str()).collect();
        assert_eq!(open, ["0/0", "0/10", "1/5"]);
    }
}
