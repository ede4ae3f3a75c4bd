//! A statement of a page with its values: its rows are shown, and all of them can be had as a file.

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use futures::StreamExt as _;

use super::days::Days;
use super::html::address;
use crate::model::Date;
use crate::query::{Answer, Catalogue, Object, QueryError, Session, objects_of};
use crate::serve::http::problem::Problem;

/// Rows of one table among others of a page, and of one that is the page.
pub(super) const PART_ROWS: usize = 50;
pub(super) const MOST_ROWS: usize = 200;

/// A value of a parameter, which is bound and never part of the text.
#[derive(Debug, Clone)]
enum Value {
    Text(String),
    Int(i64),
    Time(String),
}

/// A statement with its values.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    sql: String,
    values: Vec<(&'static str, Value)>,
}

/// Some rows of an answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Rows {
    pub columns: Vec<String>,
    pub rows: Vec<Object>,
    /// How many were skipped, and how many were asked for at most.
    pub from: usize,
    pub most: usize,
    /// Whether there are more.
    pub more: bool,
    /// Whether whoever asked chose the columns: then each is shown.
    pub chosen: bool,
}

impl Rows {
    /// Rows that are at hand already.
    pub fn of(columns: &[&str], rows: Vec<Object>) -> Rows {
        let columns = columns.iter().map(|column| (*column).to_owned()).collect();
        Rows { columns, most: rows.len(), rows, ..Rows::default() }
    }
}

impl Ask {
    pub fn new(sql: &'static str) -> Ask {
        Ask { sql: sql.to_owned(), values: Vec::new() }
    }

    /// Columns of a report that takes `since` and `until`, over all times; `rest` follows `from (...)`.
    pub fn of_report(name: &str, columns: &'static str, rest: &'static str) -> Ask {
        let sql = Catalogue::embedded().report(name).map_or("select 1 where false", |report| &report.sql);
        let all_times = [("since", "2000-01-01T00:00:00Z"), ("until", "2100-01-01T00:00:00Z")];
        Ask {
            sql: format!("select {columns} from ({sql}) {rest}"),
            values: all_times.map(|(name, at)| (name, Value::Time(at.to_owned()))).into(),
        }
    }

    /// The same of these days alone, as `since` and `until`.
    pub fn of_days(self, days: Days) -> Ask {
        self.day("since", days.since).day("until", days.until)
    }

    /// The same with one more named query, which may be named as a view is.
    pub fn with(mut self, name: &str, query: &str) -> Ask {
        self.sql = format!("with {name} as ({query}) {}", self.sql);
        self
    }

    /// The first moment of a day.
    pub fn day(mut self, name: &'static str, day: Date) -> Ask {
        self.values.retain(|(own, _)| *own != name);
        self.values.push((name, Value::Time(day.start().to_string())));
        self
    }

    pub fn text(mut self, name: &'static str, value: &str) -> Ask {
        self.values.push((name, Value::Text(value.to_owned())));
        self
    }

    pub fn int(mut self, name: &'static str, value: i64) -> Ask {
        self.values.push((name, Value::Int(value)));
        self
    }

    fn named(&self) -> Result<Vec<(&str, ScalarValue)>, QueryError> {
        let scalar = |value: &Value| match value {
            Value::Text(text) => Ok(ScalarValue::from(text.as_str())),
            Value::Int(number) => Ok(ScalarValue::from(*number)),
            Value::Time(text) => {
                let kind = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
                ScalarValue::from(text.as_str()).cast_to(&kind)
            }
        };
        self.values.iter().map(|(name, value)| Ok((*name, scalar(value)?))).collect()
    }

    /// The first rows.
    pub async fn most(&self, session: &Session, most: usize) -> Result<Rows, QueryError> {
        self.window(session, 0, most).await
    }

    /// Some rows, from one of them on.
    pub async fn window(&self, session: &Session, from: usize, most: usize) -> Result<Rows, QueryError> {
        let sql = format!("{} limit {} offset {from}", self.sql, most + 1);
        let answer = match self.values.is_empty() {
            true => session.sql(&sql).await?,
            false => session.sql_with(&sql, self.named()?).await?,
        };
        Ok(Rows { from, ..window(answer, 0, most).await? })
    }

    /// The same as one of several that are asked together.
    pub fn part(
        &self,
        session: &Session,
        from: usize,
        most: usize,
    ) -> impl Future<Output = Result<Rows, QueryError>> + Send + use<> {
        let (ask, session) = (self.clone(), session.clone());
        async move { ask.window(&session, from, most).await }
    }

    /// Where all rows can be had in this form.
    pub fn download(&self, form: &str, name: &str) -> String {
        let mut query = vec![("q".to_owned(), self.sql.clone())];
        for (name, value) in &self.values {
            query.push(match value {
                Value::Text(text) => (format!("text.{name}"), text.clone()),
                Value::Int(number) => (format!("int.{name}"), number.to_string()),
                Value::Time(text) => (format!("time.{name}"), text.clone()),
            });
        }
        query.push(("format".to_owned(), form.to_owned()));
        query.push(("download".to_owned(), name.to_owned()));
        let query: Vec<(&str, &str)> = query.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        address(&["api", "sql"], &query)
    }
}

/// Some rows of an answer; those behind them are not asked for.
pub(super) async fn window(mut answer: Answer, from: usize, most: usize) -> Result<Rows, QueryError> {
    let columns: Vec<String> = answer.schema.fields().iter().map(|field| field.name().clone()).collect();
    let mut rows = Rows { columns, from, most, ..Rows::default() };
    let mut skip = from;
    while rows.rows.len() <= most {
        let Some(batch) = answer.stream.next().await else { break };
        let batch = batch?;
        let skipped = skip.min(batch.num_rows());
        skip -= skipped;
        // One batch may hold more text than a page is to have.
        let kept = (batch.num_rows() - skipped).min(most + 1);
        rows.rows.extend(objects_of(&batch.slice(skipped, kept))?);
    }
    rows.more = rows.rows.len() > most;
    rows.rows.truncate(most);
    Ok(rows)
}

/// A number of an address.
pub(super) fn number(text: &str, what: &str) -> Result<i64, Problem> {
    text.parse().map_err(|_| Problem::bad(format!("understand `{text}`: the id of {what} is a number")))
}
