//! Which jobs were running at a moment, by the minutes, so that a look-up does not grow with history.

use std::collections::{BTreeSet, HashMap};

use super::job::JobKnown;
use crate::model::{Ticks, Time};

/// Most jobs are over within a few of these.
const SLOT: i64 = Ticks::seconds(600).0;

/// A job longer than this is looked at on its own: it would fill too many slots.
const LONG: i64 = Ticks::days(1).0;

/// Jobs by project and slot of time; `None` stands for all projects.
#[derive(Default)]
pub(super) struct Occupancy {
    slots: HashMap<(Option<u32>, i64), BTreeSet<usize>>,
    /// Jobs whose end is not known, or far from their start, by project.
    long: HashMap<Option<u32>, BTreeSet<usize>>,
}

impl Occupancy {
    /// Enters a job of a project at its present span; entering it again is harmless.
    pub fn enter(&mut self, index: usize, job: &JobKnown, project: Option<u32>) {
        let Some((from, until)) = job.span() else { return };
        let scopes = [Some(project), None].into_iter().flatten().chain([None]);
        for scope in scopes {
            match until.filter(|until| until.0 - from.0 <= LONG) {
                None => {
                    self.long.entry(scope).or_default().insert(index);
                }
                Some(until) => {
                    if let Some(long) = self.long.get_mut(&scope) {
                        long.remove(&index);
                    }
                    // A slot more on either side stands for the tolerance of the clocks.
                    for slot in from.0.div_euclid(SLOT) - 1..=until.0.div_euclid(SLOT) + 1 {
                        self.slots.entry((scope, slot)).or_default().insert(index);
                    }
                }
            }
        }
    }

    /// Jobs that may have been running then, in their order; the caller checks their spans.
    pub fn around(&self, project: Option<u32>, at: Time) -> Vec<usize> {
        let slot = at.0.div_euclid(SLOT);
        let slots = self.slots.get(&(project, slot)).into_iter().flatten();
        let long = self.long.get(&project).into_iter().flatten();
        let mut out: Vec<usize> = slots.chain(long).copied().collect();
        out.sort_unstable();
        out.dedup();
        out
    }
}
