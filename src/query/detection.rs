//! Detections: queries of queries/detection/, each with what an analyst must know of it.

use std::sync::LazyLock;

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ScalarValue;
use serde::Deserialize;

use super::catalogue::{Param, by_name, parts};
use super::function::typed;
use super::session::Session;
use super::{Answer, QueryError};
use crate::model::Time;

/// One detection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detection {
    pub name: String,
    pub title: String,
    /// low, medium, high or critical.
    pub severity: String,
    /// Techniques of MITRE ATT&CK.
    pub attack: Vec<String>,
    /// Risks of the OWASP Top 10 CI/CD.
    pub owasp: Vec<String>,
    /// Rules of the field that mean the same.
    pub mirrors: Vec<String>,
    pub why: String,
    pub false_positives: String,
    /// What to look at next.
    pub next: String,
    /// Actions whose records wake it, also as prefixes with `*`.
    pub actions: Vec<String>,
    /// Tables whose rows do.
    pub tables: Vec<String>,
    /// Records of one finding lie at most so far apart.
    pub window_hours: u32,
    /// After a finding so long no other about the same subject.
    pub suppress_hours: u32,
    /// Views and tables it reads.
    pub reads: Vec<String>,
    pub params: Vec<(String, Param)>,
    pub sql: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    title: String,
    severity: String,
    attack: Vec<String>,
    owasp: Vec<String>,
    mirrors: Vec<String>,
    why: String,
    false_positives: String,
    next: String,
    actions: Vec<String>,
    tables: Vec<String>,
    window_hours: u32,
    suppress_hours: u32,
    reads: Vec<String>,
    #[serde(default)]
    params: Vec<Param>,
}

/// The words for how bad it is, mildest first.
pub const SEVERITIES: [&str; 4] = ["low", "medium", "high", "critical"];
/// Tables of which new rows can wake a detection.
const WAKING: [&str; 13] = [
    "agents",
    "bindings",
    "coverage",
    "facts",
    "findings",
    "grants",
    "holdings",
    "identities",
    "jobs",
    "pools",
    "rejects",
    "runs",
    "signins",
];

/// What a detection answers with: columns and their types, lists of text among them.
pub const FOUND: [(&str, &str); 11] = [
    ("subject", "text"),
    ("occurred", "timestamp"),
    ("organization_id", "text"),
    ("organization", "text"),
    ("project_id", "text"),
    ("event_id", "text"),
    ("events", "list"),
    ("agent_id", "bigint"),
    ("agent_name", "text"),
    ("severity", "text"),
    ("says", "text"),
];

impl Detection {
    /// The detections that are part of the program; a test reads each of them.
    pub fn embedded() -> &'static [Detection] {
        static ALL: LazyLock<Vec<Detection>> = LazyLock::new(|| {
            let one = |(name, text): &(&str, &str)| {
                Detection::parse(name, text).unwrap_or_else(|e| unreachable!("embedded: {e}"))
            };
            DETECTIONS.iter().map(one).collect()
        });
        &ALL
    }

    /// Reads the text of a file.
    pub fn parse(name: &str, text: &str) -> Result<Detection, QueryError> {
        let (header, sql): (Header, String) = parts(name, text)?;
        let detection = Detection {
            name: name.to_owned(),
            title: header.title,
            severity: header.severity,
            attack: header.attack,
            owasp: header.owasp,
            mirrors: header.mirrors,
            why: header.why,
            false_positives: header.false_positives,
            next: header.next,
            actions: header.actions,
            tables: header.tables,
            window_hours: header.window_hours,
            suppress_hours: header.suppress_hours,
            reads: header.reads,
            params: by_name(header.params),
            sql,
        };
        match detection.fault() {
            None => Ok(detection),
            Some(says) => Err(QueryError::Catalogue { name: name.to_owned(), says }),
        }
    }

    /// What of the header cannot be.
    fn fault(&self) -> Option<String> {
        if !SEVERITIES.contains(&self.severity.as_str()) {
            return Some(format!("`{}` is no severity; write {}", self.severity, SEVERITIES.join(", ")));
        }
        if let Some(id) = self.attack.iter().find(|id| !is_technique(id)) {
            return Some(format!("`{id}` is no technique of ATT&CK, as T1578.002 is one"));
        }
        if let Some(id) = self.owasp.iter().find(|id| !is_risk(id)) {
            return Some(format!("`{id}` is none of CICD-SEC-1 to CICD-SEC-10"));
        }
        if let Some(name) = self.tables.iter().find(|name| !WAKING.contains(&name.as_str())) {
            return Some(format!(
                "new rows of `{name}` wake no detection; those of {} do",
                WAKING.join(", ")
            ));
        }
        if self.actions.is_empty() && self.tables.is_empty() {
            return Some("nothing wakes it: name actions or tables".to_owned());
        }
        let kinds = ["text", "bigint", "timestamp"];
        for (name, param) in &self.params {
            if !kinds.contains(&param.kind.as_str()) {
                return Some(format!(
                    "the parameter `{name}` has the type `{}`; use {}",
                    param.kind,
                    kinds.join(", ")
                ));
            }
            match &param.default {
                None => {
                    return Some(format!(
                        "the parameter `{name}` has no default: nobody is asked when it runs"
                    ));
                }
                Some(text) => {
                    if let Err(e) = value_of(name, param, text) {
                        return Some(e.to_string());
                    }
                }
            }
        }
        None
    }

    /// Whether new records of an action wake it.
    pub fn wakes_on(&self, action: &str) -> bool {
        self.actions.iter().any(|pattern| super::names(pattern, action))
    }
}

