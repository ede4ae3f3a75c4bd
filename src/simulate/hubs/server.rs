//! From a socket to links: connections, sessions, and who may attach to what.

use std::sync::Arc;
use std::time::Duration;

use fe2o3_amqp::acceptor::{
    ConnectionAcceptor, LinkAcceptor, LinkEndpoint, ListenerSessionHandle, SessionAcceptor,
};
use fe2o3_amqp_types::definitions::{Error, Role as Side};
use fe2o3_amqp_types::messaging::{Source, TargetArchetype};
use fe2o3_amqp_types::performatives::Attach;
use fe2o3_amqp_types::primitives::Value;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::address::Node;
use super::asks::{self, Routes};
use super::entry::{self, Certificate};
use super::live::{Link, Live, Presence, Role};
use super::login::Login;
use super::namespace::Namespace;
use super::plan::{Occasion, Plan};
use super::refusal::{busy, no_partition, not_found, now, refusal};
use super::rights::Rights;
use super::wire::{Switch, Wire};
use super::{Options, readers, selector, senders};

/// How long a peer is given to answer a detach or a close, or to finish its half of an opening.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// How often rights are looked at.
const CHECK: Duration = Duration::from_millis(500);

/// A window that never closes: the library counts sessions' windows, but only credit is to limit.
const WINDOW: u32 = i32::MAX as u32;

/// What all tasks of one server share.
pub struct Shared {
    pub options: Options,
    pub namespace: Namespace,
    pub live: Arc<Live>,
    pub plan: Plan,
    pub rights: Rights,
    pub certificate: Option<Certificate>,
}

/// Takes sockets until it is aborted.
pub async fn listen(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                warn!(%error, "failed to accept a socket");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        if shared.plan.refuses_connection() {
            continue;
        }
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            match timeout(PATIENCE, entry::enter(socket, shared.certificate.as_ref())).await {
                Ok(Ok(stream)) => connection(shared, stream).await,
                Ok(Err(error)) => debug!(%error, "failed to take a socket in"),
                Err(_) => debug!("failed to take a socket in: it said nothing"),
            }
        });
    }
}

/// Serves one connection to its end.
async fn connection(shared: Arc<Shared>, stream: Box<dyn super::wire::Duplex>) {
    let switch = Arc::new(Switch::new());
    let wire = Wire::new(stream, Arc::clone(&switch), shared.options.heartbeat, shared.options.idle);
    let id = shared.live.id();
    // Known before it is open, so that a fault reaches it while it opens.
    let mut presence = shared.live.connect(id, Arc::clone(&switch));
    let idle = u32::try_from(shared.options.idle.as_millis()).unwrap_or(u32::MAX);
    let acceptor = ConnectionAcceptor::builder()
        .container_id("hubs")
        .max_frame_size(65_536)
        .channel_max(4_999)
        .idle_time_out(idle)
        .sasl_acceptor(Login::new(shared.options.shared_key.clone()))
        .build();
    let mut connection = match timeout(PATIENCE, acceptor.accept(wire)).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return debug!(%error, "failed to open a connection"),
        Err(_) => return debug!("failed to open a connection: the peer stopped half-way"),
    };
    let sessions =
        SessionAcceptor::builder().incoming_window(WINDOW).outgoing_window(WINDOW).handle_max(255).build();
    let mut checks = tokio::time::interval(CHECK);
    loop {
        tokio::select! {
            _ = checks.tick() => expire(&shared, id),
            incoming = connection.next_incoming_session() => {
                let Some(incoming) = incoming else { break };
                match sessions.accept_incoming_session(incoming, &mut connection).await {
                    Ok(opened) => {
                        tokio::spawn(session(Arc::clone(&shared), id, opened));
                    }
                    Err(error) => {
                        debug!(%error, "failed to begin a session");
                        break;
                    }
                }
            }
            order = presence.orders.recv() => {
                let Some(error) = order else { break };
                // A peer that does not answer is left.
                let _ = timeout(PATIENCE, connection.close_with_error(error)).await;
                break;
            }
        }
    }
    switch.cut();
    shared.rights.forget(id);
}

/// Detaches the links of a connection whose right has ended without a new token.
fn expire(shared: &Shared, connection: u64) {
    if !shared.options.require_tokens {
        return;
    }
    let now = now();
    let over = |link: &Link| {
        link.connection == connection
            && link.role != Role::Asks
            && !shared.rights.allow(connection, &link.node.path(), now)
    };
    let error = refusal("amqp:unauthorized-access", "ExpiredToken: The token is expired.");
    shared.live.detach(over, &error);
}

/// Serves one session to its end.
async fn session(shared: Arc<Shared>, connection: u64, mut session: ListenerSessionHandle) {
    let routes = Arc::new(Routes::default());
    while let Some(attach) = session.next_incoming_attach().await {
        if let Err(error) = attached(&shared, connection, &routes, &mut session, attach).await {
            debug!(%error, "failed to attach a link");
        }
    }
}

/// What an attach asks for.
struct Wish {
    node: Option<Node>,
    address: String,
    role: Role,
    level: Option<i64>,
    source: Option<Box<Source>>,
}

