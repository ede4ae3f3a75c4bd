//! What a list of a pool's job requests speaks for, seen from the lists before it.
//!
//! A list has what runs and what ended last, and how many of those is documented nowhere: what ran and
//! ended between two lists may be missing from both. But when it still has one that was over in the list
//! before it, and all that was open there, nothing that happened in between is missing. One that is open
//! for long is no proof of that: it is listed however much ended meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use crate::decode::idle_since;
use crate::model::Time;

/// What the lists of a pool have shown so far.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// When all requests were last known; `None` before a whole list, and after a gap.
    complete: Option<Time>,
    /// Since when no line said so.
    unsaid: Option<Time>,
    /// Requests not finished, and whether an agent had them.
    open: BTreeMap<i64, bool>,
    /// Requests that the last list had as finished.
    over: BTreeSet<i64>,
}

/// So many of the finished ones are remembered from one process to the next: any one of them shows that a
/// list reaches back.
const SAVED: usize = 100;

/// So many finished ones every list has room for, so that those that are the first of all push out none.
const LEAST: usize = 1;

impl Seen {
    /// Whether the next list must be a whole one.
    pub fn needs_all(&self) -> bool {
        self.complete.is_none()
    }

    /// Takes the list asked for at a moment; a gap is left where it does not follow the one before.
    pub fn take(&mut self, jobs: &[Json], is_whole: bool, asked: Time) {
        let id = |job: &Json| job["requestId"].as_i64();
        let listed: BTreeSet<i64> = jobs.iter().filter_map(id).collect();
        let is_over = |job: &&Json| job["finishTime"].is_string() || job["result"].is_string();
        let over: BTreeSet<i64> = jobs.iter().filter(is_over).filter_map(id).collect();
        let ended = jobs.iter().filter_map(|job| Time::parse(job["finishTime"].as_str()?)).min();
        // Nothing is known of the time since one that lies ahead: the clock was set back.
        let is_ahead = self.complete.is_some_and(|complete| complete > asked);
        let reaches = !is_ahead && self.reaches(&over, is_whole, idle_since(ended, asked));
        // One that no agent had may be taken back, and is listed no more.
        let lost = self.open.iter().any(|(id, taken)| !listed.contains(id) && (*taken || !is_whole));
        if self.complete.is_none() || !reaches || lost {
            // An answer that was long in coming may begin after it was asked for.
            let since = if lost { asked } else { ended.unwrap_or_else(|| idle_since(None, asked)) };
            (self.unsaid, self.complete) = (is_whole.then_some(since), is_whole.then_some(asked));
        } else {
            self.complete = Some(asked);
        }
        let open = jobs.iter().filter(|job| !is_over(job));
        self.open = open.filter_map(|job| Some((id(job)?, job["assignTime"].is_string()))).collect();
        self.over = over;
    }

    /// Whether nothing that ended since the last list is missing from one that has these as finished.
    fn reaches(&self, over: &BTreeSet<i64>, is_whole: bool, since: Time) -> bool {
        // Of a pool where nothing ended, a list speaks for the time in which it would be remembered.
        let is_idle = is_whole && self.complete.is_some_and(|complete| since <= complete);
        let is_first = is_whole && self.over.is_empty() && over.len() <= LEAST;
        over.iter().any(|id| self.over.contains(id))
            || over.is_empty() && is_idle
            || is_first && !over.is_empty()
    }

    /// Whether a list that has these so far needs no further page: it has one that was over in the list
    /// before, and all that was open there.
    pub fn is_enough(&self, jobs: &[Json]) -> bool {
        let listed: BTreeSet<i64> = jobs.iter().filter_map(|job| job["requestId"].as_i64()).collect();
        let has_open = self.open.iter().all(|(id, taken)| !taken || listed.contains(id));
        has_open && self.over.iter().any(|id| listed.contains(id))
    }

    /// When all requests were last known.
    pub fn complete(&self) -> Option<Time> {
        self.complete
    }

    /// What the next process must know of it to go on.
    pub fn saved(&self) -> Json {
        let over: Vec<i64> = self.over.iter().rev().take(SAVED).copied().collect();
        let open: BTreeMap<String, bool> =
            self.open.iter().map(|(id, taken)| (id.to_string(), *taken)).collect();
        let complete = self.complete.map(|at| at.to_string());
        let unsaid = self.unsaid.map(|at| at.to_string());
        serde_json::json!({"complete": complete, "unsaid": unsaid, "over": over, "open": open})
    }

    /// Goes on where an earlier process was.
    pub fn restored(saved: &Json) -> Option<Seen> {
        let complete = Time::parse(saved["complete"].as_str()?)?;
        let over = saved["over"].as_array()?.iter().filter_map(Json::as_i64).collect();
        let open = saved["open"].as_object()?.iter();
        let open = open.filter_map(|(id, taken)| Some((id.parse().ok()?, taken.as_bool()?))).collect();
        let unsaid = Some(Time::parse(saved["unsaid"].as_str()?)?);
        Some(Seen { complete: Some(complete), unsaid, open, over })
    }

    /// The span not yet said to be heard.
    pub fn unsaid(&self) -> Option<(Time, Time)> {
        let span = (self.unsaid?, self.complete?);
        (span.0 <= span.1).then_some(span)
    }

    /// The requests that were not finished when all were last known.
    pub fn open(&self) -> Vec<i64> {
        self.open.keys().copied().collect()
    }

