//! The one table of the API: it makes the routes and the document that tells of them.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post};

use super::problem::Problem;
use super::{Desk, api, guard, health, metrics, openapi, page};

/// A route of the API.
pub(super) struct Route {
    pub method: &'static str,
    /// With `{name}` for its parts that vary.
    pub path: &'static str,
    pub handler: MethodRouter<Arc<Desk>>,
    pub summary: &'static str,
    pub parameters: Vec<Parameter>,
    pub body: Option<&'static str>,
    pub answers: Vec<(u16, &'static str, Content)>,
    /// Whether nobody needs to sign in.
    pub is_open: bool,
}

pub(super) struct Parameter {
    pub name: &'static str,
    /// `path` or `query`.
    pub place: &'static str,
    pub kind: &'static str,
    pub doc: &'static str,
    pub is_required: bool,
    /// A value that every lake can answer; empty where none is needed.
    pub example: &'static str,
}

/// What is in an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// Rows, in the form that was asked for.
    Rows,
    /// JSON of the schema of this name.
    Json(&'static str),
    Text,
    Problem,
}

const FORMAT: Parameter = Parameter {
    name: "format",
    place: "query",
    kind: "format",
    doc: "The form of the answer; without it, what `Accept` asks for, else JSON",
    is_required: false,
    example: "",
};
const DOWNLOAD: Parameter = Parameter {
    name: "download",
    place: "query",
    kind: "string",
    doc: "The name of the file that a browser saves it in",
    is_required: false,
    example: "",
};

fn refusals(mut first: Vec<(u16, &'static str, Content)>) -> Vec<(u16, &'static str, Content)> {
    first.extend([
        (400, "It is not understood", Content::Problem),
        (401, "Nobody is signed in", Content::Problem),
        (403, "Another site sent it, no claim of the token gives a role, or it is not for those who see a part", Content::Problem),
        (408, "The body came too slowly", Content::Problem),
        (413, "The body is too large", Content::Problem),
        (421, "The host is another one", Content::Problem),
        (
            422,
            "It needs more memory or rows than a person has, is larger than what can be planned, or a value does not fit the form",
            Content::Problem,
        ),
        (
            429,
            "As many queries of this person run as may, or a wrong password was tried too often",
            Content::Problem,
        ),
        (500, "It failed; the log of the server says why", Content::Problem),
        (
            503,
            "The lake or the issuer of tokens cannot be reached now, or too many are connected",
            Content::Problem,
        ),
        (504, "It took longer than a query may", Content::Problem),
    ]);
    first
}

fn query(name: &'static str, kind: &'static str, is_required: bool, doc: &'static str) -> Parameter {
    Parameter { name, place: "query", kind, doc, is_required, example: "" }
}

fn path(name: &'static str, example: &'static str, doc: &'static str) -> Parameter {
    Parameter { name, place: "path", kind: "string", doc, is_required: true, example }
}

/// All routes of the API.
pub(super) fn table() -> Vec<Route> {
    let rows = || {
        vec![
            (
                200,
                "The rows as they come. Where they end early, the last member of JSON, or the last line of NDJSON, is `error`, and in every form the body is broken off",
                Content::Rows,
            ),
            (406, "No form that is accepted can be had", Content::Problem),
        ]
    };
    let route = |method, path, handler, summary| Route {
        method,
        path,
        handler,
        summary,
        parameters: Vec::new(),
        body: None,
        answers: Vec::new(),
        is_open: false,
    };
    vec![
        Route {
            parameters: vec![
                Parameter {
                    example: "select grade, count(*) as actions from actions group by grade",
                    ..query(
                        "q",
                        "string",
                        true,
                        "One statement, which can only read; other parameters are its values: `text.NAME`, `int.NAME` and `time.NAME` for `$NAME`",
                    )
                },
                FORMAT,
                DOWNLOAD,
            ],
            answers: refusals(rows()),
            ..route("get", "/api/sql", get(api::sql_get), "Asks a statement")
        },
        Route {
            parameters: vec![FORMAT],
            body: Some("Question"),
            answers: {
                let mut all = refusals(rows());
                all.push((415, "The body is no JSON", Content::Problem));
                all
            },
            ..route(
                "post",
                "/api/sql",
                post(api::sql_post),
                "Asks a statement with values for its parameters",
            )
        },
        Route {
            parameters: vec![
                path(
                    "id",
                    "linux-build-01",
                    "Event id (GUID or REST form), correlation id, authorization id, run id (also `build:7`) or agent name",
                ),
                query("limit", "integer", false, "At most so many actions, newest first"),
            ],
            answers: refusals(vec![
                (
                    200,
                    "The actions with their verdicts, and the jobs, runs and agents around them",
                    Content::Json("Trace"),
                ),
                (404, "Nothing is known of it", Content::Problem),
            ]),
            ..route("get", "/api/trace/{id}", get(api::trace), "Traces an id")
        },
        Route {
            answers: refusals(vec![(200, "What may be asked", Content::Json("Reports"))]),
            ..route("get", "/api/reports", get(api::reports), "Lists the reports")
        },
        Route {
            parameters: vec![
                path(
                    "name",
                    "grades",
                    "The name of the report; its parameters are further members of the query",
                ),
                FORMAT,
                DOWNLOAD,
            ],
            answers: {
                let mut all = refusals(rows());
                all.push((404, "No report has this name", Content::Problem));
                all
            },
            ..route("get", "/api/reports/{name}", get(api::report), "Answers a report")
        },
        Route {
            answers: vec![(200, "This document", Content::Json("Document"))],
            is_open: true,
            ..route("get", "/api/openapi.json", get(openapi::document), "Tells of the API")
        },
        Route {
            answers: vec![(200, "The process is there", Content::Text)],
            is_open: true,
            ..route("get", "/health/live", get(health::live), "Says whether the process lives")
        },
        Route {
            answers: vec![
                (200, "Questions are answered", Content::Text),
                (503, "The lake cannot be read", Content::Problem),
            ],
            is_open: true,
            ..route("get", "/health/ready", get(health::ready), "Says whether questions are answered")
        },
        Route {
            answers: refusals(vec![(200, "Metrics in the text form of Prometheus", Content::Text)]),
            ..route(
                "get",
                "/metrics",
                get(metrics::metrics),
                "Tells of rows, files, queries, connections and what is ingested",
            )
        },
    ]
}

/// Everything that is answered.
pub(super) fn router(desk: Arc<Desk>) -> Router {
    let mut router = Router::new();
    for route in table() {
        router = router.route(route.path, route.handler);
    }
    router
        .merge(page::router())
        .fallback(missing)
        .layer(from_fn_with_state(desk.clone(), guard::guard))
        .with_state(desk)
}

async fn missing(uri: axum::http::Uri) -> Result<(), page::Failed> {
    let says = format!("find `{}`; `/` and `/api/openapi.json` lead to what there is", uri.path());
    page::missing(&uri, Problem::new(StatusCode::NOT_FOUND, says))
}
