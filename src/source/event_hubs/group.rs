//! The partitions of a hub that this process reads: claimed in rounds, read by a task each, released at the end.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;

use super::balance::{Held, choose};
use super::board::Board;
use super::checkpoints::{Checkpoints, Group, Mark, Owner};
use super::reader::{Ended, Order, Reader};
use super::status::Status;
use super::{Hub, HubsError, Lanes, Sharing};
use crate::source::jitter;

/// How soon another round follows one in which something moved.
const SOON: Duration = Duration::from_secs(1);
/// How long the store may take for one answer.
const STORE_PATIENCE: Duration = Duration::from_secs(20);
/// How long what is under way may take at the end; what is not committed by then comes again.
const GRACE: Duration = Duration::from_secs(30);

/// Reads the share of a hub that falls to this process, until `stopped` ends.
pub async fn consume(
    hub: Hub,
    sharing: Sharing,
    store: Checkpoints,
    lanes: Lanes,
    status: Status,
    stopped: impl Future<Output = ()>,
) -> Result<(), HubsError> {
    let hub = Arc::new(hub);
    let group = Group {
        namespace: hub.namespace.clone(),
        hub: hub.hub.clone(),
        consumer_group: hub.consumer_group.clone(),
    };
    // Another one each time: two of one name would both believe that they own everything.
    let owner = owner();
    let board = Arc::new(Board::default());
    let (tell, partitions) = watch::channel(Vec::new());
    let mut watching = JoinSet::new();
    watching.spawn(super::watch::run(hub.clone(), owner.clone(), board.clone(), tell, status.clone()));
    status.hub(&hub.name(), |hub| hub.owner.clone_from(&owner));
    let (name, partition) = (hub.name(), String::new());
    let template = Reader { hub, name, group, sharing, owner, partition, store, lanes, board, status };
    let mut members =
        Members { template, readers: JoinSet::new(), tasks: HashMap::new(), running: BTreeMap::new() };
    let done = members.rounds(partitions, stopped).await;
    members.release().await;
    done
}

/// The readers of one hub.
struct Members {
    /// A reader of no partition yet.
    template: Reader,
    readers: JoinSet<Result<Ended, HubsError>>,
    tasks: HashMap<Id, String>,
    running: BTreeMap<String, watch::Sender<Order>>,
}

