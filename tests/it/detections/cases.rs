//! The cases of tests/detection: each an organisation of its own, all in one lake.

use std::collections::BTreeMap;
use std::sync::Arc;

use agentrail::model::{RecordHash, Time};
use agentrail::pipeline::Rule;
use agentrail::query::{Detection, Limits, Pinned, Session};
use agentrail::schema::{PARTITION, tables};
use agentrail::store::{Lake, Settings, arrow_schema};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::datasource::MemTable;
use futures::TryStreamExt as _;
use serde_json::{Value as Json, json};

use crate::lake::Scratch;

/// All that a case may tell of.
pub const ALL: (&str, &str) = ("2025-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
const BEGIN: &str = "2026-03-05T10:00:00Z";
const SECOND: i64 = 1_000_000;

/// One case.
pub struct Case {
    pub name: String,
    /// The organisation that it is.
    pub organization: String,
    /// Subjects in order of time.
    pub finds: Vec<String>,
    pub severity: Option<Vec<String>>,
    /// How many events each is drawn from.
    pub events: Option<Vec<usize>>,
    pub params: BTreeMap<String, String>,
    pub lines: Vec<String>,
}

/// A row that a detection gave.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    pub occurred: String,
    pub subject: String,
    pub severity: Option<String>,
    pub events: usize,
    organization: String,
}

impl Case {
    pub fn is_of(&self, row: &Row) -> bool {
        self.is_named(&row.organization, &row.organization)
    }

    /// Whether this is the organisation of that name or id.
    pub fn is_named(&self, name: &str, own_id: &str) -> bool {
        name == self.organization || own_id == id(&self.organization)
    }
}

/// All cases of a folder of tests/ by the name of their file.
pub fn read(folder: &str) -> BTreeMap<String, Vec<Case>> {
    let mut out = BTreeMap::new();
    let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests")).join(folder);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let file: File = toml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let cases = file.case.into_iter().enumerate().map(|(n, case)| case.read(format!("c-{name}-{n}")));
        let cases: Vec<Case> = cases.collect();
        out.insert(name, cases);
    }
    out
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    case: Vec<Told>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    name: String,
    finds: Vec<String>,
    severity: Option<Vec<String>>,
    events: Option<Vec<usize>>,
    #[serde(default)]
    params: BTreeMap<String, String>,
    #[serde(default)]
    event: Vec<Event>,
    #[serde(default)]
    line: Vec<Line>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    text: String,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    at: String,
    action: String,
    actor: Option<String>,
    #[serde(default)]
    data: toml::Table,
    id: Option<String>,
    area: Option<String>,
    category: Option<String>,
    details: Option<String>,
    ip: Option<String>,
    user_agent: Option<String>,
    auth: Option<String>,
    project: Option<String>,
    correlation: Option<String>,
    activity: Option<String>,
}

impl Told {
    fn read(self, organization: String) -> Case {
        let of = |text: &str| filled(text, &organization);
        let mut lines: Vec<String> = self.line.iter().map(|line| of(line.text.trim())).collect();
        let events = self.event.iter().enumerate();
        lines.extend(events.map(|(n, event)| of(&event.record(&organization, n).to_string())));
        Case {
            finds: self.finds.iter().map(|subject| of(subject)).collect(),
            name: self.name,
            severity: self.severity,
            events: self.events,
            params: self.params,
            lines,
            organization,
        }
    }
}

