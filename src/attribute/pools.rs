//! The pools of one organisation over time, and when their job requests were heard.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::coverage::Spans;
use super::newest::Source;
use crate::model::{Pool, Time};

/// What an audit record says of a pool that it calls by its name alone: its id is not always in there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolSaid {
    Made,
    /// An agent was added to it.
    There,
    Deleted,
}

/// When a pool was there that is called by its name alone; a name is used again.
#[derive(Default)]
struct Called {
    made: Option<Time>,
    first: Option<Time>,
    last: Option<Time>,
    deleted: Option<Time>,
    /// Agents that were added to it.
    agents: BTreeSet<i64>,
}

impl Called {
    fn say(&mut self, said: PoolSaid, at: Time) {
        let least = |slot: &mut Option<Time>| *slot = Some(slot.map_or(at, |own| own.min(at)));
        let most = |slot: &mut Option<Time>| *slot = Some(slot.map_or(at, |own| own.max(at)));
        match said {
            PoolSaid::Made => least(&mut self.made),
            PoolSaid::There => least(&mut self.first),
            PoolSaid::Deleted => return most(&mut self.deleted),
        }
        most(&mut self.last);
    }

    fn was_there(&self, from: Time, until: Time) -> bool {
        let made = self.made.filter(|made| self.first.is_none_or(|first| *made <= first));
        let deleted = self.deleted.filter(|at| self.last.is_none_or(|last| last <= *at));
        made.is_none_or(|made| made <= until) && deleted.is_none_or(|at| from <= at)
    }

    fn absorb(&mut self, other: Called) {
        let all = [
            (other.made, PoolSaid::Made),
            (other.first, PoolSaid::There),
            (other.last, PoolSaid::There),
            (other.deleted, PoolSaid::Deleted),
        ];
        all.into_iter().filter_map(|(at, said)| Some((at?, said))).for_each(|(at, said)| self.say(said, at));
        self.agents.extend(other.agents);
    }
}

#[derive(Default)]
pub(super) struct Pools {
    /// Name, and the record that gave it.
    names: BTreeMap<i64, (Option<String>, Source)>,
    /// Every name that a pool of a known id has borne, in lower case.
    borne: HashSet<String>,
    /// Pools that a record calls by a name alone, by that in lower case.
    called: BTreeMap<String, Called>,
    /// When a pool was made, where a record says so.
    made: HashMap<i64, Time>,
    /// When the audit log has it deleted; ids are not used again.
    deleted: HashMap<i64, Time>,
    /// Pools that a list had: of others a list that lacks them says nothing, as it has only what its reader
    /// may see.
    seen: HashSet<i64>,
    /// Whole lists.
    lists: BTreeMap<Time, Box<[i64]>>,
    /// When the list of pools was heard.
    heard: Spans,
    /// When the job requests of a pool were heard.
    jobs_heard: HashMap<i64, Spans>,
}

impl Pools {
    /// Takes in a record of a pool; `is_listed` where it is one of a list of pools.
    pub fn learn(&mut self, pool: &Pool, source: Source, is_listed: bool) {
        // Pools of deployment groups are in a list of their own.
        if is_listed && pool.pool_type.as_deref() != Some("deployment") {
            self.seen.insert(pool.pool_id);
        }
        if let Some(made) = pool.created {
            self.made(pool.pool_id, made);
        }
        self.bears(pool.name.as_deref());
        let slot = self.names.entry(pool.pool_id).or_insert((None, source));
        if pool.name.is_some() && (slot.0.is_none() || slot.1 <= source) {
            *slot = (pool.name.clone(), source);
        }
    }

    /// Takes in that some record names a pool.
    pub fn named(&mut self, pool: i64, name: Option<&str>, source: Source) {
        self.bears(name);
        let slot = self.names.entry(pool).or_insert((None, source));
        if slot.0.is_none() && name.is_some() {
            *slot = (name.map(str::to_owned), source);
        }
    }

    /// Takes in a name that a pool of a known id has borne.
    pub fn bears(&mut self, name: Option<&str>) {
        let fresh = name.map(str::to_lowercase).filter(|name| !self.borne.contains(name));
        self.borne.extend(fresh);
    }

    /// Takes in what a record says of a pool that it calls by its id, its name or both, and the agent it is about.
    pub fn said(&mut self, pool: (Option<i64>, Option<&str>), agent: Option<i64>, said: PoolSaid, at: Time) {
        match (pool, said) {
            ((Some(id), _), PoolSaid::Made) => self.made(id, at),
            ((Some(id), _), PoolSaid::Deleted) => self.deleted(id, at),
            ((None, Some(name)), said) => self.called(name, agent, said, at),
            ((Some(_), _), PoolSaid::There) | ((None, None), _) => {}
        }
    }

