//! One lane: gathers a batch, prepares it, commits it, acknowledges it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::plan::{Next, Plan};
use super::prepare::{Prepared, prepare};
use super::{IngestError, Shared};
use crate::source::{Outcome, Payload};
use crate::store::StoreError;

/// Runs until every sender of `intake` is gone and all it held is answered.
pub(super) async fn run(lane: usize, mut intake: mpsc::Receiver<Payload>, plan: Plan, shared: Arc<Shared>) {
    // One batch is prepared while the one before it is committed; a third waits in the intake.
    let (ready, mut prepared) = mpsc::channel::<(Vec<Payload>, Prepared, oneshot::Sender<()>)>(1);
    let committer = {
        let shared = shared.clone();
        tokio::spawn(async move {
            while let Some((batch, prepared, over)) = prepared.recv().await {
                let since = Instant::now();
                let outcome = commit(prepared, &batch, &shared).await;
                tracing::debug!(payloads = batch.len(), took = ?since.elapsed(), "committed");
                answer(batch, outcome);
                let _ = over.send(());
            }
        })
    };
    while let Some(mut batch) = gather(&mut intake, plan).await {
        while !batch.is_empty() {
            let worker = shared.clone();
            let runtime = tokio::runtime::Handle::current();
            let since = Instant::now();
            let work = tokio::task::spawn_blocking(move || prepare(lane, batch, &worker, &runtime));
            match work.await {
                Ok(part) => {
                    tracing::debug!(payloads = part.batch.len(), took = ?since.elapsed(), "prepared");
                    batch = part.rest;
                    let small = part.batch.iter().map(|p| p.bytes.len()).sum::<usize>() < plan.overlap_from;
                    let (over, committed) = oneshot::channel();
                    if ready.send((part.batch, part.prepared, over)).await.is_err() {
                        break;
                    }
                    // Preparing a few events takes no time: the next batch had better fill meanwhile.
                    if small {
                        let _ = committed.await;
                    }
                }
                // The batch went down with its task: its senders see their answer channel close.
                Err(error) => {
                    tracing::error!(%error, "a batch could not be prepared and was not acknowledged");
                    break;
                }
            }
        }
    }
    drop(ready);
    if let Err(error) = committer.await {
        tracing::error!(%error, "the committer ended early; what it held was not acknowledged");
    }
}

/// Takes the next batch; `None` when all senders are gone.
async fn gather(intake: &mut mpsc::Receiver<Payload>, plan: Plan) -> Option<Vec<Payload>> {
    let first = intake.recv().await?;
    let since = Instant::now();
    let mut bytes = first.bytes.len();
    let mut batch = vec![first];
    loop {
        let more = match plan.next(bytes, since.elapsed()) {
            Next::Close => None,
            Next::Drain => intake.try_recv().ok(),
            Next::Wait(rest) => tokio::time::timeout(rest, intake.recv()).await.ok().flatten(),
        };
        let Some(payload) = more else { return Some(batch) };
        bytes += payload.bytes.len();
        batch.push(payload);
    }
}

async fn commit(prepared: Prepared, batch: &[Payload], shared: &Shared) -> Result<Prepared, IngestError> {
    let mut prepared = prepared;
    let rows = std::mem::take(&mut prepared.rows);
    let batches: Vec<_> = rows.iter().map(|r| (r.table.name, r.batch.clone())).collect();
    let committed = shared.lake.commit(&prepared.writer, rows).await?;
    let mut conflicts = Vec::new();
    for ((table, batch), result) in batches.iter().zip(&committed) {
        prepared.ledger.count(table, result.added, result.duplicates);
        if *table == "events" {
            conflicts.extend(super::rows::conflicts(batch, &result.conflicts));
        }
    }
    if !conflicts.is_empty() {
        prepared.ledger.conflicts += conflicts.len() as u64;
        let mut rows = super::rows::RowSet::default();
        for conflict in &conflicts {
            rows.id_conflict(conflict);
        }
        let rows = rows.finish(Vec::new());
        let tables: Vec<_> = rows.iter().map(|r| r.table.name).collect();
        for (table, result) in tables.iter().zip(shared.lake.commit(&prepared.writer, rows).await?) {
            prepared.ledger.count(table, result.added, result.duplicates);
        }
    }
    prepared.ledger.commits += 1;
    for payload in batch {
        if let Some(position) = &payload.position {
            shared.lake.save_position(&position.partition, &position.value).await?;
        }
    }
    shared.ledger().add(&prepared.ledger);
    Ok(prepared)
}

/// Tells every sender of the batch what became of its payload.
fn answer(batch: Vec<Payload>, outcome: Result<Prepared, IngestError>) {
    match outcome {
        Ok(prepared) => {
            for (payload, account) in batch.into_iter().zip(prepared.accounts) {
                // A sender that went away has its rows all the same.
                let _ = payload.done.send(Outcome::Committed(account));
            }
        }
        Err(error) => {
            let says = chain(&error);
            tracing::error!(
                error = says,
                payloads = batch.len(),
                "a batch was not stored and not acknowledged"
            );
            for payload in batch {
                let outcome = match &error {
                    IngestError::Store(StoreError::Full { .. }) => Outcome::Full { says: says.clone() },
                    IngestError::Store(StoreError::Busy { .. }) => {
                        Outcome::Busy { retry_after: Duration::from_secs(1), says: says.clone() }
                    }
                    _ => Outcome::Failed { says: says.clone() },
                };
                let _ = payload.done.send(outcome);
            }
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
