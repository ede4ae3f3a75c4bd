//! Graph subjects, personal access tokens, Entra sign-ins.

use base64::Engine as _;

use super::{Around, Draft, digest, id, int, string, time};
use crate::decode::json::Fields;
use crate::model::{Body, Identity, SignIn, Time, canonical, is_guid};

pub(super) fn draft(fields: &Fields<'_>, around: &Around<'_>) -> Option<Draft> {
    if fields.has("subjectKind") && (fields.has("descriptor") || fields.has("originId")) {
        return graph(fields, around);
    }
    if fields.has("authorizationId") && (fields.has("validTo") || fields.has("scope")) {
        return token(fields, around);
    }
    None
}

fn graph(fields: &Fields<'_>, around: &Around<'_>) -> Option<Draft> {
    let subject = fields.text("subjectKind")?;
    let kind = match subject.as_ref() {
        "servicePrincipal" => "service_principal",
        "user" => "user",
        "group" => "group",
        _ => "service",
    };
    let descriptor = string(fields, "descriptor").or_else(|| string(fields, "originId"))?;
    let identity = Identity {
        kind: kind.to_owned(),
        cuid: cuid(&descriptor),
        id: descriptor.clone(),
        application_id: id(fields, "applicationId"),
        // Of a group of Azure DevOps itself it is the storage key, by which audit records name it.
        object_id: id(fields, "originId")
            .filter(|_| kind != "group" || fields.text("origin").is_some_and(|o| o == "vsts")),
        tenant_id: id(fields, "domain").filter(|d| is_guid(d)),
        name: string(fields, "displayName"),
        principal_name: string(fields, "principalName"),
        ..Identity::default()
    };
    let mut draft = Draft::new(&format!("graph_{kind}"), descriptor, Body::Identity(identity), around);
    draft.state = digest(fields, &["_links", "url"]);
    if draft.organization.name.is_none() {
        draft.organization.name = super::own_address(fields).and_then(|a| a.organization);
    }
    Some(draft)
}

/// The tail of an Entra subject's descriptor is base64 of the id that audit records call ActorCUID.
fn cuid(descriptor: &str) -> Option<String> {
    let tail = descriptor.split_once('.')?.1;
    let engine = base64::engine::general_purpose::STANDARD_NO_PAD;
    let text = String::from_utf8(
        engine.decode(tail.trim_end_matches('=').replace('-', "+").replace('_', "/")).ok()?,
    )
    .ok()?;
    is_guid(&text).then(|| text.to_ascii_lowercase())
}

fn token(fields: &Fields<'_>, around: &Around<'_>) -> Option<Draft> {
    let authorization = id(fields, "authorizationId")?;
    let identity = Identity {
        kind: "pat".to_owned(),
        id: authorization.clone(),
        name: string(fields, "displayName"),
        scopes: string(fields, "scope"),
        // As precise as they are stored.
        valid_from: time(fields, "validFrom").map(Time::to_micros),
        valid_until: time(fields, "validTo").map(Time::to_micros),
        ..Identity::default()
    };
    let mut draft = Draft::new("pat", authorization, Body::Identity(identity), around);
    draft.state = digest(fields, &["token"]);
    Some(draft)
}

/// A row of Entra's sign-in logs: diagnostic-settings form, Log Analytics row, or Graph body.
pub(super) fn sign_in(fields: &Fields<'_>, around: &Around<'_>) -> Option<Draft> {
    let properties = fields.object("properties");
    let row = properties.as_ref().unwrap_or(fields);
    let application_id = id(row, "appId")?;
    let category =
        fields.text("category").or_else(|| fields.text("type")).unwrap_or_default().to_ascii_lowercase();
    let log = category.contains("signinlogs");
    let graph = ["signInEventTypes", "uniqueTokenIdentifier", "clientAppUsed", "resourceDisplayName"];
    let dated = row.has("createdDateTime") || row.has("timeGenerated");
    let is_sign_in = log || dated && graph.iter().any(|n| row.has(n));
    if !is_sign_in {
        return None;
    }
    let types = row.get("signInEventTypes").unwrap_or_default().to_ascii_lowercase();
    let kind = if category.contains("managedidentity") || types.contains("managedidentity") {
        "managed_identity"
    } else if category.contains("serviceprincipal")
        || types.contains("serviceprincipal")
        || row.text("userId").is_none()
    {
        "service_principal"
    } else {
        return Some(Draft {
            occurred: time(row, "createdDateTime").or_else(|| time(fields, "time")),
            ..Draft::new("sign_in.user", id(row, "id")?, Body::Other, around)
        });
    };
    let sign_in = SignIn {
        sign_in_id: id(row, "id")?,
        kind: kind.to_owned(),
        application_id: Some(application_id),
        service_principal_id: id(row, "servicePrincipalId"),
        name: string(row, "servicePrincipalName"),
        resource_id: id(row, "resourceId").filter(|r| is_guid(r)).or_else(|| id(row, "resourceIdentity")),
        resource_name: string(row, "resourceDisplayName"),
        ip: string(row, "ipAddress"),
        token_id: string(row, "uniqueTokenIdentifier"),
        tenant_id: fields.text("tenantId").and_then(|t| canonical(&t).map(|t| t.into_owned())),
        result: string(fields, "resultType")
            .or_else(|| row.object("status").and_then(|s| int(&s, "errorCode")).map(|c| c.to_string())),
        credential_key_id: id(row, "servicePrincipalCredentialKeyId"),
    };
    let mut draft = Draft::new("sign_in", sign_in.sign_in_id.clone(), Body::Other, around);
    draft.occurred =
        time(row, "createdDateTime").or_else(|| time(row, "timeGenerated")).or_else(|| time(fields, "time"));
    draft.body = Body::SignIn(Box::new(sign_in));
    Some(draft)
}
