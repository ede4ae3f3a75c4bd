//! Which runs are asked for, and when: again until each has ended, and once more then.
//!
//! Jobs on the server have no request in any pool, and a gate may begin after the last job of a pool
//! ended. So a run that was seen, in a request or in a list of its project, is followed to its end.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use crate::model::{Ticks, Time};

/// Times that a run may fail before it is given up.
const TRIES: u32 = 5;
/// A run under way that shows nothing new is asked for seldomer, down to this many times the interval.
const SELDOM: i64 = 16;
/// Runs and requests that are remembered; ids rise, and those of long ago are not listed any more.
const MOST: usize = 100_000;
/// What ended this long before the moment up to which all was fetched was fetched: clocks differ.
const MARGIN: Ticks = Ticks::seconds(60);
/// While a run is asked for.
const ASKED: Time = Time(i64::MAX);

/// The runs of an organisation.
#[derive(Debug, Default)]
pub(super) struct Runs {
    /// Those that have not ended, or were not asked for since.
    open: BTreeMap<i64, Open>,
    /// Those that were asked for after their end, and when that was.
    ended: BTreeMap<i64, Option<Time>>,
    /// Requests seen finished, so that each leads to its run once.
    finished: BTreeSet<i64>,
    /// Builds that ended before are no news: an earlier process fetched them.
    known: Option<Time>,
    /// When the builds of all projects were listed last.
    listed: Option<Time>,
    /// Between two looks at a run under way.
    every: Ticks,
}

#[derive(Debug)]
struct Open {
    project: String,
    due: Time,
    wait: Ticks,
    /// What a list says of it.
    told: Told,
    tries: u32,
    /// Up to when it is known what it was at: it was read then, or not there yet.
    read: Option<Time>,
}

/// What became of asking for a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// It is under way.
    Runs,
    /// It ended, at a moment if that is told.
    Ended(Option<Time>),
    /// It was deleted, or is not ours to see: what it was at is not known.
    Gone,
    Failed,
}

impl Runs {
    pub fn new(every: Ticks, known: Option<Time>) -> Runs {
        Runs { every, known, ..Runs::default() }
    }

    /// Notes a run that is to be asked for at a moment, or before.
    pub fn note(&mut self, run: i64, project: &str, due: Time) {
        let new = || Open {
            project: project.to_owned(),
            due,
            wait: self.every,
            told: Told::Runs,
            tries: 0,
            read: self.listed,
        };
        let open = self.open.entry(run).or_insert_with(new);
        // One that is being asked for may not show yet what is new.
        if due < open.due {
            (open.due, open.wait) = (due, self.every);
        }
    }

    /// Notes the runs of a pool's requests: at once when one is listed as finished for the first time. Those
    /// that ended before a moment an earlier process knew.
    pub fn requests(&mut self, jobs: &[Json], known: Option<Time>, now: Time) {
        for job in jobs {
            let is_build = job["planType"].as_str().is_some_and(|t| t.eq_ignore_ascii_case("build"));
            let (true, Some(request), Some(run), Some(project)) =
                (is_build, job["requestId"].as_i64(), job["owner"]["id"].as_i64(), job["scopeId"].as_str())
            else {
                continue;
            };
            if let Some(finished) = job["finishTime"].as_str() {
                if !is_before(Time::parse(finished), known) && self.finished.insert(request) {
                    self.note(run, project, now);
                }
            } else if !self.open.contains_key(&run) {
                self.note(run, project, now + self.every);
            }
        }
        while self.finished.len() > MOST {
            self.finished.pop_first();
        }
    }

    /// Notes the runs in a list of a project's builds.
    pub fn builds(&mut self, builds: &[Json], project: &str, now: Time) {
        for build in builds {
            let Some(run) = build["id"].as_i64() else { continue };
            let told = told(build);
            match told {
                Told::Ended(at) => {
                    // One that is run again ends again.
                    if !is_before(at, self.known) && self.ended.get(&run) != Some(&at) {
                        self.note(run, project, now);
                        if let Some(open) = self.open.get_mut(&run) {
                            open.told = told;
                        }
                    }
                }
                _ if self.open.contains_key(&run) => {}
                _ => self.note(run, project, now),
            }
        }
    }

