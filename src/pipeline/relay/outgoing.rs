//! What goes out next: committed rows behind a mark, with their newest verdicts, in a destination's shape.

use std::collections::HashMap;

use datafusion::arrow::array::{Array as _, AsArray as _, RecordBatch};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use futures::TryStreamExt as _;
use serde_json::{Map, Value};

use super::super::stored::{text, time};
use super::cursor::Mark;
use super::{Order, Shape};
use crate::export::Item;
use crate::model::{Ticks, Time};
use crate::query::quoted;
use crate::query::{QueryError, Session, objects_of};

/// Rows of one portion.
pub(super) const PORTION: usize = 2000;

/// What kind of rows a portion is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Events,
    /// Verdicts on events that were sent before.
    Updates,
    Findings,
}

impl Kind {
    pub fn name(self) -> &'static str {
        if self == Kind::Findings { "finding" } else { "event" }
    }
}

/// One item, and what is known of its row beside its shape.
pub(super) struct Outgoing {
    pub item: Item,
    pub mark: Mark,
    pub event_id: Option<String>,
    pub organization_id: Option<String>,
    pub organization: Option<String>,
    pub project_id: Option<String>,
    /// Keys of earlier states of it that were refused, and that it answers.
    pub answers: Vec<String>,
}

/// Which events were sent when a pass began: those known behind one mark and up to another.
pub(super) struct Sent {
    pub begun: Mark,
    pub until: Mark,
}

impl Sent {
    fn condition(&self) -> String {
        format!("{} and {}", self.begun.beyond("a", "event_id"), self.until.within("a", "event_id"))
    }
}

/// What goes out, and where the next portion begins.
pub(super) struct Portion {
    pub items: Vec<Outgoing>,
    pub end: Mark,
    pub more: bool,
}

/// Ids of rows behind a mark.
struct Ids {
    ids: Vec<String>,
    /// Of each row.
    marks: Vec<Mark>,
    span: Option<(Time, Time)>,
    end: Mark,
    more: bool,
}

/// Rows to be read, and by what files without any of them are told.
struct Among<'a> {
    ids: &'a [String],
    /// When the first and the last of them occurred.
    occurred: (Time, Time),
    /// When the first and the last of them were known, where the ids are of the view's own rows.
    known: Option<(Time, Time)>,
}

impl Among<'_> {
    fn condition(&self, id: &str) -> String {
        let ids: Vec<String> = self.ids.iter().map(|id| quoted(id)).collect();
        let within = |name: &str, (first, last): (Time, Time)| {
            format!(" and a.{name} >= timestamp '{first}' and a.{name} <= timestamp '{last}'")
        };
        let known = self.known.map_or(String::new(), |known| within("known", known));
        format!("a.{id} in ({}){}{known}", ids.join(","), within("occurred", self.occurred))
    }
}

/// Reads the next portion.
pub(super) async fn portion(
    session: &Session,
    order: &Order,
    kind: Kind,
    from: &Mark,
    sent: &Sent,
    now: Time,
) -> Result<Portion, QueryError> {
    let (table, id, key, shape) = match kind {
        Kind::Events => ("events", "event_id", "event_id", &order.events),
        Kind::Updates => ("revisions", "event_id", "key", &order.events),
        Kind::Findings => ("findings", "coalesce(finding, key)", "key", &order.findings),
    };
    let Some(shape) = shape else { return Ok(Portion { items: Vec::new(), end: from.clone(), more: false }) };
    let ids = behind(session, (table, id, key), from).await?;
    let mut portion = Portion { items: Vec::new(), end: ids.end, more: ids.more };
    // Before the first of these revisions, or when its event was sent.
    let first = ids.marks.first().map_or(0, |mark| mark.known - 1);
    let then = [first, sent.until.known].map(|micros| Time::from_unix_micros(micros.max(0)));
    let only = (kind == Kind::Updates).then(|| Only { sent: sent.condition(), then });
    let Some(occurred) = ids.span else { return Ok(portion) };
    let known = ids.marks.first().filter(|_| kind == Kind::Events);
    let known =
        known.map(|first| [first, &portion.end].map(|mark| Time::from_unix_micros(mark.known)).into());
    let among = Among { ids: &ids.ids, occurred, known };
    let Some(rows) = rows(session, order, kind, &among, only).await? else { return Ok(portion) };
    let rows = match kind == Kind::Events && order.settle > Ticks(0) {
        true => {
            let (settled, waits) = settled(rows, now - order.settle);
            if let Some(before) = waits {
                // The next look begins with what still waits.
                portion.end = before.unwrap_or_default().max(from.clone());
                portion.more = false;
            }
            settled
        }
        false => rows,
    };
    portion.items = shaped(session, shape, kind, rows).await?;
    match kind {
        Kind::Events => {}
        // What was drawn from an event has its mark; the portion moves by those of the revisions.
        Kind::Updates => portion.items.iter_mut().for_each(|out| out.mark = from.clone()),
        Kind::Findings => {
            // A finding is as it stands, and its mark is that of the last row that changed it here.
            let last: HashMap<&str, &Mark> = ids.ids.iter().map(String::as_str).zip(&ids.marks).collect();
            for out in &mut portion.items {
                let mark = last.get(out.mark.key.as_str()).copied().unwrap_or(from);
                out.mark = mark.clone();
            }
            portion.items.sort_by(|a, b| a.mark.cmp(&b.mark));
        }
    }
    Ok(portion)
}

