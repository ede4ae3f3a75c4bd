//! The links that clients send events through.

use std::collections::VecDeque;
use std::sync::Arc;

use fe2o3_amqp::link::RecvError;
use fe2o3_amqp::link::delivery::DeliveryInfo;
use fe2o3_amqp::{Delivery, Receiver};
use fe2o3_amqp_types::definitions::Error;
use fe2o3_amqp_types::messaging::Body;
use fe2o3_amqp_types::primitives::Value;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;

use super::address::Node;
use super::event::{Wired, size, unpack};
use super::live::{Link, Presence};
use super::namespace::{Namespace, Partition};
use super::plan::Occasion;
use super::refusal::{busy, not_found, now, refusal};
use super::server::{PATIENCE, Shared};

/// What is to be said of a delivery, and when.
struct Outcome {
    due: Instant,
    delivery: DeliveryInfo,
    refused: Option<Error>,
}

/// Serves a sender until its link ends.
pub async fn serve(shared: Arc<Shared>, mut receiver: Receiver, link: Link, mut presence: Presence) {
    let hub = link.node.hub().unwrap_or_default();
    let mut outcomes: VecDeque<Outcome> = VecDeque::new();
    loop {
        let next = async {
            shared.plan.flowing(hub, None).await;
            receiver.recv::<Body<Value>>().await
        };
        let due = outcomes.front().map(|outcome| outcome.due);
        tokio::select! {
            biased;
            Some(error) = presence.orders.recv() => return close(receiver, error).await,
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                let Some(Outcome { delivery, refused, .. }) = outcomes.pop_front() else { continue };
                let told = match refused {
                    None => receiver.accept(delivery).await,
                    Some(error) => receiver.reject(delivery, error).await,
                };
                if let Err(error) = told {
                    return debug!(%error, name = %link.name, "failed to answer a send");
                }
            }
            delivery = next => match delivery {
                Ok(delivery) => {
                    let silent = shared.plan.is_silent();
                    let refused = take(&shared, &link.node, &delivery).err();
                    if refused.is_some() || !silent {
                        let due = Instant::now() + shared.options.latency;
                        outcomes.push_back(Outcome { due, delivery: DeliveryInfo::from(&delivery), refused });
                    }
                }
                Err(RecvError::MessageDecode(error)) => {
                    let why = format!("decode a message ({error:?}): encode it as AMQP 1.0 has it");
                    return close(receiver, refusal("amqp:decode-error", why)).await;
                }
                Err(error) => return debug!(%error, name = %link.name, "a sender has gone"),
            },
        }
    }
}

/// Stores what came, all of it in one partition, or none of it.
fn take(shared: &Shared, node: &Node, delivery: &Delivery<Body<Value>>) -> Result<(), Error> {
    if shared.plan.is_busy(Occasion::Send) {
        return Err(busy());
    }
    if size(delivery.message()) as u64 > shared.options.max_message_size {
        return Err(refusal("amqp:link:message-size-exceeded", "The message is too large for the link."));
    }
    let format = delivery.message_format().unwrap_or_default();
    let messages =
        unpack(delivery.message().clone(), format).map_err(|why| refusal("amqp:decode-error", why))?;
    let Some(first) = messages.first() else { return Ok(()) };
    let partition = place(&shared.namespace, node, first).ok_or_else(|| not_found(&node.path()))?;
    for message in messages {
        partition.append(message, now());
    }
    Ok(())
}

fn place(namespace: &Namespace, node: &Node, first: &Wired) -> Option<Arc<Partition>> {
    let hub = namespace.hub(node.hub()?)?;
    match node.partition() {
        Some(partition) => hub.partition(partition),
        None => hub.place(first),
    }
}

async fn close(receiver: Receiver, error: Error) {
    // A peer that does not answer is left.
    let _ = timeout(PATIENCE, receiver.close_with_error(error)).await;
}
