//! Whole listings of who holds a resource, so that one that says nothing new is not kept.

use std::collections::{BTreeMap, HashMap};

use crate::model::{Holding, Key, Time};

/// Who held what, by listing: a digest of the members, in the order of observation.
#[derive(Default)]
pub(super) struct Listings(HashMap<Key, BTreeMap<Time, Key>>);

impl Listings {
    pub fn learn(&mut self, holding: &Holding, at: Time) {
        if let Some((list, members)) = keys(holding) {
            self.0.entry(list).or_default().insert(at, members);
        }
    }

    /// Whether a listing says what the one before it said on the same day.
    pub fn repeats(&self, holding: &Holding, at: Time) -> bool {
        let before = |list| self.0.get(&list)?.range(..at).next_back();
        keys(holding).is_some_and(|(list, members)| {
            before(list).is_some_and(|(known, told)| *told == members && known.date() == at.date())
        })
    }

    pub fn absorb(&mut self, other: Listings) {
        for (list, told) in other.0 {
            self.0.entry(list).or_default().extend(told);
        }
    }
}

/// Which list, and what it says; `None` for a word on a single holder.
fn keys(holding: &Holding) -> Option<(Key, Key)> {
    let members: Vec<&str> = holding.members.as_ref()?.iter().map(String::as_str).collect();
    let resource = holding.resource_id.as_deref().unwrap_or_default();
    Some((Key::of_parts(&[&holding.kind, resource]), Key::of_parts(&members)))
}
