//! Where reading begins: pure decisions from a checkpoint, a setting and what the partition says of itself.

use super::checkpoints::Mark;
use crate::model::Time;

/// Where a partition without a checkpoint begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    Earliest,
    Latest,
    /// With the first event enqueued after this.
    Time(Time),
    /// With this sequence number.
    Sequence(i64),
}

impl Start {
    /// Reads `earliest`, `latest`, an RFC 3339 time or a sequence number.
    pub fn parse(text: &str) -> Option<Start> {
        match text.trim() {
            "earliest" => Some(Start::Earliest),
            "latest" => Some(Start::Latest),
            number if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => {
                number.parse().ok().map(Start::Sequence)
            }
            // The client counts from 1970 and panics at what was before.
            time => Time::parse(time).filter(|t| t.unix_micros() >= 0).map(Start::Time),
        }
    }
}

/// What a partition says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extent {
    /// Sequence number of the first event that is kept.
    pub begin: i64,
    /// The last event that was ever enqueued; its sequence number is -1 before any.
    pub last: Mark,
}

/// Where to attach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum From {
    Earliest,
    /// After this sequence number.
    After(i64),
    /// With the event of this mark, which was read already: it tells whether the hub is still the same.
    With(Mark),
    Time(Time),
}

/// What is to be done before reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decision {
    pub from: From,
    /// To be saved first.
    pub save: Option<Mark>,
    /// The hub was deleted and made again: what was read of it is of another life.
    pub is_new_life: bool,
}

/// Decides with `reached`, the last event handed on or the checkpoint.
pub(super) fn decide(reached: Option<&Mark>, start: &Start, extent: &Extent) -> Decision {
    let plain = |from| Decision { from, save: None, is_new_life: false };
    if let Some(reached) = reached {
        return if reached.sequence < 0 {
            plain(From::Earliest)
        } else if reached.sequence > extent.last.sequence {
            // Numbers only rise within one life of a hub.
            Decision { from: From::Earliest, save: Some(Mark::none()), is_new_life: true }
        } else if reached.sequence < extent.begin {
            // Retention took it, and whatever came after it: go on with what there is.
            plain(From::Earliest)
        } else {
            plain(From::With(reached.clone()))
        };
    }
    match start {
        Start::Earliest => plain(From::Earliest),
        Start::Time(time) => plain(From::Time(*time)),
        Start::Sequence(0) => plain(From::Earliest),
        Start::Sequence(first) => plain(From::After(first - 1)),
        Start::Latest => {
            let from =
                if extent.last.sequence < 0 { From::Earliest } else { From::After(extent.last.sequence) };
            // Without its time: the hub and its events may tell it with another precision.
            let save = Mark { enqueued: None, ..extent.last.clone() };
            Decision { from, save: Some(save), is_new_life: false }
        }
    }
}

/// What an event is, next to the last one that was handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Next,
    /// It comes after others that did not come.
    Gap,
    /// It was handed on before.
    Again,
    /// So long ago that reading up to here again costs more than attaching anew.
    FarBack,
    /// Under this number another event was read before: the hub was made again.
    Other,
}

/// Events read a second time rather than that a link is attached anew.
const NEAR: i64 = 300;

pub(super) fn step(reached: Option<&Mark>, event: &Mark) -> Step {
    let Some(reached) = reached else { return Step::Next };
    let ahead = event.sequence.saturating_sub(reached.sequence);
    match ahead {
        1 => Step::Next,
        2.. => Step::Gap,
        0 if reached.is_other(event) => Step::Other,
        _ if ahead < -NEAR => Step::FarBack,
        _ => Step::Again,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(sequence: i64) -> Mark {
        Mark { sequence, offset: Some((sequence * 56).to_string()), enqueued: None }
    }

    fn extent(begin: i64, last: i64) -> Extent {
        Extent { begin, last: mark(last) }
    }

    #[test]
    fn a_start_is_written_in_four_ways() {
        assert_eq!(Start::parse("earliest"), Some(Start::Earliest));
        assert_eq!(Start::parse("latest"), Some(Start::Latest));
        assert_eq!(Start::parse("4711"), Some(Start::Sequence(4711)));
        assert!(matches!(Start::parse("2026-03-05T14:00:00Z"), Some(Start::Time(_))));
        for wrong in ["", "newest", "-1", "1969-01-01T00:00:00Z", "99999999999999999999"] {
            assert_eq!(Start::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_checkpoint_wins_over_the_setting() {
        let decided = decide(Some(&mark(7)), &Start::Latest, &extent(3, 9));
        assert_eq!(decided, Decision { from: From::With(mark(7)), save: None, is_new_life: false });
        assert_eq!(decide(Some(&Mark::none()), &Start::Latest, &extent(0, 9)).from, From::Earliest);
    }

    #[test]
    fn latest_is_a_number_that_is_saved_first() {
        let decided = decide(None, &Start::Latest, &extent(0, 9));
        assert_eq!((decided.from, decided.save), (From::After(9), Some(mark(9))));
        let empty = decide(None, &Start::Latest, &Extent { begin: -1, last: Mark::none() });
        assert_eq!((empty.from, empty.save), (From::Earliest, Some(Mark::none())));
    }

    #[test]
    fn a_checkpoint_ahead_of_the_hub_is_of_another_life() {
        let decided = decide(Some(&mark(10)), &Start::Latest, &extent(0, 9));
        assert!(decided.is_new_life);
        assert_eq!((decided.from, decided.save), (From::Earliest, Some(Mark::none())));
    }

    #[test]
    fn what_retention_took_is_not_waited_for() {
        assert_eq!(decide(Some(&mark(2)), &Start::Earliest, &extent(5, 9)).from, From::Earliest);
    }

    #[test]
    fn an_event_is_placed_next_to_the_last() {
        let reached = mark(1000);
        assert_eq!(step(None, &mark(5)), Step::Next);
        assert_eq!(step(Some(&reached), &mark(1001)), Step::Next);
        assert_eq!(step(Some(&reached), &mark(1003)), Step::Gap);
        assert_eq!(step(Some(&reached), &mark(1000)), Step::Again);
        assert_eq!(step(Some(&reached), &mark(990)), Step::Again);
        assert_eq!(step(Some(&reached), &mark(3)), Step::FarBack);
        let other = Mark { offset: Some("1".to_owned()), ..mark(1000) };
        assert_eq!(step(Some(&reached), &other), Step::Other);
    }
}
