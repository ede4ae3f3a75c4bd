//! One run of a rule over a span: what it finds, with the verdict and evidence of the record that completes it,
//! and what is stored of it already.

use std::collections::{BTreeMap, BTreeSet};

use futures::TryStreamExt as _;
use serde_json::Value as Json;

use super::DetectError;
use super::judge::{Found, Status, Stored};
use super::rule::Rule;
use crate::model::{Ticks, Time};
use crate::query::quoted;
use crate::query::{Object, QueryError, Session, objects_of};

/// Findings of one run; a rule that finds more is no detection.
const MOST: usize = 100_000;
/// Ids asked for at a time.
const AT_ONCE: usize = 500;
/// What a finding has of the verdict on its record.
const VERDICT: [&str; 12] = [
    "executor",
    "grade",
    "agent_id",
    "agent_name",
    "pool_id",
    "pool_name",
    "machine",
    "job_id",
    "run_id",
    "run_kind",
    "evidence",
    "record_hash",
];

/// Has the view `heard`, which reads the whole lake, answered once for all rules that are run in a session.
pub(super) async fn lend_heard<'r>(session: &Session, mut rules: impl Iterator<Item = &'r Rule>) {
    const HEARD: &str = "heard";
    if !rules.any(|rule| rule.detection.reads.iter().any(|name| name == HEARD)) {
        return;
    }
    let lent = async {
        let answer = session.sql(&format!("select * from {HEARD}")).await?;
        let schema = answer.schema.clone();
        session.lend(HEARD, schema, answer.stream.try_collect().await?)
    };
    // The rules ask for themselves then, and tell why that failed.
    if let Err(error) = lent.await {
        tracing::debug!(%error, "the view is read anew by each detection");
    }
}

/// What a rule finds whose `occurred` is in a span, each once.
pub(super) async fn found(
    session: &Session,
    rule: &Rule,
    (from, until): (Time, Time),
) -> Result<Vec<Found>, DetectError> {
    let mut answer = session.found(&rule.detection.sql, &rule.params, from, until, MOST + 1).await?;
    let mut by_key: BTreeMap<String, Found> = BTreeMap::new();
    let mut count = 0;
    while let Some(batch) = answer.stream.try_next().await.map_err(QueryError::from)? {
        count += batch.num_rows();
        if count > MOST {
            return Err(DetectError::TooMany(MOST));
        }
        for row in objects_of(&batch)? {
            let Some(found) = one(rule, row) else { continue };
            if found.at < from || found.at >= until {
                continue;
            }
            // Which of two rows about the same is kept must not depend on their order.
            match by_key.get(&found.key) {
                Some(other) if other.digest() <= found.digest() => {}
                _ => drop(by_key.insert(found.key.clone(), found)),
            }
        }
    }
    let mut all: Vec<Found> = by_key.into_values().collect();
    // A lone record may be long before what makes it a finding.
    let around = (from - rule.window() - Ticks::days(1), until + rule.window() + Ticks::days(1));
    for some in all.chunks_mut(AT_ONCE) {
        let ids: BTreeSet<String> = some.iter().filter_map(|f| text(&f.row, "event_id")).collect();
        let verdicts = verdicts(session, &ids, around).await?;
        for found in some {
            let verdict = text(&found.row, "event_id").and_then(|id| verdicts.get(&id));
            for name in VERDICT {
                let own = found.row.get(name).filter(|own| !own.is_null());
                let value = own.or_else(|| verdict?.get(name)).cloned().unwrap_or(Json::Null);
                found.row.insert(name.to_owned(), value);
            }
        }
    }
    Ok(all)
}

/// A row of a rule as a finding; one without a subject or a time is none.
fn one(rule: &Rule, mut row: Object) -> Option<Found> {
    let subject = text(&row, "subject")?;
    let at = moment(&row, "occurred")?;
    let organization =
        text(&row, "organization_id").or_else(|| text(&row, "organization")).unwrap_or_default();
    let completed_by = text(&row, "event_id").unwrap_or_else(|| at.brief());
    let key = format!("{}/{organization}/{subject}/{completed_by}", rule.name());
    let own = &rule.detection;
    if rule.severity.is_some() || text(&row, "severity").is_none() {
        row.insert("severity".to_owned(), rule.severity().into());
    }
    row.insert("detection".to_owned(), own.name.clone().into());
    row.insert("title".to_owned(), own.title.clone().into());
    row.insert("attack".to_owned(), own.attack.clone().into());
    row.insert("owasp".to_owned(), own.owasp.clone().into());
    Some(Found { key, about: (organization, subject), at, row })
}