/// The items of these events or findings, whatever was sent before.
pub(super) async fn again(
    session: &Session,
    order: &Order,
    kind: Kind,
    ids: &[String],
    occurred: (Time, Time),
) -> Result<Vec<Outgoing>, QueryError> {
    let shape = if kind == Kind::Findings { &order.findings } else { &order.events };
    let Some(shape) = shape else { return Ok(Vec::new()) };
    match rows(session, order, kind, &Among { ids, occurred, known: None }, None).await? {
        Some(rows) => shaped(session, shape, kind, rows).await,
        None => Ok(Vec::new()),
    }
}

/// Plans what is asked for items of a kind, over no rows.
pub(super) async fn plan(session: &Session, order: &Order, kind: Kind) -> Result<(), QueryError> {
    let shape = if kind == Kind::Findings { &order.findings } else { &order.events };
    let Some(shape) = shape else { return Ok(()) };
    let among = Among { ids: &[String::new()], occurred: (Time(0), Time(0)), known: None };
    let none = collected(session, &asked(order, kind, &among, None)).await?;
    shaped(session, shape, kind, none).await.map(drop)
}

/// Which updates go out.
struct Only {
    /// Those of events that were sent.
    sent: String,
    /// What was believed at one of these moments the receiver may have.
    then: [Time; 2],
}

async fn behind(
    session: &Session,
    (table, id, key): (&str, &str, &str),
    from: &Mark,
) -> Result<Ids, QueryError> {
    let sql = format!(
        "select {id} as id, {key} as key, occurred, known from lake.{table} t where {} \
         order by known, occurred, t.{key} limit {}",
        from.beyond("t", key),
        PORTION + 1
    );
    let batches: Vec<RecordBatch> = session.sql(&sql).await?.stream.try_collect().await?;
    let mut found = Ids { ids: Vec::new(), marks: Vec::new(), span: None, end: from.clone(), more: false };
    for batch in &batches {
        for row in 0..batch.num_rows() {
            if found.ids.len() == PORTION {
                found.more = true;
                return Ok(found);
            }
            found.end = mark(batch, row, "key");
            if let Some(id) = text(batch, row, "id") {
                found.ids.push(id);
                found.marks.push(found.end.clone());
            }
            if let Some(at) = time(batch, row, "occurred") {
                let (first, last) = found.span.unwrap_or((at, at));
                found.span = Some((first.min(at), last.max(at)));
            }
        }
    }
    Ok(found)
}

fn mark(batch: &RecordBatch, row: usize, key: &str) -> Mark {
    let micros = |name: &str| time(batch, row, name).map_or(0, Time::unix_micros);
    Mark {
        known: micros("known"),
        occurred: micros("occurred"),
        key: text(batch, row, key).unwrap_or_default(),
    }
}

/// These rows of `actions` or `findings` as `outgoing` or `outgoing_findings` has them, in the order of commits.
async fn rows(
    session: &Session,
    order: &Order,
    kind: Kind,
    among: &Among<'_>,
    only: Option<Only>,
) -> Result<Option<RecordBatch>, QueryError> {
    if among.ids.is_empty() {
        return Ok(None);
    }
    let all = collected(session, &asked(order, kind, among, only)).await?;
    Ok((all.num_rows() > 0).then_some(all))
}