    pub fn said(&mut self) {
        self.unsaid = self.complete;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(minute: i64) -> Time {
        Time::parse(&format!("2026-03-05T14:{minute:02}:00Z")).unwrap()
    }

    /// A request given to an agent, and when it ended.
    fn job(id: i64, ended: Option<i64>) -> Json {
        let ended = ended.map(|minute| at(minute).to_string());
        json!({"requestId": id, "assignTime": at(0).to_string(), "finishTime": ended})
    }

    #[test]
    fn a_cut_list_speaks_for_the_time_since_the_last_only_when_nothing_is_missing() {
        let mut seen = Seen::default();
        // What is not listed may have run before and since.
        seen.take(&[job(8, Some(3)), job(9, Some(2))], false, at(10));
        assert_eq!((seen.unsaid(), seen.needs_all()), (None, true));
        // A whole one speaks for the time since the oldest end it knows.
        seen.take(&[job(3, Some(2)), job(7, None), job(9, Some(5))], true, at(11));
        assert_eq!(seen.unsaid(), Some((at(2), at(11))));
        seen.said();
        // Cut behind the newest known; the one that was open ended.
        seen.take(&[job(7, Some(12)), job(9, Some(5)), job(12, None)], false, at(12));
        assert_eq!(seen.unsaid(), Some((at(11), at(12))));
        // The open one is gone, and with it when it ended.
        seen.take(&[job(9, Some(5)), job(14, None)], false, at(13));
        assert_eq!((seen.unsaid(), seen.needs_all()), (None, true));
    }

    #[test]
    fn a_cut_list_that_does_not_reach_back_leaves_a_gap() {
        let mut seen = Seen::default();
        seen.take(&[job(3, Some(2))], true, at(4));
        seen.said();
        seen.take(&[job(30, Some(7)), job(31, Some(8))], false, at(9));
        assert_eq!(seen.unsaid(), None);
        // Closed by the whole list that is asked for next.
        seen.take(&[job(3, Some(2)), job(15, Some(6)), job(30, Some(7)), job(31, Some(8))], true, at(10));
        assert_eq!(seen.unsaid(), Some((at(2), at(10))));
    }

    #[test]
    fn a_whole_list_speaks_no_further_back_than_it_remembers() {
        // The list keeps two that are over, and one is open all the time.
        let mut seen = Seen::default();
        seen.take(&[job(1, Some(1)), job(5, None), job(10, Some(3))], true, at(4));
        seen.said();
        // An outage, in which four ended: the first two of those are forgotten.
        seen.take(&[job(5, None), job(13, Some(15)), job(14, Some(18))], true, at(20));
        assert_eq!(seen.unsaid(), Some((at(15), at(20))));
        seen.said();
        // It ended; and the list after that still has it.
        seen.take(&[job(5, Some(21)), job(14, Some(18))], true, at(22));
        assert_eq!(seen.unsaid(), Some((at(20), at(22))));
        seen.said();
        seen.take(&[job(5, Some(21)), job(17, Some(40))], true, at(50));
        assert_eq!(seen.unsaid(), Some((at(22), at(50))));
        seen.said();
        // The answer took so long that what it remembers began after it was asked for.
        seen.take(&[job(21, Some(52)), job(22, Some(53))], true, at(51));
        assert_eq!(seen.unsaid(), None);
        seen.take(&[job(21, Some(52)), job(22, Some(53))], true, at(54));
        assert_eq!(seen.unsaid(), Some((at(52), at(54))));
    }

    #[test]
    fn a_pool_in_which_nothing_ended_is_idle_for_as_long_as_a_list_remembers() {
        let mut seen = Seen::default();
        seen.take(&[], true, at(0));
        seen.said();
        seen.take(&[job(2, None)], true, at(30));
        assert_eq!(seen.unsaid(), Some((at(0), at(30))));
        // The first that ends is no gap; of two, a third may have been pushed out.
        seen.take(&[job(2, Some(31))], true, at(32));
        assert_eq!(seen.unsaid(), Some((at(0), at(32))));
        let mut seen = Seen::default();
        seen.take(&[], true, at(0));
        seen.said();
        seen.take(&[job(3, Some(31)), job(2, Some(30))], true, at(32));
        assert_eq!(seen.unsaid(), Some((at(30), at(32))));
    }

    #[test]
    fn a_process_goes_on_where_the_one_before_it_was() {
        let mut seen = Seen::default();
        seen.take(&[job(3, None), job(9, Some(3))], true, at(4));
        seen.said();
        let restored = || Seen::restored(&seen.saved()).unwrap();
        assert!(!restored().needs_all() && Seen::restored(&Json::Null).is_none());
        assert!(!restored().is_enough(&[job(9, Some(3))]));
        assert!(restored().is_enough(&[job(9, Some(3)), job(3, Some(6))]));
        let taken = |jobs: &[Json], asked| {
            let mut seen = restored();
            seen.take(jobs, false, asked);
            seen.unsaid()
        };
        assert_eq!(taken(&[job(9, Some(3)), job(3, Some(6))], at(30)), Some((at(4), at(30))));
        assert_eq!(taken(&[job(9, Some(3))], at(30)), None);
        assert_eq!(taken(&[job(9, Some(3)), job(3, Some(6))], at(2)), None);
    }

    #[test]
    fn a_request_that_is_gone_from_a_whole_list_is_not_silence() {
        let mut seen = Seen::default();
        seen.take(&[job(3, None)], true, at(4));
        seen.said();
        seen.take(&[], true, at(5));
        assert_eq!(seen.unsaid(), Some((at(5), at(5))));
        // But one that waited may have been taken back.
        let waits = json!({"requestId": 5, "assignTime": null, "finishTime": null});
        seen.take(&[waits], true, at(6));
        seen.take(&[], true, at(7));
        assert_eq!(seen.unsaid(), Some((at(5), at(7))));
    }
}
