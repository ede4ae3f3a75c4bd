//! One partition: what it has taken, in order, and where readers start in it.

use std::collections::VecDeque;
use std::sync::Arc;

use super::event::{Event, Wired, size};
use super::selector::Start;

/// The events of a partition. Sequence numbers have no gaps; offsets have, as bytes would leave.
#[derive(Default)]
pub struct Log {
    events: VecDeque<Arc<Event>>,
    next_sequence: i64,
    next_offset: i64,
    last: Option<Last>,
}

/// The last event that was taken: what is known of it after it has been let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Last {
    pub sequence: i64,
    pub offset: i64,
    /// Milliseconds since 1970.
    pub enqueued: i64,
}

/// What a partition says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The sequence number of the first event that is kept, or of the last one that was; -1 before any.
    pub begin: i64,
    pub last: Option<Last>,
    pub empty: bool,
}

impl Log {
    /// Takes a message. Time never runs backwards within a partition.
    pub fn append(&mut self, message: Wired, now: i64, settled: bool) -> Arc<Event> {
        let enqueued = self.last.map_or(now, |last| last.enqueued.max(now));
        let room = i64::try_from(size(&message)).unwrap_or(i64::MAX / 2).saturating_add(56);
        let event = Arc::new(Event::new(message, self.next_sequence, self.next_offset, enqueued, settled));
        self.last = Some(Last { sequence: event.sequence, offset: event.offset, enqueued });
        self.next_sequence += 1;
        self.next_offset = self.next_offset.saturating_add(room);
        self.events.push_back(Arc::clone(&event));
        event
    }

    /// Lets go of everything before a sequence number, as retention does.
    pub fn retire(&mut self, before: i64) {
        while self.events.front().is_some_and(|event| event.sequence < before) {
            self.events.pop_front();
        }
    }

    /// The sequence number that the next event will get.
    pub fn next_sequence(&self) -> i64 {
        self.next_sequence
    }

    /// Up to `most` events from a sequence number on.
    pub fn read(&self, from: i64, most: usize) -> Vec<Arc<Event>> {
        let first = self.events.partition_point(|event| event.sequence < from);
        self.events.iter().skip(first).take(most).cloned().collect()
    }

    /// The sequence number where a reader starts.
    ///
    /// A position past the end is refused: it was a checkpoint of another life of the hub.
    pub fn locate(&self, start: &Start) -> Result<i64, String> {
        let last = self.last;
        let refuse = |what: &str, value: i64, last: i64| {
            Err(format!(
                "The supplied {what} '{value}' is invalid. The last {what} in the system is '{last}'"
            ))
        };
        let after = |reached: &dyn Fn(&Event) -> bool| {
            let first = self.events.partition_point(|event| !reached(event));
            self.events.get(first).map_or(self.next_sequence, |event| event.sequence)
        };
        match *start {
            Start::Earliest => Ok(self.events.front().map_or(self.next_sequence, |event| event.sequence)),
            Start::Latest => Ok(self.next_sequence),
            Start::Offset { value, .. } if value > last.map_or(-1, |l| l.offset) => {
                refuse("offset", value, last.map_or(-1, |l| l.offset))
            }
            Start::Sequence { value, .. } if value > last.map_or(-1, |l| l.sequence) => {
                refuse("sequence number", value, last.map_or(-1, |l| l.sequence))
            }
            Start::Offset { value, inclusive } => {
                Ok(after(&|e| e.offset > value || inclusive && e.offset == value))
            }
            Start::Sequence { value, inclusive } => {
                Ok(after(&|e| e.sequence > value || inclusive && e.sequence == value))
            }
            Start::Enqueued { value, inclusive } => {
                Ok(after(&|e| e.enqueued > value || inclusive && e.enqueued == value))
            }
        }
    }

    /// What there is to read.
    pub fn extent(&self) -> Extent {
        let begin = match (self.events.front(), self.last) {
            (Some(event), _) => event.sequence,
            // As the service has it: a partition that has let everything go begins with its last.
            (None, Some(last)) => last.sequence,
            (None, None) => -1,
        };
        Extent { begin, last: self.last, empty: self.events.is_empty() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(times: &[i64]) -> Log {
        let mut log = Log::default();
        for time in times {
            let body = fe2o3_amqp_types::messaging::Body::Empty;
            let message = fe2o3_amqp_types::messaging::Message::builder().body(body).build();
            log.append(message, *time, true);
        }
        log
    }

    #[test]
    fn readers_start_where_they_asked() {
        let log = log(&[10, 20, 15, 30]);
        let given = [
            (Start::Earliest, 0),
            (Start::Latest, 4),
            (Start::Sequence { value: 1, inclusive: false }, 2),
            (Start::Sequence { value: 1, inclusive: true }, 1),
            (Start::Sequence { value: -1, inclusive: false }, 0),
            (Start::Offset { value: 56, inclusive: false }, 2),
            (Start::Offset { value: 56, inclusive: true }, 1),
            (Start::Offset { value: 57, inclusive: true }, 2),
            // The third event came late: it got the time of the one before it.
            (Start::Enqueued { value: 15, inclusive: false }, 1),
            (Start::Enqueued { value: 20, inclusive: false }, 3),
            (Start::Enqueued { value: 99, inclusive: false }, 4),
        ];
        for (start, sequence) in given {
            assert_eq!(log.locate(&start), Ok(sequence), "{start:?}");
        }
    }

    #[test]
    fn a_position_past_the_end_is_refused() {
        assert!(log(&[]).locate(&Start::Sequence { value: 0, inclusive: true }).is_err());
        assert!(log(&[1]).locate(&Start::Sequence { value: 1, inclusive: true }).is_err());
        assert!(log(&[1]).locate(&Start::Offset { value: 1, inclusive: false }).is_err());
    }

    #[test]
    fn what_is_let_go_is_not_counted_again() {
        let mut log = log(&[1, 2, 3]);
        log.retire(2);
        assert_eq!(log.extent().begin, 2);
        assert_eq!(log.read(0, 9).len(), 1);
        log.retire(9);
        assert!(log.extent().empty);
        assert_eq!(log.extent().begin, 2);
        assert_eq!(log.extent().last.map(|l| l.sequence), Some(2));
        assert_eq!(log.locate(&Start::Earliest), Ok(3));
    }
}
