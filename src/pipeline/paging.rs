//! What the lake knows already, brought to the engine before it decides.
//!
//! The engine starts empty and is told the facts of the days around an event the first time such an
//! event comes, whoever wrote them: this process before a restart, or another one beside it.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use datafusion::arrow::array::{Array as _, AsArray as _, RecordBatch};
use datafusion::arrow::datatypes::TimestampMicrosecondType;
use futures::TryStreamExt as _;

use crate::attribute::{Engine, Tolerance};
use crate::decode::{Delivery, Limits, decode};
use crate::model::{Date, Ticks, Time};
use crate::query::{Pinned, QueryError, Session};
use crate::schema::{DataFile, FileSet, Value};
use crate::store::{Lake, arrow_schema};

/// Which files the engine has been told.
pub(super) struct Paging {
    /// Days around an event whose facts matter.
    reach: i32,
    told: HashSet<String>,
    /// Files that were there before this engine: nobody told it of them, whoever wrote them.
    before: HashSet<String>,
}

impl Paging {
    pub fn new(tolerance: Tolerance, lake: &Lake) -> Paging {
        let reach = (tolerance.window.0 / Ticks::days(1).0) as i32 + 1;
        let sets = [lake.files("facts"), lake.files("events")];
        let before = sets.iter().flat_map(|set| set.files.iter().map(|file| name(set, file))).collect();
        Paging { reach, told: HashSet::new(), before }
    }

    /// Tells the engine what it has not heard of these days. What cannot be read is logged: the
    /// verdicts then name what is missing, and ingestion goes on.
    pub fn bring(
        &mut self,
        days: &BTreeSet<Date>,
        engine: &mut Engine,
        lake: &Arc<Lake>,
        organization: Option<&str>,
        runtime: &tokio::runtime::Handle,
    ) {
        if let Err(error) = runtime.block_on(self.read(days, engine, lake, organization)) {
            tracing::warn!(error = %error, "facts of the lake could not be read; verdicts may miss evidence");
        }
    }

    async fn read(
        &mut self,
        days: &BTreeSet<Date>,
        engine: &mut Engine,
        lake: &Lake,
        organization: Option<&str>,
    ) -> Result<(), QueryError> {
        // Agents, pools and identities first, then what happened among them.
        let facts = self.unheard(lake.files("facts"), days, lake.writer());
        if !facts.files.is_empty() {
            let session = session(lake, facts)?;
            for batch in
                collect(&session, "select url, observed, raw from lake.facts order by observed").await?
            {
                tell(&batch, |url, observed, raw| {
                    for fact in &decode(raw.as_bytes(), &delivery(url, observed, organization)).facts {
                        engine.learn(fact);
                    }
                });
            }
        }
        let events = self.unheard(lake.files("events"), days, lake.writer());
        if !events.files.is_empty() {
            // These say which agents came and went, and who registered them.
            let session = session(lake, events)?;
            let sql = "select cast(null as varchar), observed, raw from lake.events \
                where action like 'Library.Agent%' order by occurred";
            for batch in collect(&session, sql).await? {
                tell(&batch, |url, observed, raw| {
                    for event in &decode(raw.as_bytes(), &delivery(url, observed, organization)).events {
                        engine.learn_event(event);
                    }
                });
            }
        }
        Ok(())
    }

    /// The files of `set` that hold these days (or no day), are not told yet, and are not our own
    /// since the start: what this engine decided itself it knows.
    fn unheard(&mut self, set: FileSet, days: &BTreeSet<Date>, writer: &str) -> FileSet {
        let own = set.table.column("writer").map(|(index, _)| index);
        let files: Vec<Arc<DataFile>> = set
            .files
            .iter()
            .filter(|file| {
                file.date.is_none_or(|date| {
                    days.range(date.plus_days(-self.reach)..=date.plus_days(self.reach)).next().is_some()
                })
            })
            .filter(|file| {
                let wrote = file.ranges.iter().find(|r| Some(r.column) == own);
                let own = Some(Value::Text(writer.to_owned()));
                self.before.contains(&name(&set, file))
                    || !wrote.is_some_and(|r| r.min == own && r.max == own)
            })
            .filter(|file| self.told.insert(name(&set, file)))
            .cloned()
            .collect();
        FileSet { files: Arc::new(files), ..set }
    }
}

fn name(set: &FileSet, file: &DataFile) -> String {
    format!("{}/{}", set.table.name, file.path)
}

/// A session in which one table is a part of itself.
fn session(lake: &Lake, part: FileSet) -> Result<Session, QueryError> {
    let tables = lake
        .pin()
        .into_iter()
        .map(|files| if files.table.name == part.table.name { part.clone() } else { files })
        .map(|files| Pinned { schema: arrow_schema(files.table), files })
        .collect();
    Session::new(tables, crate::query::Limits::default())
}

async fn collect(session: &Session, sql: &str) -> Result<Vec<RecordBatch>, QueryError> {
    let answer = session.sql(sql).await?;
    answer.stream.try_collect().await.map_err(QueryError::from)
}

fn delivery<'d>(url: Option<&'d str>, observed: Time, organization: Option<&'d str>) -> Delivery<'d> {
    Delivery { observed, url, organization, limits: Limits::default() }
}

fn tell(batch: &RecordBatch, mut each: impl FnMut(Option<&str>, Time, &str)) {
    let url =
        datafusion::arrow::compute::cast(batch.column(0), &datafusion::arrow::datatypes::DataType::Utf8);
    let raw =
        datafusion::arrow::compute::cast(batch.column(2), &datafusion::arrow::datatypes::DataType::Utf8);
    let (Ok(url), Ok(raw)) = (url, raw) else { return };
    let (url, raw) = (url.as_string::<i32>(), raw.as_string::<i32>());
    let observed = batch.column(1).as_primitive::<TimestampMicrosecondType>();
    for i in 0..batch.num_rows() {
        let url = url.is_valid(i).then(|| url.value(i));
        each(url, Time::from_unix_micros(observed.value(i)), raw.value(i));
    }
}
