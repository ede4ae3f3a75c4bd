//! The audit log's REST API: what is new, with an overlap, and the history there is, in slices.
//!
//! Rows are kept once by key, so the overlap that finds late records costs nothing but its calls.

use std::sync::Arc;

use serde_json::Value as Json;
use tokio::sync::mpsc;

use super::rest::{Client, RestError, Service};
use super::{Payload, Position};
use crate::model::{Ticks, Time};

/// How the audit log is read.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Between two looks at what is new.
    pub every: Ticks,
    /// How far before the newest known moment each look begins: records arrive late.
    pub overlap: Ticks,
    /// How late a record may be: the log is heard only up to so long ago.
    pub lag: Ticks,
    /// How much history is fetched at first; the service keeps 90 days.
    pub backfill: Ticks,
    /// Records of a page.
    pub page: u32,
}

/// What is older the service has deleted, so it is no silence.
const KEPT: Ticks = Ticks::days(90);
/// History is fetched in slices of this length, each resumable.
const SLICE: Ticks = Ticks::days(1);

/// Reads the audit log of an organisation until `stopped` ends.
pub async fn collect<P: Fn(&str) -> Option<String>>(
    settings: &Settings,
    client: Arc<Client>,
    organization: &str,
    intake: mpsc::Sender<Payload>,
    positions: &P,
    stopped: impl Future<Output = ()>,
) -> Result<(), RestError> {
    let (client, clock) = (&client, &client.clock);
    tokio::pin!(stopped);
    let partition = format!("audit_api/{organization}");
    let saved = positions(&partition).and_then(|text| Time::parse(&text));
    let mut reached = saved.unwrap_or_else(|| clock.now() - settings.backfill);
    let mut faults = 0u32;
    loop {
        let now = clock.now();
        let overlap = settings.overlap.max(settings.lag);
        let from = (reached - overlap).max(now - KEPT);
        let until = now.min(from.max(reached) + SLICE);
        let slice = Slice { client, organization, partition: &partition, settings, intake: &intake };
        let more = tokio::select! {
            () = &mut stopped => return Ok(()),
            done = slice.take(from, until, now - settings.lag) => match done {
                Ok(()) => {
                    reached = until;
                    if std::mem::take(&mut faults) > 0 {
                        tracing::info!(organization, "the audit log is read again");
                    }
                    until + Ticks::seconds(1) < clock.now()
                }
                Err(error @ RestError::Pipeline { .. }) => return Err(error),
                Err(error) => {
                    faults += 1;
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        organization,
                        "the audit log was not read; the next look tries again"
                    );
                    false
                }
            },
        };
        if !more {
            tokio::select! {
                () = &mut stopped => return Ok(()),
                () = clock.sleep(settings.every) => {}
            }
        }
    }
}

struct Slice<'c> {
    client: &'c Client,
    organization: &'c str,
    partition: &'c str,
    settings: &'c Settings,
    intake: &'c mpsc::Sender<Payload>,
}

impl Slice<'_> {
    /// Fetches all pages of a slice, then says how far the log was heard: what is `settled`, and no
    /// further, since records of later moments may be under way.
    async fn take(&self, from: Time, until: Time, settled: Time) -> Result<(), RestError> {
        let base = self.client.url(Service::Audit, self.organization, "_apis/audit/auditlog");
        let mut token: Option<String> = None;
        loop {
            let mut url = format!(
                "{base}?startTime={from}&endTime={until}&batchSize={}&skipAggregation=true&api-version=7.1-preview.1",
                self.settings.page
            );
            if let Some(token) = &token {
                url.push_str("&continuationToken=");
                url.push_str(&super::escape(token));
            }
            let answer = self.client.get(&url).await?;
            let next = next_page(&answer.body, token.as_deref());
            // What did come is kept, even of a page that broke off.
            super::hand_over(&*self.client.clock, self.intake, answer.line, self.partition, None).await?;
            match next {
                Ok(Some(next)) => token = Some(next),
                Ok(None) => break,
                // Not heard: no coverage is claimed, and the next look begins where this one did.
                Err(says) => return Err(RestError::Body { url, says: says.to_owned() }),
            }
        }
        let heard = super::heard("audit", self.organization, None, from, until.min(settled).max(from));
        let position = Position { partition: self.partition.to_owned(), value: until.to_string() };
        let heard = heard.to_string().into();
        self.client.record(&heard).await?;
        super::hand_over(&*self.client.clock, self.intake, heard, self.partition, Some(position)).await
    }
}

