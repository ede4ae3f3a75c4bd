//! Rows of `rejects`, and the finding that an event id came twice with different contents.

use std::borrow::Cow;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;

use crate::model::{Reason, RecordHash, Reject, Time};
use crate::source::Payload;
use crate::store::{Builder, Cell, RowKey};

/// A payload as `rejects` keeps it.
pub(in crate::pipeline) struct Refusal<'a> {
    pub hash: RecordHash,
    pub reason: Reason,
    pub says: Cow<'a, str>,
    /// Source partition, for example `webhook/hec`.
    pub source: &'a str,
    pub position: u64,
    pub observed: Time,
    /// Of an id conflict: the event already stored.
    pub event_id: Option<&'a str>,
    pub raw: &'a [u8],
}

impl<'a> Refusal<'a> {
    pub fn of(reject: &'a Reject<'_>, payload: &'a Payload) -> Refusal<'a> {
        Refusal {
            hash: reject.hash,
            reason: reject.reason,
            says: with_about(&reject.says, payload),
            source: &payload.source,
            position: reject.position,
            observed: reject.observed,
            event_id: None,
            raw: &reject.raw,
        }
    }
}

/// What was wrong, and behind it what came with the payload: a message says nowhere else which one it was.
/// The released schema has no column for that.
pub(in crate::pipeline) fn with_about<'a>(says: &'a str, payload: &Payload) -> Cow<'a, str> {
    match &payload.about {
        Some(about) => format!("{says}; it came with {}", about.json()).into(),
        None => says.into(),
    }
}

/// An event whose id was stored before with another time, action or actor.
pub(in crate::pipeline) struct Conflict {
    event_id: String,
    occurred: Time,
    observed: Time,
    organization_id: Option<String>,
    organization: Option<String>,
    project_id: Option<String>,
    raw: Vec<u8>,
    hash: RecordHash,
}

impl Conflict {
    pub fn refusal(&self) -> Refusal<'_> {
        Refusal {
            hash: self.hash,
            reason: Reason::IdConflict,
            says: "an event of this id is stored already with another time, action or actor".into(),
            source: "",
            position: 0,
            observed: self.observed,
            event_id: Some(&self.event_id),
            raw: &self.raw,
        }
    }
}

/// The conflicts among the rows of an `events` batch.
pub(in crate::pipeline) fn conflicts(batch: &RecordBatch, rows: &[usize]) -> Vec<Conflict> {
    let text = |row: usize, name: &str| {
        let column = batch.column_by_name(name)?.as_string_opt::<i32>()?;
        column.is_valid(row).then(|| column.value(row).to_owned())
    };
    let time = |row: usize, name: &str| {
        let column = batch.column_by_name(name)?.as_primitive_opt::<TimestampMicrosecondType>()?;
        Some(Time::from_unix_micros(column.value(row)))
    };
    rows.iter()
        .map(|&row| {
            let raw = text(row, "raw").unwrap_or_default().into_bytes();
            Conflict {
                event_id: text(row, "event_id").unwrap_or_default(),
                occurred: time(row, "occurred").unwrap_or_default(),
                observed: time(row, "observed").unwrap_or_default(),
                organization_id: text(row, "organization_id"),
                organization: text(row, "organization"),
                project_id: text(row, "project_id"),
                hash: RecordHash::of(&raw),
                raw,
            }
        })
        .collect()
}

pub(super) fn reject(row: &mut Builder, refusal: &Refusal<'_>) {
    row.hash(&refusal.hash);
    row.text(Some(refusal.reason.as_str()));
    row.text(Some(&refusal.says));
    row.text(Some(refusal.source));
    row.int(i64::try_from(refusal.position).ok());
    row.time(Some(refusal.observed));
    row.text(refusal.event_id);
    row.bytes(Some(refusal.raw));
    row.end_row(RowKey::new(&refusal.hash.to_string()), None);
}

pub(super) fn finding(row: &mut Builder, conflict: &Conflict) {
    let key = format!("id_conflict/{}/{}", conflict.event_id, conflict.hash);
    row.text(Some(&key));
    row.text(Some("id_conflict"));
    row.text(Some("high"));
    row.text(Some("an audit event id came twice with different contents"));
    row.time(Some(conflict.occurred));
    row.text(conflict.organization_id.as_deref());
    row.text(conflict.organization.as_deref());
    row.text(conflict.project_id.as_deref());
    row.text(Some(&conflict.event_id));
    row.int(None);
    row.text(None);
    row.text(Some("time, action or actor differ from the stored event; the second record is in rejects"));
    row.hash(&conflict.hash);
    row.text(Some(&key));
    row.int(Some(0));
    row.text(Some("open"));
    row.text(Some(&format!("event {}", conflict.event_id)));
    row.texts(std::iter::once(conflict.event_id.as_str()));
    (0..2).for_each(|_| row.texts(std::iter::empty()));
    (0..2).for_each(|_| row.text(None));
    row.int(None);
    (0..3).for_each(|_| row.text(None));
    row.int(None);
    row.text(None);
    row.items(std::iter::empty::<[Cell<'_>; 4]>());
    row.end_row(RowKey::new(&key), Some(conflict.occurred.date()));
}
