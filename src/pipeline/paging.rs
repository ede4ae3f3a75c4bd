//! What the lake knows already, brought to the engine before it decides.
//!
//! The engine starts empty and is told the facts of the days around an event the first time such an
//! event comes, whoever wrote them: this process before a restart, or another one beside it. When it
//! holds more than its share of memory its owner starts it empty again: the days needed next come back.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use datafusion::arrow::array::{Array as _, AsArray as _, RecordBatch};
use datafusion::arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use futures::TryStreamExt as _;

use super::Settings;
use crate::attribute::{Binding, Engine};
use crate::decode::{Delivery, Limits, decode};
use crate::model::{Date, Heard, Identity, Org, RecordHash, Ticks, Time};
use crate::query::{Limits as QueryLimits, Pinned, QueryError, Session};
use crate::schema::{DataFile, FileSet, Value};
use crate::store::{Lake, Writer, arrow_schema};

/// Whether an event names a job request: one that was not known yet is in no column of its verdict.
pub(super) const NAMES_REQUEST: &str = "(request_id is not null or data ilike '%requestid%')";

/// The engine, with what of the lake it has been told.
pub(super) struct Attributor {
    pub engine: Engine,
    settings: Settings,
    /// Days around an event whose facts matter.
    reach: i32,
    /// Files by their path, which no two tables share.
    told: HashSet<String>,
    /// Days that were brought.
    days: BTreeSet<Date>,
    /// Writers whose rows the engine was told when they were decoded.
    own: Vec<String>,
    /// Which id the name of a project stood for, by organisation and name, and when that was last said.
    projects: BTreeMap<String, (i64, String)>,
    /// Pools, by organisation and id, of which the engine was told who is in them.
    pub(super) listed: HashSet<(String, i64)>,
}

impl Attributor {
    /// For who decodes what these writers commit, and tells the engine then.
    pub fn beside(
        settings: &Settings,
        writers: &[Writer],
        projects: BTreeMap<String, (i64, String)>,
    ) -> Attributor {
        let own = writers.iter().map(|writer| writer.id().to_owned()).collect();
        let mut attributor = Attributor { own, ..Attributor::new(settings) };
        attributor.pair(projects);
        attributor
    }

    /// Tells the engine which ids names of projects stood for, which no day around an event tells.
    pub fn pair(&mut self, projects: BTreeMap<String, (i64, String)>) {
        for (name, (at, id)) in &projects {
            let Some((organization, project)) = name.split_once('/') else { continue };
            let is_id = crate::model::is_guid(organization);
            let organization = Some(organization.to_owned());
            let organization = match is_id {
                true => Org { id: organization, name: None },
                false => Org { id: None, name: organization },
            };
            self.engine.project(&organization, project, Time::from_unix_micros(*at), id);
        }
        self.projects = projects;
    }

    /// Tells the engine which organisations these events name by id and name: what came without an
    /// event may have named it by one of them alone.
    pub fn tie(&mut self, events: &RecordBatch) {
        let column = |name: &str| events.column_by_name(name)?.as_string_opt::<i32>();
        let (Some(ids), Some(names)) = (column("organization_id"), column("organization")) else { return };
        let both: BTreeSet<(&str, &str)> =
            ids.iter().zip(names.iter()).filter_map(|(id, name)| id.zip(name)).collect();
        for (id, name) in both {
            self.engine.organization(&Org { id: Some(id.to_owned()), name: Some(name.to_owned()) });
        }
    }

    /// For who only reads the lake.
    pub fn new(settings: &Settings) -> Attributor {
        Attributor {
            engine: Engine::new(settings.tolerance),
            settings: settings.clone(),
            reach: (settings.tolerance.window.0 / Ticks::days(1).0) as i32 + 1,
            told: HashSet::new(),
            days: BTreeSet::new(),
            own: Vec::new(),
            projects: BTreeMap::new(),
            listed: HashSet::new(),
        }
    }

    /// Whether the engine holds more than its share of memory.
    pub fn is_full(&self) -> bool {
        self.engine.held() > self.settings.max_jobs
    }

