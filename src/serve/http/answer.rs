//! An answer as bytes, row by row as it comes, in each of its forms.

use std::convert::Infallible;
use std::time::Duration;

use arrow::ipc::writer::StreamWriter;
use axum::body::{Body, Bytes};
use axum::http::{Response, StatusCode, header};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::csv::WriterBuilder as CsvBuilder;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::json::writer::{LineDelimited, WriterBuilder as JsonBuilder};
use futures::{StreamExt as _, stream};
use serde_json::json;

use super::problem::Problem;
use super::question::Form;
use crate::query::{flat, named, told_apart};
use crate::serve::columns::{in_plain, plain};
use crate::serve::gate::Reply;

/// Makes bytes of batches.
struct Encoder {
    form: Form,
    schema: SchemaRef,
    /// The names of columns in an object, where they are not the columns' own.
    apart: Option<SchemaRef>,
    ipc: Option<StreamWriter<Vec<u8>>>,
    rows: u64,
}

impl Encoder {
    /// With the bytes before the first row.
    fn begin(form: Form, schema: &SchemaRef) -> Result<(Encoder, Vec<u8>), ArrowError> {
        let apart = told_apart(schema).filter(|_| matches!(form, Form::Json | Form::Ndjson));
        let mut encoder = Encoder { form, schema: schema.clone(), apart, ipc: None, rows: 0 };
        let head = match form {
            Form::Ndjson => Vec::new(),
            Form::Json => {
                let columns: Vec<_> = encoder
                    .apart
                    .as_ref()
                    .unwrap_or(schema)
                    .fields()
                    .iter()
                    .map(|field| json!({ "name": field.name(), "type": field.data_type().to_string() }))
                    .collect();
                format!("{{\"columns\":{},\"rows\":[", json!(columns)).into_bytes()
            }
            Form::Csv => {
                let mut head = Vec::new();
                let empty = flat(&RecordBatch::new_empty(schema.clone()))?;
                CsvBuilder::new().with_header(true).build(&mut head).write(&empty)?;
                head
            }
            Form::Arrow => {
                encoder.schema = plain(schema);
                let mut ipc = StreamWriter::try_new(Vec::new(), &encoder.schema)?;
                let head = std::mem::take(ipc.get_mut());
                encoder.ipc = Some(ipc);
                head
            }
        };
        Ok((encoder, head))
    }

    fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
        let mut out = Vec::new();
        if batch.num_rows() == 0 {
            return Ok(out);
        }
        match self.form {
            Form::Ndjson | Form::Json => {
                let mut lines =
                    JsonBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(&mut out);
                lines.write(&named(batch.clone(), self.apart.as_ref())?)?;
                lines.finish()?;
                drop(lines);
                if self.form == Form::Json {
                    // A raw line break is never inside a JSON text: each ends a row.
                    out.pop();
                    out = out.split(|byte| *byte == b'\n').collect::<Vec<_>>().join(&b",\n"[..]);
                    if self.rows > 0 {
                        out.splice(0..0, *b",\n");
                    }
                }
            }
            Form::Csv => CsvBuilder::new().with_header(false).build(&mut out).write(&flat(batch)?)?,
            Form::Arrow => {
                if let Some(ipc) = &mut self.ipc {
                    ipc.write(&in_plain(batch, &self.schema)?)?;
                    out = std::mem::take(ipc.get_mut());
                }
            }
        }
        self.rows += batch.num_rows() as u64;
        Ok(out)
    }

    /// The bytes behind the last row.
    fn end(&mut self) -> Result<Vec<u8>, ArrowError> {
        match (self.form, &mut self.ipc) {
            (Form::Json, _) => Ok(format!("],\"count\":{}}}\n", self.rows).into_bytes()),
            (_, Some(ipc)) => {
                ipc.finish()?;
                Ok(std::mem::take(ipc.get_mut()))
            }
            _ => Ok(Vec::new()),
        }
    }

    /// What is said where the rows end early, as far as the form has a place for it.
    fn broken(&self, problem: &Problem) -> Vec<u8> {
        match self.form {
            Form::Json => format!("],\"count\":{},\"error\":{}}}\n", self.rows, problem.json()).into_bytes(),
            Form::Ndjson => format!("{}\n", json!({ "error": problem.json() })).into_bytes(),
            Form::Csv | Form::Arrow => Vec::new(),
        }
    }
}

/// What is behind a part of the body.
enum Next {
    Rows(Box<Encoder>, Box<Reply>),
    Break,
    Done,
}

/// The answer of a reply. What goes wrong before its first row is a problem; after it, the body is broken
/// off, so that no reader takes a part for the whole.
pub(super) async fn answer(
    mut reply: Reply,
    form: Form,
    save_as: Option<&str>,
) -> Result<Response<Body>, Problem> {
    let first = reply.next().await.transpose()?;
    let wrong =
        |e: ArrowError| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, format!("write the answer: {e}"));
    let (mut encoder, mut head) = Encoder::begin(form, &reply.schema).map_err(wrong)?;
    let rest = match first {
        None => {
            head.extend(encoder.end().map_err(wrong)?);
            Next::Done
        }
        // Values that the form cannot hold are told while there is still a status to tell them with.
        Some(batch) => {
            let unfit = |e: ArrowError| {
                let says = format!("write a row as {}: {e}; cast the value to text", form.name());
                Problem::new(StatusCode::UNPROCESSABLE_ENTITY, says)
            };
            head.extend(encoder.batch(&batch).map_err(unfit)?);
            Next::Rows(Box::new(encoder), Box::new(reply))
        }
    };
    let rest = stream::unfold(rest, |next| async {
        match next {
            Next::Rows(encoder, reply) => Some(step(encoder, reply).await),
            Next::Break => {
                // What was said before it must be on its way, or it is thrown away with the connection.
                tokio::time::sleep(Duration::from_millis(100)).await;
                Some((Err(std::io::Error::other("the answer ended early")), Next::Done))
            }
            Next::Done => None,
        }
    });
    let head =
        stream::iter([Ok::<_, Infallible>(Bytes::from(head))]).map(|part| Ok(part.unwrap_or_default()));
    let mut response = Response::builder().header(header::CONTENT_TYPE, form.media_type());
    if let Some(name) = save_as {
        let tame = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' };
        let name: String = name.chars().take(80).map(tame).collect();
        let saved = format!("attachment; filename=\"{name}.{}\"", form.name());
        response = response.header(header::CONTENT_DISPOSITION, saved);
    }
    response
        .body(Body::from_stream(head.chain(rest)))
        .map_err(|e| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, format!("answer: {e}")))
}

async fn step(mut encoder: Box<Encoder>, mut reply: Box<Reply>) -> (std::io::Result<Bytes>, Next) {
    let problem = match reply.next().await {
        None => match encoder.end() {
            Ok(bytes) => return (Ok(bytes.into()), Next::Done),
            Err(e) => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, format!("write the answer: {e}")),
        },
        Some(Ok(batch)) => match encoder.batch(&batch) {
            Ok(bytes) => return (Ok(bytes.into()), Next::Rows(encoder, reply)),
            Err(e) => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, format!("write the answer: {e}")),
        },
        Some(Err(refusal)) => Problem::from(refusal),
    };
    (Ok(encoder.broken(&problem).into()), Next::Break)
}