/// A value of a parameter in its type.
pub fn value_of(name: &str, param: &Param, text: &str) -> Result<ScalarValue, QueryError> {
    let value = typed(&ScalarValue::Utf8(Some(text.to_owned())), &param.kind);
    let wrong = |says| QueryError::Param { name: name.to_owned(), says };
    match value {
        Ok(value) if !value.is_null() => Ok(value),
        _ => Err(wrong(format!("`{text}` is no {}", param.kind))),
    }
}

fn is_technique(id: &str) -> bool {
    let digits = |text: &str, n: usize| text.len() == n && text.bytes().all(|b| b.is_ascii_digit());
    let Some(id) = id.strip_prefix('T') else { return false };
    match id.split_once('.') {
        Some((technique, sub)) => digits(technique, 4) && digits(sub, 3),
        None => digits(id, 4),
    }
}

fn is_risk(id: &str) -> bool {
    id.strip_prefix("CICD-SEC-").and_then(|n| n.parse::<u8>().ok()).is_some_and(|n| (1..=10).contains(&n))
}

impl Session {
    /// What a statement of a detection finds whose `occurred` is in a span, in the form that [`FOUND`] says.
    pub async fn found(
        &self,
        sql: &str,
        params: &[(String, ScalarValue)],
        from: Time,
        until: Time,
        most: usize,
    ) -> Result<Answer, QueryError> {
        let columns: Vec<String> = FOUND
            .iter()
            .map(|(name, kind)| match *kind {
                "text" => format!("cast(\"{name}\" as varchar) as \"{name}\""),
                "bigint" => format!("cast(\"{name}\" as bigint) as \"{name}\""),
                "timestamp" => {
                    format!("arrow_cast(\"{name}\", 'Timestamp(Microsecond, Some(\"UTC\"))') as \"{name}\"")
                }
                _ => format!("\"{name}\""),
            })
            .collect();
        let sql = format!("select {} from ({sql}) limit {most}", columns.join(", "));
        let at = |time: Time| ScalarValue::TimestampMicrosecond(Some(time.unix_micros()), Some("UTC".into()));
        let mut values = vec![("from", at(from)), ("until", at(until))];
        values.extend(params.iter().map(|(name, value)| (name.as_str(), value.clone())));
        self.sql_with(&sql, values).await
    }
}

/// What is wrong with the columns that a statement answers with.
pub fn columns_fault(schema: &SchemaRef) -> Option<String> {
    let is_kind = |kind: &DataType, word: &str| match word {
        "text" => matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null),
        "bigint" => kind.is_integer() || kind.is_null(),
        "timestamp" => matches!(kind, DataType::Timestamp(..)),
        _ => matches!(kind, DataType::List(_) | DataType::LargeList(_)),
    };
    for (n, (name, word)) in FOUND.iter().enumerate() {
        match schema.fields().get(n) {
            Some(field) if field.name() == name && is_kind(field.data_type(), word) => {}
            Some(field) => {
                return Some(format!(
                    "column {} must be `{name}`, {word}; it is `{}`, {}",
                    n + 1,
                    field.name(),
                    field.data_type()
                ));
            }
            None => return Some(format!("column {} must be `{name}`, {word}; there is none", n + 1)),
        }
    }
    (schema.fields().len() > FOUND.len()).then(|| format!("it has more than {} columns", FOUND.len()))
}

macro_rules! detections {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../queries/detection/", $name, ".sql")))),*]
    };
}

