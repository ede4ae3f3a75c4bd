//! Batches to a receiver, each until it is confirmed: sent again, in parts where it is too large.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::export::{Destination, Item, SendError};

/// What one batch may have.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub items: usize,
    /// Of the bodies as JSON.
    pub bytes: usize,
}

/// The first wait after a failure; it doubles from there.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How often a batch is tried of which each item alone was refused: some minutes.
pub(super) const MOST_ROUNDS: u32 = 8;
/// However long a receiver asks to wait.
const LONGEST_ASKED: Duration = Duration::from_secs(900);

/// What is told while a batch goes out.
pub(super) enum Told<'a> {
    Failed(&'a SendError),
    /// Answered, with so many items taken.
    Taken(usize),
}

/// Hears of it.
#[async_trait]
pub(super) trait Account: Send {
    async fn told(&mut self, told: Told<'_>);
}

/// Told to stop before the batch was confirmed.
pub(super) struct Stopped;

/// How many of these items make one batch.
pub(super) fn batch<'i>(items: impl Iterator<Item = &'i Item>, bounds: Bounds) -> usize {
    let mut bytes = 0;
    let fits = items.take(bounds.items.max(1)).take_while(|item| {
        bytes += size(item);
        bytes <= bounds.bytes
    });
    fits.count().max(1)
}

/// About as many bytes as an item has on the wire.
fn size(item: &Item) -> usize {
    const AROUND: usize = 64;
    serde_json::to_vec(&item.body).map_or(0, |body| body.len()) + AROUND
}

/// Sends a batch until each item is taken or refused; returns those refused, with the reason. A receiver that
/// refuses every item is asked so many times more.
pub(super) async fn deliver(
    destination: &mut dyn Destination,
    batch: Vec<Item>,
    more_rounds: u32,
    stopped: &mut watch::Receiver<bool>,
    account: &mut dyn Account,
) -> Result<Vec<(usize, String)>, Stopped> {
    let mut refused = Vec::new();
    let mut waiting: VecDeque<Vec<(usize, Item)>> = VecDeque::from([batch.into_iter().enumerate().collect()]);
    let mut failures = 0;
    let whole = waiting.front().map_or(0, Vec::len);
    // Items that were refused when sent alone, and how often all of the batch were.
    let mut unfit: Vec<(usize, Item, String)> = Vec::new();
    let (mut taken, mut rounds) = (0, 0);
    loop {
        let Some(part) = waiting.pop_front() else {
            // A receiver that refuses each item is no longer set up for them: they wait, for a while.
            let is_theirs = unfit.len() < 2 || unfit.len() < whole || taken > 0 || rounds >= more_rounds;
            if is_theirs {
                refused.extend(unfit.into_iter().map(|(number, _, says)| (number, says)));
                return Ok(refused);
            }
            rounds += 1;
            let says = format!("{}; it refuses every record so", unfit[0].2);
            account.told(Told::Failed(&SendError::later(says))).await;
            waiting.push_back(unfit.drain(..).map(|(number, item, _)| (number, item)).collect());
            pause(backoff(rounds), stopped).await?;
            continue;
        };
        let (numbers, items): (Vec<usize>, Vec<Item>) = part.into_iter().unzip();
        let sent = tokio::select! {
            sent = destination.send(&items) => sent,
            _ = stopped.wait_for(|stop| *stop) => return Err(Stopped),
        };
        let part = || numbers.iter().copied().zip(items.iter().cloned());
        let wait = match sent {
            Ok(outcome) => {
                let own = outcome.refused.iter().filter(|(at, _)| *at < numbers.len());
                refused.extend(own.map(|(at, reason)| (numbers[*at], reason.clone())));
                let again: Vec<_> = part().enumerate().filter(|(at, _)| outcome.again.contains(at)).collect();
                let own = numbers.len() - again.len() - outcome.refused.len();
                taken += own;
                account.told(Told::Taken(own)).await;
                if again.is_empty() {
                    failures = 0;
                    continue;
                }
                // Something was taken: what is left is not a failure of its own.
                failures = if again.len() < numbers.len() { 0 } else { failures + 1 };
                waiting.push_front(again.into_iter().map(|(_, item)| item).collect());
                outcome.after.unwrap_or_else(|| backoff(failures))
            }
            Err(SendError::TooLarge(says)) if numbers.len() == 1 => {
                refused.push((numbers[0], says));
                continue;
            }
            Err(SendError::Unfit(says)) if numbers.len() == 1 => {
                unfit.extend(part().map(|(number, item)| (number, item, says.clone())));
                continue;
            }
            Err(SendError::TooLarge(_) | SendError::Unfit(_)) => {
                let mut first: Vec<_> = part().collect();
                let second = first.split_off(first.len() / 2);
                waiting.push_front(second);
                waiting.push_front(first);
                continue;
            }
            Err(error) => {
                account.told(Told::Failed(&error)).await;
                failures += 1;
                waiting.push_front(part().collect());
                let SendError::Later { after, .. } = error else { continue };
                after.map_or_else(|| backoff(failures), |asked| asked.min(LONGEST_ASKED))
            }
        };
        pause(wait, stopped).await?;
    }
}

/// Waits, unless told to stop.
async fn pause(wait: Duration, stopped: &mut watch::Receiver<bool>) -> Result<(), Stopped> {
    tokio::select! {
        () = tokio::time::sleep(wait) => Ok(()),
        _ = stopped.wait_for(|stop| *stop) => Err(Stopped),
    }
}

