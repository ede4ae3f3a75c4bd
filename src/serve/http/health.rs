//! Whether it lives, whether it answers, and its metrics with all their names.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;

use super::Desk;
use super::problem::Problem;
use super::sign_in::Signed;

/// How long the lake may take to say its newest version.
const READY: Duration = Duration::from_secs(5);

pub(super) async fn live() -> &'static str {
    "alive\n"
}

pub(super) async fn ready(State(desk): State<Arc<Desk>>) -> Result<&'static str, Problem> {
    match tokio::time::timeout(READY, desk.gate.lake().refresh()).await {
        Ok(Ok(())) => Ok("ready\n"),
        Ok(Err(error)) => {
            // Paths and addresses are for whoever reads the log.
            tracing::warn!(%error, "not ready: the lake cannot be read");
            Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "read the lake; the log of the server says why",
            ))
        }
        Err(_) => {
            let says = format!("read the lake within {} s", READY.as_secs());
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, says))
        }
    }
}

/// Every name with what it means and its type.
const ROWS: (&str, &str, &str) = ("agentrail_table_rows", "Rows of a table.", "gauge");
const FILES: (&str, &str, &str) = ("agentrail_table_files", "Active files of a table.", "gauge");
const BYTES: (&str, &str, &str) = ("agentrail_table_bytes", "Bytes of the active files of a table.", "gauge");
const VERSION: (&str, &str, &str) = ("agentrail_table_version", "Newest version of a table.", "gauge");
const QUERIES: (&str, &str, &str) =
    ("agentrail_queries_total", "Queries that ended, by door and outcome.", "counter");
const SECONDS: (&str, &str, &str) =
    ("agentrail_query_seconds_total", "Seconds that ended queries took, by door and outcome.", "counter");
const CONNECTIONS: (&str, &str, &str) =
    ("agentrail_http_connections", "Open connections of the HTTP door.", "gauge");
const MOST: (&str, &str, &str) =
    ("agentrail_http_connections_most", "Connections that the HTTP door takes.", "gauge");

pub(super) async fn metrics(State(desk): State<Arc<Desk>>, _: Signed) -> impl IntoResponse {
    let mut text = String::new();
    let tables = desk.gate.lake().pin();
    let table = |value: &dyn Fn(&crate::schema::FileSet) -> u64| {
        tables.iter().map(|set| (format!("table=\"{}\"", set.table.name), value(set) as f64)).collect()
    };
    let counts = desk.gate.counts();
    let count = |value: &dyn Fn(&(u64, Duration)) -> f64| {
        let labels = |door: &str, outcome: &str| format!("door=\"{door}\",outcome=\"{outcome}\"");
        counts.iter().map(|((door, outcome), count)| (labels(door, outcome), value(count))).collect()
    };
    let alone = |value: usize| vec![(String::new(), value as f64)];
    let all: [(_, Vec<(String, f64)>); 8] = [
        (ROWS, table(&|set| set.files.iter().map(|file| file.rows).sum())),
        (FILES, table(&|set| set.files.len() as u64)),
        (BYTES, table(&|set| set.files.iter().map(|file| file.bytes).sum())),
        (VERSION, table(&|set| set.version)),
        (QUERIES, count(&|count| count.0 as f64)),
        (SECONDS, count(&|count| count.1.as_secs_f64())),
        (CONNECTIONS, alone(desk.most_connections - desk.room.available_permits())),
        (MOST, alone(desk.most_connections)),
    ];
    for ((name, says, kind), samples) in all {
        let _ = writeln!(text, "# HELP {name} {says}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let _ = match labels.is_empty() {
                true => writeln!(text, "{name} {value}"),
                false => writeln!(text, "{name}{{{labels}}} {value}"),
            };
        }
    }
    if let Some(more) = &desk.metrics.0 {
        text.push_str(&more());
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}
