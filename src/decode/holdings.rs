//! What an audit event says of who holds what: groups, permissions, resources of pipelines.
//!
//! One record may hold several changes (`Updates[]`, `EventSummary[]`, `Permissions[]`); its members come in
//! any letter case, numbers and truths as text, GUIDs in upper case inside a list and lower outside.

use base64::Engine as _;
use serde_json::value::RawValue;

use super::json::{Fields, integer, text};
use crate::model::{Event, Holding, canonical};

/// The words of an event, in its order.
pub fn holdings(event: &Event<'_>) -> Vec<Holding> {
    let Some((area, what)) = event.action.split_once('.') else { return Vec::new() };
    let fields = || event.data.as_deref().and_then(Fields::parse).unwrap_or_default();
    match (area, what) {
        ("Group", "UpdateGroups.Delete") => gone("membership", "group", id(&fields(), &["GroupId"])),
        ("Group", _) if what.starts_with("UpdateGroupMembership") => memberships(what, &fields()),
        ("Security", _) => permissions(what, &fields()),
        ("Pipelines", _) if what.starts_with("Resource") => resource(what, &fields()),
        ("Library", "AgentPoolDeleted") => {
            let fields = fields();
            let (pool, name) = (id(&fields, &["AgentPoolId", "PoolId"]), words(&fields, &["AgentPoolName"]));
            match (gone("pool_role", "pool", pool), name) {
                // Its id is not always in there.
                (none, Some(name)) if none.is_empty() => {
                    vec![Holding { resource_name: Some(name), ..deleted("pool_role", "pool") }]
                }
                (all, _) => all,
            }
        }
        ("Library", "ServiceConnectionDeleted") => {
            let connection = id(&fields(), &["ConnectionId"]);
            let kinds = ["connection", "permission"];
            kinds.into_iter().flat_map(|kind| gone(kind, "endpoint", connection.clone())).collect()
        }
        _ => Vec::new(),
    }
}

/// What was held is there no longer.
fn gone(kind: &str, resource_kind: &str, resource: Option<String>) -> Vec<Holding> {
    let one = |resource| Holding { resource_id: Some(resource), ..deleted(kind, resource_kind) };
    resource.map(one).into_iter().collect()
}

/// A word that a resource is there no longer, without the resource.
fn deleted(kind: &str, resource_kind: &str) -> Holding {
    Holding {
        kind: kind.to_owned(),
        resource_kind: Some(resource_kind.to_owned()),
        says: "deleted".to_owned(),
        ..Holding::default()
    }
}

fn memberships(what: &str, data: &Fields<'_>) -> Vec<Holding> {
    let inside = objects(data, "Updates");
    let updates = if inside.is_empty() { vec![data] } else { inside.iter().collect() };
    // The names outside the list are those of its only update.
    let name = |name: &str| if updates.len() == 1 { words(data, &[name]) } else { None };
    let one = |update: &&Fields<'_>| {
        let holds = truth(update, "Active").unwrap_or(!what.ends_with("Remove"));
        Some(Holding {
            kind: "membership".to_owned(),
            holder_id: Some(id(update, &["MemberId"])?),
            holder_name: name("MemberDisplayName"),
            resource_kind: Some("group".to_owned()),
            resource_id: Some(id(update, &["GroupId"])?),
            resource_name: name("GroupName"),
            says: if holds { "added" } else { "removed" }.to_owned(),
            holds,
            ..Holding::default()
        })
    };
    updates.iter().filter_map(one).collect()
}

fn permissions(what: &str, data: &Fields<'_>) -> Vec<Holding> {
    let lists = ["EventSummary", "Permissions", "ACEs"];
    let inside = lists.iter().map(|name| objects(data, name)).find(|list| !list.is_empty());
    let items = inside.unwrap_or_default();
    let items: Vec<&Fields<'_>> = if items.is_empty() { vec![data] } else { items.iter().collect() };
    let mut tokens: Vec<Option<String>> = texts(data, "Tokens").into_iter().map(Some).collect();
    if tokens.is_empty() {
        tokens.push(words(data, &["Token"]));
    }
    let takes = ["Remove", "Reset"].into_iter().find(|verb| what.starts_with(verb));
    let of_token = |token: &Option<String>| Holding {
        kind: "access".to_owned(),
        resource_kind: words(data, &["NamespaceName", "NamespaceId"]),
        resource_id: token.clone(),
        ..Holding::default()
    };
    let mut out = Vec::new();
    for token in &tokens {
        let Some(verb) = takes else {
            out.extend(items.iter().flat_map(|item| changed(item, data, &of_token(token))));
            continue;
        };
        let says = if verb == "Remove" { "removed" } else { "reset" }.to_owned();
        let taken = Holding { says, below: truth(data, "Recurse").unwrap_or(false), ..of_token(token) };
        let mut holders = subjects(data, &items);
        holders.dedup();
        if holders.is_empty() {
            out.push(taken);
        } else {
            out.extend(holders.into_iter().map(|id| Holding { holder_id: Some(id), ..taken.clone() }));
        }
    }
    // A word on nothing takes nothing.
    out.retain(|h| h.resource_kind.is_some() || h.resource_id.is_some() || h.holder_id.is_some());
    out
}

