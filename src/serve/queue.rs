//! The line that the questions of all wait in: more at once than the cores can answer only take memory and time
//! from each other.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// A question that takes longer leaves its place to the next and goes on: the endless ones of a few people do
/// not hold up everybody else's.
const HOLDS: Duration = Duration::from_secs(15);

/// Places, taken first come, first served; at most half of them by one person.
pub(super) struct Queue {
    places: Arc<Semaphore>,
    most_of_one: usize,
    holds: Duration,
    runtime: Handle,
}

/// A person's part of the places.
#[derive(Clone)]
pub(super) struct Line(Arc<Semaphore>);

/// A place, given back when this is dropped, or before.
pub(super) struct Place(#[expect(dead_code, reason = "it is held")] JoinSet<()>);

impl Queue {
    /// Must be called inside a runtime other than that of the questions, which may be busy.
    pub fn new(places: usize) -> Queue {
        let most_of_one = places.div_ceil(2).max(1);
        let places = Arc::new(Semaphore::new(places.max(1)));
        Queue { places, most_of_one, holds: HOLDS, runtime: Handle::current() }
    }

    /// What one person may take of the places.
    pub fn line(&self) -> Line {
        Line(Arc::new(Semaphore::new(self.most_of_one)))
    }

    /// Waits for a place.
    pub async fn enter(&self, line: &Line) -> Place {
        let own = line.0.clone().acquire_owned().await;
        let permit = (own, self.places.clone().acquire_owned().await);
        let holds = self.holds;
        let mut held = JoinSet::new();
        let wait = async move {
            tokio::time::sleep(holds).await;
            drop(permit);
        };
        held.spawn_on(wait, &self.runtime);
        Place(held)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn places_are_given_back_and_an_endless_question_leaves_its_own() {
        let queue = Queue::new(4);
        let (one, other) = (queue.line(), queue.line());
        let (first, second) = (queue.enter(&one).await, queue.enter(&one).await);
        // One person has half of them, another the rest.
        assert!(queue.enter(&one).now_or_never().is_none());
        let others = [queue.enter(&other).await, queue.enter(&other).await];
        drop(first);
        let third = queue.enter(&one).await;
        assert!(queue.enter(&queue.line()).now_or_never().is_none());
        drop((second, third, others));
        let queue = Queue { holds: Duration::from_millis(10), ..queue };
        let endless = [queue.enter(&one).await, queue.enter(&one).await];
        let next = [queue.enter(&one).await, queue.enter(&one).await];
        drop((endless, next));
    }
}