impl Event {
    /// As the REST API gives it.
    fn record(&self, organization: &str, n: usize) -> Json {
        let own = format!("{}-1111-4000-8000-000000000000", digits(&format!("{organization}/{n}")));
        let own = self.id.clone().unwrap_or(own);
        let mut record = json!({
            "Id": own, "ActionId": self.action, "Timestamp": after(&self.at), "ScopeId": id(organization),
            "ScopeDisplayName": format!("{organization} (Organization)"), "ScopeType": "Organization",
            "CorrelationId": self.correlation.as_ref().unwrap_or(&own),
            "ActivityId": self.activity.as_ref().unwrap_or(&own), "Data": self.data,
        });
        let mut put = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                record[name] = value.into();
            }
        };
        match self.actor.as_deref() {
            None => {}
            Some(actor) if actor.starts_with("build:") => {
                let project = actor.trim_start_matches("build:");
                put("ActorUserId", Some(&id(&format!("build {project}"))));
                put("ActorUPN", Some(&id(project)));
                put("ActorDisplayName", Some(&format!("{project} Build Service ({organization})")));
                put("AuthenticationMechanism", Some("SessionToken_Unscoped"));
            }
            Some(actor) if actor.starts_with("service:") => {
                put("ActorUserId", Some("00000002-0000-8888-8000-000000000000"));
                put("ActorCUID", Some("00000000-0000-0000-0000-000000000000"));
                put("ActorUPN", Some("Azure DevOps Service"));
                put("ActorDisplayName", Some("Azure DevOps Service"));
                put("AuthenticationMechanism", Some("S2S_ServicePrincipal"));
            }
            Some(person) => {
                let (own, name) = (id(person), format!("{}{}", person[..1].to_uppercase(), &person[1..]));
                put("ActorUserId", Some(&own));
                put("ActorCUID", Some(&format!("{}7{}", &own[..14], &own[15..])));
                put("ActorUPN", Some(&format!("{person}@example.com")));
                put("ActorDisplayName", Some(&name));
                put("AuthenticationMechanism", Some("AAD_Cookie"));
            }
        }
        for (name, value) in [
            ("AuthenticationMechanism", &self.auth),
            ("IpAddress", &self.ip),
            ("UserAgent", &self.user_agent),
            ("Details", &self.details),
            ("Area", &self.area),
            ("Category", &self.category),
            ("ProjectName", &self.project),
        ] {
            put(name, value.as_deref());
        }
        put("ProjectId", self.project.as_deref().map(id).as_deref());
        record
    }
}

fn digits(text: &str) -> String {
    RecordHash::of(text.as_bytes()).to_string()[..8].to_owned()
}

fn id(text: &str) -> String {
    format!("{}-0000-4000-8000-000000000000", digits(text))
}

/// `2d`, `-1h30m`: so long after the begin of all cases.
fn span(text: &str) -> Option<i64> {
    let (sign, rest) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (mut all, mut number) = (0, String::new());
    for c in rest.chars() {
        let unit = match c {
            '0'..='9' => {
                number.push(c);
                continue;
            }
            'd' => 86_400,
            'h' => 3_600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        all += number.parse::<i64>().ok()? * unit;
        number.clear();
    }
    (number.is_empty() && !rest.is_empty()).then_some(sign * all * SECOND)
}

fn after(text: &str) -> String {
    let micros = span(text).unwrap_or_else(|| panic!("`{text}` is no span"));
    Time::from_unix_micros(Time::parse(BEGIN).unwrap().unix_micros() + micros).to_string()
}

/// The text with what stands in braces filled in.
fn filled(text: &str, organization: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, behind)) = rest.split_once('{') {
        out.push_str(before);
        let value = behind.split_once('}').and_then(|(name, after_it)| {
            let value = match name {
                "org" => organization.to_owned(),
                "org_id" => id(organization),
                _ if span(name).is_some() => after(name),
                _ => id(name
                    .strip_prefix("project:")
                    .or(name.strip_prefix("user:"))
                    .filter(|n| !n.contains('"'))?),
            };
            Some((value, after_it))
        });
        match value {
            Some((value, after_it)) => {
                out.push_str(&value);
                rest = after_it;
            }
            None => {
                out.push('{');
                rest = behind;
            }
        }
    }
    out + rest
}

/// A detection with these parameters.
pub fn rule(detection: &Detection, params: &BTreeMap<String, String>) -> Rule {
    let mut rule = Rule::new(detection.clone(), "").unwrap();
    params.iter().for_each(|(name, value)| rule.set(name, value).unwrap());
    rule
}

/// The tables of a lake in memory, so that a statement costs no more than its planning.
pub struct Tables {
    pub runtime: tokio::runtime::Runtime,
    batches: BTreeMap<&'static str, Vec<RecordBatch>>,
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_stack_size(8 << 20)
        .enable_all()
        .build()
        .unwrap()
}

impl Tables {
    pub fn empty() -> Tables {
        Tables { runtime: runtime(), batches: BTreeMap::new() }
    }

