//! Service connections, their use, and what pipelines may use.

use serde_json::value::RawValue;

use super::{Around, Draft, digest, flag, id, int, string, time};
use crate::decode::json::Fields;
use crate::model::{Body, Connection, ConnectionUse, Permission};

pub(super) fn draft(fields: &Fields<'_>, around: &Around<'_>) -> Option<Draft> {
    if fields.has("endpointId") && fields.has("data") {
        return usage(fields, around);
    }
    if fields.has("resource") && fields.has("pipelines") {
        return permissions(fields, around);
    }
    let authorization = fields.object("authorization");
    let endpoint = fields.has("serviceEndpointProjectReferences")
        || authorization.is_some_and(|a| a.has("scheme")) && fields.has("type");
    if endpoint && fields.has("id") {
        return connection(fields, around);
    }
    None
}

fn connection(fields: &Fields<'_>, around: &Around<'_>) -> Option<Draft> {
    let authorization = fields.object("authorization").unwrap_or_default();
    let parameters = authorization.object("parameters").unwrap_or_default();
    let data = fields.object("data").unwrap_or_default();
    let subscription = string(&data, "subscriptionId").map(|s| format!("/subscriptions/{s}"));
    let connection = Connection {
        connection_id: id(fields, "id")?,
        name: string(fields, "name"),
        kind: string(fields, "type"),
        scheme: string(&authorization, "scheme"),
        application_id: id(&parameters, "servicePrincipalId"),
        target: string(&parameters, "scope").or(subscription).or_else(|| string(fields, "url")),
        created_by: fields.object("createdBy").and_then(|c| id(&c, "id")),
        is_shared: flag(fields, "isShared"),
    };
    let mut draft = Draft::new(
        "service_endpoint",
        connection.connection_id.clone(),
        Body::Connection(connection),
        around,
    );
    draft.state = digest(fields, &["_links", "operationStatus", "isReady"]);
    Some(draft)
}

fn usage(fields: &Fields<'_>, around: &Around<'_>) -> Option<Draft> {
    let data = fields.object("data")?;
    let definition = data.object("definition").unwrap_or_default();
    let owner = data.object("owner").unwrap_or_default();
    let usage = ConnectionUse {
        connection_id: id(fields, "endpointId")?,
        use_id: int(&data, "id"),
        plan_type: string(&data, "planType"),
        run_id: int(&owner, "id"),
        run_name: string(&owner, "name"),
        pipeline_id: int(&definition, "id"),
        pipeline_name: string(&definition, "name"),
        started: time(&data, "startTime"),
        finished: time(&data, "finishTime"),
        result: string(&data, "result"),
    };
    let natural =
        format!("{}/{}", usage.connection_id, usage.use_id.map_or_else(|| "-".to_owned(), |n| n.to_string()));
    let mut draft = Draft::new("service_endpoint_execution", natural, Body::Other, around);
    draft.state = digest(&data, &["_links"]);
    draft.occurred = usage.finished.or(usage.started);
    draft.body = Body::ConnectionUse(usage);
    Some(draft)
}

fn permissions(fields: &Fields<'_>, around: &Around<'_>) -> Option<Draft> {
    let resource = fields.object("resource")?;
    let (resource_kind, resource_id) = (string(&resource, "type")?, string(&resource, "id")?);
    let pipelines: Vec<&RawValue> = serde_json::from_str(fields.get("pipelines")?).ok()?;
    let one = |pipeline: &Fields<'_>| Permission {
        resource_kind: resource_kind.clone(),
        resource_id: resource_id.clone(),
        pipeline_id: int(pipeline, "id"),
        authorized: flag(pipeline, "authorized"),
        authorized_by: pipeline.object("authorizedBy").and_then(|p| id(&p, "id")),
        authorized_at: time(pipeline, "authorizedOn"),
    };
    let mut permissions: Vec<Permission> =
        pipelines.iter().filter_map(|p| Fields::parse(p.get())).map(|p| one(&p)).collect();
    if let Some(all) = fields.object("allPipelines") {
        permissions.push(Permission { pipeline_id: None, ..one(&all) });
    }
    let mut draft = Draft::new(
        "pipeline_permission",
        format!("{resource_kind}/{resource_id}"),
        Body::Permissions(permissions),
        around,
    );
    draft.state = digest(fields, &["_links"]);
    Some(draft)
}
