//! Rows of `export_rejects`: what a destination refused for good, and that it took it later.

use serde_json::Value;

use super::outgoing::{Kind, Outgoing};
use crate::model::Time;
use crate::schema;
use crate::store::{Builder, RowKey, Rows};

/// A body is kept up to so many bytes.
const MOST_BODY: usize = 64 << 10;

/// Rows of items under these keys; those without a reason were taken after all.
pub(super) fn rows<'a>(
    destination: &str,
    kind: Kind,
    now: Time,
    items: impl Iterator<Item = (&'a Outgoing, &'a str, Option<&'a str>)>,
) -> Option<Rows> {
    let mut rows = Builder::new(schema::table("export_rejects")?);
    for (out, item_key, reason) in items {
        let item = &out.item;
        let (state, end) = if reason.is_some() { ("refused", "") } else { ("replayed", "/replayed") };
        let key = format!("{destination}/{item_key}{end}");
        let body = Value::Object(item.body.clone()).to_string();
        rows.text(Some(&key));
        rows.text(Some(destination));
        rows.text(Some(item_key));
        rows.text(Some(kind.name()));
        rows.text(Some(state));
        rows.time(Some(item.occurred));
        rows.text(out.organization_id.as_deref());
        rows.text(out.organization.as_deref());
        rows.text(out.project_id.as_deref());
        rows.text(out.event_id.as_deref());
        rows.text(reason);
        rows.text(reason.map(|_| &body[..body.floor_char_boundary(MOST_BODY)]));
        rows.time(Some(now));
        rows.end_row(RowKey::new(&key), Some(item.occurred.date()));
    }
    rows.finish()
}