/// One permission set for one subject, or several of them named in one text.
fn changed(item: &Fields<'_>, data: &Fields<'_>, of_token: &Holding) -> Vec<Holding> {
    let get = |names: &[&str]| words(item, names).or_else(|| words(data, names));
    let Some(holder) = subject(item).or_else(|| subject(data)) else { return Vec::new() };
    let says = get(&["Change", "PermissionModifiedTo"]).unwrap_or_else(|| "changed".to_owned());
    let says = says.to_lowercase();
    let names = get(&["PermissionNames", "ChangedPermission", "PermissionName", "DisplayName"]);
    let roles: Vec<Option<String>> = match &names {
        Some(names) => names.split(',').map(|n| Some(n.trim().to_owned())).collect(),
        None => vec![None],
    };
    let one = |role| Holding {
        holder_id: Some(holder.clone()),
        holder_name: get(&["SubjectDisplayName"]),
        resource_id: words(item, &["Token"]).or_else(|| of_token.resource_id.clone()),
        role,
        holds: says.contains("allow") || says == "changed",
        says: says.clone(),
        ..of_token.clone()
    };
    roles.into_iter().map(one).collect()
}

/// From whom something was taken.
fn subjects(data: &Fields<'_>, items: &[&Fields<'_>]) -> Vec<String> {
    for list in ["Identities", "IdentityDescriptors", "IdentityIds"] {
        let named = texts(data, list).iter().filter_map(|text| descriptor(text)).collect::<Vec<_>>();
        let described = objects(data, list).iter().filter_map(subject).collect::<Vec<_>>();
        if !named.is_empty() || !described.is_empty() {
            return [named, described].concat();
        }
    }
    subject(data).map_or_else(|| items.iter().filter_map(|item| subject(item)).collect(), |one| vec![one])
}

fn subject(fields: &Fields<'_>) -> Option<String> {
    for name in ["SubjectDescriptor", "IdentityDescriptor", "Descriptor", "IdentityId", "SubjectId"] {
        let inner = fields.object(name);
        let text = inner.as_ref().map_or_else(
            || words(fields, &[name]),
            |object| {
                let kind = words(object, &["identityType"]).map(|kind| kind + ";").unwrap_or_default();
                words(object, &["identifier"]).map(|identifier| kind + &identifier)
            },
        );
        if let Some(id) = text.as_deref().and_then(descriptor) {
            return Some(id);
        }
    }
    words(fields, &["identifier"]).as_deref().and_then(descriptor)
}

/// A subject as Graph writes it. The older form is a type and an identifier: of a group or a service it is
/// what the tail of its Graph descriptor encodes, of a user or an application it ends in a name or an id.
fn descriptor(text: &str) -> Option<String> {
    let Some((kind, identifier)) = text.split_once(';') else {
        return canonical(text).map(|id| id.into_owned());
    };
    let encoded = || base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(identifier);
    Some(match kind.rsplit('.').next().unwrap_or(kind) {
        "Identity" if identifier.starts_with("S-1-") => format!("vssgp.{}", encoded()),
        "ServiceIdentity" => format!("svc.{}", encoded()),
        _ => canonical(identifier.rsplit('\\').next().unwrap_or(identifier))?.to_lowercase(),
    })
}

fn resource(what: &str, data: &Fields<'_>) -> Vec<Holding> {
    let Some(resource) = id(data, &["ResourceId"]) else { return Vec::new() };
    let pipeline_id = data.get("PipelineId").and_then(integer);
    let holds = !what.contains("Unauthorized") && !what.contains("NotAuthorized");
    vec![Holding {
        kind: "permission".to_owned(),
        // Taken from all pipelines, it is not taken from one to which it was given by name.
        holder_id: Some(pipeline_id.map_or_else(|| "all pipelines".to_owned(), |p| format!("pipeline {p}"))),
        pipeline_id,
        resource_kind: words(data, &["ResourceType"]).map(|kind| kind.to_lowercase()),
        resource_id: Some(resource),
        resource_name: words(data, &["ResourceName"]),
        says: if holds { "authorized" } else { "unauthorized" }.to_owned(),
        holds,
        ..Holding::default()
    }]
}

/// The objects of a list, which may come as a text that holds it.
fn objects<'a>(fields: &Fields<'a>, name: &str) -> Vec<Fields<'a>> {
    let list: Vec<&RawValue> =
        fields.get(name).and_then(|list| serde_json::from_str(list).ok()).unwrap_or_default();
    list.into_iter().filter_map(|item| Fields::parse(item.get())).collect()
}

