//! What the hub was last heard to say of each partition, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::start::Extent;

/// Shared by the one who asks and the readers of the partitions.
#[derive(Default)]
pub(super) struct Board {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The partitions that are read here.
    owned: BTreeSet<String>,
    said: BTreeMap<String, (Extent, Instant)>,
    /// When the hub was made.
    created: Option<SystemTime>,
    /// Since when it does not answer.
    mute: Option<Instant>,
}

/// A partition from which nothing came for so long is looked at.
const SILENT: Duration = Duration::from_secs(20);
/// And given up, when the hub does not even say whether there is anything.
const SILENT_AND_MUTE: Duration = Duration::from_secs(45);

impl Board {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn own(&self, partition: &str, owned: bool) {
        let mut state = self.state();
        if owned {
            state.owned.insert(partition.to_owned());
        } else {
            state.owned.remove(partition);
            state.said.remove(partition);
        }
    }

    pub fn owned(&self) -> Vec<String> {
        self.state().owned.iter().cloned().collect()
    }

    /// What the hub said when it was asked at `asked`: what came since then it may not have counted.
    pub fn heard(&self, partition: &str, asked: Instant, extent: Extent) {
        let mut state = self.state();
        state.mute = None;
        state.said.insert(partition.to_owned(), (extent, asked));
    }

    pub fn mute(&self) {
        self.state().mute.get_or_insert_with(Instant::now);
    }

    pub fn created(&self, at: Option<SystemTime>) {
        let mut state = self.state();
        state.mute = None;
        state.created = at.or(state.created);
    }

    /// When the hub that is there now was made.
    pub fn life(&self) -> Option<SystemTime> {
        self.state().created
    }

    /// The last event there is, when it lies before one that was read: as said after that was read.
    pub fn ends_before(&self, partition: &str, read_at: Instant, sequence: i64) -> Option<i64> {
        let state = self.state();
        let (extent, at) = state.said.get(partition)?;
        (read_at < *at && extent.last.sequence < sequence).then_some(extent.last.sequence)
    }

    /// Why a reader that waits since `heard` and has got as far as `sequence` had better begin anew.
    pub fn objects(&self, partition: &str, heard: Instant, sequence: i64) -> Option<String> {
        let state = self.state();
        let said = state.said.get(partition).map(|(extent, at)| (extent.last.sequence, *at));
        let mute = state.mute.map(|since| since.elapsed());
        verdict(heard.elapsed(), said.map(|(last, at)| (last, heard < at)), mute, sequence)
    }
}

/// `said` is the last sequence number there is, and whether that was said since something came.
fn verdict(
    silent: Duration,
    said: Option<(i64, bool)>,
    mute: Option<Duration>,
    sequence: i64,
) -> Option<String> {
    match said {
        Some((last, true)) if silent >= SILENT && last > sequence => Some(format!(
            "nothing came for {} s, and the hub has events up to {last} while {sequence} was the last to come",
            silent.as_secs()
        )),
        _ if silent >= SILENT_AND_MUTE && mute.is_some_and(|mute| mute >= SILENT) => {
            Some(format!("nothing came for {} s, and the hub does not answer", silent.as_secs()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::checkpoints::Mark;
    use super::*;

    #[test]
    fn an_answer_to_what_was_asked_before_an_event_came_says_nothing_of_a_new_hub() {
        let board = Board::default();
        let extent = || Extent { begin: 0, last: Mark { sequence: 5, ..Mark::none() } };
        let asked = Instant::now();
        let read = asked + Duration::from_millis(1);
        board.heard("0", asked, extent());
        assert_eq!(board.ends_before("0", read, 9), None);
        board.heard("0", read + Duration::from_millis(1), extent());
        assert_eq!(board.ends_before("0", read, 9), Some(5));
        assert_eq!(board.ends_before("0", read, 5), None);
    }

    #[test]
    fn silence_is_a_fault_only_while_there_is_something_to_say() {
        let seconds = Duration::from_secs;
        assert_eq!(verdict(seconds(600), Some((7, true)), None, 7), None);
        assert_eq!(verdict(seconds(19), Some((8, true)), None, 7), None);
        assert!(verdict(seconds(20), Some((8, true)), None, 7).unwrap().contains("up to 8"));
        // What was said before the last event came proves nothing.
        assert_eq!(verdict(seconds(30), Some((8, false)), None, 7), None);
        assert_eq!(verdict(seconds(50), None, None, 7), None);
        assert!(verdict(seconds(50), None, Some(seconds(25)), 7).is_some());
        assert_eq!(verdict(seconds(50), Some((7, true)), Some(seconds(5)), 7), None);
    }
}