/// The token of the next page: in the body, wrapped or not, as text or number; `None` at the end. A
/// page that says there is more and does not lead there is an error: its slice was not heard.
fn next_page(body: &[u8], last: Option<&str>) -> Result<Option<String>, &'static str> {
    let json: Json = serde_json::from_slice(body).unwrap_or_default();
    let page = if json.get("value").is_some_and(Json::is_object) { &json["value"] } else { &json };
    let (more, token) = if json.is_null() {
        broken_page(body)?
    } else {
        let token = match page.get("continuationToken") {
            Some(Json::String(token)) => token.clone(),
            Some(Json::Number(token)) => token.to_string(),
            _ => String::new(),
        };
        (page.get("hasMore").and_then(Json::as_bool), token)
    };
    let leads_on = !token.is_empty() && last != Some(token.as_str());
    let has_rows =
        page.get("decoratedAuditLogEntries").and_then(Json::as_array).is_some_and(|r| !r.is_empty());
    match more {
        Some(false) => Ok(None),
        // A page may be empty in the middle of the log; only a token that repeats would never end.
        Some(true) if leads_on => Ok(Some(token)),
        Some(true) => Err("there is more, but no new token leads to it; the next look tries again"),
        None => Ok((leads_on && has_rows).then_some(token)),
    }
}

/// What a body that is no JSON (an invalid escape somewhere) says of the next page near its end.
fn broken_page(body: &[u8]) -> Result<(Option<bool>, String), &'static str> {
    let text = String::from_utf8_lossy(body);
    let cut = "the page breaks off; the next look tries again";
    if !text.trim_end().ends_with('}') {
        return Err(cut);
    }
    let after = |name: &str| Some(text.rsplit_once(name)?.1.trim_start().strip_prefix(':')?.trim_start());
    let more = after("\"hasMore\"").ok_or(cut)?.starts_with("true");
    let token = after("\"continuationToken\"").unwrap_or_default();
    let token = token.trim_start_matches('"').split(['"', ',', '}']).next().unwrap_or_default().trim();
    Ok((Some(more), token.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_in_every_form() {
        let rows = r#""decoratedAuditLogEntries":[{"id":"a"}]"#;
        let next = |body: &str, last| next_page(body.as_bytes(), last).unwrap();
        let text = format!(r#"{{{rows},"continuationToken":"t1","hasMore":true}}"#);
        assert_eq!(next(&text, None).as_deref(), Some("t1"));
        assert_eq!(next(&format!(r#"{{"value":{text}}}"#), None).as_deref(), Some("t1"));
        assert_eq!(next(&text.replace("\"t1\"", "17"), None).as_deref(), Some("17"));
        assert_eq!(next(&text.replace("true", "false"), None), None);
        // An empty page in the middle of the log does not end it.
        assert_eq!(next(&text.replace("[{\"id\":\"a\"}]", "[]"), None).as_deref(), Some("t1"));
        // One bad escape does not end the log.
        assert_eq!(next(&text.replace("\"a\"", r#""C:\dir""#), None).as_deref(), Some("t1"));
    }

    #[test]
    fn a_page_that_does_not_lead_to_the_rest_is_not_the_end() {
        let rows = r#""decoratedAuditLogEntries":[{"id":"a"}]"#;
        let text = format!(r#"{{{rows},"continuationToken":"t1","hasMore":true}}"#);
        let broken = |body: &str, last| next_page(body.as_bytes(), last).is_err();
        assert!(broken(&text, Some("t1")));
        assert!(broken(&text.replace("\"t1\"", "null"), None));
        // Cut anywhere, though the connection ended as it should.
        for end in 0..text.len() {
            assert!(broken(&text[..end], None), "{}", &text[..end]);
        }
    }
}
