//! Verdicts looked at again: what evidence that came later changes is written as revisions.
//!
//! One process at a time does this for a lake, driven by its own cursor over committed facts, so a
//! crash costs no revision: the cursor moves only after them, and the same revision has the same key.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use datafusion::arrow::array::{AsArray as _, RecordBatch};
use datafusion::arrow::datatypes::Int64Type;
use futures::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::Settings;
use super::paging::{Attributor, name, records, session};
use super::prepare::now;
use super::rows::{Old, RowSet};
use crate::attribute::Touched;
use crate::decode::{Delivery, Limits, decode};
use crate::model::{Date, Event, Time};
use crate::query::{Object, QueryError, objects_of};
use crate::schema::FileSet;
use crate::store::{Lake, Lease, StoreError};

/// Why verdicts could not be looked at again; nothing is lost, the next pass does it.
#[derive(Debug, thiserror::Error)]
pub enum ReviseError {
    #[error("read the records of the lake")]
    Query(#[from] QueryError),
    #[error("write the revisions")]
    Store(#[from] StoreError),
}

/// What a look changed.
#[derive(Debug, Clone, Default)]
pub struct Revised {
    /// Verdicts that new evidence could touch.
    pub looked_at: u64,
    pub changed: u64,
    /// The first of the changes.
    pub changes: Vec<Change>,
}

/// One verdict that changed.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Change {
    pub event_id: String,
    pub occurred: String,
    pub action: String,
    pub old_executor: String,
    pub old_grade: String,
    pub old_agent: Option<String>,
    pub executor: String,
    pub grade: String,
    pub agent: Option<String>,
    pub why: String,
}

/// So many changes are told one by one; the others are counted.
const TOLD: usize = 1000;
const PARTITION: &str = "revise";

/// Looks at verdicts again. There is one at a time for a lake.
pub struct Reviser {
    lake: Arc<Lake>,
    settings: Settings,
    attributor: Attributor,
    /// Files whose rows the cursor has passed.
    passed: HashSet<String>,
    _lease: Lease,
}

/// What was looked at.
#[derive(Default, Serialize, Deserialize)]
struct Cursor {
    /// Per table, the newest `seq` of each writer.
    tables: BTreeMap<String, BTreeMap<String, i64>>,
    /// Until when the list of pools was heard, in ticks.
    pools_heard: i64,
}

impl Reviser {
    /// `None` while another process does it.
    pub fn take(lake: Arc<Lake>, settings: Settings) -> Result<Option<Reviser>, StoreError> {
        let Some(lease) = lake.lease(PARTITION)? else { return Ok(None) };
        let attributor = Attributor::new(&settings);
        Ok(Some(Reviser { lake, settings, attributor, passed: HashSet::new(), _lease: lease }))
    }

    /// Looks at what facts committed since the last pass can touch.
    pub async fn pass(&mut self) -> Result<Revised, ReviseError> {
        self.lake.refresh().await?;
        let mut cursor: Cursor = self
            .lake
            .position(PARTITION)
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default();
        let mut touched = Touched::new(self.settings.tolerance, Time(cursor.pools_heard));
        let mut read = Vec::new();
        for (table, sql) in [
            ("facts", "select url, observed, raw, writer, seq from lake.facts"),
            (
                "events",
                "select cast(null as varchar), observed, raw, writer, seq from lake.events where action like 'Library.Agent%' or action like 'Token.%'",
            ),
        ] {
            let part = self.unread(table);
            if part.files.is_empty() {
                continue;
            }
            read.extend(part.files.iter().map(|file| name(&part, file)));
            let seen = cursor.tables.entry(table.to_owned()).or_default();
            let newest = newest(&self.lake, &part, table).await?;
            if newest.iter().all(|(writer, seq)| seen.get(writer).is_some_and(|s| s >= seq)) {
                continue;
            }
            let organization = self.settings.organization.as_deref();
            records(&self.lake, part, sql, organization, |decoded, (batch, row)| {
                let (writer, seq) = stamp(batch, row);
                if seen.get(&writer).is_none_or(|s| *s < seq) {
                    decoded.facts.iter().for_each(|fact| touched.fact(fact));
                    decoded.events.iter().for_each(|event| touched.event(event));
                }
            })
            .await?;
            for (writer, seq) in newest {
                let slot = seen.entry(writer).or_insert(seq);
                *slot = (*slot).max(seq);
            }
        }
        let revised = if touched.is_empty() { Revised::default() } else { self.look(&touched).await? };
        if !read.is_empty() {
            cursor.pools_heard = touched.pools_heard().0;
            let text = serde_json::to_string(&cursor).unwrap_or_default();
            self.lake.save_position(PARTITION, &text).await?;
            self.passed.extend(read);
        }
        Ok(revised)
    }

