//! `/metrics` in the text form of Prometheus: of the tables, the queries and the door, and of what else runs here.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;

use super::Desk;
use super::problem::Problem;
use super::sign_in::Signed;

/// A metric with its samples.
#[derive(Debug, Clone)]
pub struct Metric {
    pub name: &'static str,
    /// What it means.
    pub says: &'static str,
    /// `counter` or `gauge`.
    pub kind: &'static str,
    pub samples: Vec<Sample>,
}

/// Labels by name, and the value.
pub type Sample = (Vec<(&'static str, String)>, f64);

/// Metrics of other parts of the process, asked for whenever somebody asks for metrics.
#[derive(Clone, Default)]
pub struct MoreMetrics(pub Option<Arc<dyn Fn() -> Vec<Metric> + Send + Sync>>);

impl std::fmt::Debug for MoreMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MoreMetrics")
    }
}

/// They are of the whole lake, so those alone get them who see all of it.
pub(super) async fn metrics(
    State(desk): State<Arc<Desk>>,
    signed: Signed,
) -> Result<impl IntoResponse, Problem> {
    if signed.person.scope.is_part() {
        let says = "tell of metrics: they are of the whole lake, and you see a part of it; sign in as somebody who sees all";
        return Err(Problem::new(StatusCode::FORBIDDEN, says));
    }
    let tables = desk.gate.lake().pin();
    let table = |value: &dyn Fn(&crate::schema::FileSet) -> u64| -> Vec<Sample> {
        tables.iter().map(|set| (vec![("table", set.table.name.to_string())], value(set) as f64)).collect()
    };
    let counts = desk.gate.counts();
    let count = |value: &dyn Fn(&(u64, Duration)) -> f64| -> Vec<Sample> {
        let labels =
            |door: &str, outcome: &str| vec![("door", door.to_owned()), ("outcome", outcome.to_owned())];
        counts.iter().map(|((door, outcome), count)| (labels(door, outcome), value(count))).collect()
    };
    let alone = |value: usize| vec![(Vec::new(), value as f64)];
    let metric = |name, says, kind, samples| Metric { name, says, kind, samples };
    let mut all = vec![
        metric(
            "agentrail_table_rows",
            "Rows of a table.",
            "gauge",
            table(&|set| set.files.iter().map(|file| file.rows).sum()),
        ),
        metric(
            "agentrail_table_files",
            "Active files of a table.",
            "gauge",
            table(&|set| set.files.len() as u64),
        ),
        metric(
            "agentrail_table_bytes",
            "Bytes of the active files of a table.",
            "gauge",
            table(&|set| set.files.iter().map(|file| file.bytes).sum()),
        ),
        metric("agentrail_table_version", "Newest version of a table.", "gauge", table(&|set| set.version)),
        metric(
            "agentrail_queries_total",
            "Queries that ended, by door and outcome.",
            "counter",
            count(&|count| count.0 as f64),
        ),
        metric(
            "agentrail_query_seconds_total",
            "Seconds that ended queries took, by door and outcome.",
            "counter",
            count(&|count| count.1.as_secs_f64()),
        ),
        metric(
            "agentrail_http_connections",
            "Open connections of the HTTP door.",
            "gauge",
            alone(desk.most_connections - desk.room.available_permits()),
        ),
        metric(
            "agentrail_http_connections_most",
            "Connections that the HTTP door takes.",
            "gauge",
            alone(desk.most_connections),
        ),
    ];
    if let Some(more) = &desk.metrics.0 {
        all.extend(more());
    }
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text(&all)))
}

fn text(all: &[Metric]) -> String {
    let mut out = String::new();
    for Metric { name, says, kind, samples } in all {
        let _ = writeln!(out, "# HELP {name} {says}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            out.push_str(name);
            for (n, (label, value)) in labels.iter().enumerate() {
                let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
                let _ = write!(out, "{}{label}=\"{value}\"", if n == 0 { '{' } else { ',' });
            }
            let _ = writeln!(out, "{} {value}", if labels.is_empty() { "" } else { "}" });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_hold_any_text() {
        let labels = vec![("hub", "a\"b\\c\nd".to_owned()), ("partition", "0".to_owned())];
        let samples = vec![(labels, 7.0), (Vec::new(), 0.5)];
        let metric = Metric { name: "lag", says: "Lag.", kind: "gauge", samples };
        let wanted =
            "# HELP lag Lag.\n# TYPE lag gauge\nlag{hub=\"a\\\"b\\\\c\\nd\",partition=\"0\"} 7\nlag 0.5\n";
        assert_eq!(text(&[metric]), wanted);
    }
}
