//! The OpenAPI document, made of the table that makes the routes.

use axum::Json as Body;
use serde_json::{Map, Value as Json, json};

use super::question::Form;
use super::routes::{Content, Parameter, Route, table};

pub(super) async fn document() -> Body<Json> {
    Body(of(&table()))
}

fn of(routes: &[Route]) -> Json {
    let mut paths = Map::new();
    for route in routes {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "agentrail",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Which agent did this, as whom, and how sure are we? Every answer is of one version of all tables.",
        },
        "paths": paths,
        "security": [{ "bearer": [] }, { "basic": [] }],
        "components": {
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer" },
                "basic": { "type": "http", "scheme": "basic" },
            },
            "schemas": schemas(),
        },
    })
}

fn operation(route: &Route) -> Json {
    let answers: Map<String, Json> = route
        .answers
        .iter()
        .map(|(status, says, content)| {
            (status.to_string(), json!({ "description": says, "content": self::content(*content) }))
        })
        .collect();
    let name = route.path.trim_start_matches('/').replace(['/', '.', '{', '}'], "_");
    let mut operation = json!({
        "operationId": format!("{}_{name}", route.method),
        "summary": route.summary,
        "parameters": route.parameters.iter().map(parameter).collect::<Vec<_>>(),
        "responses": answers,
    });
    if route.is_open {
        operation["security"] = json!([]);
    }
    if let Some(body) = route.body {
        let schema = json!({ "$ref": format!("#/components/schemas/{body}") });
        operation["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": schema } } });
    }
    operation
}

fn parameter(parameter: &Parameter) -> Json {
    let schema = match parameter.kind {
        "format" => json!({ "type": "string", "enum": Form::ALL.map(Form::name) }),
        "integer" => json!({ "type": "integer", "minimum": 1, "maximum": 1000 }),
        kind if parameter.is_required => json!({ "type": kind, "minLength": 1 }),
        kind => json!({ "type": kind }),
    };
    let mut told = json!({
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.is_required,
        "description": parameter.doc,
        "schema": schema,
    });
    if !parameter.example.is_empty() {
        told["example"] = json!(parameter.example);
    }
    told
}

fn content(content: Content) -> Json {
    let named = |name: &str| json!({ "schema": { "$ref": format!("#/components/schemas/{name}") } });
    match content {
        Content::Json(name) => json!({ "application/json": named(name) }),
        Content::Text => json!({ "text/plain": { "schema": { "type": "string" } } }),
        Content::Problem => json!({ "application/problem+json": named("Problem") }),
        Content::Rows => {
            let all = Form::ALL.map(|form| {
                let kind = form.media_type().split(';').next().unwrap_or_default().to_owned();
                (kind, if form == Form::Json { named("Rows") } else { json!({}) })
            });
            Json::Object(all.into_iter().collect())
        }
    }
}

fn schemas() -> Json {
    let objects = || json!({ "type": "array", "items": { "type": "object" } });
    json!({
        "Question": {
            "type": "object",
            "examples": [{ "sql": "select count(*) as actions from actions where grade = $1", "params": ["exact"] }],
            "required": ["sql"],
            "additionalProperties": false,
            "properties": {
                "sql": { "type": "string", "minLength": 1 },
                "params": {
                    "description": "A list for `$1`, `$2`, ..., or an object for `$name`",
                    "anyOf": [
                        { "type": "array", "items": { "type": ["string", "number", "boolean", "null"] } },
                        { "type": "object", "additionalProperties": { "type": ["string", "number", "boolean", "null"] } },
                        { "type": "null" },
                    ],
                },
            },
        },
        "Rows": {
            "type": "object",
            "required": ["columns", "rows", "count"],
            "properties": {
                "columns": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["name", "type"],
                        "properties": { "name": { "type": "string" }, "type": { "type": "string" } },
                    },
                },
                "rows": objects(),
                "count": { "type": "integer" },
                "error": { "$ref": "#/components/schemas/Problem" },
            },
        },
        "Problem": {
            "type": "object",
            "required": ["type", "title", "status", "detail"],
            "properties": {
                "type": { "type": "string" },
                "title": { "type": "string" },
                "status": { "type": "integer" },
                "detail": { "type": "string" },
            },
        },
        "Trace": {
            "type": "object",
            "required": ["asked", "kind", "actions", "possible", "jobs", "agents", "versions", "tokens", "registered"],
            "properties": {
                "asked": { "type": "string" },
                "kind": { "type": "string", "enum": ["event", "correlation", "credential", "run", "agent"] },
                "actions": objects(),
                "possible": objects(),
                "jobs": objects(),
                "agents": objects(),
                "versions": objects(),
                "tokens": objects(),
                "registered": objects(),
            },
        },
        "Reports": {
            "type": "object",
            "required": ["reports"],
            "properties": { "reports": objects() },
        },
        "Document": { "type": "object", "required": ["openapi", "info", "paths"] },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_told_with_its_parameters_and_answers() {
        let document = of(&table());
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let text = document.to_string();
        for part in text.split("#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(schemas.contains_key(name), "{name}");
        }
        for route in table() {
            let told = &document["paths"][route.path][route.method];
            assert!(told["summary"].is_string() && !told["responses"].as_object().unwrap().is_empty());
            for part in route.path.split('{').skip(1) {
                let name = part.split('}').next().unwrap();
                let parameters = told["parameters"].as_array().unwrap();
                assert!(parameters.iter().any(|p| p["name"] == name && p["in"] == "path"), "{}", route.path);
            }
            assert_eq!(told["security"].is_array(), route.is_open);
        }
    }
}