impl Members {
    async fn rounds(
        &mut self,
        mut partitions: watch::Receiver<Vec<String>>,
        stopped: impl Future<Output = ()>,
    ) -> Result<(), HubsError> {
        tokio::pin!(stopped);
        let mut next = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = &mut stopped => return Ok(()),
                Some(ended) = self.readers.join_next_with_id() => {
                    // Not sooner for a stolen link: by the next round the ownerships tell who has it, and a
                    // stranger who is in none is not to be fought with every second.
                    if self.ended(ended)? != Some(Ended::Stolen) {
                        next = next.min(Instant::now() + SOON);
                    }
                    continue;
                }
                Ok(()) = partitions.changed() => {}
                () = tokio::time::sleep_until(next) => {}
            }
            let all = partitions.borrow_and_update().clone();
            let every = self.template.sharing.every;
            let round = tokio::select! {
                biased;
                () = &mut stopped => return Ok(()),
                round = self.round(&all) => round,
            };
            let wait = match round {
                Ok(true) => SOON.min(every),
                Ok(false) => every - jitter(every / 4),
                Err(error) => {
                    // What is read goes on: whoever takes a partition meanwhile takes its link as well.
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(
                        error,
                        hub = self.template.name,
                        "ownerships could not be renewed; the next round tries again"
                    );
                    every - jitter(every / 4)
                }
            };
            next = Instant::now() + wait;
        }
    }

    /// Looks who owns what, renews and claims; whether anything moved.
    async fn round(&mut self, partitions: &[String]) -> Result<bool, HubsError> {
        if partitions.is_empty() {
            return Ok(false);
        }
        let Reader { store, group, owner, sharing, .. } = &self.template;
        let owners = answered("list the ownerships", store.owners(group)).await?;
        let held: Vec<Held> = owners
            .iter()
            .map(|o| Held { partition: o.partition.clone(), owner: o.owner.clone(), age: o.age })
            .collect();
        // Looked at every so often, so that what is stale by then is taken within the expiry.
        let choice = choose(partitions, &held, owner, sharing.expiry.saturating_sub(sharing.every));
        let etag =
            |partition: &str| owners.iter().find(|o| o.partition == partition).map(|o| o.etag.as_str());
        let wanted: Vec<&String> = choice.keep.iter().chain(&choice.take).collect();
        let claims = wanted.iter().map(|partition| {
            answered("claim a partition", store.claim(group, partition, owner, etag(partition)))
        });
        let claimed = futures::future::join_all(claims).await;
        let (mut ours, mut unsure, mut fault) = (Vec::new(), Vec::new(), None);
        for (partition, claim) in wanted.into_iter().zip(claimed) {
            match claim {
                Ok(Some(_)) => ours.push(partition.clone()),
                Ok(None) => {}
                Err(error) => {
                    unsure.push(partition.clone());
                    fault = Some(error);
                }
            }
        }
        let moved = !choice.take.is_empty() || ours.len() < choice.keep.len();
        for (partition, order) in &self.running {
            if !ours.contains(partition) && !unsure.contains(partition) {
                order.send_if_modified(|order| std::mem::replace(order, Order::Leave) == Order::Read);
            }
        }
        let new: Vec<String> = ours.into_iter().filter(|p| !self.running.contains_key(p)).collect();
        if !new.is_empty() {
            // After the claim: the one before us has saved its last one by now.
            let marks = answered("list the checkpoints", store.marks(group)).await?;
            for partition in new {
                let mark = marks.get(&partition).cloned();
                self.start(partition, mark);
            }
        }
        fault.map_or(Ok(moved), Err)
    }

    fn start(&mut self, partition: String, mark: Option<Mark>) {
        let reader = Reader { partition: partition.clone(), ..self.template.clone() };
        tracing::info!(
            partition = format!("{}/{partition}", reader.name),
            after = mark.as_ref().map(|m| m.sequence),
            "a partition is read from here"
        );
        reader.board.own(&partition, true);
        reader.status.partition(&reader.name, &partition, |p| {
            p.owned = true;
            p.checkpoint = mark.as_ref().map(|m| m.sequence);
            p.committed = p.checkpoint;
        });
        let (order, told) = watch::channel(Order::Read);
        let task = self.readers.spawn(reader.run(mark, told));
        self.tasks.insert(task.id(), partition.clone());
        self.running.insert(partition, order);
    }

    /// A reader ended, and why if it knows; only what nobody can mend ends the others.
    fn ended(
        &mut self,
        ended: Result<(Id, Result<Ended, HubsError>), tokio::task::JoinError>,
    ) -> Result<Option<Ended>, HubsError> {
        let (id, ended) = match ended {
            Ok((id, ended)) => (id, Ok(ended)),
            Err(error) => (error.id(), Err(error)),
        };
        let partition = self.tasks.remove(&id).unwrap_or_default();
        self.running.remove(&partition);
        let reader = &self.template;
        reader.board.own(&partition, false);
        reader.status.partition(&reader.name, &partition, |p| p.owned = false);
        let name = format!("{}/{partition}", reader.name);
        match ended {
            Ok(Ok(ended)) => {
                tracing::info!(partition = name, ?ended, "a partition is no longer read from here");
                Ok(Some(ended))
            }
            Ok(Err(error @ HubsError::Pipeline)) => Err(error),
            Ok(Err(error)) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, partition = name, "a partition was given up; it is begun anew");
                Ok(None)
            }
            Err(error) => {
                tracing::error!(%error, partition = name, "the reader of a partition ended early; it is begun anew");
                Ok(None)
            }
        }
    }

    /// Ends all readers, and leaves their partitions to others at once.
    async fn release(&mut self) {
        for order in self.running.values() {
            order.send_if_modified(|order| std::mem::replace(order, Order::Release) == Order::Read);
        }
        let ends = async {
            while let Some(ended) = self.readers.join_next_with_id().await {
                let _ = self.ended(ended);
            }
        };
        let late = tokio::time::timeout(GRACE, ends).await.is_err();
        if late {
            tracing::warn!(
                hub = self.template.name,
                "not all that was read was committed in time; it comes again and is kept once"
            );
            self.readers.abort_all();
        }
        let Reader { store, group, owner, .. } = &self.template;
        let released = async {
            let owners = store.owners(group).await?;
            let own: Vec<&Owner> = owners.iter().filter(|o| o.owner == *owner).collect();
            let claims = own.iter().map(|o| store.claim(group, &o.partition, "", Some(&o.etag)));
            for claim in futures::future::join_all(claims).await {
                claim?;
            }
            Ok(())
        };
        if let Err(error) = answered("release the partitions", released).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, hub = self.template.name, "others take over once the ownerships expire");
        }
    }
}

/// What the store says, if it does so in time.
async fn answered<T>(
    what: &'static str,
    call: impl Future<Output = azure_core::Result<T>>,
) -> Result<T, HubsError> {
    let answer = tokio::time::timeout(STORE_PATIENCE, call).await.unwrap_or_else(|_| {
        let says = format!("no answer within {} s", STORE_PATIENCE.as_secs());
        Err(azure_core::Error::with_message(azure_core::error::ErrorKind::Io, says))
    });
    answer.map_err(|source| HubsError::Checkpoints { what, source: Box::new(source) })
}

/// A name that no other process has.
fn owner() -> String {
    let mut bytes = [0u8; 16];
    if getrandom::fill(&mut bytes).is_err() {
        let seed = format!("{:?}/{}", std::time::SystemTime::now(), std::process::id());
        bytes.copy_from_slice(&crate::model::RecordHash::of(seed.as_bytes()).0[..16]);
    }
    format!("agentrail-{}", bytes.iter().map(|b| format!("{b:02x}")).collect::<String>())
}