    /// Ingests the records of all cases.
    pub fn of(all: &BTreeMap<String, Vec<Case>>) -> Tables {
        let scratch = Scratch::new();
        // A listing speaks for the records around it, so facts come first.
        let lines: Vec<&str> = all.values().flatten().flat_map(|c| &c.lines).map(String::as_str).collect();
        let path = scratch.file("cases.ndjson", lines.join("\n"));
        let mut ingest = scratch.command(&["ingest", "--format", "json", path.to_str().unwrap()]);
        let output = ingest.env("AGENTRAIL_DETECTIONS__AT_INGEST", "false").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let account: Json = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(account["rejects"], 0, "{account}");
        let runtime = runtime();
        let batches = runtime.block_on(async {
            let lake = Lake::open(&scratch.lake(), Settings::default()).await.unwrap();
            let pinned = |files: agentrail::schema::FileSet| Pinned {
                schema: arrow_schema(files.table),
                files,
                store: None,
            };
            let session =
                Session::new(lake.pin().into_iter().map(pinned).collect(), Limits::default()).unwrap();
            let mut out = BTreeMap::new();
            for table in tables() {
                let answer = session.sql(&format!("select * from lake.{}", table.name)).await.unwrap();
                out.insert(table.name, answer.stream.try_collect().await.unwrap());
            }
            out
        });
        Tables { runtime, batches }
    }

    /// What is of the organisations of one detection.
    pub fn only(&self, name: &str, cases: &[Case]) -> Tables {
        let own: Vec<String> = cases
            .iter()
            .flat_map(|c| [c.organization.clone(), id(&c.organization)])
            .map(|o| format!("'{o}'"))
            .collect();
        let own = own.join(", ");
        let runtime = runtime();
        let session = self.session();
        let batches = runtime.block_on(async {
            let mut out = BTreeMap::new();
            for table in tables() {
                let is_of: Vec<String> = ["organization_id", "organization"]
                    .into_iter()
                    .filter(|column| table.column(column).is_some())
                    .map(|column| format!("{column} in ({own})"))
                    .collect();
                if is_of.is_empty() {
                    continue;
                }
                let sql = format!("select * from lake.{} where {}", table.name, is_of.join(" or "));
                let answer = session.sql(&sql).await.unwrap_or_else(|e| panic!("{name}: {e}"));
                out.insert(table.name, answer.stream.try_collect().await.unwrap());
            }
            out
        });
        Tables { runtime, batches }
    }

    pub fn session(&self) -> Session {
        let session = Session::new(Vec::new(), Limits { memory_bytes: 1 << 30, threads: 1 }).unwrap();
        for table in tables() {
            let mut fields = arrow_schema(table).fields().to_vec();
            if table.partitioned {
                fields.push(Arc::new(Field::new(PARTITION, DataType::Date32, true)));
            }
            let schema = Arc::new(Schema::new(fields));
            let batches = self.batches.get(table.name).cloned().unwrap_or_default();
            let memory = MemTable::try_new(schema, vec![batches]).unwrap();
            session.context().register_table(format!("lake.{}", table.name), Arc::new(memory)).unwrap();
        }
        session
    }

    /// What a statement finds in a span, in order of time.
    pub fn found(&self, rule: &Rule, sql: &str, span: (&str, &str)) -> Result<Vec<Row>, String> {
        let (from, until) = (Time::parse(span.0).unwrap(), Time::parse(span.1).unwrap());
        let session = self.session();
        let found = async {
            let answer =
                session.found(sql, &rule.params, from, until, 10_000).await.map_err(|e| e.to_string())?;
            let batches: Vec<RecordBatch> = answer.stream.try_collect().await.map_err(|e| e.to_string())?;
            let rows = batches.iter().map(agentrail::query::objects_of).collect::<Result<Vec<_>, _>>();
            let text = |row: &agentrail::query::Object, name: &str| row[name].as_str().map(str::to_owned);
            let mut rows: Vec<Row> = rows
                .map_err(|e| e.to_string())?
                .into_iter()
                .flatten()
                .map(|row| Row {
                    occurred: text(&row, "occurred").unwrap_or_default(),
                    subject: text(&row, "subject").unwrap_or_default(),
                    severity: text(&row, "severity"),
                    events: row.get("events").and_then(Json::as_array).map_or(0, Vec::len),
                    organization: text(&row, "organization")
                        .or(text(&row, "organization_id"))
                        .unwrap_or_default(),
                })
                .collect();
            rows.sort();
            Ok::<_, String>(rows)
        };
        self.runtime.block_on(found)
    }
}

/// Does work on several at a time, on threads whose stacks hold the plans of a build for tests.
pub fn in_parallel<T: Sync, R: Send>(all: &[T], one: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        let mut out = Vec::new();
        while let Some(item) = all.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
            out.push(one(item));
        }
        out
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let large = || std::thread::Builder::new().stack_size(32 << 20).spawn_scoped(scope, work).unwrap();
        let workers: Vec<_> = (0..threads).map(|_| large()).collect();
        workers.into_iter().flat_map(|w| w.join().unwrap()).collect()
    })
}