    /// The runs to be asked for by now, the newest first: the others are likelier to be known already.
    pub fn due(&self, now: Time) -> Vec<i64> {
        self.open.iter().rev().filter(|(_, open)| open.due <= now).map(|(run, _)| *run).collect()
    }

    /// Begins to ask for a run: its project, and what a list said of it.
    pub fn begin(&mut self, run: i64) -> Option<(String, Told)> {
        let open = self.open.get_mut(&run)?;
        open.due = ASKED;
        Some((open.project.clone(), open.told))
    }

    /// Notes that the builds of all projects were listed as they stood at a moment.
    pub fn listed(&mut self, asked: Time) {
        self.listed = Some(asked);
    }

    /// Up to when all that is under way was read, as far as lists showed it; `None` where that is not known of
    /// some run.
    pub fn read(&self) -> Option<Time> {
        let listed = self.listed?;
        self.open.values().try_fold(listed, |least, open| Some(least.min(open.read?)))
    }

    /// Notes what became of it since it was asked for; false when the run is given up.
    pub fn end(&mut self, run: i64, told: Told, asked: Time, now: Time) -> bool {
        let Some(open) = self.open.get_mut(&run) else { return true };
        if told != Told::Failed {
            open.read = open.read.max(Some(asked));
        }
        open.tries = if told == Told::Failed { open.tries + 1 } else { 0 };
        let is_given_up = open.tries > TRIES;
        // What was noted meanwhile is asked for anew.
        let is_over = matches!(told, Told::Ended(_) | Told::Gone) && open.due == ASKED;
        if is_given_up || is_over {
            self.open.remove(&run);
            match told {
                Told::Ended(at) => drop(self.ended.insert(run, at)),
                Told::Gone => drop(self.ended.insert(run, None)),
                Told::Runs | Told::Failed => {}
            }
            while self.ended.len() > MOST {
                self.ended.pop_first();
            }
        } else if open.due == ASKED {
            open.due = if told == Told::Failed { now } else { now + open.wait };
            open.wait = Ticks((open.wait.0 * 2).min(self.every.0.saturating_mul(SELDOM)));
        }
        !is_given_up
    }

    /// Runs and their projects that a later process must ask for.
    pub fn open(&self) -> impl Iterator<Item = (i64, &str)> {
        self.open.iter().map(|(run, open)| (*run, open.project.as_str()))
    }
}

fn is_before(ended: Option<Time>, known: Option<Time>) -> bool {
    known.zip(ended).is_some_and(|(known, ended)| ended < known - MARGIN)
}

