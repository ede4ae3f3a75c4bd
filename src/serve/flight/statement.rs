//! A statement with values for its parameters: what it would answer, and its answer.

use std::mem::size_of;

use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use futures::{StreamExt as _, TryStreamExt as _};
use tonic::Status;

use super::held::Running;
use super::refused::{flight, refusal, wrong};
use super::service::{Data, Door};
use super::sign_in::Signed;
use crate::query::{Answer, LONGEST_STATEMENT, Place, Session};
use crate::serve::columns::{in_plain, plain};

/// Bytes of one message of rows, about; clients take four times as many.
const MOST_SENT: usize = 1 << 20;
/// Parameters of one statement.
const MOST_PARAMETERS: usize = 1000;

#[derive(Debug, Clone)]
pub(super) struct Statement {
    pub text: String,
    /// For `$1`, `$2`, ...
    pub values: Vec<ScalarValue>,
    /// The columns of the answer, where they are known: no parameter can change them.
    pub columns: Option<SchemaRef>,
}

impl Statement {
    /// A text as a client sends it.
    pub fn of(text: &str) -> Statement {
        Statement { text: numbered(text), values: Vec::new(), columns: None }
    }

    /// About how many bytes it takes.
    pub fn size(&self) -> usize {
        self.text.len() + self.values.iter().map(ScalarValue::size).sum::<usize>() + size_of::<Statement>()
    }
}

/// The text with `$1`, `$2`, ... for each `?`, as drivers write parameters.
fn numbered(text: &str) -> String {
    // What is longer is refused before it is read.
    if text.len() > LONGEST_STATEMENT || !text.contains('?') {
        return text.to_owned();
    }
    // What cannot be cut into words is refused with better words than could be found here.
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location() else {
        return text.to_owned();
    };
    let is_asked = |token: &Token| matches!(token, Token::Placeholder(own) if own == "?");
    let asked = tokens.into_iter().filter(|token| is_asked(&token.token));
    let mut asked = asked.map(|token| (token.span.start.line, token.span.start.column)).peekable();
    let (mut line, mut column, mut number) = (1, 1, 0);
    let mut out = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        match asked.next_if_eq(&(line, column)) {
            Some(_) if letter == '?' => {
                number += 1;
                out.push_str(&format!("${number}"));
            }
            _ => out.push(letter),
        }
        (line, column) = if letter == '\n' { (line + 1, 1) } else { (line, column + 1) };
    }
    out
}

/// The columns of the answer, and one for each parameter.
pub(super) struct Planned {
    pub columns: SchemaRef,
    pub parameters: Schema,
}

/// A column for each parameter; one whose type is not told is a text.
fn parameters(places: Vec<Place>) -> Schema {
    let one = |(n, place): (usize, Place)| Field::new((n + 1).to_string(), place.as_told(), true);
    Schema::new(places.into_iter().enumerate().map(one).collect::<Vec<_>>())
}

impl Door {
    /// What a statement would answer; it is refused as it would be when it is asked.
    pub async fn plan(&self, signed: &Signed, statement: &Statement) -> Result<Planned, Status> {
        let own = statement.clone();
        let work = |session: Session| async move {
            let prepared = session.prepare(&own.text).await?;
            let parameters = parameters(prepared.places(MOST_PARAMETERS)?);
            let columns = plain(&prepared.with(own.values)?.schema());
            Ok(Planned { columns, parameters: plain(&parameters).as_ref().clone() })
        };
        self.gate.plan(&signed.asker(), &statement.text, work).await.map_err(refusal)
    }

    /// The rows of a statement as they come. Dropped before its end, the query stops.
    pub async fn answer(
        &self,
        signed: &Signed,
        statement: Statement,
        running: Running,
    ) -> Result<Data, Status> {
        let mut asker = signed.asker();
        asker.cancel = running.cancel.clone();
        let Statement { text, values, .. } = statement;
        let asked = text.clone();
        let ask = |session: Session| async move {
            let prepared = session.prepare(&asked).await?.with(values)?;
            let schema = plain(&prepared.schema());
            let Answer { stream, .. } = session.execute(prepared).await?;
            let to = schema.clone();
            let stream = stream.map(move |batch| Ok(in_plain(&batch?, &to)?));
            let stream = Box::pin(RecordBatchStreamAdapter::new(schema.clone(), stream));
            Ok(Answer { schema, stream })
        };
        let reply = self.gate.ask(&asker, &text, ask).await.map_err(refusal)?;
        let schema = reply.schema.clone();
        // The query can be stopped by its handle for as long as it is read.
        let rows = reply.map_err(move |refused| {
            let _ = &running;
            FlightError::from(refusal(refused))
        });
        Ok(sent(schema, rows))
    }
}

/// Rows in messages of a sensible size.
pub(super) fn sent<S>(schema: SchemaRef, rows: S) -> Data
where
    S: futures::Stream<Item = Result<datafusion::arrow::array::RecordBatch, FlightError>> + Send + 'static,
{
    let encoder = FlightDataEncoderBuilder::new().with_schema(schema).with_max_flight_data_size(MOST_SENT);
    Box::pin(encoder.build(rows).map_err(flight))
}

/// The values of one row that a client binds.
pub(super) fn bound(batch: &datafusion::arrow::array::RecordBatch) -> Result<Vec<ScalarValue>, Status> {
    if batch.num_rows() != 1 || batch.num_columns() > MOST_PARAMETERS {
        return Err(wrong(format!(
            "bind {} rows of {} values: bind one row for one question, of at most {MOST_PARAMETERS}",
            batch.num_rows(),
            batch.num_columns()
        )));
    }
    let values = batch.columns().iter().map(|column| ScalarValue::try_from_array(column, 0));
    let values = values.collect::<Result<Vec<_>, _>>();
    values.map_err(|e| wrong(format!("understand the values: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_parameters_are_numbered_and_no_other_marks() {
        for (theirs, ours) in [
            ("select ?", "select $1"),
            (
                "select ?\n, '?', \"a?\" -- ?\n, ?/* ? */ + ?",
                "select $1\n, '?', \"a?\" -- ?\n, $2/* ? */ + $3",
            ),
            ("select '\u{e9}?', ?", "select '\u{e9}?', $1"),
            ("select 'it''s ?' || ?", "select 'it''s ?' || $1"),
            ("select $1", "select $1"),
            ("select 'torn ?", "select 'torn ?"),
        ] {
            assert_eq!(numbered(theirs), ours);
        }
    }
}
