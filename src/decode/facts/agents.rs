//! Agents, deployment targets, pools, queues, scale-set machines.

use super::{Around, Draft, digest, flag, id, int, own_address, string, time};
use serde_json::{Value as Json, json};

use crate::decode::json::Fields;
use crate::decode::redact::is_harmless;
use crate::model::{Agent, Body, ElasticNode, Pool, Queue, RecordHash, Time};

pub(super) fn draft(fields: &Fields<'_>, around: &Around<'_>) -> Option<Draft> {
    let has = |name: &str| fields.has(name);
    let pool = fields.object("pool");
    if (has("computeId") || has("computeState")) && has("agentId") {
        return Some(node(fields, around));
    }
    if has("azureId") && has("poolId") {
        return elastic_pool(fields, around);
    }
    if !has("id") {
        return None;
    }
    if let Some(agent) = fields.object("agent").filter(|a| a.has("id")) {
        return agent_draft("deployment_target", &agent, fields, around);
    }
    let agent_like =
        ["osDescription", "maxParallelism", "systemCapabilities", "provisioningState", "accessPoint"];
    if has("name") && has("version") && agent_like.iter().any(|n| has(n)) {
        return agent_draft("agent", fields, fields, around);
    }
    if pool.is_some() && (has("machineCount") || has("machineTags") || has("machines")) {
        return queue("deployment_group", fields, around);
    }
    if pool.is_some() && has("name") && !has("definition") {
        return queue("queue", fields, around);
    }
    if has("name") && (has("poolType") || has("isHosted") && !has("version")) {
        return Some(pool_draft(fields, around));
    }
    None
}

/// Members of an agent that change all the time without a new version of it.
const RESTLESS: [&str; 8] = [
    "_links",
    "status",
    "statusChangedOn",
    "assignedRequest",
    "lastCompletedRequest",
    "pendingUpdate",
    "assignedAgentCloudRequest",
    "properties",
];

fn agent_draft(kind: &str, fields: &Fields<'_>, whole: &Fields<'_>, around: &Around<'_>) -> Option<Draft> {
    let own = own_address(fields).unwrap_or_default();
    let authorization = fields.object("authorization").unwrap_or_default();
    let key = authorization.object("publicKey");
    let fingerprint = key.and_then(|k| {
        let (modulus, exponent) = (k.text("modulus")?, k.text("exponent").unwrap_or_default());
        Some(RecordHash::of(format!("{modulus}.{exponent}").as_bytes()).to_string())
    });
    let mut capabilities = Vec::new();
    for map in ["systemCapabilities", "userCapabilities"] {
        for (name, value) in fields.object(map).unwrap_or_default().0 {
            let value = is_harmless(&name).then(|| super::super::json::text(value.get())).flatten();
            capabilities.push((name.into_owned(), value.map(|v| v.into_owned())));
        }
    }
    let capability = |name: &str| {
        capabilities.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).and_then(|(_, v)| v.clone())
    };
    // As precise as it is stored, so that two sightings are alike wherever they are from.
    let moment = |name: &str| time(fields, name).map(Time::to_micros);
    let agent = Agent {
        agent_id: int(fields, "id")?,
        name: string(fields, "name"),
        pool_id: around.address.pool_id.or(own.pool_id).or_else(|| int(&fields.object("pool")?, "id")),
        version: string(fields, "version"),
        os: string(fields, "osDescription"),
        enabled: flag(fields, "enabled"),
        status: string(fields, "status"),
        provisioning_state: string(fields, "provisioningState"),
        created: moment("createdOn"),
        status_changed: moment("statusChangedOn"),
        max_parallelism: int(fields, "maxParallelism"),
        client_id: id(&authorization, "clientId"),
        key_fingerprint: fingerprint,
        machine: capability("Agent.ComputerName").or_else(|| capability("COMPUTERNAME")),
        deployment_group_id: around.address.deployment_group_id,
        capabilities,
    };
    let place = agent.deployment_group_id.map(|g| format!("group-{g}"));
    let place = place.or_else(|| agent.pool_id.map(|p| p.to_string())).unwrap_or_else(|| "-".to_owned());
    let mut draft = Draft::new(kind, format!("{place}/{}", agent.agent_id), Body::Other, around);
    draft.state = digest(fields, &RESTLESS);
    if std::ptr::from_ref(whole) != std::ptr::from_ref(fields) {
        let tags = digest(whole, &["agent", "_links"]);
        draft.state.push_str(&tags[..8]);
    }
    if draft.organization.name.is_none() {
        draft.organization.name = own.organization;
    }
    draft.body = Body::Agent(Box::new(agent));
    Some(draft)
}