    /// Tells the engine what it has not heard of a day, an engine that is full after it starts empty.
    pub async fn tell_of(&mut self, day: Date, lake: &Lake) -> Result<(), QueryError> {
        if self.is_full() {
            let projects = std::mem::take(&mut self.projects);
            *self = Attributor::new(&self.settings);
            self.pair(projects);
        }
        self.bring(&BTreeSet::from([day]), lake).await
    }

    /// Tells the engine what it has not heard of these days. When that fails, all is read again by the
    /// next call: nothing is taken for told that was not.
    pub async fn bring(&mut self, days: &BTreeSet<Date>, lake: &Lake) -> Result<(), QueryError> {
        let told = self.tell(days, lake).await;
        if told.is_err() {
            self.told.clear();
            self.days.clear();
        }
        told
    }

    async fn tell(&mut self, days: &BTreeSet<Date>, lake: &Lake) -> Result<(), QueryError> {
        let (lo, hi) = match (days.first(), days.last()) {
            (Some(first), Some(last)) => (first.plus_days(-self.reach), last.plus_days(self.reach)),
            _ => return Ok(()),
        };
        let facts = self.unheard(lake.files("facts"), days);
        let events = self.unheard(lake.files("events"), days);
        if self.days.is_empty() && !days.is_empty() {
            // From which addresses agents were ever registered is in no table of its own.
            let sql = "select cast(null as varchar), observed, raw from lake.events where action = 'Library.AgentAdded'";
            let engine = &mut self.engine;
            records(&session(lake, &[])?, sql, self.settings.organization.as_deref(), |decoded, _| {
                decoded.events.iter().for_each(|event| engine.learn_event(event));
            })
            .await?;
        }
        let long = if days.is_subset(&self.days) { Vec::new() } else { long_jobs(lake, lo, hi).await? };
        self.days.extend(days);
        let (engine, organization) = (&mut self.engine, self.settings.organization.as_deref());
        if !facts.files.is_empty() {
            let sql = "select url, observed, raw, key from lake.facts";
            records(&session(lake, &[facts])?, sql, organization, |decoded, _| {
                decoded.facts.iter().for_each(|fact| engine.learn(fact));
            })
            .await?;
        }
        for keys in long.chunks(500) {
            let keys: Vec<String> = keys.iter().map(|key| quoted(key)).collect();
            let sql =
                format!("select url, observed, raw, key from lake.facts where key in ({})", keys.join(","));
            records(&session(lake, &[])?, &sql, organization, |decoded, _| {
                decoded.facts.iter().for_each(|fact| engine.learn(fact));
            })
            .await?;
        }
        if !events.files.is_empty() {
            // What events tell of the world around them: names of projects, correlated jobs.
            let sql = format!(
                "select cast(null as varchar), observed, raw from lake.events \
                 where action like 'Library.Agent%' or {NAMES_REQUEST}"
            );
            records(&session(lake, &[events])?, &sql, organization, |decoded, _| {
                decoded.events.iter().for_each(|event| engine.learn_event(event));
            })
            .await?;
        }
        // Registrations and tokens count for ever, whenever they were reported.
        for (table, tell) in
            [("bindings", registrations as fn(&RecordBatch, &mut Engine)), ("identities", tokens)]
        {
            let part = self.unheard(lake.files(table), days);
            if !part.files.is_empty() {
                let mut stream =
                    session(lake, &[part])?.sql(&format!("select * from lake.{table}")).await?.stream;
                while let Some(batch) = stream.try_next().await? {
                    tell(&batch, &mut self.engine);
                }
            }
        }
        // What was heard comes last: it says that there was nothing but what is known by then.
        let coverage = self.unheard(lake.files("coverage"), days);
        if !coverage.files.is_empty() {
            heard(lake, coverage, &mut self.engine).await?;
        }
        Ok(())
    }

