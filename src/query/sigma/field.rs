//! Fields of the audit log as rules spell them, and the columns of `actions` that hold them.

use super::Refused;
use crate::query::quoted;

/// Fields of a record, in the spelling of the REST API and the log, and their columns.
const FIELDS: [(&str, &str); 25] = [
    ("Id", "event_id"),
    ("ActionId", "action"),
    ("OperationName", "action"),
    ("Area", "area"),
    ("Category", "category"),
    ("CategoryDisplayName", "category"),
    ("Details", "details"),
    ("ActorUserId", "actor_id"),
    ("ActorCUID", "actor_cuid"),
    ("ActorUPN", "actor_upn"),
    ("ActorDisplayName", "actor_name"),
    ("ActorClientId", "actor_client_id"),
    ("AuthenticationMechanism", "auth_mechanism"),
    ("CorrelationId", "correlation_id"),
    ("ActivityId", "activity_id"),
    ("IpAddress", "ip"),
    ("IPAddress", "ip"),
    ("UserAgent", "user_agent"),
    ("ScopeId", "organization_id"),
    ("ScopeDisplayName", "organization"),
    ("ProjectId", "project_id"),
    ("ProjectName", "project"),
    ("Data", "data"),
    ("AuthorizationId", "authorization_id"),
    ("ActorKind", "actor_kind"),
];
/// What this program knows besides, under the names of its own columns.
const OWN: [&str; 9] = [
    "executor",
    "raised_by",
    "grade",
    "agent_name",
    "agent_version",
    "pool_name",
    "machine",
    "run_kind",
    "actor_kind",
];
/// What a keyword is looked for in.
pub(super) const TEXTS: [&str; 12] = [
    "action",
    "area",
    "category",
    "details",
    "data",
    "actor_name",
    "actor_upn",
    "actor_id",
    "auth_mechanism",
    "ip",
    "user_agent",
    "project",
];

/// The value of a field as SQL.
pub(super) fn column(name: &str) -> Result<String, Refused> {
    if let Some((_, column)) = FIELDS.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)) {
        return Ok((*column).to_owned());
    }
    if let Some(own) = OWN.iter().find(|own| **own == name) {
        return Ok((*own).to_owned());
    }
    let member = ["Data.", "Data_", "data."].iter().find_map(|prefix| name.strip_prefix(prefix));
    match member.filter(|member| !member.is_empty()) {
        Some(member) => Ok(format!("json_member(data, {})", quoted(member))),
        None => {
            let names: Vec<&str> = FIELDS.iter().map(|(own, _)| *own).collect();
            Err(format!(
                "the field `{name}` is none of the audit log; it has {}, Data.NAME and {}",
                names.join(", "),
                OWN.join(", ")
            ))
        }
    }
}

pub(super) fn is_action(name: &str) -> bool {
    column(name).is_ok_and(|column| column == "action")
}