/// The job requests inside an agent's record, the one it runs and the one it ran last: records of
/// their own, with the agent and the pool that lie around them.
pub(super) fn requests(draft: &Draft, fields: &Fields<'_>) -> Vec<String> {
    let Body::Agent(agent) = &draft.body else { return Vec::new() };
    let own = fields.object("agent");
    let fields = own.as_ref().unwrap_or(fields);
    let inside = ["assignedRequest", "lastCompletedRequest"].into_iter().filter_map(|name| fields.get(name));
    let whole = |text: &str| {
        let Ok(Json::Object(mut request)) = serde_json::from_str(text) else { return None };
        let reserved = request.entry("reservedAgent").or_insert(Json::Null);
        if reserved.is_null() {
            *reserved = json!({"id": agent.agent_id, "name": agent.name});
        }
        if let Some(pool) = agent.pool_id {
            request.entry("poolId").or_insert_with(|| pool.into());
        }
        Some(Json::Object(request).to_string())
    };
    inside.filter_map(whole).collect()
}

fn pool_draft(fields: &Fields<'_>, around: &Around<'_>) -> Draft {
    let pool = pool_of(fields);
    let mut draft = Draft::new("pool", pool.pool_id.to_string(), Body::Other, around);
    draft.state = digest(fields, &["_links", "size", "targetSize", "createdBy", "owner"]);
    draft.body = Body::Pool(pool);
    draft
}

fn pool_of(fields: &Fields<'_>) -> Pool {
    Pool {
        pool_id: int(fields, "id").unwrap_or_default(),
        name: string(fields, "name"),
        is_hosted: flag(fields, "isHosted"),
        pool_type: string(fields, "poolType"),
        options: string(fields, "options"),
        size: int(fields, "size"),
        agent_cloud_id: int(fields, "agentCloudId"),
        azure_id: None,
        created: time(fields, "createdOn"),
    }
}

fn elastic_pool(fields: &Fields<'_>, around: &Around<'_>) -> Option<Draft> {
    let pool_id = int(fields, "poolId")?;
    let pool = Pool {
        pool_id,
        options: Some("elasticPool".to_owned()),
        azure_id: string(fields, "azureId"),
        ..Pool::default()
    };
    let mut draft = Draft::new("elastic_pool", pool_id.to_string(), Body::Pool(pool), around);
    draft.state = digest(fields, &["desiredSize", "state", "offlineSince", "sizingAttempts"]);
    Some(draft)
}

fn queue(kind: &str, fields: &Fields<'_>, around: &Around<'_>) -> Option<Draft> {
    let pool = fields.object("pool").unwrap_or_default();
    let queue =
        Queue { queue_id: int(fields, "id")?, name: string(fields, "name"), pool_id: int(&pool, "id") };
    let mut draft = Draft::new(kind, queue.queue_id.to_string(), Body::Queue(queue), around);
    let project = fields.object("project").and_then(|p| id(&p, "id"));
    draft.project_id = project.or_else(|| id(fields, "projectId")).or(draft.project_id);
    draft.state = digest(fields, &["_links", "machineCount", "machines"]);
    Some(draft)
}

/// A scale-set machine: which agent it is, and which request it ran last.
fn node(fields: &Fields<'_>, around: &Around<'_>) -> Draft {
    let node = ElasticNode {
        node_id: int(fields, "id"),
        pool_id: int(fields, "poolId").or(around.address.pool_id),
        agent_id: int(fields, "agentId"),
        machine: string(fields, "name"),
        compute_id: string(fields, "computeId"),
        request_id: int(fields, "requestId"),
        state: string(fields, "state"),
        changed: time(fields, "stateChangedOn"),
    };
    let id = format!(
        "{}/{}",
        node.pool_id.map_or_else(|| "-".to_owned(), |p| p.to_string()),
        node.node_id.map_or_else(|| "-".to_owned(), |n| n.to_string())
    );
    let mut draft = Draft::new("elastic_node", id, Body::Other, around);
    // What it does at the moment says nothing of which machine it is.
    const RESTLESS: [&str; 8] = [
        "_links",
        "state",
        "stateChangedOn",
        "desiredState",
        "agentState",
        "computeState",
        "requestId",
        "updateId",
    ];
    draft.state = digest(fields, &RESTLESS);
    draft.occurred = node.changed;
    draft.body = Body::ElasticNode(node);
    draft
}
