//! The links that clients read partitions through.

use std::sync::Arc;

use fe2o3_amqp::Sender;
use fe2o3_amqp_types::definitions::Error;
use tokio::time::timeout;
use tracing::debug;

use super::address::Node;
use super::asks::farewell;
use super::live::{Link, Presence};
use super::namespace::Partition;
use super::refusal::{not_found, refusal};
use super::selector::Start;
use super::server::{PATIENCE, Shared};

/// Events taken from the log at once: a lock per event would cost more than the event.
const TAKEN: usize = 128;

/// Leaves the owners when the link ends, however it ends.
struct Seat {
    partition: Arc<Partition>,
    group: String,
    link: u64,
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(owners) = self.partition.owners(&self.group) {
            owners.leave(self.link);
        }
    }
}

/// Serves a reader until its link ends.
pub async fn serve(shared: Arc<Shared>, sender: Sender, link: Link, presence: Presence) {
    match seat(&shared, &link) {
        Ok((seat, start)) => deliver(&shared, sender, &link, presence, &seat, start).await,
        Err(error) => {
            debug!(name = %link.name, ?error, "refused a reader");
            let _ = timeout(PATIENCE, sender.close_with_error(error)).await;
        }
    }
}

/// Finds a reader its place: the partition to itself, if it has an owner level, and where to start.
fn seat(shared: &Shared, link: &Link) -> Result<(Seat, i64), Error> {
    let Node::Outlet { hub, group, partition } = &link.node else { return Err(not_found(&link.name)) };
    let missing = || not_found(&link.node.path());
    let found = shared.namespace.partition(hub, partition).map_err(|_| missing())?;
    let owners = found.owners(group).ok_or_else(missing)?;
    let start = match &link.filter {
        Some(expression) => Start::parse(expression).map_err(|why| refusal("amqp:not-allowed", why))?,
        None => Start::Earliest,
    };
    let asked = found.locate(&start).map_err(|why| refusal("com.microsoft:argument-error", why))?;
    for (loser, error) in owners.admit(link.id, link.level)? {
        shared.live.detach(|other| other.id == loser, &error);
    }
    let seat = Seat { partition: Arc::clone(&found), group: group.clone(), link: link.id };
    let back = i64::from(shared.plan.replayed(hub, partition));
    Ok((seat, asked.saturating_sub(back).max(0)))
}

/// Why a reader's link ends.
enum End {
    /// Told from outside.
    Ordered(Error),
    /// The client detached, and its detach is answered already.
    Gone,
}

/// Sends events as they come, as far as the client's credit goes.
async fn deliver(
    shared: &Shared,
    mut sender: Sender,
    link: &Link,
    mut presence: Presence,
    seat: &Seat,
    start: i64,
) {
    let (hub, partition) = (link.node.hub().unwrap_or_default(), &seat.partition);
    let mut tail = partition.tail();
    let mut next = start;
    loop {
        let ready = async {
            shared.plan.flowing(hub, Some(&partition.id)).await;
            tail.wait_for(|tail| *tail > next).await.is_ok()
        };
        tokio::select! {
            biased;
            Some(error) = presence.orders.recv() => return close(sender, error).await,
            gone = sender.on_detach() => return farewell(sender, gone).await,
            there = ready => if !there { return },
        }
        match send(shared, &mut sender, &mut presence, hub, partition, &mut next).await {
            Ok(()) => {}
            Err(End::Ordered(error)) => return close(sender, error).await,
            Err(End::Gone) => return,
        }
    }
}

/// Sends a handful of events.
async fn send(
    shared: &Shared,
    sender: &mut Sender,
    presence: &mut Presence,
    hub: &str,
    partition: &Partition,
    next: &mut i64,
) -> Result<(), End> {
    let events = partition.read(*next, TAKEN);
    if events.is_empty() {
        // What was asked for has been let go meanwhile.
        *next = *partition.tail().borrow();
    }
    for event in events {
        if shared.plan.is_stalled(hub, Some(&partition.id)) {
            return Ok(());
        }
        tokio::select! {
            biased;
            Some(error) = presence.orders.recv() => return Err(End::Ordered(error)),
            // The outcome is not waited for: the service does not, and the library loses one now and then.
            sent = sender.send_batchable_ref(&event.sendable) => {
                if let Err(error) = sent {
                    debug!(%error, "a reader has gone");
                    return Err(End::Gone);
                }
            }
        }
        *next = event.sequence + 1;
    }
    Ok(())
}

async fn close(sender: Sender, error: Error) {
    // A peer that does not answer is left.
    let _ = timeout(PATIENCE, sender.close_with_error(error)).await;
}
