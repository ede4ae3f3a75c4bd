//! Who told what by which commit, and whether a verdict was given with it.
//!
//! Whoever decides knows what it committed before, under the same name: such a verdict need not be
//! looked at again for it. Of what others committed nothing is assumed.

use std::collections::{BTreeMap, HashMap};

use super::coverage::Spans;
use crate::model::Time;

/// The commit of a stored row.
#[derive(Clone, Copy, Debug)]
pub struct Stamp<'a> {
    pub writer: &'a str,
    /// The number of the writer's commit.
    pub seq: i64,
    /// Whether it came since the last look.
    pub news: bool,
}

/// A commit that told something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct By {
    /// Who, and whether it is news; the number of its newest commit.
    key: (u32, bool),
    seq: i64,
}

/// The commit of a verdict, among those who told something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given {
    writer: Option<u32>,
    seq: i64,
    news: bool,
}

impl By {
    /// Whether what was told can change a verdict: one of the two is news, and the verdict was given
    /// by another writer or before.
    fn bears_on(self, given: Given) -> bool {
        let (writer, news) = self.key;
        (news || given.news) && (given.writer != Some(writer) || self.seq > given.seq)
    }
}

/// Adds a commit to those that told one thing, of each writer the newest.
pub(super) fn add(all: &mut Vec<By>, by: By) {
    match all.iter_mut().find(|own| own.key == by.key) {
        Some(own) => own.seq = own.seq.max(by.seq),
        None => all.push(by),
    }
}

/// Whether one of several commits bears on a verdict.
pub(super) fn any(all: &[By], given: Given) -> bool {
    all.iter().any(|by| by.bears_on(given))
}

/// The commits that told something.
#[derive(Default)]
pub struct Tellers {
    writers: HashMap<String, u32>,
    all: Vec<By>,
}

impl Tellers {
    /// Takes in that something was told by a commit.
    pub fn tell(&mut self, stamp: Stamp<'_>) {
        self.by(stamp);
    }

    pub(super) fn by(&mut self, stamp: Stamp<'_>) -> By {
        let next = self.writers.len() as u32;
        let writer = match self.writers.get(stamp.writer) {
            Some(writer) => *writer,
            None => *self.writers.entry(stamp.writer.to_owned()).or_insert(next),
        };
        let by = By { key: (writer, stamp.news), seq: stamp.seq };
        add(&mut self.all, by);
        by
    }

    pub(super) fn given(&self, stamp: Stamp<'_>) -> Given {
        Given { writer: self.writers.get(stamp.writer).copied(), seq: stamp.seq, news: stamp.news }
    }

    /// Whether anything that was told can change the verdicts of a commit.
    pub fn bear_on(&self, stamp: Stamp<'_>) -> bool {
        any(&self.all, self.given(stamp))
    }

    /// Who told something, and the newest commit of it.
    pub fn each(&self) -> impl Iterator<Item = Stamp<'_>> {
        self.writers.iter().flat_map(|(name, writer)| {
            let own = self.all.iter().filter(|by| by.key.0 == *writer);
            own.map(|by| Stamp { writer: name, seq: by.seq, news: by.key.1 })
        })
    }
}

/// Moments that were told of, with who did.
#[derive(Default)]
pub(super) struct Moments {
    all: Spans,
    by: BTreeMap<(u32, bool), (Spans, BTreeMap<i64, Spans>)>,
}

impl Moments {
    /// Adds a span, both ends included.
    pub fn add(&mut self, from: Time, until: Time, by: By) {
        self.all.add(from, until);
        let (whole, parts) = self.by.entry(by.key).or_default();
        whole.add(from, until);
        parts.entry(by.seq).or_default().add(from, until);
    }

    /// All of them.
    pub fn spans(&self) -> &Spans {
        &self.all
    }

    /// Whether a moment was told of by who bears on a verdict.
    pub fn hold(&self, at: Time, given: Given) -> bool {
        self.all.hold(at, at)
            && self.by.iter().any(|(key, (whole, parts))| {
                (key.1 || given.news)
                    && whole.hold(at, at)
                    && (given.writer != Some(key.0)
                        || parts.range(given.seq.saturating_add(1)..).any(|(_, part)| part.hold(at, at)))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(writer: &str, seq: i64, news: bool) -> Stamp<'_> {
        Stamp { writer, seq, news }
    }

    #[test]
    fn a_writer_decides_with_what_it_told_before_and_nobody_with_what_others_told() {
        let mut tellers = Tellers::default();
        tellers.tell(stamp("a", 3, true));
        assert!(tellers.bear_on(stamp("a", 2, false)), "told after the verdict");
        assert!(!tellers.bear_on(stamp("a", 3, false)) && !tellers.bear_on(stamp("a", 4, true)));
        assert!(tellers.bear_on(stamp("b", 9, false)), "another writer");
        tellers.tell(stamp("b", 1, true));
        assert!(tellers.bear_on(stamp("a", 4, false)));
        assert_eq!(tellers.each().count(), 2);
    }

    #[test]
    fn what_was_looked_at_before_bears_only_on_verdicts_that_came_since() {
        let mut tellers = Tellers::default();
        tellers.tell(stamp("a", 3, false));
        assert!(!tellers.bear_on(stamp("b", 1, false)) && tellers.bear_on(stamp("b", 1, true)));
    }

    #[test]
    fn a_moment_counts_for_the_commit_that_told_of_it() {
        let (mut tellers, mut moments) = (Tellers::default(), Moments::default());
        for (seq, at) in [(1, 10), (2, 20)] {
            let by = tellers.by(stamp("a", seq, true));
            moments.add(Time(at), Time(at + 5), by);
        }
        let holds = |at: i64, writer: &str, seq: i64| {
            moments.hold(Time(at), tellers.given(stamp(writer, seq, false)))
        };
        assert!(holds(12, "b", 9) && holds(12, "a", 0) && !holds(12, "a", 1) && holds(22, "a", 1));
        assert!(!holds(17, "b", 9));
    }
}
