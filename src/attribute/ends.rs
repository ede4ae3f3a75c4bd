//! When a request was over whose own end was never told, by what else is known of its agent and pool.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::job::{JobKnown, LOCK};
use crate::model::{Ticks, Time};

/// Whether a job ran in a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ran {
    Not,
    /// It began before, and nothing tells that it still ran nor that it was over.
    Perhaps,
    Surely,
}

/// The requests that were open when their pool was listed; `None` where it is only known that none was missed.
type Open = Option<Box<[i64]>>;

/// The pool and id of an agent.
type At = (Option<i64>, i64);

/// What bounds requests from outside.
#[derive(Default)]
pub(super) struct Ends {
    lists: HashMap<i64, BTreeMap<Time, Open>>,
    /// When an agent took which request: it works at one at a time.
    taken: HashMap<At, BTreeSet<(Time, usize)>>,
}

impl Ends {
    /// Takes in which requests of a pool were open at a moment.
    pub fn listed(&mut self, pool: i64, at: Time, open: Option<&[i64]>) {
        // As it is kept: a list comes back as its record and as the span it speaks for.
        let slot = self.lists.entry(pool).or_default().entry(at.to_micros()).or_default();
        // Of two lists of one moment the one that names its requests says more.
        if slot.is_none() {
            *slot = open.map(Box::from);
        }
    }

    /// Enters when an agent took a job; entering it again is harmless.
    pub fn take(&mut self, index: usize, job: &JobKnown) {
        if let (Some(agent), Some(from), Some(_)) = (job.job.agent_id, job.began(), job.job.request_id) {
            self.taken.entry((job.job.pool_id, agent)).or_default().insert((from, index));
        }
    }

    /// When the agent of a job took the next one. `began` is when a job began, as is known now.
    pub fn next(&self, job: &JobKnown, from: Time, began: impl Fn(usize) -> Option<Time>) -> Option<Time> {
        let taken = self.taken.get(&(job.job.pool_id, job.job.agent_id?))?;
        let later = taken.range((from + Ticks(1), 0)..);
        later.filter(|(at, index)| began(*index) == Some(*at)).map(|(at, _)| *at).next()
    }

    /// Whether a job that began at `from`, of which no record tells the end, and which was over by `by` at
    /// the latest, ran in a span.
    pub fn ran(&self, job: &JobKnown, from: Time, by: Option<Time>, span: (Time, Time)) -> Ran {
        if by.is_some_and(|by| by < span.0) {
            return Ran::Not;
        }
        let lists = job.job.pool_id.and_then(|pool| self.lists.get(&pool));
        // Where it is only known that no list missed one, it was open if nothing else has it over.
        let has = |open: &Open| match open {
            Some(open) => job.job.request_id.is_some_and(|id| open.contains(&id)),
            None => by.is_none(),
        };
        let before = lists.and_then(|lists| lists.range(..=span.0).next_back());
        let over = |(at, open): (&Time, &Open)| *at > from.max(job.open) && open.is_some() && !has(open);
        if job.abandoned().is_none() && before.is_some_and(over) {
            return Ran::Not;
        }
        let after = lists.and_then(|lists| lists.range(span.1..).next());
        let sure = match job.abandoned() {
            Some(expiry) => span.1 + LOCK <= expiry,
            None => job.open >= span.1 || after.is_some_and(|(_, open)| has(open)),
        };
        if sure { Ran::Surely } else { Ran::Perhaps }
    }

    /// The lists on both sides of a span, when the later one lacks a request of the earlier one that was not
    /// over in between.
    pub fn lost(&self, pool: i64, span: (Time, Time), is_over: impl Fn(i64) -> bool) -> Option<(Time, Time)> {
        let lists = self.lists.get(&pool)?;
        let (before, open) = lists.range(..=span.0).next_back()?;
        let (after, still) = lists.range(span.1..).next()?;
        let (open, still) = (open.as_ref()?, still.as_ref()?);
        open.iter().any(|id| !still.contains(id) && !is_over(*id)).then_some((*before, *after))
    }

    pub fn absorb(&mut self, other: Ends) {
        for (pool, lists) in other.lists {
            for (at, open) in lists {
                self.listed(pool, at, open.as_deref());
            }
        }
    }
}
