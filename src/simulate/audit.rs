//! One audit event in each spelling.

use serde_json::{Map, Value as Json, json};

use crate::model::Time;

/// How a delivery spells an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    Rest,
    Export,
    EventGrid,
    LogAnalytics,
}

/// Who acts.
#[derive(Debug, Clone, Default)]
pub(super) struct Actor {
    pub name: String,
    pub upn: String,
    /// Storage key; empty for an application.
    pub id: String,
    /// Client id; empty for all but applications.
    pub client_id: String,
    pub auth: Option<String>,
    pub ip: Option<String>,
    pub user_agent: String,
    /// Address of a picture, which ends in the subject descriptor; most records have none.
    pub image: Option<String>,
}

/// One event, with the agent that truly did it.
#[derive(Debug, Clone)]
pub struct SimEvent {
    pub id: String,
    pub occurred: Time,
    pub action: &'static str,
    /// The agent that did it, in truth; `None` when no agent did.
    pub truth: Option<String>,
    /// Whether a release, and the number of the run whose work it is, in truth, where it is a run's.
    pub run: Option<(bool, i64)>,
    pub(super) area: &'static str,
    /// Index into the REST contract's enumeration.
    pub(super) category: usize,
    pub(super) actor: Actor,
    /// Project id and name.
    pub(super) project: Option<(String, String)>,
    pub(super) organization: (String, String),
    pub(super) correlation: String,
    pub(super) data: Json,
    pub(super) details: String,
    /// Members of the REST form that this record is without: null in some spellings, absent in others.
    pub(super) lacks: &'static [&'static str],
}

const ZERO: &str = "00000000-0000-0000-0000-000000000000";
const CATEGORIES: [&str; 6] = ["Unknown", "Modify", "Remove", "Create", "Access", "Execute"];