impl Wish {
    fn of(attach: &Attach) -> Self {
        let source = attach.source.as_deref().and_then(|source| source.address.clone());
        let target = attach.target.as_deref().and_then(|target| match target {
            TargetArchetype::Target(target) => target.address.clone(),
        });
        let reads = attach.role == Side::Receiver;
        let address = if reads { source } else { target }.unwrap_or_default();
        let node = Node::parse(&address);
        let role = match &node {
            Some(Node::Cbs | Node::Management) => Role::Asks,
            _ if reads => Role::Reads,
            _ => Role::Sends,
        };
        let property = |name: &str| {
            let properties = attach.properties.as_ref()?;
            properties.iter().find(|(key, _)| key.as_str() == name).map(|(_, value)| value)
        };
        let level = property("com.microsoft:epoch").and_then(|value| match value {
            Value::Long(level) => Some(*level),
            Value::Int(level) => Some(i64::from(*level)),
            Value::Uint(level) => Some(i64::from(*level)),
            Value::Ulong(level) => i64::try_from(*level).ok(),
            _ => None,
        });
        Self { node, address, role, level, source: attach.source.clone() }
    }
}

/// Attaches a link. One that is refused is attached all the same, then detached with the reason: the
/// protocol has no other place for it.
async fn attached(
    shared: &Arc<Shared>,
    connection: u64,
    routes: &Arc<Routes>,
    session: &mut ListenerSessionHandle,
    attach: Attach,
) -> Result<(), String> {
    let wish = Wish::of(&attach);
    let name = attach.name.clone();
    let reply_to = attach.target.as_deref().and_then(|target| match target {
        TargetArchetype::Target(target) => target.address.clone(),
    });
    let acceptor = LinkAcceptor::builder().max_message_size(shared.options.max_message_size).build();
    let endpoint = acceptor
        .accept_incoming_attach(attach, session)
        .await
        .map_err(|error| format!("{error}: check source and target of `{name}`"))?;
    let node = match judge(shared, connection, &wish) {
        Ok(node) => node,
        Err(error) => {
            debug!(%name, address = %wish.address, ?error, "refused a link");
            tokio::spawn(end(endpoint, error));
            return Ok(());
        }
    };
    let filter = wish.source.as_deref().and_then(selector::expression).map(str::to_owned);
    let id = shared.live.id();
    let link = Link { id, connection, name, node, role: wish.role, level: wish.level, filter };
    let presence = shared.live.attach(link.clone());
    serve(Arc::clone(shared), Arc::clone(routes), endpoint, link, reply_to, presence);
    Ok(())
}

/// Whether a wish is granted, and on what.
fn judge(shared: &Shared, connection: u64, wish: &Wish) -> Result<Node, Error> {
    let node = wish.node.clone().ok_or_else(|| not_found(&wish.address))?;
    let Some(hub) = node.hub() else { return Ok(node) };
    if shared.plan.is_busy(Occasion::Attach) {
        return Err(busy());
    }
    if shared.options.require_tokens && !shared.rights.allow(connection, &node.path(), now()) {
        return Err(refusal(
            "amqp:unauthorized-access",
            format!("Unauthorized access. 'Send' or 'Listen' claim(s) are required: '{}'.", wish.address),
        ));
    }
    let missing = || not_found(&wish.address);
    let found = shared.namespace.hub(hub).ok_or_else(missing)?;
    if let Some(partition) = node.partition() {
        let count = found.partitions.len();
        let found = found.partition(partition).ok_or_else(|| no_partition(count, partition))?;
        if let Node::Outlet { group, .. } = &node {
            found.owners(group).ok_or_else(missing)?;
        }
    }
    match (&node, wish.role) {
        (Node::Outlet { .. }, Role::Sends) | (Node::Hub { .. } | Node::Inlet { .. }, Role::Reads) => {
            Err(refusal("amqp:not-allowed", format!("'{}' cannot be used that way.", wish.address)))
        }
        _ => Ok(node),
    }
}

/// Hands a link to the task that serves it.
fn serve(
    shared: Arc<Shared>,
    routes: Arc<Routes>,
    endpoint: LinkEndpoint,
    link: Link,
    reply_to: Option<String>,
    presence: Presence,
) {
    match (endpoint, link.role) {
        (LinkEndpoint::Sender(sender), Role::Asks) => {
            let answers = routes.open(link.node.clone(), reply_to);
            tokio::spawn(asks::answer(sender, answers, presence));
        }
        (LinkEndpoint::Receiver(receiver), Role::Asks) => {
            tokio::spawn(asks::listen(shared, routes, receiver, link, presence));
        }
        (LinkEndpoint::Sender(sender), _) => {
            tokio::spawn(readers::serve(shared, sender, link, presence));
        }
        (LinkEndpoint::Receiver(receiver), _) => {
            tokio::spawn(senders::serve(shared, receiver, link, presence));
        }
    }
}

/// Detaches a link with an error.
async fn end(endpoint: LinkEndpoint, error: Error) {
    // A peer that does not answer is left.
    let _ = match endpoint {
        LinkEndpoint::Sender(sender) => timeout(PATIENCE, sender.close_with_error(error)).await,
        LinkEndpoint::Receiver(receiver) => timeout(PATIENCE, receiver.close_with_error(error)).await,
    };
}