const DETECTIONS: &[(&str, &str)] = detections!(
    "administrator_added",
    "agent_added",
    "agent_added_by_new_user",
    "agent_added_new_os",
    "agent_deleted",
    "agent_from_new_address",
    "agent_name_from_elsewhere",
    "agent_name_on_other_machine",
    "agent_replaced",
    "agents_deleted_in_burst",
    "application_from_new_address",
    "approval_by_new_approver",
    "approval_skipped",
    "audit_log_disabled",
    "audit_log_downloaded",
    "audit_stream_blind_window",
    "audit_stream_changed",
    "audit_stream_disabled",
    "audit_stream_failed",
    "billing_changed",
    "branch_policy_removed",
    "branch_policy_weakened",
    "build_identity_outside_job",
    "check_changed",
    "check_deleted",
    "conditional_access_disabled",
    "connection_created",
    "connection_from_new_pool",
    "connection_runs_in_burst",
    "connection_shared",
    "connections_changed_in_burst",
    "connections_many",
    "connections_spread",
    "deployed_past_check",
    "display_name_changed",
    "enforced_policy_removed",
    "extension_by_new_user",
    "extension_disabled",
    "extension_of_unknown_publisher",
    "external_upstream_added",
    "feed_created",
    "group_created",
    "guard_lowered_for_deployment",
    "guest_access_enabled",
    "hook_subscription_changed",
    "inheritance_changed",
    "internal_upstream_added",
    "job_named_like_theft",
    "job_on_deleted_agent",
    "license_rule_changed",
    "licenses_changed_in_burst",
    "managed_identity_elsewhere",
    "new_administrator_acts",
    "new_agent_takes_deployment",
    "new_pipeline_gets_resource",
    "oauth_configuration_changed",
    "organization_taken",
    "pat_created",
    "pat_from_new_address",
    "pat_in_browser",
    "pat_misuse",
    "pat_new_operation",
    "pat_on_foreign_agent",
    "pat_widened",
    "pats_created_in_burst",
    "permissions_changed",
    "permissions_wiped",
    "pipeline_created_and_deleted",
    "pipeline_created_by_new_user",
    "pipeline_deleted",
    "pipeline_modified_by_new_user",
    "pipeline_settings_changed",
    "pipeline_takes_secrets_and_goes",
    "policy_bypassed",
    "policy_bypassed_by_new_user",
    "pool_created",
    "pool_created_and_deleted",
    "pool_created_by_new_user",
    "pool_deleted",
    "pool_runs_new_pipeline",
    "pools_deleted_in_burst",
    "project_deleted",
    "project_made_public",
    "projects_deleted_in_burst",
    "public_project_created",
    "public_projects_enabled",
    "red_team_tool",
    "red_team_tool_names",
    "registration_token_in_other_use",
    "repositories_deleted_in_burst",
    "repository_changed",
    "repository_destroyed",
    "resource_opened_to_project",
    "retention_reduced",
    "run_deleted_after_change",
    "runs_unretained_in_burst",
    "secret_not_secured",
    "self_approval",
    "ssh_key_created",
    "token_leaked",
    "token_policy_weakened",
    "variable_added_and_removed",
    "variable_group_modified_by_new_user",
    "variable_groups_changed_in_burst",
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_detection_is_embedded_and_names_actions_that_there_are() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/queries/detection");
        for entry in std::fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
            assert!(
                DETECTIONS.iter().any(|(own, _)| *own == name),
                "queries/detection/{name}.sql is not embedded"
            );
        }
        for detection in Detection::embedded() {
            for pattern in &detection.actions {
                let is_known = super::super::actions().iter().any(|a| super::super::names(pattern, a.id));
                assert!(is_known, "{}: no action is `{pattern}`", detection.name);
            }
        }
    }

    #[test]
    fn a_header_that_cannot_be_is_refused_with_what_can() {
        let header = "--! title = 't'\n--! severity = 'high'\n--! attack = ['T1578.002']\n--! owasp = ['CICD-SEC-7']\n\
            --! mirrors = []\n--! why = 'w'\n--! false_positives = 'f'\n--! next = 'n'\n--! actions = ['Git.*']\n\
            --! tables = []\n--! window_hours = 1\n--! suppress_hours = 0\n--! reads = ['actions']\n\
            --! params = [{ name = 'days', type = 'bigint', doc = 'd', default = '7' }]\nselect 1";
        let detection = Detection::parse("d", header).unwrap();
        assert!(detection.wakes_on("Git.RepositoryCreated") && !detection.wakes_on("Library.AgentAdded"));
        for (good, bad, says) in [
            ("'high'", "'huge'", "critical"),
            ("T1578.002", "T1578.2", "T1578.2"),
            ("CICD-SEC-7", "CICD-SEC-11", "CICD-SEC-11"),
            ("tables = []", "tables = ['agent']", "`agent`"),
            ("['Git.*']", "[]", "nothing wakes it"),
            ("'7'", "'seven'", "`seven` is no bigint"),
            (", default = '7'", "", "no default"),
            ("suppress_hours", "supress_hours", "supress_hours"),
        ] {
            let told = Detection::parse("d", &header.replace(good, bad)).unwrap_err().to_string();
            assert!(told.contains(says), "{told}");
        }
    }
}