    /// The files of `set` that hold these days, or no day, and that the engine does not know.
    fn unheard(&mut self, set: FileSet, days: &BTreeSet<Date>) -> FileSet {
        let column = set.table.column("writer").map(|(index, _)| index);
        let until = set.table.column("until").map(|(index, _)| index);
        let around = |file: &DataFile| {
            // A listing speaks for the time before it, at the most for all of it.
            if let Some(range) = file.ranges.iter().find(|r| until.is_some() && Some(r.column) == until) {
                let first = days.first().map(|day| day.start().unix_micros());
                return !matches!((&range.max, first), (Some(Value::Timestamp(max)), Some(first)) if *max < first);
            }
            file.date.is_none_or(|date| {
                days.range(date.plus_days(-self.reach)..=date.plus_days(self.reach)).next().is_some()
            })
        };
        let heard_itself = |file: &DataFile| {
            let is_own =
                |bound: &Option<Value>| matches!(bound, Some(Value::Text(w)) if self.own.contains(w));
            let wrote = file.ranges.iter().find(|r| Some(r.column) == column);
            wrote.is_some_and(|r| is_own(&r.min) && r.min == r.max)
        };
        let files: Vec<Arc<DataFile>> = set
            .files
            .iter()
            .filter(|file| around(file) && !heard_itself(file))
            .filter(|file| !self.told.contains(&file.path))
            .cloned()
            .collect();
        self.told.extend(files.iter().map(|file| file.path.clone()));
        FileSet { files: Arc::new(files), ..set }
    }
}

/// A text as SQL.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// How far back a job that still runs is looked for.
const LONGEST_JOB_DAYS: i32 = 40;

/// Keys of the records of jobs that ran through all of a span, which no day in it tells of.
async fn long_jobs(lake: &Lake, lo: Date, hi: Date) -> Result<Vec<String>, QueryError> {
    let (from, earliest, until) = (lo.start(), lo.plus_days(-LONGEST_JOB_DAYS).start(), hi.start());
    let sql = format!(
        "select key from lake.jobs where request_id in (
           select request_id from lake.jobs where request_id is not null
           group by coalesce(organization_id, organization), request_id
           having min(coalesce(received, assigned)) < '{from}' and min(coalesce(received, assigned)) >= '{earliest}'
             and (max(finished) is null or max(finished) >= '{until}'))"
    );
    let mut stream = session(lake, &[])?.sql(&sql).await?.stream;
    let mut keys = Vec::new();
    while let Some(batch) = stream.try_next().await? {
        let column = batch.column(0).as_string::<i32>();
        keys.extend(column.iter().flatten().map(str::to_owned));
    }
    Ok(keys)
}

/// A text of a stored row by the name of its column.
pub(super) fn text(batch: &RecordBatch, row: usize, name: &str) -> Option<String> {
    let column = batch.column_by_name(name)?.as_string_opt::<i32>()?;
    column.is_valid(row).then(|| column.value(row).to_owned())
}

pub(super) fn bigint(batch: &RecordBatch, row: usize, name: &str) -> Option<i64> {
    let column = batch.column_by_name(name)?.as_primitive_opt::<Int64Type>()?;
    column.is_valid(row).then(|| column.value(row))
}

pub(super) fn time(batch: &RecordBatch, row: usize, name: &str) -> Option<Time> {
    let column = batch.column_by_name(name)?.as_primitive_opt::<TimestampMicrosecondType>()?;
    column.is_valid(row).then(|| Time::from_unix_micros(column.value(row)))
}

fn organization(batch: &RecordBatch, row: usize) -> Org {
    Org { id: text(batch, row, "organization_id"), name: text(batch, row, "organization") }
}

fn record(batch: &RecordBatch, row: usize) -> RecordHash {
    text(batch, row, "record_hash").and_then(|hex| RecordHash::parse(&hex)).unwrap_or_default()
}

fn registrations(batch: &RecordBatch, engine: &mut Engine) {
    for row in 0..batch.num_rows() {
        let text = |name: &str| text(batch, row, name);
        engine.binding(Binding {
            organization: organization(batch, row),
            agent_id: bigint(batch, row, "agent_id"),
            agent_name: text("agent_name"),
            pool_id: bigint(batch, row, "pool_id"),
            pool_name: text("pool_name"),
            machine: text("machine"),
            identity_id: text("identity_id").unwrap_or_default(),
            identity_kind: text("identity_kind").unwrap_or_default(),
            identity_name: text("identity_name"),
            role: text("role").unwrap_or_default(),
            from: time(batch, row, "from").unwrap_or_default(),
            until: time(batch, row, "until"),
            record: record(batch, row),
            known: time(batch, row, "observed").unwrap_or_default(),
        });
    }
}