async fn collected(session: &Session, sql: &str) -> Result<RecordBatch, QueryError> {
    let answer = session.sql(sql).await?;
    let schema = answer.schema.clone();
    let batches: Vec<RecordBatch> = answer.stream.try_collect().await?;
    concat_batches(&schema, &batches).map_err(|e| QueryError::Plan(e.to_string()))
}

fn asked(order: &Order, kind: Kind, among: &Among<'_>, only: Option<Only>) -> String {
    let (view, id, revision, filter) = match kind {
        Kind::Findings => ("every_finding", "key", "a.revision", &order.finding_filter),
        _ => ("actions", "event_id", "a.revision", &order.filter),
    };
    let updated = match kind {
        Kind::Events => "false".to_owned(),
        Kind::Updates => "true".to_owned(),
        Kind::Findings => format!("{revision} > a.first_told"),
    };
    let hidden = if kind == Kind::Findings { " except (first_told)" } else { "" };
    let rows = among.condition(id);
    // A filter may end in a comment.
    let passes = filter.as_ref().map(|filter| format!("({filter}\n)"));
    let mut conditions = vec![rows.clone()];
    // What was never told and is suppressed is nothing to a receiver; what was told is withdrawn so.
    conditions.extend((kind == Kind::Findings).then(|| "a.first_told is not null".to_owned()));
    conditions.extend(only.as_ref().map(|only| only.sent.clone()));
    conditions.extend(match (&passes, &only) {
        // A verdict that passes no longer replaces one that did: the receiver has that one.
        (Some(passes), Some(only)) => {
            let then = only.then.map(|then| {
                format!(
                    " or a.{id} in (select a.{id} from actions_as_known(timestamp '{then}') a \
                     where {rows} and {passes})"
                )
            });
            Some(format!("({passes}{})", then.concat()))
        }
        (passes, _) => passes.clone(),
    });
    let sql = format!(
        "select a.*{hidden}, concat(a.{id}, ':', cast({revision} as varchar)) as \"_key\", \
         row_number() over (order by a.known, a.occurred, a.{id}) as \"_row\", {updated} as \"_updated\" \
         from {view} a where {}",
        conditions.join(" and ")
    );
    // Numbers of rows are unsigned in the engine, which no format of a destination needs.
    format!(
        "select s.* except (\"_row\"), cast(s.\"_row\" as bigint) as \"_order\" from ({sql}) s order by \"_order\""
    )
}

/// The rows before the first whose verdict may still change and that was known lately; and, where there is
/// such a row, the mark of the row before it.
fn settled(rows: RecordBatch, since: Time) -> (RecordBatch, Option<Option<Mark>>) {
    let Some(provisional) = rows.column_by_name("provisional").and_then(|c| c.as_boolean_opt()).cloned()
    else {
        return (rows, None);
    };
    let waits = |row: &usize| {
        provisional.is_valid(*row)
            && provisional.value(*row)
            && time(&rows, *row, "known").is_some_and(|known| known > since)
    };
    match (0..rows.num_rows()).find(waits) {
        Some(row) => {
            (rows.slice(0, row), Some(row.checked_sub(1).map(|before| mark(&rows, before, "event_id"))))
        }
        None => (rows, None),
    }
}

/// Rows in the shape of a destination.
async fn shaped(
    session: &Session,
    shape: &Shape,
    kind: Kind,
    rows: RecordBatch,
) -> Result<Vec<Outgoing>, QueryError> {
    let name = if kind == Kind::Findings { FINDINGS } else { EVENTS };
    session.lend(name, rows.schema(), vec![rows.clone()])?;
    let sql = format!("select * from ({}\n) s order by s.\"_order\"", shape.sql);
    let batches: Vec<RecordBatch> = session.sql(&sql).await?.stream.try_collect().await?;
    let mut all = Vec::new();
    for batch in &batches {
        let orders = batch.column_by_name("_order").and_then(|c| c.as_primitive_opt::<Int64Type>());
        let Some(orders) = orders else {
            return Err(QueryError::Plan(format!("the shape `{}` returns no bigint `_order`", shape.name)));
        };
        for (at, body) in objects_of(batch)?.into_iter().enumerate() {
            // What a shape multiplies or invents has no row to stand for.
            let row = usize::try_from(orders.value(at) - 1).ok().filter(|row| *row < rows.num_rows());
            let Some(row) = row else { continue };
            all.push(outgoing(&rows, row, kind, keyed(body)));
        }
    }
    Ok(all)
}

