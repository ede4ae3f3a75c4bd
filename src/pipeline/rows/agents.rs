//! Rows of `agents`, `pools`, `identities` and `bindings`.

use super::{end, organization};
use crate::attribute::Binding;
use crate::model::{Agent, Event, Fact, Identity, Pool, Queue, Time};
use crate::store::{Builder, Cell, RowKey};

pub(super) fn agent(row: &mut Builder, fact: &Fact<'_>, agent: &Agent, hash: &str) {
    row.text(Some(&fact.key));
    organization(row, fact);
    state(row, agent);
    row.text(None);
    row.text(None);
    row.text(None);
    row.time(Some(fact.observed));
    end(row, fact, hash);
}

/// That a list of its pool lacks an agent that was seen last at a moment.
pub(super) fn gone(row: &mut Builder, list: &Fact<'_>, agent: &Agent, seen: Time) {
    let (id, name) = (list.organization.id.as_deref(), list.organization.name.as_deref());
    let key = format!(
        "agent/{}/{}/{}/gone/{}",
        name.or(id).unwrap_or_default(),
        agent.pool_id.unwrap_or_default(),
        agent.agent_id,
        seen.to_micros()
    );
    row.text(Some(&key));
    organization(row, list);
    state(row, agent);
    row.text(Some("gone"));
    row.text(None);
    row.text(None);
    row.time(Some(list.observed));
    row.text(Some(&list.hash.to_string()));
    row.end_row(RowKey::new(&key), None);
}

/// That an audit event tells of an agent deleted, by its id or by its name alone.
pub(super) fn deleted(row: &mut Builder, event: &Event<'_>) {
    let (hints, key) = (&event.hints, format!("event/{}/deleted", event.id));
    row.text(Some(&key));
    row.text(event.organization_id.as_deref());
    row.text(event.organization.as_deref());
    of_agent(
        row,
        hints.agent_id,
        hints.pool_name.as_deref(),
        &Agent {
            name: hints.agent_name.as_deref().map(str::to_owned),
            pool_id: hints.pool_id,
            ..Agent::default()
        },
    );
    row.text(Some("deleted"));
    row.text(event.actor_id.as_deref());
    row.text(event.actor_name.as_deref());
    row.time(Some(event.occurred));
    row.text(Some(&event.hash.to_string()));
    row.end_row(RowKey::new(&key), None);
}

fn state(row: &mut Builder, agent: &Agent) {
    of_agent(row, Some(agent.agent_id), None, agent);
}

fn of_agent(row: &mut Builder, id: Option<i64>, pool_name: Option<&str>, agent: &Agent) {
    row.int(id);
    row.text(agent.name.as_deref());
    row.int(agent.pool_id);
    row.text(pool_name);
    row.text(agent.version.as_deref());
    row.text(agent.os.as_deref());
    row.flag(agent.enabled);
    row.text(agent.status.as_deref());
    row.text(agent.provisioning_state.as_deref());
    row.time(agent.created);
    row.time(agent.status_changed);
    row.int(agent.max_parallelism);
    row.text(agent.client_id.as_deref());
    row.text(agent.key_fingerprint.as_deref());
    row.text(agent.machine.as_deref());
    row.int(agent.deployment_group_id);
    row.items(
        agent.capabilities.iter().map(|(name, value)| [Cell::Text(Some(name)), Cell::Text(value.as_deref())]),
    );
}

pub(super) fn pool(row: &mut Builder, fact: &Fact<'_>, pool: &Pool, hash: &str) {
    row.text(Some(&fact.key));
    organization(row, fact);
    row.text(fact.project_id.as_deref());
    row.int(Some(pool.pool_id));
    row.int(None);
    row.text(pool.name.as_deref());
    row.flag(pool.is_hosted);
    row.text(pool.pool_type.as_deref());
    row.text(pool.options.as_deref());
    row.int(pool.size);
    row.int(pool.agent_cloud_id);
    row.text(pool.azure_id.as_deref());
    row.time(Some(fact.observed));
    end(row, fact, hash);
}

pub(super) fn queue(row: &mut Builder, fact: &Fact<'_>, queue: &Queue, hash: &str) {
    row.text(Some(&fact.key));
    organization(row, fact);
    row.text(fact.project_id.as_deref());
    row.int(queue.pool_id);
    row.int(Some(queue.queue_id));
    row.text(queue.name.as_deref());
    row.flag(None);
    row.text(None);
    row.text(None);
    row.int(None);
    row.int(None);
    row.text(None);
    row.time(Some(fact.observed));
    end(row, fact, hash);
}

pub(super) fn identity(row: &mut Builder, fact: &Fact<'_>, identity: &Identity, hash: &str) {
    row.text(Some(&fact.key));
    organization(row, fact);
    identity_columns(row, identity, fact.observed);
    end(row, fact, hash);
}

/// The row of a token that an event reports as made or changed.
pub(super) fn token(row: &mut Builder, event: &Event<'_>, token: &Identity) {
    let key = format!("event/{}/{}", event.id, token.id);
    row.text(Some(&key));
    row.text(event.organization_id.as_deref());
    row.text(event.organization.as_deref());
    identity_columns(row, token, event.observed);
    row.hash(&event.hash);
    row.end_row(RowKey::new(&key), None);
}

fn identity_columns(row: &mut Builder, identity: &Identity, observed: Time) {
    row.text(Some(&identity.kind));
    row.text(Some(&identity.id));
    row.text(identity.cuid.as_deref());
    row.text(identity.application_id.as_deref());
    row.text(identity.object_id.as_deref());
    row.text(identity.tenant_id.as_deref());
    row.text(identity.name.as_deref());
    row.text(identity.principal_name.as_deref());
    row.text(identity.scopes.as_deref());
    row.time(identity.valid_from);
    row.time(identity.valid_until);
    row.time(Some(observed));
}

pub(super) fn binding(row: &mut Builder, binding: &Binding, hash: &str) {
    let agent = binding.agent_id.map(|id| id.to_string()).unwrap_or_default();
    let key = [
        binding.organization.id.as_deref().or(binding.organization.name.as_deref()).unwrap_or_default(),
        &agent,
        binding.agent_name.as_deref().unwrap_or_default(),
        binding.machine.as_deref().unwrap_or_default(),
        &binding.role,
        &binding.identity_kind,
        &binding.identity_id,
        // An event says when it became true; a listing only that it is, so seeing it again is no news.
        &match binding.role.as_str() {
            "registrant" => binding.from.to_string(),
            "stated" => format!("{:?}/{}/{:?}", binding.pool_name, binding.from, binding.until),
            _ => String::new(),
        },
    ]
    .join("/");
    row.text(Some(&key));
    row.text(binding.organization.id.as_deref());
    row.text(binding.organization.name.as_deref());
    row.int(binding.agent_id);
    row.text(binding.agent_name.as_deref());
    row.int(binding.pool_id);
    row.text(binding.pool_name.as_deref());
    row.text(binding.machine.as_deref());
    row.text(Some(&binding.identity_id));
    row.text(Some(&binding.identity_kind));
    row.text(binding.identity_name.as_deref());
    row.text(Some(&binding.role));
    row.time(Some(binding.from));
    row.time(binding.until);
    row.time(Some(binding.known));
    row.text(Some(hash));
    row.end_row(RowKey::new(&key), None);
}