impl SimEvent {
    /// Who did it, in truth: `agent`, `human`, `service` or `client`, as a verdict's executor says it.
    pub fn executor(&self) -> &'static str {
        let registers = self.action.starts_with("Library.Agent");
        let token = self.actor.auth.as_deref().is_some_and(|a| a.starts_with("PAT"));
        match () {
            () if self.truth.is_some() => "agent",
            () if self.actor.id.contains("-8888-") => "service",
            () if !self.actor.client_id.is_empty() => "client",
            () if self.actor.name.contains(" Build Service (") || token && !registers => "client",
            () => "human",
        }
    }

    /// The truth of it, as a line of JSON.
    pub fn truth_line(&self) -> String {
        let kind = self.run.map(|(release, _)| if release { "release" } else { "build" });
        let run = self.run.map(|(_, id)| id);
        json!({"event_id": self.id, "executor": self.executor(), "agent": self.truth, "run_kind": kind, "run_id": run}).to_string()
    }

    /// Appends the record in a spelling, as one line without its break.
    pub fn write(&self, spelling: Spelling, out: &mut Vec<u8>) {
        let record = match spelling {
            Spelling::Rest => {
                let mut record = self.rest();
                if let Json::Object(members) = &mut record {
                    members.retain(|name, _| !self.lacks.contains(&name.as_str()));
                }
                record
            }
            Spelling::Export => {
                self.pascal(self.row_key(), json!(CATEGORIES[self.category]), json!("Organization"))
            }
            Spelling::EventGrid => {
                let mut data = self.pascal(self.id.clone(), json!(self.category), json!(4));
                if let Json::Object(members) = &mut data {
                    members.retain(|_, v| !v.is_null());
                }
                json!({
                    "id": self.id, "subject": "AzureDevOps/Auditing", "eventType": "AzureDevOpsAuditEvent",
                    "dataVersion": "1.0", "metadataVersion": "1", "eventTime": self.occurred.to_string(),
                    "topic": "/subscriptions/x/providers/Microsoft.EventGrid/topics/audit", "data": data,
                })
            }
            Spelling::LogAnalytics => {
                let mut row =
                    self.pascal(self.id.clone(), json!(CATEGORIES[self.category]), json!("Enterprise"));
                if let Json::Object(members) = &mut row {
                    for (old, new) in [("ActionId", "OperationName"), ("Timestamp", "TimeGenerated")] {
                        if let Some(value) = members.remove(old) {
                            members.insert(new.to_owned(), value);
                        }
                    }
                    members.insert("Type".to_owned(), json!("AzureDevOpsAuditing"));
                    members.insert("SourceSystem".to_owned(), json!("Azure"));
                }
                row
            }
        };
        out.extend_from_slice(record.to_string().as_bytes());
    }

    /// The id of REST and export: newest first in a table store.
    fn row_key(&self) -> String {
        let ticks = self.occurred.to_inverted_ticks();
        format!("{ticks};00000064-0000-8888-8000-000000000000;{}", self.id)
    }

    fn cuid(&self) -> String {
        // A user's CUID is its storage key with another version digit; services have none.
        let id = &self.actor.id;
        if id.is_empty() || id.contains("-8888-") {
            ZERO.to_owned()
        } else {
            format!("{}7{}", &id[..14], &id[15..])
        }
    }

    fn rest(&self) -> Json {
        let or_zero = |text: &str| if text.is_empty() { ZERO.to_owned() } else { text.to_owned() };
        let (project, project_name) = match &self.project {
            Some((id, name)) => (json!(id), json!(name)),
            None => (json!(ZERO), Json::Null),
        };
        let mut record = json!({
            "id": self.row_key(), "correlationId": self.correlation, "activityId": self.correlation,
            "actorCUID": self.cuid(), "actorUserId": or_zero(&self.actor.id), "actorClientId": or_zero(&self.actor.client_id),
            "actorUPN": self.actor.upn, "authenticationMechanism": self.actor.auth,
            "timestamp": self.occurred.to_string().replace('Z', "+00:00"),
            "scopeType": "organization", "scopeDisplayName": format!("{} (Organization)", self.organization.1),
            "scopeId": self.organization.0, "projectId": project, "projectName": project_name,
            "ipAddress": self.actor.ip, "userAgent": self.actor.user_agent, "actionId": self.action, "data": self.data,
            "details": self.details, "area": self.area, "category": CATEGORIES[self.category].to_lowercase(),
            "categoryDisplayName": CATEGORIES[self.category], "actorDisplayName": self.actor.name, "actorImageUrl": self.actor.image,
        });
        self.lacks.iter().for_each(|name| record[*name] = Json::Null);
        record
    }

    fn pascal(&self, id: String, category: Json, scope_type: Json) -> Json {
        let Json::Object(rest) = self.rest() else { return Json::Null };
        let mut out = Map::new();
        for (name, value) in rest {
            if name == "actorImageUrl" {
                continue;
            }
            let pascal = format!("{}{}", name[..1].to_uppercase(), &name[1..]);
            out.insert(pascal, value);
        }
        out.insert("Id".to_owned(), json!(id));
        out.insert("Timestamp".to_owned(), json!(self.occurred.to_string()));
        out.insert("Category".to_owned(), category);
        out.insert("ScopeType".to_owned(), scope_type);
        Json::Object(out)
    }
}

/// A page of the audit log's REST API.
pub fn page(events: &[SimEvent]) -> Vec<u8> {
    let entries: Vec<Json> = events.iter().map(SimEvent::rest).collect();
    let token = events.last().map(SimEvent::row_key);
    json!({"decoratedAuditLogEntries": entries, "continuationToken": token, "hasMore": false})
        .to_string()
        .into_bytes()
}

/// The portal's CSV export.
pub fn export_csv(events: &[SimEvent]) -> Vec<u8> {
    let mut out = Vec::new();
    for (i, event) in events.iter().enumerate() {
        let row = event.pascal(event.row_key(), json!(CATEGORIES[event.category]), json!("Organization"));
        let Json::Object(row) = row else { continue };
        if i == 0 {
            out.extend_from_slice(row.keys().cloned().collect::<Vec<_>>().join(",").as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        let field = |value: &Json| {
            let text = match value {
                Json::Null => String::new(),
                Json::String(text) => text.clone(),
                other => other.to_string(),
            };
            if text.contains([',', '"', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
        };
        out.extend_from_slice(row.values().map(field).collect::<Vec<_>>().join(",").as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out
}
