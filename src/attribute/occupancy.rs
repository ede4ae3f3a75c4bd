//! Which jobs were running at a moment, by hour, so that a look-up does not grow with history.

use std::collections::{BTreeSet, HashMap};

use super::known::JobKnown;
use crate::model::{Ticks, Time};

const HOUR: i64 = Ticks::days(1).0 / 24;

/// Jobs by project and hour; `None` stands for all projects.
#[derive(Default)]
pub(super) struct Occupancy {
    hours: HashMap<(Option<u32>, i64), BTreeSet<usize>>,
    /// Jobs whose end is not known, by project.
    open: HashMap<Option<u32>, BTreeSet<usize>>,
}

impl Occupancy {
    /// Enters a job of a project at its present span; entering it again is harmless.
    pub fn enter(&mut self, index: usize, job: &JobKnown, project: Option<u32>, window: Ticks) {
        let Some((from, until)) = job.span() else { return };
        let scopes = [Some(project), None].into_iter().flatten().chain([None]);
        for scope in scopes {
            match until {
                None => {
                    self.open.entry(scope).or_default().insert(index);
                }
                Some(until) => {
                    if let Some(open) = self.open.get_mut(&scope) {
                        open.remove(&index);
                    }
                    let last = until.0.min(from.0.saturating_add(window.0)).div_euclid(HOUR);
                    for hour in from.0.div_euclid(HOUR) - 1..=last + 1 {
                        self.hours.entry((scope, hour)).or_default().insert(index);
                    }
                }
            }
        }
    }

    /// Jobs that may have been running then, in their order; the caller checks their spans.
    pub fn around(&self, project: Option<u32>, at: Time) -> Vec<usize> {
        let hour = at.0.div_euclid(HOUR);
        let closed = self.hours.get(&(project, hour)).into_iter().flatten();
        let mut out: Vec<usize> =
            closed.chain(self.open.get(&project).into_iter().flatten()).copied().collect();
        out.sort_unstable();
        out.dedup();
        out
    }
}
