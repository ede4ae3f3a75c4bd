//! Where something was read, and of what was said of a thing the newest.

use std::collections::HashMap;
use std::hash::Hash;

use crate::model::{RecordHash, Time};

/// Where something was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Source {
    pub known: Time,
    pub hash: RecordHash,
}

/// Of each thing the newest that was said.
pub(super) type Newest<K, V> = HashMap<K, (V, Source)>;

/// Keeps the newest of what was said of a thing.
pub(super) fn newest<K: Hash + Eq, V: Clone>(map: &mut Newest<K, V>, key: K, value: &V, source: Source) {
    let slot = map.entry(key).or_insert_with(|| (value.clone(), source));
    if slot.1 < source {
        *slot = (value.clone(), source);
    }
}

/// Takes over what was said elsewhere.
pub(super) fn fold<K: Hash + Eq, V: Clone>(own: &mut Newest<K, V>, other: Newest<K, V>) {
    for (key, (value, source)) in other {
        newest(own, key, &value, source);
    }
}