    /// The same of one that is called by its name alone.
    fn called(&mut self, name: &str, agent: Option<i64>, said: PoolSaid, at: Time) {
        let called = self.called.entry(name.to_lowercase()).or_default();
        called.say(said, at);
        called.agents.extend(agent);
    }

    fn made(&mut self, pool: i64, at: Time) {
        let slot = self.made.entry(pool).or_insert(at);
        *slot = at.min(*slot);
    }

    fn deleted(&mut self, pool: i64, at: Time) {
        let slot = self.deleted.entry(pool).or_insert(at);
        *slot = at.min(*slot);
    }

    /// Takes in that the list of pools was heard, and which it had if it was whole.
    pub fn heard(&mut self, from: Time, until: Time, listed: Option<&[i64]>) {
        self.heard.add(from, until);
        if let Some(ids) = listed {
            self.seen.extend(ids);
            self.lists.insert(until.to_micros(), Box::from(ids));
        }
    }

    pub fn jobs_heard(&mut self, pool: i64, from: Time, until: Time) {
        self.jobs_heard.entry(pool).or_default().add(from, until);
    }

    /// Whether the job requests of a pool were heard over a span.
    pub fn is_heard(&self, pool: i64, from: Time, until: Time) -> bool {
        self.jobs_heard.get(&pool).is_some_and(|spans| from <= until && spans.hold(from, until))
    }

    pub fn name(&self, pool: i64) -> Option<&str> {
        self.names.get(&pool)?.0.as_deref()
    }

    /// Pools whose job requests were not heard over all of `from..=until`, as a reader knows them; `None` when
    /// it is not even known which pools there are. `lost` gives the lists between which one lost a request: if they
    /// claim all the time between them, their claim is not to be trusted. `is_placed` is whether an agent was seen
    /// in a pool of a known id.
    pub fn unheard(
        &self,
        from: Time,
        until: Time,
        lost: impl Fn(i64) -> Option<(Time, Time)>,
        is_placed: impl Fn(i64) -> bool,
    ) -> Option<Vec<String>> {
        if self.heard.last().is_none_or(|last| last < from) {
            return None;
        }
        let deaf = |pool: &i64| {
            let Some(spans) = self.jobs_heard.get(pool).filter(|spans| spans.hold(from, until)) else {
                return true;
            };
            lost(*pool).is_some_and(|(before, after)| spans.hold(before, after))
        };
        let known = self.names.keys().chain(self.seen.iter().filter(|pool| !self.names.contains_key(pool)));
        let mut unheard: Vec<i64> =
            known.copied().filter(|pool| deaf(pool) && self.was_there(*pool, from, until)).collect();
        unheard.sort_unstable();
        let titles = unheard.into_iter().map(|pool| match self.name(pool) {
            Some(name) => format!("{name} ({pool})"),
            None => pool.to_string(),
        });
        // One that no list shows, unless its name, or the place of an agent of it, tells which it is.
        let strange = self.called.iter().filter(|(name, called)| {
            let is_one_of_these =
                || self.borne.contains(*name) || called.agents.iter().any(|agent| is_placed(*agent));
            called.was_there(from, until) && !is_one_of_these()
        });
        let strange = strange.map(|(name, _)| format!("{name} (of which no list tells the id)"));
        Some(titles.chain(strange).collect())
    }

    /// Whether a pool may have been there in a span: it was made by then, not deleted before, and not away
    /// from the lists on both sides of it.
    fn was_there(&self, pool: i64, from: Time, until: Time) -> bool {
        let made = self.made.get(&pool).is_none_or(|made| *made <= until);
        let deleted = self.deleted.get(&pool).is_some_and(|at| *at < from);
        let lacks = |list: Option<(&Time, &Box<[i64]>)>| list.map(|(_, ids)| !ids.contains(&pool));
        let before = lacks(self.lists.range(..=from).next_back());
        let after = lacks(self.lists.range(until..).next());
        let away = before == Some(true) && after != Some(false) && self.seen.contains(&pool);
        // One that was made later is in no list before.
        made && !deleted && !away
    }

    pub fn absorb(&mut self, other: Pools) {
        for (pool, (name, source)) in other.names {
            self.named(pool, name.as_deref(), source);
        }
        self.borne.extend(other.borne);
        for (name, called) in other.called {
            self.called.entry(name).or_default().absorb(called);
        }
        other.made.into_iter().for_each(|(pool, at)| self.made(pool, at));
        other.deleted.into_iter().for_each(|(pool, at)| self.deleted(pool, at));
        self.seen.extend(other.seen);
        self.lists.extend(other.lists);
        self.heard.absorb(other.heard);
        for (pool, spans) in other.jobs_heard {
            self.jobs_heard.entry(pool).or_default().absorb(spans);
        }
    }
}
