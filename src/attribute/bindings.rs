//! Which identity an agent or machine is tied to, in which role, and who says so.

use std::borrow::Cow;

use crate::model::{ActorKind, Body, Event, Fact, Identity, Org, RecordHash, Time};

/// An agent or machine bound to an identity in a role.
#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    pub organization: Org,
    pub agent_id: Option<i64>,
    pub agent_name: Option<String>,
    pub pool_id: Option<i64>,
    pub pool_name: Option<String>,
    pub machine: Option<String>,
    pub identity_id: String,
    /// `user`, `application`, `pat`, `listener`, `host`, `vm` or `service`, or as stated.
    pub identity_kind: String,
    pub identity_name: Option<String>,
    /// `registrant`, `listener`, `machine`, or `stated` by the operator of agents and machines that fit
    /// a pattern.
    pub role: String,
    pub from: Time,
    pub until: Option<Time>,
    pub record: RecordHash,
    pub known: Time,
}

/// Who registered the agent an event reports as added. Registration is the only moment at which a
/// personal access token or a service principal is an agent's identity.
pub fn bindings_of_event(event: &Event<'_>) -> Vec<Binding> {
    if !event.action.eq_ignore_ascii_case("Library.AgentAdded") {
        return Vec::new();
    }
    let owned = |t: &Option<Cow<'_, str>>| t.as_deref().map(str::to_owned);
    let is_pat = event.auth_mechanism.as_deref().is_some_and(|m| m.starts_with("PAT"));
    let (id, kind) = match (&event.actor_client_id, &event.authorization_id, &event.actor_id) {
        (Some(client), _, _) => (client, "application"),
        (None, Some(authorization), _) if is_pat => (authorization, "pat"),
        (None, _, Some(actor)) if event.actor_kind == ActorKind::User => (actor, "user"),
        (None, _, Some(actor)) => (actor, "service"),
        (None, _, None) => return Vec::new(),
    };
    vec![Binding {
        organization: Org { id: owned(&event.organization_id), name: owned(&event.organization) },
        agent_id: event.hints.agent_id,
        agent_name: owned(&event.hints.agent_name),
        pool_id: event.hints.pool_id,
        pool_name: owned(&event.hints.pool_name),
        machine: None,
        identity_id: id.to_string(),
        identity_kind: kind.to_owned(),
        identity_name: owned(&event.actor_name),
        role: "registrant".to_owned(),
        from: event.occurred.to_micros(),
        until: None,
        record: event.hash,
        known: event.observed,
    }]
}

/// The token that an event reports as made, changed or revoked: what it is called, whose it is, what it may do,
/// and since when, or until when, it is so.
pub fn token_of_event(event: &Event<'_>) -> Option<Identity> {
    let id = event.hints.authorization_id.as_ref().filter(|_| event.action.starts_with("Token."))?;
    let owned = |t: &Option<Cow<'_, str>>| t.as_deref().map(str::to_owned);
    let (at, ends) = (Some(event.occurred.to_micros()), event.action.contains("Revoke"));
    Some(Identity {
        kind: "pat".to_owned(),
        id: id.to_string(),
        name: owned(&event.hints.token_name),
        principal_name: owned(&event.hints.token_owner).or_else(|| owned(&event.actor_name)),
        scopes: owned(&event.hints.token_scopes).filter(|text| text.contains(char::is_alphanumeric)),
        valid_from: at.filter(|_| !ends),
        valid_until: at.filter(|_| ends),
        ..Identity::default()
    })
}

/// The listener identity and the machine that an agent's own record names.
pub fn bindings_of_fact(fact: &Fact<'_>) -> Vec<Binding> {
    let blank = Binding {
        organization: fact.organization.clone(),
        agent_id: None,
        agent_name: None,
        pool_id: None,
        pool_name: None,
        machine: None,
        identity_id: String::new(),
        identity_kind: String::new(),
        identity_name: None,
        role: String::new(),
        from: fact.when(),
        until: None,
        record: fact.hash,
        known: fact.observed,
    };
    match &fact.body {
        Body::Agent(agent) => {
            let of = |identity: &String, kind: &str, role: &str| Binding {
                agent_id: Some(agent.agent_id),
                agent_name: agent.name.clone(),
                pool_id: agent.pool_id,
                machine: agent.machine.clone(),
                identity_id: identity.clone(),
                identity_kind: kind.to_owned(),
                role: role.to_owned(),
                ..blank.clone()
            };
            let listener = agent.client_id.iter().map(|id| of(id, "listener", "listener"));
            let machine = agent.machine.iter().map(|id| of(id, "host", "machine"));
            listener.chain(machine).collect()
        }
        Body::ElasticNode(node) if node.agent_id.is_some() => node
            .compute_id
            .iter()
            .map(|compute| Binding {
                agent_id: node.agent_id,
                pool_id: node.pool_id,
                machine: node.machine.clone(),
                identity_id: compute.clone(),
                identity_kind: "vm".to_owned(),
                role: "machine".to_owned(),
                ..blank.clone()
            })
            .collect(),
        Body::Stated(stated) => {
            let identity = stated.identity.clone().map(|id| (id, stated.identity_kind.as_str()));
            let resource = || stated.resource.clone().map(|id| (id, "resource"));
            let (identity_id, kind) =
                identity.or_else(resource).unwrap_or_else(|| (stated.addresses.join(";"), "address"));
            vec![Binding {
                agent_name: stated.agent.clone(),
                pool_name: stated.pool.clone(),
                machine: stated.machine.clone(),
                identity_id,
                identity_kind: kind.to_owned(),
                identity_name: stated.identity_name.clone(),
                role: "stated".to_owned(),
                from: stated.from.unwrap_or_default(),
                until: stated.until,
                ..blank
            }]
        }
        _ => Vec::new(),
    }
}
