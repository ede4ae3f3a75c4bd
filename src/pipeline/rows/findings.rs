//! Rows of `findings` that detections write.

use serde_json::Value as Json;

use crate::model::Time;
use crate::query::Object;
use crate::store::{Builder, Cell, RowKey};

/// A finding in one of its states.
pub(in crate::pipeline) struct Finding<'f> {
    pub key: &'f str,
    pub revision: i64,
    pub status: &'f str,
    pub occurred: Time,
    /// Of what it tells.
    pub digest: &'f str,
    /// Its other columns, by name.
    pub row: &'f Object,
}

/// Appends the row of `finding`.
pub(super) fn append(row: &mut Builder, finding: &Finding<'_>) {
    let json = |name: &str| finding.row.get(name);
    let text = |name: &str| json(name).and_then(Json::as_str);
    let int = |name: &str| json(name).and_then(Json::as_i64);
    let texts = |name: &str| {
        json(name).and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).collect::<Vec<_>>()
    };
    // The same state written again, after a crash or by another process, is the same row.
    let key = match finding.revision {
        0 => finding.key.to_owned(),
        n => format!("{}#{n}/{}/{}", finding.key, finding.status, finding.digest),
    };
    row.text(Some(&key));
    row.text(text("detection"));
    row.text(text("severity"));
    row.text(text("title"));
    row.time(Some(finding.occurred));
    row.text(text("organization_id"));
    row.text(text("organization"));
    row.text(text("project_id"));
    row.text(text("event_id"));
    row.int(int("agent_id"));
    row.text(text("agent_name"));
    row.text(text("says"));
    row.text(text("record_hash"));
    row.text(Some(finding.key));
    row.int(Some(finding.revision));
    row.text(Some(finding.status));
    row.text(text("subject"));
    row.texts(texts("events").into_iter());
    row.texts(texts("attack").into_iter());
    row.texts(texts("owasp").into_iter());
    row.text(text("executor"));
    row.text(text("grade"));
    row.int(int("pool_id"));
    row.text(text("pool_name"));
    row.text(text("machine"));
    row.text(text("job_id"));
    row.int(int("run_id"));
    row.text(text("run_kind"));
    let evidence = json("evidence").and_then(Json::as_array);
    row.items(evidence.into_iter().flatten().map(|item| {
        let text = |name: &str| Cell::Text(item.get(name).and_then(Json::as_str));
        let known = item.get("known").and_then(Json::as_str).and_then(Time::parse);
        [text("kind"), text("record"), text("says"), Cell::Time(known)]
    }));
    row.end_row(RowKey::new(&key), Some(finding.occurred.date()));
}
