//! A raw record, as it was sent; for whom it is masked, that is said.

use std::sync::Arc;

use axum::extract::State;

use super::ask::{Ask, Rows};
use super::html::{Html, html};
use super::layout::{Page, page};
use super::table::{Source, downloads, facts_of, text};
use super::{DOOR, Failed, Visitor, unknown};
use crate::query::{QueryError, Session};
use crate::serve::http::Desk;
use crate::serve::http::problem::At;

/// The longest record that a page shows; longer ones can be had as a file.
const MOST_TEXT: usize = 200_000;

const RECORD: &str = "
    select 'audit event' as kind, event_id, null as key, occurred, observed, coalesce(organization, organization_id) as organization,
      null as url, record_hash, raw from lake.events where record_hash = $hash
    union all
    select kind, null, key, occurred, observed, coalesce(organization, organization_id), url, record_hash, raw
    from lake.facts where record_hash = $hash";

async fn see(session: &Session, ask: &Ask) -> Result<Rows, QueryError> {
    ask.most(session, 5).await
}

pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    Visitor(signed): Visitor,
    At(hash): At<String>,
) -> Result<Page, Failed> {
    let ask = Ask::new(RECORD).text("hash", &hash.to_ascii_lowercase());
    let own = ask.clone();
    let work = desk
        .work(&signed, DOOR, format!("page record {hash}"), async move |session| see(&session, &own).await);
    let seen = work.await?;
    if seen.rows.is_empty() {
        return Err(unknown("the record", &hash));
    }
    let masked = signed.person.scope.masked;
    let parts: Html = seen
        .rows
        .iter()
        .map(|row| {
            let raw = text(row, "raw");
            let shown = match raw.is_empty() {
                true if masked => html!(
                    "<p class=\"notice\">The record itself is masked for the role <b>reader</b>: it can name secrets. An analyst can open it.</p>"
                ),
                true => html!("<p class=\"empty\">The record is empty.</p>"),
                false => html!("<pre class=\"raw\" tabindex=\"0\" role=\"region\" aria-label=\"The record as it was sent\"><code>{}</code></pre>", indented(&raw)),
            };
            let known = facts_of(row, &["kind", "event_id", "key", "occurred", "observed", "organization", "url", "record_hash"]);
            html!("<section>{}{}</section>", known, shown)
        })
        .collect();
    let main = html!(
        "<p class=\"over\">Record</p><h1 class=\"id\">{}...</h1>{}{}",
        hash.get(..16).unwrap_or(&hash),
        downloads("Record", &seen, &Source::Ask(&ask)),
        parts
    );
    Ok(page(&signed.person, "Record", "/search", "", main))
}

/// JSON with its members below each other; what is none as it is.
fn indented(raw: &str) -> String {
    let value = serde_json::from_str::<serde_json::Value>(raw);
    let text = value.ok().and_then(|value| serde_json::to_string_pretty(&value).ok());
    let text = text.unwrap_or_else(|| raw.to_owned());
    match text.char_indices().nth(MOST_TEXT) {
        None => text,
        Some((at, _)) => format!("{}\n... cut; download it to have all", &text[..at]),
    }
}