/// Twice as long after each failure, and by chance between half and all of it, so that many senders
/// do not come back at once.
fn backoff(failures: u32) -> Duration {
    let whole = FIRST_WAIT.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(LONGEST_WAIT);
    let chance = RandomState::new().hash_one(failures) % 1000;
    whole / 2 + whole.mul_f64(chance as f64 / 2000.0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::export::Outcome;
    use crate::model::Time;

    fn item(n: usize) -> Item {
        let body = serde_json::Map::from_iter([("n".to_owned(), n.into())]);
        Item { key: n.to_string(), occurred: Time(0), organization: None, updated: false, body }
    }

    /// Takes, refuses, cuts and fails as it is told, and keeps what it took.
    struct Fickle {
        answers: Vec<u8>,
        taken: BTreeMap<String, usize>,
        most: usize,
    }

    #[async_trait]
    impl Destination for Fickle {
        async fn send(&mut self, batch: &[Item]) -> Result<Outcome, SendError> {
            if batch.len() > self.most {
                return Err(SendError::TooLarge("too many".to_owned()));
            }
            let answer = self.answers.pop().unwrap_or(0);
            let refuses = |item: &Item| item.key.ends_with('7');
            let mut outcome = Outcome { after: Some(Duration::ZERO), ..Outcome::default() };
            for (at, item) in batch.iter().enumerate() {
                match answer {
                    // Stored, but the answer is lost.
                    1 => *self.taken.entry(item.key.clone()).or_default() += usize::from(!refuses(item)),
                    2 => {}
                    3 if at % 2 == 1 => outcome.again.push(at),
                    _ if refuses(item) => outcome.refused.push((at, "7".to_owned())),
                    _ => *self.taken.entry(item.key.clone()).or_default() += 1,
                }
            }
            match answer {
                1 | 2 => Err(SendError::Later { says: "later".to_owned(), after: Some(Duration::ZERO) }),
                _ => Ok(outcome),
            }
        }
    }

    struct Deaf;

    #[async_trait]
    impl Account for Deaf {
        async fn told(&mut self, _: Told<'_>) {}
    }

    proptest! {
        #[test]
        fn each_item_is_taken_at_least_once_or_refused_once(
            answers in proptest::collection::vec(0u8..4, 0..12), count in 1usize..30, most in 1usize..30,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut fickle = Fickle { answers, taken: BTreeMap::new(), most };
                let (_keep, mut stopped) = watch::channel(false);
                let all: Vec<Item> = (0..count).map(item).collect();
                let refused = deliver(&mut fickle, all, MOST_ROUNDS, &mut stopped, &mut Deaf).await;
                let Ok(mut refused) = refused else { panic!("nobody stopped it") };
                refused.sort();
                let expected: Vec<usize> = (0..count).filter(|n| n.to_string().ends_with('7')).collect();
                assert_eq!(refused.iter().map(|(n, _)| *n).collect::<Vec<_>>(), expected);
                let taken: Vec<String> =
                    (0..count).map(|n| n.to_string()).filter(|key| !key.ends_with('7')).collect();
                assert!(taken.iter().all(|key| fickle.taken.contains_key(key)));
            });
        }
    }

    /// Refuses every call that has one of these.
    struct Picky(&'static [&'static str]);

    #[async_trait]
    impl Destination for Picky {
        async fn send(&mut self, batch: &[Item]) -> Result<Outcome, SendError> {
            let bad = batch.iter().any(|item| self.0.contains(&item.key.as_str()));
            if bad { Err(SendError::Unfit("400".to_owned())) } else { Ok(Outcome::default()) }
        }
    }

    /// Stops at the first failure that it hears of.
    struct Stops(watch::Sender<bool>);

    #[async_trait]
    impl Account for Stops {
        async fn told(&mut self, told: Told<'_>) {
            if let Told::Failed(_) = told {
                self.0.send_replace(true);
            }
        }
    }

    #[tokio::test]
    async fn what_a_call_is_refused_for_is_found_and_a_receiver_that_refuses_all_is_waited_for() {
        let (stop, mut stopped) = watch::channel(false);
        let all = || (0..20).map(item).collect::<Vec<_>>();
        let mut account = Stops(stop);
        let refused = deliver(&mut Picky(&["3", "11"]), all(), MOST_ROUNDS, &mut stopped, &mut account).await;
        let Ok(refused) = refused else { panic!("nobody stopped it") };
        assert_eq!(refused.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [3, 11]);
        let pair = || all().split_off(18);
        let mut picky = Picky(&["18", "19"]);
        let refused = deliver(&mut picky, pair(), 0, &mut stopped, &mut account).await;
        assert!(refused.is_ok_and(|refused| refused.len() == 2));
        assert!(deliver(&mut picky, pair(), MOST_ROUNDS, &mut stopped, &mut account).await.is_err());
    }

    #[test]
    fn a_batch_ends_where_its_bounds_do_and_has_one_item_at_least() {
        let items: Vec<Item> = (0..10).map(item).collect();
        let all = || items.iter();
        assert_eq!(batch(all(), Bounds { items: 3, bytes: usize::MAX }), 3);
        assert_eq!(batch(all(), Bounds { items: 100, bytes: 1 }), 1);
        assert_eq!(batch(all(), Bounds { items: 100, bytes: 3 * size(&items[0]) }), 3);
    }

    #[test]
    fn waits_grow_and_end() {
        assert!(backoff(1) <= FIRST_WAIT && backoff(1) >= FIRST_WAIT / 2);
        assert!(backoff(5) > backoff(1));
        assert!(backoff(1000) <= LONGEST_WAIT);
    }
}