/// The texts of a list, or the one text there is instead.
fn texts(fields: &Fields<'_>, name: &str) -> Vec<String> {
    let Some(value) = fields.get(name) else { return Vec::new() };
    match serde_json::from_str::<Vec<&RawValue>>(value) {
        Ok(list) => list.iter().filter_map(|item| text(item.get())).map(|t| t.into_owned()).collect(),
        Err(_) => text(value).map(|t| t.into_owned()).into_iter().collect(),
    }
}

fn words(fields: &Fields<'_>, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| fields.text(name)).map(|text| text.into_owned())
}

fn id(fields: &Fields<'_>, names: &[&str]) -> Option<String> {
    words(fields, names).and_then(|text| canonical(&text).map(|id| id.into_owned()))
}

fn truth(fields: &Fields<'_>, name: &str) -> Option<bool> {
    match fields.text(name)?.to_ascii_lowercase().as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(action: &str, data: &str) -> Vec<String> {
        let event = Event { action: action.into(), data: Some(data.into()), ..Event::default() };
        let part = |text: &Option<String>| text.clone().unwrap_or_else(|| "*".to_owned());
        let one = |h: &Holding| {
            let resource = format!("{} {}", part(&h.resource_kind), part(&h.resource_id));
            format!("{} {} {resource} {} {}", part(&h.holder_id), h.says, part(&h.role), h.holds)
        };
        holdings(&event).iter().map(one).collect()
    }

    #[test]
    fn every_update_of_a_group_counts_in_any_spelling() {
        let data = r#"{"Updates":[{"GroupId":"5E000000-0000-4000-8000-00000000000A","MemberId":"5A000000-0000-4000-8000-00000000000B","Active":"False"},{"memberid":"m","groupID":"g","active":1}]}"#;
        let (group, member) =
            ("5e000000-0000-4000-8000-00000000000a", "5a000000-0000-4000-8000-00000000000b");
        assert_eq!(
            of("Group.UpdateGroupMembership", data),
            [format!("{member} removed group {group} * false"), "m added group g * true".to_owned()]
        );
        assert_eq!(
            of("Group.UpdateGroupMembership.Add", r#"{"GroupId":"g","MemberId":"m"}"#),
            ["m added group g * true"]
        );
        assert_eq!(of("Group.UpdateGroups.Delete", r#"{"groupid":"g"}"#), ["* deleted group g * false"]);
        assert!(of("Group.UpdateGroupMembership.Add", r#"{"Updates":[{"GroupId":7}]}"#).is_empty());
    }

    #[test]
    fn every_permission_of_a_change_counts_and_a_reset_names_what_it_takes() {
        let data = r#"{"NamespaceName":"Git Repositories","Token":"repoV2/1","EventSummary":[{"PermissionNames":"Contribute, Force push","Change":"Allow","SubjectDescriptor":"aadsp.m"},{"permissionNames":"Read","change":"Deny","subjectDescriptor":{"identityType":"Microsoft.TeamFoundation.Identity","identifier":"S-1-9-1"}}]}"#;
        assert_eq!(
            of("Security.ModifyPermission", data),
            [
                "aadsp.m allow Git Repositories repoV2/1 Contribute true",
                "aadsp.m allow Git Repositories repoV2/1 Force push true",
                "vssgp.Uy0xLTktMQ deny Git Repositories repoV2/1 Read false",
            ]
        );
        let one = r#"{"NamespaceName":"Build","ChangedPermission":"Queue builds","PermissionModifiedTo":"Not set","SubjectDescriptor":"Microsoft.IdentityModel.Claims.ClaimsIdentity;tenant\\Ada@Contoso.example"}"#;
        assert_eq!(
            of("Security.ModifyPermission", one),
            ["ada@contoso.example not set Build * Queue builds false"]
        );
        let reset = r#"{"namespacename":"Build","Permissions":[{"SubjectDescriptor":"aadsp.m"}]}"#;
        assert_eq!(of("Security.ResetPermission", reset), ["aadsp.m reset Build * * false"]);
        let removed = r#"{"NamespaceName":"Build","Token":"t","Identities":["aadsp.m","aadsp.n"]}"#;
        assert_eq!(of("Security.RemovePermission", removed).len(), 2);
        assert_eq!(
            of("Security.RemoveAccessControlLists", r#"{"NamespaceName":"Build","Tokens":["a","b"]}"#).len(),
            2
        );
        assert!(of("Security.RemoveAllAccessControlLists", "{}").is_empty());
    }

    #[test]
    fn a_resource_is_given_to_a_pipeline_or_to_all() {
        let data = r#"{"ResourceType":"Endpoint","ResourceId":"7D000000-0000-4000-8000-00000000000E","PipelineId":"18"}"#;
        let resource = "endpoint 7d000000-0000-4000-8000-00000000000e * ";
        assert_eq!(
            of("Pipelines.ResourceAuthorizedForPipeline", data),
            [format!("pipeline 18 authorized {resource}true")]
        );
        let data = data.replace(r#","PipelineId":"18""#, "");
        assert_eq!(
            of("Pipelines.ResourceNotAuthorizedForProject", &data),
            [format!("all pipelines unauthorized {resource}false")]
        );
    }
}
