//! The links to `$cbs` and `$management`: questions in on one, answers out on another.

use std::sync::{Arc, Mutex};

use fe2o3_amqp::link::DetachError;
use fe2o3_amqp::{Receiver, Sender};
use fe2o3_amqp_types::messaging::Body;
use fe2o3_amqp_types::primitives::Value;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;
use tracing::debug;

use super::address::Node;
use super::answers;
use super::event::Wired;
use super::live::{Link, Presence};
use super::refusal::held;
use super::server::{PATIENCE, Shared};

/// Where answers go within one session. Names of links repeat across sessions, so routes do not.
#[derive(Default)]
pub struct Routes {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    open: Vec<Route>,
    /// Answers to questions that came before there was a link for them.
    waiting: Vec<(Node, Wired)>,
}

struct Route {
    node: Node,
    address: Option<String>,
    answers: UnboundedSender<Wired>,
}

impl Routes {
    /// A new way out of a node, to an address that the client chose.
    pub fn open(&self, node: Node, address: Option<String>) -> UnboundedReceiver<Wired> {
        let (sender, receiver) = unbounded_channel();
        let mut inner = held(&self.inner);
        for (_, answer) in inner.waiting.extract_if(.., |(waiting, _)| *waiting == node) {
            // The receiver is in our hands: it cannot be gone.
            let _ = sender.send(answer);
        }
        inner.open.push(Route { node, address, answers: sender });
        receiver
    }

    /// Sends an answer out: to the address asked for, or to any link of the node.
    fn send(&self, node: &Node, address: Option<&str>, answer: Wired) {
        let mut inner = held(&self.inner);
        inner.open.retain(|route| !route.answers.is_closed());
        let of_node = || inner.open.iter().filter(|route| route.node == *node);
        let route =
            of_node().find(|route| route.address.as_deref() == address).or_else(|| of_node().next_back());
        match route {
            Some(route) => {
                // A link that has just gone takes its answers with it.
                let _ = route.answers.send(answer);
            }
            None => inner.waiting.push((node.clone(), answer)),
        }
    }
}

/// Takes questions in until the link ends.
pub async fn listen(
    shared: Arc<Shared>,
    routes: Arc<Routes>,
    mut receiver: Receiver,
    link: Link,
    mut presence: Presence,
) {
    loop {
        let delivery = tokio::select! {
            delivery = receiver.recv::<Body<Value>>() => delivery,
            Some(error) = presence.orders.recv() => {
                let _ = timeout(PATIENCE, receiver.close_with_error(error)).await;
                return;
            }
        };
        let delivery = match delivery {
            Ok(delivery) => delivery,
            Err(error) => return debug!(%error, name = %link.name, "a link for questions has ended"),
        };
        tokio::time::sleep(shared.options.latency).await;
        if let Err(error) = receiver.accept(&delivery).await {
            return debug!(%error, name = %link.name, "failed to accept a question");
        }
        let request = delivery.into_message();
        let answer = match link.node {
            Node::Cbs => {
                let key = &shared.options.shared_key;
                answers::put_token(&shared.rights, &shared.plan, key, link.connection, &request)
            }
            _ => answers::read(&shared.namespace, &shared.rights, &shared.plan, link.connection, &request),
        };
        routes.send(&link.node, answers::reply_to(&request), answer);
    }
}

/// Sends answers out until the link ends.
pub async fn answer(mut sender: Sender, mut answers: UnboundedReceiver<Wired>, mut presence: Presence) {
    loop {
        tokio::select! {
            gone = sender.on_detach() => return farewell(sender, gone).await,
            Some(error) = presence.orders.recv() => {
                let _ = timeout(PATIENCE, sender.close_with_error(error)).await;
                return;
            }
            answer = answers.recv() => {
                let Some(answer) = answer else { return };
                // The outcome is not waited for: the library loses one now and then.
                if let Err(error) = sender.send_batchable(answer).await {
                    return debug!(%error, "failed to send an answer");
                }
            }
        }
    }
}

/// Answers the peer's detach in kind.
pub async fn farewell(sender: Sender, gone: DetachError) {
    match gone {
        DetachError::DetachedByRemote | DetachError::RemoteDetachedWithError(_) => {
            let _ = timeout(PATIENCE, sender.detach()).await;
        }
        _ => {
            let _ = timeout(PATIENCE, sender.close()).await;
        }
    }
}