/// Names of what goes out, in a shape.
pub(super) const EVENTS: &str = "outgoing";
pub(super) const FINDINGS: &str = "outgoing_findings";

/// A body that says its key, whatever a shape leaves out, and whether it was sent before.
fn keyed(mut body: Map<String, Value>) -> Map<String, Value> {
    fn says(value: &Value, key: &str) -> bool {
        match value {
            Value::String(text) => text.contains(key),
            Value::Array(items) => items.iter().any(|item| says(item, key)),
            Value::Object(members) => members.values().any(|member| says(member, key)),
            _ => false,
        }
    }
    let key = body.remove("_key");
    let updated = body.remove("_updated");
    body.remove("_order");
    body.remove("_row");
    if let Some(key) = key
        && !key.as_str().is_some_and(|key| body.values().any(|value| says(value, super::about(key))))
    {
        body.entry("key").or_insert(key);
    }
    if let Some(updated) = updated {
        body.entry("updated").or_insert(updated);
    }
    body
}

fn outgoing(rows: &RecordBatch, row: usize, kind: Kind, body: Map<String, Value>) -> Outgoing {
    let key = if kind == Kind::Findings { "key" } else { "event_id" };
    let occurred =
        rows.column_by_name("occurred").and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
    let organization_id = text(rows, row, "organization_id");
    let organization = text(rows, row, "organization");
    let updated = rows.column_by_name("_updated").and_then(|c| c.as_boolean_opt());
    Outgoing {
        item: Item {
            key: text(rows, row, "_key").unwrap_or_default(),
            occurred: occurred.map_or(Time(0), |c| Time::from_unix_micros(c.value(row))),
            organization: organization_id.clone().or_else(|| organization.clone()),
            updated: updated.is_some_and(|c| c.value(row)),
            body: tidy(body),
        },
        mark: mark(rows, row, key),
        event_id: text(rows, row, "event_id"),
        organization_id,
        organization,
        project_id: text(rows, row, "project_id"),
        answers: Vec::new(),
    }
}

/// Ends the name of a text that is JSON itself.
const JSON: &str = "$json";

/// A body without nulls and what is empty, and with JSON texts as what they say.
fn tidy(body: Map<String, Value>) -> Map<String, Value> {
    let one = |(name, value): (String, Value)| {
        let (name, value) = match (name.strip_suffix(JSON), value) {
            (Some(short), Value::String(text)) => {
                (short.to_owned(), serde_json::from_str(&text).unwrap_or(Value::String(text)))
            }
            (Some(short), value) => (short.to_owned(), tidied(value)),
            (None, value) => (name, tidied(value)),
        };
        let is_empty = match &value {
            Value::Null => true,
            Value::Object(members) => members.is_empty(),
            Value::Array(items) => items.is_empty(),
            _ => false,
        };
        (!is_empty).then_some((name, value))
    };
    body.into_iter().filter_map(one).collect()
}

fn tidied(value: Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(tidy(members)),
        Value::Array(items) => {
            let items = items.into_iter().map(tidied);
            Value::Array(items.filter(|item| !matches!(item, Value::Object(m) if m.is_empty())).collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_body_says_its_key_whatever_a_shape_leaves_out() {
        let of = |body: Value| match body {
            Value::Object(body) => Value::Object(keyed(body)),
            _ => unreachable!(),
        };
        let bare = of(json!({ "_key": "e:1", "_order": 1, "_updated": true, "a": 1 }));
        assert_eq!(bare, json!({ "a": 1, "key": "e:1", "updated": true }));
        let own = json!({ "_key": "e:1", "metadata": { "uid": "e" } });
        assert_eq!(of(own), json!({ "metadata": { "uid": "e" } }));
    }

    #[test]
    fn a_body_has_nothing_empty_and_json_as_what_it_says() {
        let body = json!({
            "a": null, "b": {"c": null}, "d": [], "e": [{"f": null}, {"g": 1}],
            "data$json": "{\"x\": null}", "torn$json": "{", "n": {"m$json": "[1]"}, "z": "",
        });
        let Value::Object(body) = body else { unreachable!() };
        let expected = json!({
            "e": [{"g": 1}], "data": {"x": null}, "torn": "{", "n": {"m": [1]}, "z": "",
        });
        assert_eq!(Value::Object(tidy(body)), expected);
    }
}