/// What a build says of its run.
pub(super) fn told(build: &Json) -> Told {
    match build["status"].as_str() {
        Some(status) if status.eq_ignore_ascii_case("completed") => {
            Told::Ended(build["finishTime"].as_str().and_then(Time::parse))
        }
        _ => Told::Runs,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(minute: i64) -> Time {
        Time::parse("2026-03-05T14:00:00Z").unwrap() + Ticks::seconds(60 * minute)
    }

    fn job(request: i64, run: i64, ended: Option<Time>) -> Json {
        let ended = ended.map(|at| at.to_string());
        json!({"requestId": request, "planType": "Build", "owner": {"id": run}, "scopeId": "p", "finishTime": ended})
    }

    fn build(run: i64, ended: Option<Time>) -> Json {
        let status = if ended.is_some() { "completed" } else { "inProgress" };
        json!({"id": run, "status": status, "finishTime": ended.map(|at| at.to_string())})
    }

    const EVERY: Ticks = Ticks::seconds(60);

    #[test]
    fn a_run_is_asked_for_until_it_has_ended() {
        let mut runs = Runs::new(EVERY, None);
        runs.requests(&[job(1, 7, None)], None, at(0));
        assert_eq!((runs.due(at(0)), runs.due(at(1))), (vec![], vec![7]));
        // A job of it ended: the gate after it did not.
        runs.requests(&[job(1, 7, Some(at(0)))], None, at(0));
        assert_eq!(runs.due(at(0)), [7]);
        assert_eq!(runs.begin(7), Some(("p".to_owned(), Told::Runs)));
        assert!(runs.due(at(9)).is_empty());
        assert!(runs.end(7, Told::Runs, at(1), at(1)));
        assert_eq!((runs.due(at(1)), runs.due(at(2))), (vec![], vec![7]));
        // Seldomer when nothing happens, but at once when a list says that it ended.
        runs.begin(7);
        runs.end(7, Told::Runs, at(2), at(2));
        assert_eq!((runs.due(at(3)), runs.due(at(4))), (vec![], vec![7]));
        runs.builds(&[build(7, Some(at(3)))], "p", at(3));
        assert_eq!(runs.due(at(3)), [7]);
        assert_eq!(runs.begin(7), Some(("p".to_owned(), Told::Ended(Some(at(3))))));
        runs.end(7, Told::Ended(Some(at(3))), at(3), at(3));
        runs.builds(&[build(7, Some(at(3)))], "p", at(4));
        runs.requests(&[job(1, 7, Some(at(0)))], None, at(4));
        assert!(runs.due(at(99)).is_empty());
        // It is run again.
        runs.builds(&[build(7, Some(at(5)))], "p", at(6));
        assert_eq!(runs.due(at(6)), [7]);
    }

    #[test]
    fn what_was_read_is_known_up_to_the_run_that_was_read_least() {
        let mut runs = Runs::new(EVERY, None);
        assert_eq!(runs.read(), None);
        // It was under way before anybody listed it.
        runs.builds(&[build(7, None)], "p", at(0));
        runs.listed(at(0));
        assert_eq!(runs.read(), None);
        runs.begin(7);
        runs.end(7, Told::Runs, at(0), at(1));
        assert_eq!(runs.read(), Some(at(0)));
        // It is asked for seldomer than builds are listed; another was not there a minute ago.
        runs.builds(&[build(8, None)], "p", at(1));
        runs.listed(at(1));
        assert_eq!(runs.read(), Some(at(0)));
        for run in [7, 8] {
            runs.begin(run);
            runs.end(run, if run == 7 { Told::Failed } else { Told::Ended(None) }, at(2), at(2));
        }
        assert_eq!(runs.read(), Some(at(0)));
        runs.begin(7);
        runs.end(7, Told::Ended(None), at(3), at(3));
        assert_eq!(runs.read(), Some(at(1)));
    }

    #[test]
    fn what_is_noted_while_a_run_is_asked_for_is_not_lost() {
        let mut runs = Runs::new(EVERY, None);
        runs.builds(&[build(7, None)], "p", at(0));
        runs.begin(7);
        runs.requests(&[job(1, 7, Some(at(0)))], None, at(0));
        runs.end(7, Told::Ended(None), at(0), at(0));
        assert_eq!(runs.due(at(0)), [7]);
        // One that never answers holds up nothing for ever.
        for _ in 0..TRIES {
            runs.begin(7);
            assert!(runs.end(7, Told::Failed, at(0), at(0)));
        }
        runs.begin(7);
        assert!(!runs.end(7, Told::Failed, at(0), at(0)) && runs.due(at(99)).is_empty());
    }

    #[test]
    fn what_an_earlier_process_fetched_is_not_fetched_again() {
        let mut runs = Runs::new(EVERY, Some(at(10)));
        runs.builds(&[build(1, Some(at(3))), build(2, Some(at(10))), build(3, None)], "p", at(11));
        runs.requests(&[job(1, 4, Some(at(3))), job(2, 5, Some(at(11)))], Some(at(10)), at(11));
        assert_eq!(runs.due(at(11)), [5, 3, 2]);
        assert_eq!(runs.open().map(|(run, _)| run).collect::<Vec<_>>(), [2, 3, 5]);
    }
}
