//! Spans in which a source was heard: without them, silence proves nothing.

use std::collections::BTreeMap;

use crate::model::Time;

/// Merged spans, by their start.
#[derive(Default, Clone)]
pub(super) struct Spans(BTreeMap<Time, Time>);

impl Spans {
    /// Adds a span, both ends included.
    pub fn add(&mut self, mut from: Time, mut until: Time) {
        if until < from {
            return;
        }
        // Whatever touches the new span becomes part of it.
        while let Some((&start, &end)) = self.0.range(..=until).next_back().filter(|(_, end)| **end >= from) {
            from = from.min(start);
            until = until.max(end);
            self.0.remove(&start);
        }
        self.0.insert(from, until);
    }

    /// Whether one span holds all of `from..=until`.
    pub fn hold(&self, from: Time, until: Time) -> bool {
        self.0.range(..=from).next_back().is_some_and(|(_, end)| *end >= until)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a span has a moment of `from..until`.
    pub fn meet(&self, from: Time, until: Time) -> bool {
        self.0.range(..until).next_back().is_some_and(|(_, end)| *end >= from)
    }

    /// The latest moment heard.
    pub fn last(&self) -> Option<Time> {
        self.0.last_key_value().map(|(_, end)| *end)
    }

    pub fn absorb(&mut self, other: Spans) {
        other.0.into_iter().for_each(|(from, until)| self.add(from, until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touching_spans_become_one() {
        let mut spans = Spans::default();
        for (from, until) in [(10, 20), (30, 40), (18, 30), (50, 60), (70, 65)] {
            spans.add(Time(from), Time(until));
        }
        assert!(spans.hold(Time(10), Time(40)));
        assert!(!spans.hold(Time(10), Time(41)));
        assert!(!spans.hold(Time(41), Time(51)));
        assert_eq!(spans.last(), Some(Time(60)));
    }
}
