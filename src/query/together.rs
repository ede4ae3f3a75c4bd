//! Several statements of one session at once: each is planned on one thread, which is most of the work of a small one.

use std::sync::Arc;

use datafusion::common::runtime::SpawnedTask;
use futures::stream::FuturesOrdered;
use futures::{FutureExt as _, Stream};
use tokio::sync::Semaphore;

use super::stopping::stopped_alike;
use super::{QueryError, Session};

const AT_ONCE: usize = 4;

impl Session {
    /// What comes of each of these, in their order; as many are worked on at once as the session has threads, and no
    /// more than four, as they share its memory. They end with whoever waits for them.
    pub fn together<T, F>(
        &self,
        asks: impl IntoIterator<Item = F>,
    ) -> impl Stream<Item = Result<T, QueryError>>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, QueryError>> + Send + 'static,
    {
        let places = Arc::new(Semaphore::new(self.threads().min(AT_ONCE)));
        let begun = |ask: F| {
            let places = places.clone();
            let task = SpawnedTask::spawn(stopped_alike(async move {
                let _place = places.acquire().await;
                ask.await
            }));
            task.join_unwind().map(|ended| {
                ended.unwrap_or_else(|_| Err(QueryError::Plan("the program was stopped".to_owned())))
            })
        };
        asks.into_iter().map(begun).collect::<FuturesOrdered<_>>()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::{StreamExt as _, TryStreamExt as _};
    use tokio::sync::Barrier;

    use super::super::Limits;
    use super::*;

    #[tokio::test]
    async fn as_many_are_worked_on_as_there_are_threads_and_come_in_order() {
        let session = Session::new(Vec::new(), Limits { threads: 2, ..Limits::default() }).unwrap();
        // Each waits until another one is worked on as well.
        let (met, running) = (Arc::new(Barrier::new(2)), Arc::new(Semaphore::new(2)));
        let asks = (0..6).map(|n| {
            let (met, running) = (met.clone(), running.clone());
            async move {
                let _running = running.try_acquire().expect("a third one at once");
                met.wait().await;
                Ok(n)
            }
        });
        let all: Vec<i32> = session.together(asks).try_collect().await.unwrap();
        assert_eq!(all, [0, 1, 2, 3, 4, 5]);
    }

    #[tokio::test]
    async fn they_end_with_whoever_waits_and_fail_with_the_first_that_fails() {
        let session = Session::new(Vec::new(), Limits { threads: 2, ..Limits::default() }).unwrap();
        let (kept, asked) = (Arc::new(()), session.clone());
        let held = kept.clone();
        let asks = ["select 1", "select nothing from nowhere", "select 2"].map(|sql| {
            let (session, held) = (asked.clone(), held.clone());
            async move {
                let rows = session.objects(sql).await?;
                if rows[0].contains_key("Int64(2)") {
                    std::future::pending::<()>().await;
                }
                drop(held);
                Ok(rows)
            }
        });
        drop(held);
        let mut answers = session.together(asks);
        assert_eq!(answers.next().await.unwrap().unwrap().len(), 1);
        assert!(answers.next().await.unwrap().unwrap_err().to_string().contains("nowhere"));
        drop(answers);
        while Arc::strong_count(&kept) > 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}