    /// Looks at every verdict on an event of this span.
    pub async fn span(&mut self, from: Time, until: Time) -> Result<Revised, ReviseError> {
        self.lake.refresh().await?;
        self.look(&Touched::span(self.settings.tolerance, from, until)).await
    }

    fn unread(&self, table: &'static str) -> FileSet {
        let set = self.lake.files(table);
        let files =
            set.files.iter().filter(|file| !self.passed.contains(&name(&set, file))).cloned().collect();
        FileSet { files: Arc::new(files), ..set }
    }

    async fn look(&mut self, touched: &Touched) -> Result<Revised, ReviseError> {
        let dates: BTreeSet<Date> = self.lake.files("events").files.iter().filter_map(|f| f.date).collect();
        let mut days: BTreeSet<Date> = dates.into_iter().filter(|day| touched.day(*day)).collect();
        days.extend(self.elsewhere(touched).await?);
        let mut revised = Revised::default();
        for day in days {
            self.day(day, touched, &mut revised).await?;
        }
        Ok(revised)
    }

    /// Days of events that name an agent or identity, whenever they occurred.
    async fn elsewhere(&self, touched: &Touched) -> Result<Vec<Date>, ReviseError> {
        let (agents, identities) = touched.anywhere();
        if agents.is_empty() && identities.is_empty() {
            return Ok(Vec::new());
        }
        let agents: Vec<String> = agents.iter().map(i64::to_string).collect();
        let identities: Vec<String> =
            identities.iter().map(|id| format!("'{}'", id.replace('\'', "''"))).collect();
        let mut filters = Vec::new();
        if !agents.is_empty() {
            filters.push(format!("agent_id in ({})", agents.join(",")));
        }
        for column in ["actor_client_id", "authorization_id", "actor_id", "actor_cuid"] {
            if !identities.is_empty() {
                filters.push(format!("{column} in ({})", identities.join(",")));
            }
        }
        let sql = format!("select distinct date from lake.events where {}", filters.join(" or "));
        let mut stream = session(&self.lake, &[])?.sql(&sql).await?.stream;
        let mut days = Vec::new();
        while let Some(batch) = stream.try_next().await.map_err(QueryError::from)? {
            let dates = batch.column(0).as_primitive::<datafusion::arrow::datatypes::Date32Type>();
            days.extend(dates.iter().flatten().map(Date));
        }
        Ok(days)
    }