pub(super) fn text(row: &Object, name: &str) -> Option<String> {
    row.get(name).and_then(Json::as_str).map(str::to_owned)
}

pub(super) fn moment(row: &Object, name: &str) -> Option<Time> {
    row.get(name).and_then(Json::as_str).and_then(Time::parse).map(Time::to_micros)
}

fn among(ids: &BTreeSet<String>) -> String {
    ids.iter().map(|id| quoted(id)).collect::<Vec<_>>().join(", ")
}

fn days((from, until): (Time, Time)) -> String {
    // A date that no calendar has is before or after everything.
    let (first, last) = (from.max(Time(0)).date(), until.min(Time(2_534_023_007_990_000_000)).date());
    format!("date >= date '{first}' and date <= date '{last}'")
}

/// The verdicts that stand, by id of the event.
async fn verdicts(
    session: &Session,
    ids: &BTreeSet<String>,
    around: (Time, Time),
) -> Result<BTreeMap<String, Object>, DetectError> {
    let mut out = BTreeMap::new();
    if ids.is_empty() {
        return Ok(out);
    }
    let (ids, days) = (among(ids), days(around));
    let first = format!(
        "select event_id, {} from lake.events where event_id in ({ids}) and {days}",
        VERDICT.join(", ")
    );
    let newest = format!(
        "select * from (select event_id, {}, row_number() over (partition by event_id order by revision desc) as nth \
         from lake.revisions where event_id in ({ids}) and {days}) where nth = 1",
        VERDICT.join(", ")
    );
    for sql in [first, newest] {
        for row in session.objects(&sql).await? {
            if let Some(id) = text(&row, "event_id") {
                out.insert(id, row);
            }
        }
    }
    Ok(out)
}

/// The findings of a rule that are stored, in their newest state; of a span, or of all times.
pub(super) async fn stored(
    session: &Session,
    rule: &Rule,
    span: Option<(Time, Time)>,
) -> Result<Vec<Stored>, DetectError> {
    let days = span.map_or("true".to_owned(), days);
    let sql = format!(
        "select * from (select *, row_number() over (partition by finding order by revision desc, known desc) as nth \
         from lake.findings where detection = {} and finding is not null and {days}) where nth = 1",
        quoted(rule.name())
    );
    let one = |row: Object| {
        let organization =
            text(&row, "organization_id").or_else(|| text(&row, "organization")).unwrap_or_default();
        let found = Found {
            key: text(&row, "finding")?,
            about: (organization, text(&row, "subject").unwrap_or_default()),
            at: moment(&row, "occurred")?,
            row,
        };
        let revision = found.row.get("revision").and_then(Json::as_i64).unwrap_or_default();
        let status = Status::of(&text(&found.row, "status").unwrap_or_default());
        Some(Stored { found, revision, status })
    };
    Ok(session.objects(&sql).await?.into_iter().filter_map(one).collect())
}

/// Those of the findings that were not found again whose records are all still there: a record that the lake no
/// longer keeps disproves nothing.
pub(super) async fn disproved(
    session: &Session,
    lost: Vec<&Stored>,
) -> Result<BTreeSet<String>, DetectError> {
    let events = |own: &Stored| -> Vec<String> {
        let list = own.found.row.get("events").and_then(Json::as_array);
        list.into_iter().flatten().filter_map(|id| id.as_str().map(str::to_owned)).collect()
    };
    let mut there = BTreeSet::new();
    let wanted: Vec<String> =
        lost.iter().flat_map(|own| events(own)).collect::<BTreeSet<_>>().into_iter().collect();
    for some in wanted.chunks(AT_ONCE) {
        let ids = among(&some.iter().cloned().collect());
        let sql = format!("select event_id from lake.events where event_id in ({ids})");
        there.extend(session.objects(&sql).await?.iter().filter_map(|row| text(row, "event_id")));
    }
    let is_whole = |own: &&&Stored| events(own).iter().all(|id| there.contains(id));
    Ok(lost.iter().filter(is_whole).map(|own| own.found.key.clone()).collect())
}
