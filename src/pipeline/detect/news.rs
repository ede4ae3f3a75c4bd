//! What came since a detection ran last, and the spans in which it is run again.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::arrow::array::{Array as _, AsArray as _, RecordBatch};
use datafusion::arrow::datatypes::{Date32Type, TimestampMicrosecondType};
use futures::TryStreamExt as _;
use serde::{Deserialize, Serialize};

use super::super::stored::{text, time};
use super::rule::Rule;
use crate::model::{Date, Ticks, Time};
use crate::query::{QueryError, Session};
use crate::schema::{FileSet, Kind, Value, table};
use crate::store::Lake;

const PARTITION: &str = "detect";
/// Tables whose new rows are new records or verdicts.
const ACTIONS: [&str; 2] = ["events", "revisions"];
/// Columns that say when something was so, where a table has them.
const MOMENTS: [&str; 9] =
    ["occurred", "observed", "from", "until", "queued", "assigned", "received", "started", "finished"];
/// Spans so far apart are one.
const CLOSE: Ticks = Ticks::days(1);
/// Spans of one pass of one rule.
const MOST_SPANS: usize = 16;
/// One run looks at no more days than these, or four of its windows.
const PIECE_DAYS: i64 = 92;

/// Up to where each detection ran.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    pub rules: BTreeMap<String, Seen>,
}

/// Up to where one did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    /// What it was then.
    pub digest: String,
    /// The newest `known` of each table in microseconds.
    pub known: BTreeMap<String, i64>,
    /// Why it failed last, and how often since it ran well.
    #[serde(default)]
    pub failed: Option<(String, u32)>,
}

impl Cursor {
    pub fn of(lake: &Lake) -> Cursor {
        lake.position(PARTITION).and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }

    pub async fn save(&self, lake: &Lake) -> Result<(), crate::store::StoreError> {
        lake.save_position(PARTITION, &serde_json::to_string(self).unwrap_or_default()).await
    }

    /// Whether a rule never ran, or was another one then.
    pub fn is_other(&self, rule: &Rule) -> bool {
        self.seen(rule).is_none()
    }

    /// Up to where a rule ran, if it was the same rule.
    fn seen(&self, rule: &Rule) -> Option<&Seen> {
        self.rules.get(rule.name()).filter(|seen| seen.digest == rule.digest())
    }
}

/// An hour in which something happened: an action, and the first and last moment.
type Hour = (Option<String>, Time, Time);

/// What is new in the tables of a lake at one version.
#[derive(Default)]
pub(super) struct News {
    /// By table the newest `known`.
    newest: BTreeMap<String, i64>,
    /// By table and since when.
    hours: BTreeMap<(String, i64), Vec<Hour>>,
}

/// The tables whose rows wake a rule.
fn tables_of(rule: &Rule) -> BTreeSet<&str> {
    let own = &rule.detection;
    let actions = if own.actions.is_empty() { [].as_slice() } else { ACTIONS.as_slice() };
    actions.iter().copied().chain(own.tables.iter().map(String::as_str)).collect()
}

fn since(seen: Option<&Seen>, table: &str) -> i64 {
    seen.and_then(|seen| seen.known.get(table).copied()).unwrap_or(-1)
}

impl News {
    /// Reads what is new for any of these rules.
    pub async fn read(
        session: &Session,
        files: &[FileSet],
        rules: &[&Rule],
        cursor: &Cursor,
    ) -> Result<News, QueryError> {
        let mut news = News::default();
        let asked: BTreeSet<(&str, i64)> = rules
            .iter()
            .flat_map(|rule| {
                tables_of(rule).into_iter().map(|table| (table, since(cursor.seen(rule), table)))
            })
            .collect();
        for (table, since) in asked {
            let is_there = files.iter().any(|set| set.table.name == table && may_hold(set, since));
            if !is_there {
                continue;
            }
            let newest = format!("select max(known) from lake.{table} where {}", after(since));
            let Some(newest) = first_micros(session, &newest).await? else { continue };
            news.newest.insert(table.to_owned(), newest);
            let hours = match table {
                "events" => hours(session, &of_events(&after(since))).await?,
                "revisions" => match of_revisions(session, since).await? {
                    Some(sql) => hours(session, &sql).await?,
                    None => Vec::new(),
                },
                other => hours(session, &of_table(other, since)).await?,
            };
            news.hours.insert((table.to_owned(), since), hours);
        }
        Ok(news)
    }

