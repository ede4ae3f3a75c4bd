//! The line that the questions of all wait in: more at once than the cores can answer only take memory and time
//! from each other.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// A question that takes longer leaves its place to the next and goes on: the endless ones of a few people do
/// not hold up everybody else's.
const HOLDS: Duration = Duration::from_secs(5);

/// Places, taken first come, first served.
pub(super) struct Queue {
    places: Arc<Semaphore>,
    holds: Duration,
    runtime: Handle,
}

/// A place, given back when this is dropped, or before.
pub(super) struct Place(#[expect(dead_code, reason = "it is held")] JoinSet<()>);

impl Queue {
    /// Must be called inside a runtime other than that of the questions, which may be busy.
    pub fn new(places: usize) -> Queue {
        Queue { places: Arc::new(Semaphore::new(places.max(1))), holds: HOLDS, runtime: Handle::current() }
    }

    /// Waits for a place.
    pub async fn enter(&self) -> Place {
        let permit = self.places.clone().acquire_owned().await;
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
        let queue = Queue::new(2);
        let (first, second) = (queue.enter().await, queue.enter().await);
        assert!(queue.enter().now_or_never().is_none());
        drop(first);
        let third = queue.enter().await;
        assert!(queue.enter().now_or_never().is_none());
        drop((second, third));
        let queue = Queue { holds: Duration::from_millis(10), ..queue };
        let endless = [queue.enter().await, queue.enter().await];
        let next = [queue.enter().await, queue.enter().await];
        drop((endless, next));
    }
}
