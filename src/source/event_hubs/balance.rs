//! Who takes which partition: a pure decision that each process makes for itself.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::RecordHash;

/// A partition that has an ownership.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub partition: String,
    /// Empty once released.
    pub owner: String,
    /// Since it was renewed last.
    pub age: Duration,
}

/// What a process claims now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Choice {
    /// Its own, to be renewed.
    pub keep: Vec<String>,
    /// To be taken: nobody's, or of one who has too many.
    pub take: Vec<String>,
}

/// Shares partitions evenly among the owners that are alive. What is nobody's is taken up to one's share;
/// the last step to an even share is taken from whoever has most, so shares differ by one at most.
pub(super) fn choose(partitions: &[String], held: &[Held], own: &str, stale: Duration) -> Choice {
    let mut owners: BTreeMap<&str, Vec<&str>> = BTreeMap::from([(own, Vec::new())]);
    let mut free: Vec<&str> = Vec::new();
    for partition in partitions {
        let holder = held.iter().find(|h| h.partition == *partition);
        match holder.filter(|h| !h.owner.is_empty() && (h.age < stale || h.owner == own)) {
            Some(holder) => owners.entry(&holder.owner).or_default().push(partition),
            None => free.push(partition),
        }
    }
    let (least, over) = (partitions.len() / owners.len(), partitions.len() % owners.len());
    let mine = owners.remove(own).unwrap_or_default();
    // As many owners as there is left over have one more than the others.
    let with_more = owners.values().filter(|theirs| theirs.len() > least).count();
    let share = least + usize::from(with_more < over);
    let mut room = share.saturating_sub(mine.len());
    let mut take: Vec<&str> = by_lot(free, own).into_iter().take(room).collect();
    room -= take.len();
    // Only up to the even share, or one would take from the other for ever.
    room = room.min(least.saturating_sub(mine.len() + take.len()).max(usize::from(with_more > over)));
    let mut rich: Vec<Vec<&str>> = owners.into_values().map(|theirs| by_lot(theirs, own)).collect();
    while room > 0 {
        rich.sort_by_key(Vec::len);
        let Some(richest) = rich.last_mut().filter(|theirs| theirs.len() > least) else { break };
        let Some(taken) = richest.pop() else { break };
        take.push(taken);
        room -= 1;
    }
    let owned = |list: Vec<&str>| list.into_iter().map(str::to_owned).collect();
    Choice { keep: owned(mine), take: owned(take) }
}

/// In an order of one's own, so that processes that begin together do not all want the same.
fn by_lot<'p>(mut partitions: Vec<&'p str>, own: &str) -> Vec<&'p str> {
    partitions.sort_by_cached_key(|p| RecordHash::of(format!("{own}/{p}").as_bytes()).0);
    partitions
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALE: Duration = Duration::from_secs(50);

    fn names(n: usize) -> Vec<String> {
        (0..n).map(|p| p.to_string()).collect()
    }

    fn held(partition: usize, owner: &str, age: u64) -> Held {
        Held { partition: partition.to_string(), owner: owner.to_owned(), age: Duration::from_secs(age) }
    }

    /// What each owner has.
    type Owners = BTreeMap<String, String>;

    /// One process looks and claims; others may have claimed since it looked.
    fn turn(partitions: &[String], owners: &mut Owners, own: &str) -> bool {
        let held: Vec<Held> = owners
            .iter()
            .map(|(p, o)| Held { partition: p.clone(), owner: o.clone(), age: Duration::ZERO })
            .collect();
        let choice = choose(partitions, &held, own, STALE);
        for partition in &choice.take {
            owners.insert(partition.clone(), own.to_owned());
        }
        !choice.take.is_empty()
    }

    fn counts(owners: &Owners, processes: &[&str]) -> Vec<usize> {
        processes.iter().map(|p| owners.values().filter(|o| o == p).count()).collect()
    }

    #[test]
    fn shares_become_even_and_stay() {
        for partitions in [1, 2, 3, 4, 5, 7, 8, 16, 32, 33] {
            let all = names(partitions);
            let mut owners = Owners::new();
            for (n, processes) in
                [&["a"][..], &["a", "b"], &["a", "b", "c"], &["a", "c"], &["c", "d", "e", "f"]]
                    .into_iter()
                    .enumerate()
            {
                owners.retain(|_, owner| processes.contains(&owner.as_str()));
                let mut moved = true;
                let mut rounds = 0;
                while moved {
                    moved = false;
                    for process in processes {
                        moved |= turn(&all, &mut owners, process);
                    }
                    rounds += 1;
                    assert!(rounds < 40, "{partitions} partitions never settle at step {n}: {owners:?}");
                }
                let counts = counts(&owners, processes);
                assert_eq!(counts.iter().sum::<usize>(), partitions, "{counts:?}");
                let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
                assert!(most - least <= 1, "{partitions} partitions among {processes:?}: {counts:?}");
            }
        }
    }

    #[test]
    fn what_is_stale_or_released_is_free() {
        let held = [held(0, "dead", 51), held(1, "", 1), held(2, "other", 1), held(3, "me", 99)];
        let mut choice = choose(&names(4), &held, "me", STALE);
        choice.take.sort();
        // Two owners live: two partitions each. One's own is renewed however late it is.
        assert_eq!((choice.keep, choice.take.len()), (vec!["3".to_owned()], 1));
        assert_ne!(choice.take, ["2"]);
    }

    #[test]
    fn one_alone_takes_all_and_no_more_than_there_is() {
        assert_eq!(choose(&names(3), &[], "me", STALE).take.len(), 3);
        assert_eq!(choose(&[], &[held(0, "me", 1)], "me", STALE), Choice::default());
    }
}
