//! What came since the last look, and which verdicts were given without it.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::arrow::array::{Array as _, AsArray as _, RecordBatch};
use datafusion::arrow::datatypes::{Date32Type, Int64Type, TimestampMicrosecondType};
use futures::TryStreamExt as _;
use serde::{Deserialize, Serialize};

use super::super::Settings;
use super::super::stored::records;
use super::{ReviseError, pairs};
use crate::attribute::{EVER, PoolsHeard, Stamp, Tellers, Touched};
use crate::model::{Date, Time};
use crate::query::quoted;
use crate::query::{QueryError, Session};
use crate::schema::{DataFile, FileSet, Value};
use crate::store::Lake;

/// Up to where records and verdicts were looked at. `known` rises from commit to commit of a table, so
/// one moment says it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// The newest `known` in microseconds: of verdicts as `events`, of what events tell of the world as
    /// `telling`, of facts as `facts`.
    known: BTreeMap<String, i64>,
    /// Until when lists of pools were heard, in ticks.
    pools_heard: BTreeMap<String, i64>,
    pub projects: Projects,
}

/// By organisation and name of a project the ids that the name stood for, and when an event last paired them.
pub type Projects = BTreeMap<String, Ids>;

#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written")]
pub struct Ids(pub BTreeMap<String, i64>);

/// Lakes of before kept the newest id only.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    All(BTreeMap<String, i64>),
    Newest(i64, String),
}

impl From<Written> for Ids {
    fn from(written: Written) -> Ids {
        match written {
            Written::All(ids) => Ids(ids),
            Written::Newest(at, id) => Ids(BTreeMap::from([(id, at)])),
        }
    }
}

/// A commit is named in the log within this span after the time it says.
const NAMED_WITHIN_MICROS: i64 = 60_000_000;
/// Events that tell of the world what verdicts on others depend on.
const TELLING: &str = "(action like 'Library.Agent%' or action like 'Token.%')";

/// Verdicts that leave open which agent it was, where one may have been.
const OPEN: &str = "case when r.event_id is null then e.agent_id is null and e.executor not in ('human', 'service') \
     else r.agent_id is null and r.executor not in ('human', 'service') end";

/// Verdicts to look at for one kind of record.
pub(super) struct Ask {
    pub touched: Touched,
    /// Verdicts committed later were not looked at before, in microseconds.
    pub seen: i64,
    /// The verdicts that were given without them, as a predicate over `lake.events e`.
    rows: String,
    /// The events that name what they describe, whenever they occurred.
    named: Option<String>,
    /// The revisions that do, as a predicate over `lake.revisions r`.
    renamed: Option<String>,
}

impl Ask {
    /// `seen` is until when verdicts were looked at, in microseconds.
    pub fn new(touched: Touched, seen: i64) -> Ask {
        let names = touched.names();
        let among = |column: &str, texts: &BTreeSet<String>| {
            let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
            (!texts.is_empty()).then(|| format!("{column} in ({})", texts.join(",")))
        };
        let of = |alias: &str| agents_of(alias, &names.agents);
        let identities = ["actor_client_id", "authorization_id", "actor_id", "actor_cuid"]
            .map(|column| among(&format!("e.{column}"), &names.identities));
        let first = names.addresses.values().min();
        let ips = names.addresses.keys().cloned().collect();
        let addresses = among("e.ip", &ips).zip(first).map(|(ips, first)| {
            let since = at((*first - touched.tolerance().clock).unix_micros());
            // Of others the address says nothing.
            format!("({ips} and e.occurred >= {since} and e.actor_kind in ('user', 'application'))")
        });
        let home = "split_part(e.actor_name, ' Build Service (', 1)";
        let projects = among(home, &names.projects)
            .map(|home| format!("({home} and e.actor_kind = 'project_build_service')"));
        let named: Vec<String> = [of("e"), among("e.correlation_id", &names.correlations)]
            .into_iter()
            .chain(identities)
            .flatten()
            .chain(addresses)
            .chain(projects)
            .collect();
        let named = (!named.is_empty()).then(|| named.join(" or "));
        let rows = given_without(touched.tellers(), seen);
        Ask { seen, rows, named, renamed: of("r"), touched }
    }

    /// The days of events that name what the records describe.
    pub async fn elsewhere(&self, session: &Session) -> Result<Vec<Date>, ReviseError> {
        let days_of =
            |table: &str, named: &str| format!("select distinct date from lake.{table} where {named}");
        let events =
            self.named.as_ref().map(|named| days_of("events e", &format!("{} and ({named})", self.rows)));
        let revisions = self.renamed.as_ref().map(|named| days_of("revisions r", named));
        let mut days = Vec::new();
        for sql in events.into_iter().chain(revisions) {
            for batch in rows(session, &sql).await? {
                days.extend(batch.column(0).as_primitive::<Date32Type>().iter().flatten().map(Date));
            }
        }
        Ok(days)
    }

