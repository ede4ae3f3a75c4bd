//! What an identity belongs to and may do: group memberships, roles on pools; and agent clouds.

use super::{Around, Draft, digest, id, int, is_empty, string};
use crate::decode::address::Address;
use crate::decode::json::Fields;
use crate::model::{Body, Fact, Holding};

pub(super) fn draft(fields: &Fields<'_>, around: &Around<'_>) -> Option<Draft> {
    if fields.has("containerDescriptor") && fields.has("memberDescriptor") {
        return membership(fields, around);
    }
    if fields.has("identity") && fields.has("role") {
        return role(fields, around);
    }
    if around.address.names("agentclouds") || fields.has("acquireAgentEndpoint") {
        return cloud(fields, around);
    }
    None
}

/// The same pair is one fact, from whichever end it was listed.
fn membership(fields: &Fields<'_>, around: &Around<'_>) -> Option<Draft> {
    let end = |name| string(fields, name).filter(|d| !d.is_empty() && !d.contains('/'));
    let (member, container) = (end("memberDescriptor")?, end("containerDescriptor")?);
    let natural = format!("{member}/{container}");
    let holding = Holding {
        kind: "membership".to_owned(),
        holder_id: Some(member),
        resource_kind: Some("group".to_owned()),
        resource_id: Some(container),
        says: "seen".to_owned(),
        holds: true,
        ..Holding::default()
    };
    Some(Draft::new("graph_membership", natural, Body::Holding(Box::new(holding)), around))
}

/// The body names no pool: its address does.
fn role(fields: &Fields<'_>, around: &Around<'_>) -> Option<Draft> {
    let pool = pool_of_roles(around.address)?;
    let who = fields.object("identity")?;
    let identity = id(&who, "id").filter(|i| !i.contains('/'))?;
    let role = string(&fields.object("role")?, "name").filter(|r| !r.is_empty())?;
    let natural = format!("{pool}/{identity}");
    let holding = Holding {
        kind: "pool_role".to_owned(),
        holder_id: Some(identity),
        holder_name: string(&who, "displayName"),
        resource_kind: Some("pool".to_owned()),
        resource_id: Some(pool.to_string()),
        role: Some(role.clone()),
        says: "seen".to_owned(),
        holds: true,
        ..Holding::default()
    };
    let mut draft = Draft::new("pool_role", natural, Body::Holding(Box::new(holding)), around);
    draft.state = format!("{role}/{}", digest(fields, &[]));
    Some(draft)
}

fn pool_of_roles(address: &Address) -> Option<i64> {
    if !address.names("distributedtask.agentpoolrole") {
        return None;
    }
    address.path.rsplit('/').next()?.parse().ok()
}

fn cloud(fields: &Fields<'_>, around: &Around<'_>) -> Option<Draft> {
    let cloud = int(fields, "agentCloudId")?;
    let mut draft = Draft::new("agent_cloud", cloud.to_string(), Body::Other, around);
    draft.state = digest(fields, &[]);
    Some(draft)
}

/// Our own record of a whole listing, drawn from its records: the members of a group or the roles on a
/// pool. Who is not in it holds it no longer, which no record of its own says.
pub(super) fn listing(address: &Address, drawn: &[Fact<'_>], body: &str) -> Option<serde_json::Value> {
    if address.is_continued || Fields::parse(body).is_some_and(|b| string(&b, "continuationToken").is_some())
    {
        return None;
    }
    let (kind, resource) = match pool_of_roles(address) {
        Some(pool) => ("pool_role", pool.to_string()),
        None => ("membership", group_of_members(address)?),
    };
    let held = drawn.iter().map(|fact| match &fact.body {
        Body::Holding(h) if h.kind == kind && h.resource_id.as_ref() == Some(&resource) => {
            let holder = h.holder_id.as_deref()?;
            Some(h.role.as_ref().map_or_else(|| holder.to_owned(), |role| format!("{holder}/{role}")))
        }
        _ => None,
    });
    // A record that could not be read may be one more member.
    let mut members: Vec<String> = if is_empty(body) { Vec::new() } else { held.collect::<Option<_>>()? };
    members.sort_unstable();
    members.dedup();
    Some(serde_json::json!({"heard": kind, "resourceId": resource, "members": members}))
}

/// Only downward are all members of a group listed; upward it is all groups of a member.
fn group_of_members(address: &Address) -> Option<String> {
    let (path, query) = address.url.as_deref()?.split_once('?')?;
    let down = query.split('&').any(|part| part.eq_ignore_ascii_case("direction=down"));
    let tail = address.path.strip_prefix("graph/memberships/")?;
    // The address is kept in lower case, a descriptor is not.
    let group = path.trim_end_matches('/').rsplit('/').next()?.to_owned();
    (down && group.len() == tail.len() && !group.contains('%')).then_some(group)
}

/// Reads it again.
pub(super) fn listed(kind: String, fields: &Fields<'_>) -> Option<Holding> {
    Some(Holding {
        resource_kind: Some(if kind == "membership" { "group" } else { "pool" }.to_owned()),
        kind,
        resource_id: Some(string(fields, "resourceId")?),
        says: "listed".to_owned(),
        members: Some(serde_json::from_str(fields.get("members")?).ok()?),
        ..Holding::default()
    })
}