    /// The spans in which a rule is run, apart and in order.
    pub fn spans(&self, rule: &Rule, cursor: &Cursor) -> Vec<(Time, Time)> {
        let seen = cursor.seen(rule);
        let mut around = Vec::new();
        for table in tables_of(rule) {
            let Some(hours) = self.hours.get(&(table.to_owned(), since(seen, table))) else { continue };
            for (action, first, last) in hours {
                if action.as_ref().is_none_or(|action| rule.detection.wakes_on(action)) {
                    around.push((*first, *last));
                }
            }
        }
        merged(around, rule.window())
    }

    /// Up to where a rule has run now.
    pub fn seen_by(&self, rule: &Rule, cursor: &Cursor) -> Seen {
        let old = cursor.seen(rule);
        let known = tables_of(rule).into_iter().filter_map(|table| {
            let newest = self.newest.get(table).copied().or_else(|| old?.known.get(table).copied())?;
            Some((table.to_owned(), newest))
        });
        Seen { digest: rule.digest(), known: known.collect(), failed: None }
    }
}

/// Moments with a window on both sides, as few spans as cover them. A run has a cost of its own, so what lies
/// less than a day apart is one span, and what is left of the widest gaps are at most so many.
pub(super) fn merged(mut moments: Vec<(Time, Time)>, window: Ticks) -> Vec<(Time, Time)> {
    moments.sort_unstable();
    let mut spans: Vec<(Time, Time)> = Vec::new();
    for (first, last) in moments {
        let (from, until) = (first - window, last + window + Ticks(10));
        match spans.last_mut() {
            Some((_, end)) if from <= *end + CLOSE => *end = (*end).max(until),
            _ => spans.push((from, until)),
        }
    }
    let mut gaps: Vec<(i64, usize)> =
        spans.windows(2).enumerate().map(|(n, pair)| (pair[1].0.0.saturating_sub(pair[0].1.0), n)).collect();
    gaps.sort_unstable_by_key(|(gap, n)| (std::cmp::Reverse(*gap), *n));
    gaps.truncate(MOST_SPANS - 1);
    let ends: BTreeSet<usize> = gaps.into_iter().map(|(_, n)| n).collect();
    let mut out: Vec<(Time, Time)> = Vec::new();
    for (n, span) in spans.into_iter().enumerate() {
        match out.last_mut() {
            Some((_, end)) if !ends.contains(&(n - 1)) => *end = span.1,
            _ => out.push(span),
        }
    }
    out
}

/// Spans in pieces, each of which is run by itself.
pub(super) struct Pieces(Vec<(Time, Time)>);

impl Pieces {
    pub fn of(spans: &[(Time, Time)], window: Ticks) -> Pieces {
        let length = Ticks::days(PIECE_DAYS).0.max(window.0.saturating_mul(4));
        let mut all = Vec::new();
        for &(mut from, until) in spans {
            while from < until {
                let end = until.min(from + Ticks(length));
                all.push((from, end));
                from = end;
            }
        }
        all.reverse();
        Pieces(all)
    }

    /// The earliest that is left.
    pub fn next(&mut self) -> Option<(Time, Time)> {
        self.0.pop()
    }

    /// Takes a piece back in two halves; says whether it did, as it does not with what is no more than a day.
    pub fn halve(&mut self, (from, until): (Time, Time)) -> bool {
        let length = until.0 - from.0;
        let is_long = length > Ticks::days(1).0;
        if is_long {
            let middle = from + Ticks(length / 2);
            self.0.extend([(middle, until), (from, middle)]);
        }
        is_long
    }
}

/// Whether a file of a table may hold rows known after a moment. Statistics may be a millisecond wide.
fn may_hold(set: &FileSet, since: i64) -> bool {
    let known = set.table.column("known").map(|(column, _)| column);
    set.files.iter().any(|file| {
        let range = file.ranges.iter().find(|range| Some(range.column) == known);
        match range.and_then(|range| range.max.as_ref()) {
            Some(Value::Timestamp(max)) => *max > since,
            _ => true,
        }
    })
}

fn after(since: i64) -> String {
    if since < 0 {
        "true".to_owned()
    } else {
        format!("known > timestamp '{}'", Time::from_unix_micros(since))
    }
}

fn of_events(news: &str) -> String {
    format!(
        "select action, min(occurred) as first, max(occurred) as last from lake.events where {news} \
         group by action, date_trunc('hour', occurred)"
    )
}

/// The events whose verdicts were decided again.
async fn of_revisions(session: &Session, since: i64) -> Result<Option<String>, QueryError> {
    let sql = format!("select distinct date from lake.revisions where {}", after(since));
    let mut days = Vec::new();
    for batch in rows(session, &sql).await? {
        days.extend(batch.column(0).as_primitive::<Date32Type>().iter().flatten().map(Date));
    }
    let days: Vec<String> = days.iter().map(|day| format!("date '{day}'")).collect();
    Ok((!days.is_empty()).then(|| {
        let days = days.join(", ");
        format!(
            "select e.action, min(e.occurred) as first, max(e.occurred) as last from lake.events e \
             join (select distinct event_id from lake.revisions where {} and date in ({days})) r on r.event_id = e.event_id \
             where e.date in ({days}) group by e.action, date_trunc('hour', e.occurred)",
            after(since)
        )
    }))
}