    /// Decides the touched events of a day again, and commits what differs.
    async fn day(&mut self, day: Date, touched: &Touched, revised: &mut Revised) -> Result<(), ReviseError> {
        self.attributor.bring(&BTreeSet::from([day]), &self.lake).await?;
        let (from, until) = (day.start(), day.plus_days(1).start());
        let only = if touched.only_provisional(day) { " and a.provisional" } else { "" };
        let sql = format!(
            "select a.*, e.raw from actions a join lake.events e on e.event_id = a.event_id \
             where a.occurred >= '{from}' and a.occurred < '{until}' and e.occurred >= '{from}' and e.occurred < '{until}'{only}"
        );
        let mut stream = session(&self.lake, &[])?.sql(&sql).await?.stream;
        while let Some(batch) = stream.try_next().await.map_err(QueryError::from)? {
            let stored = objects_of(&batch)?;
            let mut rows = RowSet::default();
            let mut looked_at: Vec<(&Object, &'static str)> = Vec::new();
            for old in &stored {
                let agent = old.get("agent_id").and_then(Json::as_i64);
                let provisional = old.get("provisional").and_then(Json::as_bool).unwrap_or(false);
                with_event(old, self.settings.organization.as_deref(), |event| {
                    let Some(why) = touched.why(event, agent, provisional) else { return };
                    let verdict = self.attributor.engine.decide(event);
                    let before = Old {
                        revision: old.get("revision").and_then(Json::as_i64).unwrap_or(0),
                        executor: text(old, "executor"),
                        grade: text(old, "grade"),
                        agent_id: agent,
                        agent_name: text(old, "agent_name"),
                    };
                    rows.revision(event, &verdict, now(), &before, why);
                    looked_at.push((old, why));
                });
            }
            revised.looked_at += looked_at.len() as u64;
            self.keep(rows, &looked_at, revised).await?;
        }
        Ok(())
    }

    /// Commits the revisions that say something else than what stands.
    async fn keep(
        &self,
        rows: RowSet,
        looked_at: &[(&Object, &'static str)],
        revised: &mut Revised,
    ) -> Result<(), ReviseError> {
        let Some(all) = rows.finish(Vec::new()).pop() else { return Ok(()) };
        let mut fresh = Vec::new();
        for (row, (new, (old, why))) in objects_of(&all.batch)?.iter().zip(looked_at).enumerate() {
            if settled(new) == settled(old) {
                continue;
            }
            fresh.push(row);
            revised.changed += 1;
            if revised.changes.len() < TOLD {
                let word = |object: &Object, name: &str| text(object, name).unwrap_or_default().to_owned();
                revised.changes.push(Change {
                    event_id: word(old, "event_id"),
                    occurred: word(old, "occurred"),
                    action: word(old, "action"),
                    old_executor: word(old, "executor"),
                    old_grade: word(old, "grade"),
                    old_agent: text(old, "agent_name").map(str::to_owned),
                    executor: word(new, "executor"),
                    grade: word(new, "grade"),
                    agent: text(new, "agent_name").map(str::to_owned),
                    why: (*why).to_owned(),
                });
            }
        }
        if !fresh.is_empty() {
            self.lake.commit(vec![all.only(&fresh)]).await?;
        }
        Ok(())
    }
}

/// The newest `seq` of each writer in a part of a table.
async fn newest(lake: &Lake, part: &FileSet, table: &str) -> Result<Vec<(String, i64)>, ReviseError> {
    let sql = format!("select writer, max(seq) from lake.{table} group by writer");
    let mut stream = session(lake, std::slice::from_ref(part))?.sql(&sql).await?.stream;
    let mut out = Vec::new();
    while let Some(batch) = stream.try_next().await.map_err(QueryError::from)? {
        let seq = batch.column(1).as_primitive::<Int64Type>();
        let writers = batch.column(0).as_string::<i32>();
        out.extend((0..batch.num_rows()).map(|row| (writers.value(row).to_owned(), seq.value(row))));
    }
    Ok(out)
}

/// Writer and `seq` of a row, the columns after its record.
fn stamp(batch: &RecordBatch, row: usize) -> (String, i64) {
    let writer = batch.column(3).as_string::<i32>();
    (writer.value(row).to_owned(), batch.column(4).as_primitive::<Int64Type>().value(row))
}

fn text<'o>(object: &'o Object, name: &str) -> Option<&'o str> {
    object.get(name).and_then(Json::as_str)
}

/// The members of a row by which a verdict is what it is.
fn settled(row: &Object) -> Vec<Option<Json>> {
    const MEMBERS: [&str; 24] = [
        "executor",
        "raised_by",
        "grade",
        "agent_id",
        "agent_name",
        "agent_version",
        "pool_id",
        "pool_name",
        "machine",
        "job_id",
        "request_id",
        "run_id",
        "run_kind",
        "attempt",
        "pipeline_id",
        "identities",
        "candidates",
        "evidence",
        "missing",
        "subjects",
        "blind",
        "provisional",
        "event_id",
        "organization_id",
    ];
    let member = |name: &str| {
        let mut value = row.get(name).cloned();
        if let ("evidence", Some(Json::Array(items))) = (name, &mut value) {
            // When a record was known is no part of what it says.
            items.iter_mut().filter_map(Json::as_object_mut).for_each(|item| drop(item.remove("known")));
        }
        value
    };
    MEMBERS.iter().map(|name| member(name)).collect()
}

/// The event of a stored row: its record decoded again, or, where the record was a line of a CSV
/// export, what the columns say.
fn with_event(row: &Object, organization: Option<&str>, each: impl FnOnce(&Event<'_>)) {
    let observed = text(row, "observed").and_then(Time::parse).unwrap_or_default();
    let delivery = Delivery { observed, url: None, organization, limits: Limits::default() };
    let raw = text(row, "raw").unwrap_or_default();
    let decoded = decode(raw.as_bytes(), &delivery);
    if let [event] = decoded.events.as_slice() {
        return each(event);
    }
    let members = [
        ("Id", "event_id"),
        ("Timestamp", "occurred"),
        ("ScopeId", "organization_id"),
        ("ScopeDisplayName", "organization"),
        ("ProjectId", "project_id"),
        ("ProjectName", "project"),
        ("ActionId", "action"),
        ("Area", "area"),
        ("Category", "category"),
        ("ActorUserId", "actor_id"),
        ("ActorCUID", "actor_cuid"),
        ("ActorDisplayName", "actor_name"),
        ("ActorUPN", "actor_upn"),
        ("ActorClientId", "actor_client_id"),
        ("AuthenticationMechanism", "auth_mechanism"),
        ("IpAddress", "ip"),
        ("UserAgent", "user_agent"),
        ("CorrelationId", "correlation_id"),
        ("ActivityId", "activity_id"),
        ("Details", "details"),
        ("Data", "data"),
    ];
    let record: Object = members
        .iter()
        .filter_map(|(name, column)| Some(((*name).to_owned(), row.get(*column)?.clone())))
        .collect();
    let json = Json::Object(record).to_string();
    let decoded = decode(json.as_bytes(), &delivery);
    if let [event] = decoded.events.as_slice() {
        let hash = crate::model::RecordHash::of(raw.as_bytes());
        each(&Event { raw: raw.as_bytes().into(), hash, ..event.clone() });
    }
}
