//! What an identity belongs to and may do: group memberships, roles on pools; and agent clouds.

use super::{Around, Draft, digest, id, int, string};
use crate::decode::json::Fields;
use crate::model::Body;

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
    Some(Draft::new("graph_membership", format!("{member}/{container}"), Body::Other, around))
}

/// The body names no pool: its address does.
fn role(fields: &Fields<'_>, around: &Around<'_>) -> Option<Draft> {
    if !around.address.names("distributedtask.agentpoolrole") {
        return None;
    }
    let pool: i64 = around.address.path.rsplit('/').next()?.parse().ok()?;
    let identity = id(&fields.object("identity")?, "id")?;
    let role = string(&fields.object("role")?, "name").filter(|r| !r.is_empty())?;
    let mut draft = Draft::new("pool_role", format!("{pool}/{identity}"), Body::Other, around);
    draft.state = format!("{role}/{}", digest(fields, &[]));
    Some(draft)
}

fn cloud(fields: &Fields<'_>, around: &Around<'_>) -> Option<Draft> {
    let cloud = int(fields, "agentCloudId")?;
    let mut draft = Draft::new("agent_cloud", cloud.to_string(), Body::Other, around);
    draft.state = digest(fields, &[]);
    Some(draft)
}
