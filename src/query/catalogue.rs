//! The queries of queries/: folder is kind, stem is name, `--!` lines are one TOML table.

use std::sync::LazyLock;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::QueryError;
use super::narrowed::narrowed;

/// A query with what its header says of it.
#[derive(Debug, Clone)]
pub struct Query {
    pub name: String,
    pub title: String,
    /// Views and tables it reads.
    pub reads: Vec<String>,
    pub params: Vec<(String, Param)>,
    /// Columns it answers with, for a report.
    pub returns: Vec<String>,
    pub tags: Vec<String>,
    pub sql: String,
    /// Whether others narrow it and nobody asks for it by itself.
    is_part: bool,
}

/// A typed parameter, `$name` in the SQL.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Param {
    name: String,
    /// `text`, `bigint` or `timestamp`.
    #[serde(rename = "type")]
    pub kind: String,
    pub doc: String,
    pub default: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    title: String,
    reads: Vec<String>,
    /// The view that this is, over parts of its tables.
    #[serde(default)]
    narrows: Option<String>,
    #[serde(default)]
    part: bool,
    #[serde(default)]
    params: Vec<Param>,
    #[serde(default)]
    returns: Vec<String>,
    #[serde(default)]
    tags: Vec<String>,
}

/// All queries of the program.
#[derive(Debug)]
pub struct Catalogue {
    views: Vec<Query>,
    reports: Vec<Query>,
    shapes: Vec<Query>,
}

impl Catalogue {
    /// The queries that are part of the program; a test reads each of them.
    pub fn embedded() -> &'static Catalogue {
        static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| {
            let read = |sources: &[(&str, &str)]| {
                let mut all = Vec::new();
                for (name, text) in sources {
                    all.push(parse_among(&all, name, text).unwrap_or_else(|e| unreachable!("embedded: {e}")));
                }
                all.retain(|query| !query.is_part);
                all
            };
            Catalogue { views: read(VIEWS), reports: read(REPORTS), shapes: read(SHAPES) }
        });
        &CATALOGUE
    }

    pub fn views(&self) -> &[Query] {
        &self.views
    }

    pub fn reports(&self) -> &[Query] {
        &self.reports
    }

    /// The shapes in which records are exported.
    pub fn shapes(&self) -> &[Query] {
        &self.shapes
    }

    pub fn report(&self, name: &str) -> Result<&Query, QueryError> {
        self.reports.iter().find(|q| q.name == name).ok_or_else(|| {
            let near = self
                .reports
                .iter()
                .map(|q| (strsim::jaro_winkler(&q.name, name), q))
                .filter(|(likeness, _)| *likeness > 0.8)
                .max_by(|a, b| a.0.total_cmp(&b.0));
            let hint = near.map_or_else(String::new, |(_, q)| format!(": did you mean `{}`?", q.name));
            QueryError::NoReport { name: name.to_owned(), hint }
        })
    }
}

/// Reads the text of a query file.
///
/// # Errors
/// When its header is not what a header may be.
pub fn parse(name: &str, text: &str) -> Result<Query, QueryError> {
    parse_among(&[], name, text)
}

/// Reads the text of a query file that may narrow one of these.
fn parse_among(before: &[Query], name: &str, text: &str) -> Result<Query, QueryError> {
    let (header, mut sql): (Header, String) = parts(name, text)?;
    if let Some(view) = &header.narrows {
        let base = before.iter().find(|query| query.name == *view);
        sql = base
            .ok_or_else(|| format!("there is no view `{view}` before it"))
            .and_then(|base| narrowed(&sql, view, &base.sql))
            .map_err(|says| QueryError::Catalogue { name: name.to_owned(), says })?;
    }
    Ok(Query {
        name: name.to_owned(),
        title: header.title,
        reads: header.reads,
        params: by_name(header.params),
        returns: header.returns,
        tags: header.tags,
        sql,
        is_part: header.part,
    })
}

/// The header of a query file and its statement.
pub(super) fn parts<H: DeserializeOwned>(name: &str, text: &str) -> Result<(H, String), QueryError> {
    let header: String =
        text.lines().filter_map(|l| l.strip_prefix("--!")).map(|l| l.to_owned() + "\n").collect();
    let sql: String = text.lines().filter(|l| !l.starts_with("--")).map(|l| l.to_owned() + "\n").collect();
    let header = toml::from_str(&header)
        .map_err(|e| QueryError::Catalogue { name: name.to_owned(), says: e.to_string() })?;
    Ok((header, sql.trim().trim_end_matches(';').to_owned()))
}

pub(super) fn by_name(params: Vec<Param>) -> Vec<(String, Param)> {
    params.into_iter().map(|p| (p.name.clone(), p)).collect()
}

macro_rules! embed {
    ($folder:literal: $($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../queries/", $folder, "/", $name, ".sql")))),*]
    };
}

/// In an order in which each reads only those before it.
const VIEWS: &[(&str, &str)] = embed!("view":
    "actions", "actions_found", "actions_of_agent", "actions_of_run", "jobs", "jobs_of_run", "jobs_found", "jobs_received", "jobs_of_agent", "jobs_of_pool", "runs", "pools", "agents", "removals", "agents_now", "busy", "busy_of_pool", "identities", "bindings", "known_as", "grants",
    "reach", "bears", "signins", "every_finding", "findings", "coverage", "heard", "rejects", "queries_log", "export_rejects", "facts", "trace", "agent_at", "actions_as_known",
);

const REPORTS: &[(&str, &str)] = embed!("report":
    "agent_actions", "identity_actions", "several_candidates", "pipelines_by_agent", "agents_by_pat",
    "pool_utilisation", "unattributed", "grades", "agents_replaced", "service_connection_use",
    "build_identity_alarms", "identity_reach", "runs_on_agent", "credentials", "blind_windows",
    "agent_utilisation", "pat_dependence", "blast_radius", "unused_grants", "agent_drift", "migration_progress",
    "deployment_chain", "identity_tasks", "inventory_contradictions", "reach_changes",
);

const SHAPES: &[(&str, &str)] = embed!("export":
    "cef", "cef_finding", "ecs", "ecs_finding", "hec", "hec_finding", "leef", "leef_finding", "ocsf", "ocsf_finding",
    "ocsf19", "ocsf19_finding", "otlp", "otlp_finding", "plain", "plain_finding", "sentinel", "sentinel_finding",
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_query_file_is_embedded_and_its_header_sound() {
        let catalogue = Catalogue::embedded();
        for (folder, queries) in [("view", VIEWS), ("report", REPORTS), ("export", SHAPES)] {
            let path = format!("{}/queries/{folder}", env!("CARGO_MANIFEST_DIR"));
            let mut files = 0;
            for entry in std::fs::read_dir(path).unwrap() {
                let name = entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
                assert!(
                    queries.iter().any(|(own, _)| *own == name),
                    "queries/{folder}/{name}.sql is not embedded"
                );
                files += 1;
            }
            assert_eq!(files, queries.len());
        }
        assert!(catalogue.report("agent_action").unwrap_err().to_string().contains("`agent_actions`"));
        assert!(parse("x", "--! title = 'x'\n--! red = []\nselect 1").is_err());
    }
}