    /// Which verdicts of a day may change; `elsewhere` are the days of events that name something.
    pub fn of_day(&self, day: Date, elsewhere: &[Date]) -> Option<String> {
        let rows = &self.rows;
        let mut some = Vec::new();
        if self.touched.day(day) {
            if !self.touched.only_provisional(day) {
                return Some(rows.clone());
            }
            some.push("case when r.event_id is null then e.provisional else r.provisional end");
        }
        if self.touched.open(day) {
            some.push(OPEN);
        }
        if elsewhere.contains(&day) {
            some.extend([&self.named, &self.renamed].into_iter().flatten().map(String::as_str));
        }
        (!some.is_empty()).then(|| format!("({rows} and ({}))", some.join(" or ")))
    }
}

/// What a look is about, and where the next one begins.
pub(super) struct News {
    pub asks: Vec<Ask>,
    pub cursor: Cursor,
    /// Whether there is more to look at from there.
    pub more: bool,
}

/// Reads what was committed since the last look, of the records so many as one look may hold.
pub(super) async fn read(
    session: &Session,
    lake: &Lake,
    settings: &Settings,
    old: &Cursor,
) -> Result<News, ReviseError> {
    let seen = |what: &str| old.known.get(what).copied();
    let (facts, events) = (seen("facts").unwrap_or_default(), seen("events").unwrap_or_default());
    // Lakes of before count both as one.
    let telling = seen("telling").unwrap_or(events);
    let mut cursor = old.clone();
    let newest = format!("select max(known) from lake.events where known > {}", at(events));
    if let Some(newest) = micros(session, &newest).await? {
        cursor.known.insert("events".to_owned(), newest);
    }
    let mut more = false;
    // A verdict that came since may have been given before what was looked at already: without it.
    let sql = format!("select min(decided) from lake.events where known > {}", at(events));
    let since = micros(session, &sql).await?.map(|first| first - NAMED_WITHIN_MICROS).unwrap_or(i64::MAX);
    let mut asks = Vec::new();
    for (what, table, url, key, telling, seen) in [
        ("facts", "facts", "url", "key", "true", facts),
        ("telling", "events", "cast(null as varchar)", "event_id", TELLING, telling),
    ] {
        let news = format!("{telling} and known > {}", at(seen));
        let (until, rest) = up_to(session, table, &news, settings.max_news).await?;
        more |= rest;
        let until = until.unwrap_or(seen);
        cursor.known.insert(what.to_owned(), until);
        let matching = format!("{telling} and known > {} and known <= {}", at(since.min(seen)), at(until));
        let tellers = tellers(session, table, &matching, seen).await?;
        let verdicts = lake.files("events");
        if !verdicts.files.iter().any(|file| bear_on(&tellers, &verdicts, file, events)) {
            continue;
        }
        let pools_heard = old.pools_heard.iter().map(|(name, until)| (name.clone(), Time(*until)));
        let mut touched = Touched::new(settings.tolerance, pools_heard.collect());
        let sql = format!(
            "select {url}, observed, raw, {key}, writer, seq, known from lake.{table} where {matching}"
        );
        records(session, &sql, settings.organization.as_deref(), |decoded, (batch, row)| {
            let stamp = stamp(batch, row, seen);
            decoded.facts.iter().for_each(|fact| touched.fact(fact, stamp));
            decoded.events.iter().for_each(|event| touched.event(event, stamp));
        })
        .await?;
        pairs::sightings(session, since.min(facts), &mut touched).await?;
        let pools_heard = touched.pools_heard().iter().map(|(name, until)| (name.clone(), until.0));
        cursor.pools_heard.extend(pools_heard);
        if !touched.is_empty() {
            asks.push(Ask::new(touched, events));
        }
    }
    let mut touched = Touched::new(settings.tolerance, PoolsHeard::new());
    pairs::correlations(session, since.min(events), &mut touched).await?;
    pairs::pools(session, events, &mut touched).await?;
    let until = cursor.known.get("facts").copied().filter(|_| more);
    pairs::timelines(session, (since.min(facts), until), facts, &mut touched).await?;
    pairs::projects(session, since.min(events), events, &mut cursor.projects, &mut touched).await?;
    if !touched.is_empty() {
        asks.push(Ask::new(touched, events));
    }
    Ok(News { asks, cursor, more })
}

/// The commit up to which news are at most so many, or are of one commit; and whether there are later ones.
async fn up_to(
    session: &Session,
    table: &str,
    news: &str,
    most: usize,
) -> Result<(Option<i64>, bool), ReviseError> {
    let sql = format!("select known, count(*) from lake.{table} where {news} group by known order by known");
    let (mut until, mut count) = (None, 0);
    for batch in rows(session, &sql).await? {
        let known = batch.column(0).as_primitive::<TimestampMicrosecondType>();
        let rows = batch.column(1).as_primitive::<Int64Type>();
        for (known, rows) in known.values().iter().zip(rows.values()) {
            count += *rows as usize;
            if until.is_some() && count > most {
                return Ok((until, true));
            }
            until = Some(*known);
        }
    }
    Ok((until, false))
}