fn of_table(name: &str, since: i64) -> String {
    let columns = table(name).into_iter().flat_map(|table| &table.columns);
    let moments: Vec<String> = columns
        .filter(|column| column.kind == Kind::Timestamp && MOMENTS.contains(&column.name.as_str()))
        .map(|column| format!("select \"{}\" as at from lake.{name} where {}", column.name, after(since)))
        .collect();
    format!(
        "select cast(null as varchar) as action, min(at) as first, max(at) as last from ({}) \
         where at is not null group by date_trunc('hour', at)",
        moments.join(" union all ")
    )
}

async fn hours(session: &Session, sql: &str) -> Result<Vec<Hour>, QueryError> {
    let mut out = Vec::new();
    for batch in rows(session, sql).await? {
        for row in 0..batch.num_rows() {
            if let (Some(first), Some(last)) = (time(&batch, row, "first"), time(&batch, row, "last")) {
                out.push((text(&batch, row, "action"), first, last));
            }
        }
    }
    Ok(out)
}

/// When the findings that are kept occurred, by detection.
pub(super) async fn kept(session: &Session) -> Result<BTreeMap<String, Vec<(Time, Time)>>, QueryError> {
    let sql = "select detection as action, min(occurred) as first, max(occurred) as last from lake.findings \
               group by detection, date_trunc('day', occurred)";
    let mut out: BTreeMap<String, Vec<(Time, Time)>> = BTreeMap::new();
    for (detection, first, last) in hours(session, sql).await? {
        out.entry(detection.unwrap_or_default()).or_default().push((first, last));
    }
    Ok(out)
}

async fn first_micros(session: &Session, sql: &str) -> Result<Option<i64>, QueryError> {
    let batches = rows(session, sql).await?;
    let first = batches.first().map(|b| b.column(0).as_primitive::<TimestampMicrosecondType>());
    Ok(first.filter(|c| !c.is_empty() && c.is_valid(0)).map(|c| c.value(0)))
}

async fn rows(session: &Session, sql: &str) -> Result<Vec<RecordBatch>, QueryError> {
    Ok(session.sql(sql).await?.stream.try_collect().await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_cover_each_moment_and_its_window_and_pieces_cover_spans() {
        let at = |hour: i64| Time::from_unix_micros(hour * 3_600_000_000);
        let hour = Ticks::seconds(3600);
        let spans = merged(vec![(at(50), at(50)), (at(0), at(1)), (at(3), at(3)), (at(20), at(20))], hour);
        assert_eq!(spans, [(at(-1), at(21) + Ticks(10)), (at(49), at(51) + Ticks(10))]);
        // Of many the widest gaps are left.
        let many: Vec<_> = (0..100).map(|n| (at(100 * n + n % 7), at(100 * n + n % 7))).collect();
        let spans = merged(many.clone(), hour);
        assert_eq!(spans.len(), MOST_SPANS);
        assert!(many.iter().all(|(one, _)| spans.iter().any(|(from, until)| from <= one && one < until)));
        assert!(spans.iter().zip(&spans[1..]).all(|(one, next)| one.1 < next.0));
        let whole = (at(0), at(24 * 365));
        let all = |spans: &[(Time, Time)], window| {
            let mut pieces = Pieces::of(spans, window);
            std::iter::from_fn(|| pieces.next()).collect::<Vec<_>>()
        };
        let quarters = all(&[whole, (at(0), at(1))], hour);
        assert_eq!(
            (quarters.len(), quarters[0].0, quarters[3].1, quarters[4]),
            (5, whole.0, whole.1, (at(0), at(1)))
        );
        assert!(quarters[..4].iter().zip(&quarters[1..4]).all(|(one, next)| one.1 == next.0));
        assert_eq!(all(&[whole], Ticks::days(100)), [whole]);
        // What is too much is halved down to a day.
        let mut pieces = Pieces::of(&[(at(0), at(96))], hour);
        let mut ran = Vec::new();
        while let Some(piece) = pieces.next() {
            if !(piece.0 == at(0) && pieces.halve(piece)) {
                ran.push(piece);
            }
        }
        assert_eq!(ran, [(at(0), at(24)), (at(24), at(48)), (at(48), at(96))]);
    }
}
