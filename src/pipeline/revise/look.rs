//! The verdicts of a day decided again, and what differs committed as revisions.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray as _, BooleanArray, ListArray, RecordBatch, StructArray, UInt32Array,
};
use datafusion::arrow::compute::kernels::cmp::not_distinct;
use datafusion::arrow::compute::{cast, take_record_batch};
use datafusion::arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use futures::TryStreamExt as _;
use serde_json::Value as Json;

use super::super::prepare::{in_parts, now};
use super::super::rows::{Old, RowSet};
use super::news::{Ask, stamp};
use super::{Change, ReviseError, Revised, Reviser, TOLD};
use crate::attribute::Standing;
use crate::decode::{Delivery, Limits, decode};
use crate::model::{Date, Event, RecordHash, Time};
use crate::query::{Object, QueryError, Session, objects_of};
use crate::store::Rows;

/// What a verdict consists of, but for when it was given.
const VERDICT: [&str; 22] = [
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
];
/// Members of a record, and the columns that say the same.
const RECORD: [(&str, &str); 21] = [
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

impl Reviser {
    /// Decides again the touched events among these rows of a day, and commits what differs.
    pub(super) async fn day(
        &mut self,
        session: &Session,
        day: Date,
        rows: &str,
        asks: &[Ask],
        revised: &mut Revised,
    ) -> Result<(), ReviseError> {
        let mut stream = session.sql(&standing(day, rows)).await?.stream;
        let mut told = false;
        while let Some(batch) = stream.try_next().await.map_err(QueryError::from)? {
            if !told {
                self.attributor.tell_of(day, &self.lake).await?;
                told = true;
            }
            let stored = Stored::of(batch)?;
            self.attributor.tie(&stored.batch);
            let organization = self.settings.organization.as_deref();
            let engine = &self.attributor.engine;
            let rows: Vec<usize> = (0..stored.batch.num_rows()).collect();
            let decided = tokio::task::block_in_place(|| {
                in_parts(&rows, |rows| {
                    let mut decided = Decided::default();
                    for row in rows {
                        stored.again(*row, asks, organization, |event, old, why| {
                            decided.rows.revision(event, &engine.decide(event), now(), old, why);
                            decided.looked_at.push((*row as u32, why));
                        });
                    }
                    decided
                })
            });
            self.keep(&stored, decided, revised).await?;
        }
        Ok(())
    }

    /// Commits the revisions that say something else than what stands.
    async fn keep(
        &self,
        stored: &Stored,
        decided: Vec<Decided>,
        revised: &mut Revised,
    ) -> Result<(), ReviseError> {
        let (parts, looked_at): (Vec<_>, Vec<_>) = decided.into_iter().map(|d| (d.rows, d.looked_at)).unzip();
        let looked_at = looked_at.concat();
        revised.looked_at += looked_at.len() as u64;
        let Some(all) = RowSet::default().finish(parts).pop() else { return Ok(()) };
        let rows: UInt32Array = looked_at.iter().map(|(row, _)| *row).collect();
        let old = take_record_batch(&stored.batch, &rows).map_err(columns)?;
        let fresh = differing(&old, &all.batch).map_err(columns)?;
        if fresh.is_empty() {
            return Ok(());
        }
        revised.changed += fresh.len() as u64;
        for row in fresh.iter().take(TOLD.saturating_sub(revised.changes.len())) {
            revised.changes.push(change(&old, &all, *row, looked_at[*row].1)?);
        }
        self.lake.commit(&self.writer, vec![all.only(&fresh)]).await?;
        Ok(())
    }
}

/// Events decided again by one thread, in the order of their rows.
#[derive(Default)]
struct Decided {
    rows: RowSet,
    /// The row, and why it was looked at.
    looked_at: Vec<(u32, &'static str)>,
}

/// The events of a day with the verdicts that stand, of these rows of `lake.events e`.
fn standing(day: Date, rows: &str) -> String {
    let verdict: Vec<String> = VERDICT
        .iter()
        .map(|name| format!("case when r.event_id is null then e.{name} else r.{name} end as {name}"))
        .collect();
    let record: Vec<String> = RECORD.iter().map(|(_, column)| format!("e.{column}")).collect();
    format!(
        "select {record}, {verdict}, e.raw, e.observed, coalesce(r.revision, 0) as revision, e.writer, e.seq, e.known \
         from ( \
           select * from ( \
             select *, row_number() over (partition by event_id order by revision desc) as nth \
             from lake.revisions where date = '{day}' \
           ) where nth = 1 \
         ) r right join lake.events e on r.event_id = e.event_id where e.date = '{day}' and ({rows})",
        record = record.join(", "),
        verdict = verdict.join(", "),
    )
}

/// Stored events with the verdicts that stand.
struct Stored {
    batch: RecordBatch,
    texts: [usize; 5],
    agent_id: usize,
    run_id: usize,
    provisional: usize,
    observed: usize,
    revision: usize,
}

impl Stored {
    fn of(batch: RecordBatch) -> Result<Stored, ReviseError> {
        let schema = batch.schema();
        let at = |name: &str| schema.index_of(name).map_err(columns);
        Ok(Stored {
            texts: [at("raw")?, at("executor")?, at("grade")?, at("agent_name")?, at("run_kind")?],
            agent_id: at("agent_id")?,
            run_id: at("run_id")?,
            provisional: at("provisional")?,
            observed: at("observed")?,
            revision: at("revision")?,
            batch,
        })
    }

    fn text(&self, column: usize, row: usize) -> Option<&str> {
        let column = self.batch.column(column).as_string_opt::<i32>()?;
        column.is_valid(row).then(|| column.value(row))
    }

    fn bigint(&self, column: usize, row: usize) -> Option<i64> {
        let column = self.batch.column(column).as_primitive_opt::<Int64Type>()?;
        column.is_valid(row).then(|| column.value(row))
    }

    /// Gives the event of a row, what stands of its verdict, and why that may change, when it may.
    fn again(
        &self,
        row: usize,
        asks: &[Ask],
        organization: Option<&str>,
        each: impl FnOnce(&Event<'_>, &Old<'_>, &'static str),
    ) {
        let asks: Vec<&Ask> =
            asks.iter().filter(|a| a.touched.tellers().bear_on(stamp(&self.batch, row, a.seen))).collect();
        if asks.is_empty() {
            return;
        }
        let [raw, executor, grade, agent_name, run_kind] = self.texts.map(|column| self.text(column, row));
        let agent_id = self.bigint(self.agent_id, row);
        let standing = Standing {
            agent_id,
            run_id: self.bigint(self.run_id, row),
            run_kind,
            provisional: self.batch.column(self.provisional).as_boolean().value(row),
        };
        let observed = self.batch.column(self.observed).as_primitive::<TimestampMicrosecondType>().value(row);
        let delivery = Delivery {
            observed: Time::from_unix_micros(observed),
            url: None,
            organization,
            limits: Limits::default(),
        };
        let decide = |event: &Event<'_>| {
            let why = |ask: &&Ask| ask.touched.why(event, stamp(&self.batch, row, ask.seen), &standing);
            if let Some(why) = asks.iter().find_map(why) {
                let revision = self.bigint(self.revision, row).unwrap_or(0);
                each(event, &Old { revision, executor, grade, agent_id, agent_name }, why);
            }
        };
        let raw = raw.unwrap_or_default().as_bytes();
        if let [event] = decode(raw, &delivery).events.as_slice() {
            return decide(event);
        }
        // A line of a CSV export is no record without its header: what the columns say is.
        let json = self.record(row);
        if let [event] = decode(json.as_bytes(), &delivery).events.as_slice() {
            decide(&Event { raw: raw.into(), hash: RecordHash::of(raw), ..event.clone() });
        }
    }

    /// The record of a row as its columns say it.
    fn record(&self, row: usize) -> String {
        let objects = objects_of(&self.batch.slice(row, 1)).unwrap_or_default();
        let Some(object) = objects.first() else { return String::new() };
        let members = RECORD
            .iter()
            .filter_map(|(name, column)| Some(((*name).to_owned(), object.get(*column)?.clone())));
        Json::Object(members.collect()).to_string()
    }
}

fn columns(error: ArrowError) -> QueryError {
    QueryError::from(DataFusionError::from(error))
}

/// The rows in which two batches say different verdicts.
fn differing(old: &RecordBatch, new: &RecordBatch) -> Result<Vec<usize>, ArrowError> {
    let mut same = vec![true; new.num_rows()];
    for name in VERDICT {
        let (old, new) = (old.column(old.schema().index_of(name)?), new.column(new.schema().index_of(name)?));
        let old = cast(old, new.data_type())?;
        if let DataType::List(_) = new.data_type() {
            let (old, new) = (without_known(&old), without_known(new));
            same.iter_mut().enumerate().for_each(|(i, s)| *s = *s && old.slice(i, 1) == new.slice(i, 1));
        } else {
            let equal: BooleanArray = not_distinct(&old, new)?;
            same.iter_mut().zip(equal.values()).for_each(|(s, equal)| *s &= equal);
        }
    }
    Ok(same.iter().enumerate().filter(|(_, same)| !**same).map(|(row, _)| row).collect())
}

/// A list without the `known` of its items: when a record was known is no part of what it says.
fn without_known(list: &ArrayRef) -> ArrayRef {
    let list = list.as_list::<i32>();
    let Some(items) = list.values().as_struct_opt() else { return Arc::new(list.clone()) };
    let (fields, arrays, nulls) = items.clone().into_parts();
    let kept = fields.iter().zip(arrays).filter(|(field, _)| field.name() != "known");
    let (fields, arrays): (Vec<_>, Vec<_>) = kept.map(|(field, array)| (field.clone(), array)).unzip();
    let items = StructArray::new(fields.into(), arrays, nulls);
    let element =
        Arc::new(datafusion::arrow::datatypes::Field::new("element", items.data_type().clone(), true));
    Arc::new(ListArray::new(element, list.offsets().clone(), Arc::new(items), list.nulls().cloned()))
}

/// One change, for people.
fn change(old: &RecordBatch, new: &Rows, row: usize, why: &str) -> Result<Change, ReviseError> {
    let one = |batch: &RecordBatch| -> Result<Object, ReviseError> {
        let objects = objects_of(&batch.slice(row, 1))?;
        Ok(objects.into_iter().next().unwrap_or_default())
    };
    let (old, new) = (one(old)?, one(&new.batch)?);
    let text = |object: &Object, name: &str| object.get(name).and_then(Json::as_str).map(str::to_owned);
    let word = |object: &Object, name: &str| text(object, name).unwrap_or_default();
    Ok(Change {
        event_id: word(&old, "event_id"),
        occurred: word(&old, "occurred"),
        action: word(&old, "action"),
        old_executor: word(&old, "executor"),
        old_grade: word(&old, "grade"),
        old_agent: text(&old, "agent_name"),
        executor: word(&new, "executor"),
        grade: word(&new, "grade"),
        agent: text(&new, "agent_name"),
        why: why.to_owned(),
    })
}