/// The commit of a row whose `writer`, `seq` and `known` are the last columns.
pub(super) fn stamp(batch: &RecordBatch, row: usize, seen: i64) -> Stamp<'_> {
    let column = |back: usize| batch.column(batch.num_columns() - back);
    Stamp {
        writer: column(3).as_string::<i32>().value(row),
        seq: column(2).as_primitive::<Int64Type>().value(row),
        news: column(1).as_primitive::<TimestampMicrosecondType>().value(row) > seen,
    }
}

/// Who committed the rows of a table that match.
async fn tellers(session: &Session, table: &str, matching: &str, seen: i64) -> Result<Tellers, ReviseError> {
    let news = format!("known > {}", at(seen));
    let sql = format!(
        "select writer, max(seq), max(known) from lake.{table} where {matching} group by writer, {news}"
    );
    let mut tellers = Tellers::default();
    for batch in rows(session, &sql).await? {
        (0..batch.num_rows()).for_each(|row| tellers.tell(stamp(&batch, row, seen)));
    }
    Ok(tellers)
}

async fn micros(session: &Session, sql: &str) -> Result<Option<i64>, ReviseError> {
    let batches = rows(session, sql).await?;
    let first = batches.first().map(|b| b.column(0).as_primitive::<TimestampMicrosecondType>());
    Ok(first.filter(|c| !c.is_empty() && c.is_valid(0)).map(|c| c.value(0)))
}

pub(super) async fn rows(session: &Session, sql: &str) -> Result<Vec<RecordBatch>, ReviseError> {
    let stream = session.sql(sql).await?.stream;
    Ok(stream.try_collect().await.map_err(QueryError::from)?)
}

/// A moment in microseconds, as SQL.
pub(super) fn at(micros: i64) -> String {
    // Times that a text cannot say are before or after everything.
    const FIRST: i64 = 0;
    const LAST: i64 = 253_402_300_799_000_000;
    format!("timestamp '{}'", Time::from_unix_micros(micros.clamp(FIRST, LAST)))
}

/// Rows of what agents did since something was told of them: of few from that moment on, of many from
/// the first such moment.
fn agents_of(alias: &str, agents: &BTreeMap<i64, Time>) -> Option<String> {
    let (ever, since): (Vec<_>, Vec<_>) = agents.iter().partition(|(_, since)| **since == EVER);
    let among = |agents: &[(&i64, &Time)]| {
        let ids: Vec<String> = agents.iter().map(|(agent, _)| agent.to_string()).collect();
        (!ids.is_empty()).then(|| format!("{alias}.agent_id in ({})", ids.join(",")))
    };
    let first = since.iter().map(|(_, since)| **since).min();
    let since = among(&since)
        .zip(first)
        .map(|(agents, first)| format!("({agents} and {alias}.occurred >= {})", at(first.unix_micros())));
    let all: Vec<String> = among(&ever).into_iter().chain(since).collect();
    (!all.is_empty()).then(|| all.join(" or "))
}

/// The stored verdicts that were given without something told, as a predicate.
fn given_without(tellers: &Tellers, seen: i64) -> String {
    let side = |news: bool| {
        let mut some = tellers.each().filter(|stamp| stamp.news == news);
        match (some.next(), some.next()) {
            (None, _) => None,
            (Some(Stamp { writer, seq, .. }), None) => {
                Some(format!("not (e.writer = {} and e.seq >= {seq})", quoted(writer)))
            }
            _ => Some("true".to_owned()),
        }
    };
    let news = side(true);
    let again = side(false).map(|rows| format!("({rows} and e.known > {})", at(seen)));
    let all: Vec<String> = news.into_iter().chain(again).collect();
    if all.is_empty() { "false".to_owned() } else { format!("({})", all.join(" or ")) }
}

/// Whether a file of events may hold a verdict that was given without something told.
fn bear_on(tellers: &Tellers, set: &FileSet, file: &DataFile, seen: i64) -> bool {
    let range = |name: &str| {
        let (column, _) = set.table.column(name)?;
        file.ranges.iter().find(|r| r.column == column)
    };
    let (Some(writer), Some(seq), Some(known)) = (range("writer"), range("seq"), range("known")) else {
        return tellers.each().next().is_some();
    };
    let news = !matches!(&known.max, Some(Value::Timestamp(max)) if *max <= seen);
    match (&writer.min, &writer.max, &seq.min) {
        (Some(Value::Text(first)), Some(Value::Text(last)), Some(Value::Bigint(seq))) if first == last => {
            tellers.bear_on(Stamp { writer: first, seq: *seq, news })
        }
        _ => tellers.each().any(|told| told.news || news),
    }
}