fn tokens(batch: &RecordBatch, engine: &mut Engine) {
    for row in 0..batch.num_rows() {
        let text = |name: &str| text(batch, row, name);
        let identity = Identity {
            kind: text("kind").unwrap_or_default(),
            id: text("id").unwrap_or_default(),
            cuid: text("cuid"),
            application_id: text("application_id"),
            object_id: text("object_id"),
            tenant_id: text("tenant_id"),
            name: text("name"),
            principal_name: text("principal_name"),
            scopes: text("scopes"),
            valid_from: time(batch, row, "valid_from"),
            valid_until: time(batch, row, "valid_until"),
        };
        let observed = time(batch, row, "observed").unwrap_or_default();
        engine.identity(&organization(batch, row), &identity, observed, record(batch, row));
    }
}

/// Tells the engine when its sources were heard.
async fn heard(lake: &Lake, part: FileSet, engine: &mut Engine) -> Result<(), QueryError> {
    let sql = "select organization_id, organization, source, pool_id, \"from\", until from lake.coverage";
    let mut stream = session(lake, &[part])?.sql(sql).await?.stream;
    while let Some(batch) = stream.try_next().await? {
        for row in 0..batch.num_rows() {
            let heard = Heard {
                source: text(&batch, row, "source").unwrap_or_default(),
                pool_id: bigint(&batch, row, "pool_id"),
                from: time(&batch, row, "from").unwrap_or_default(),
                until: time(&batch, row, "until").unwrap_or_default(),
                listed: None,
            };
            engine.heard(&organization(&batch, row), &heard);
        }
    }
    Ok(())
}

/// A session over the lake in which some tables are parts of themselves.
pub(super) fn session(lake: &Lake, parts: &[FileSet]) -> Result<Session, QueryError> {
    let tables = lake
        .pin()
        .into_iter()
        .map(|set| parts.iter().find(|p| p.table.name == set.table.name).cloned().unwrap_or(set))
        .map(|files| Pinned { schema: arrow_schema(files.table), files })
        .collect();
    Session::new(tables, QueryLimits::default())
}

/// Decodes stored records again. `sql` selects url, observed and raw first; `each` is also given the
/// batch and the row a record is from.
pub(super) async fn records(
    session: &Session,
    sql: &str,
    organization: Option<&str>,
    mut each: impl FnMut(&crate::decode::Decoded<'_>, (&RecordBatch, usize)),
) -> Result<(), QueryError> {
    let mut stream = session.sql(sql).await?.stream;
    while let Some(batch) = stream.try_next().await? {
        let text = |column: usize| {
            use datafusion::arrow::{compute::cast, datatypes::DataType};
            cast(batch.column(column), &DataType::Utf8).map_err(|e| QueryError::Plan(e.to_string()))
        };
        let (url, raw) = (text(0)?, text(2)?);
        let (url, raw) = (url.as_string::<i32>(), raw.as_string::<i32>());
        let observed = batch.column(1).as_primitive::<TimestampMicrosecondType>();
        for row in (0..batch.num_rows()).filter(|row| raw.is_valid(*row)) {
            let delivery = Delivery {
                observed: Time::from_unix_micros(observed.value(row)),
                url: url.is_valid(row).then(|| url.value(row)),
                organization,
                limits: Limits::default(),
            };
            let mut decoded = decode(raw.value(row).as_bytes(), &delivery);
            // A row is one record: what lies inside it has a row of its own.
            decoded.facts.truncate(1);
            if let (Some(fact), Some(key)) = (decoded.facts.first_mut(), self::text(&batch, row, "key")) {
                fact.key = key;
            }
            each(&decoded, (&batch, row));
        }
    }
    Ok(())
}
