//! What is asked: a statement with its parameters, and the form of the answer.

use axum::http::{HeaderMap, StatusCode, header};
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use serde::Deserialize;
use serde_json::Value as Json;

use super::problem::Problem;

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Ndjson,
    Csv,
    Arrow,
}

impl Form {
    pub const ALL: [Form; 4] = [Form::Json, Form::Ndjson, Form::Csv, Form::Arrow];

    pub fn name(self) -> &'static str {
        match self {
            Form::Json => "json",
            Form::Ndjson => "ndjson",
            Form::Csv => "csv",
            Form::Arrow => "arrow",
        }
    }

    pub fn media_type(self) -> &'static str {
        match self {
            Form::Json => "application/json",
            Form::Ndjson => "application/x-ndjson",
            Form::Csv => "text/csv; charset=utf-8",
            Form::Arrow => "application/vnd.apache.arrow.stream",
        }
    }

    /// What `format` says, else what `Accept` asks for first.
    pub fn of(format: Option<&str>, headers: &HeaderMap) -> Result<Form, Problem> {
        let names = || Form::ALL.map(Form::name).join(", ");
        if let Some(format) = format {
            let form = Form::ALL.into_iter().find(|form| form.name() == format);
            return form.ok_or_else(|| Problem::bad(format!("answer as `{format}`; use one of {}", names())));
        }
        let Some(accept) = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()) else {
            return Ok(Form::Json);
        };
        let asked = accept.split(',').map(|kind| kind.split(';').next().unwrap_or_default().trim());
        let known = |kind: &str| match kind {
            "" | "*/*" | "application/*" | "application/problem+json" | "text/html" => Some(Form::Json),
            "text/*" => Some(Form::Csv),
            kind => Form::ALL.into_iter().find(|form| form.media_type().split(';').next() == Some(kind)),
        };
        asked.into_iter().find_map(known).ok_or_else(|| {
            let says =
                format!("answer as `{accept}`; accept one of {}", Form::ALL.map(Form::media_type).join(", "));
            Problem::new(StatusCode::NOT_ACCEPTABLE, says)
        })
    }
}

/// The pairs of a query.
pub(super) type Pairs = Vec<(String, String)>;

/// Takes what stands under a name out of the pairs.
pub(super) fn take(pairs: &mut Pairs, name: &str) -> Option<String> {
    let at = pairs.iter().position(|(own, _)| own == name)?;
    Some(pairs.remove(at).1)
}

/// A statement with values for its parameters.
#[derive(Debug, Clone, Default)]
pub(super) struct Question {
    pub sql: String,
    pub values: Vec<(String, ScalarValue)>,
}

/// The body of `POST /api/sql`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    sql: String,
    #[serde(default)]
    params: Json,
}

impl Question {
    /// From the body of a POST: `params` is a list for `$1`, `$2`, ... or an object of names.
    pub fn of_body(headers: &HeaderMap, body: &[u8]) -> Result<Question, Problem> {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        // A form of another site cannot send this type.
        if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                format!("read a body of type `{kind}`; send `application/json`"),
            ));
        }
        let asked: Asked = serde_json::from_slice(body).map_err(|e| {
            Problem::bad(format!("understand the body: {e}; send {{\"sql\": \"select 1\", \"params\": []}}"))
        })?;
        let values = match asked.params {
            Json::Null => Vec::new(),
            Json::Array(all) => all
                .iter()
                .enumerate()
                .map(|(n, value)| Ok(((n + 1).to_string(), scalar(value)?)))
                .collect::<Result<_, Problem>>()?,
            Json::Object(all) => all
                .iter()
                .map(|(name, value)| Ok((name.clone(), scalar(value)?)))
                .collect::<Result<_, Problem>>()?,
            other => {
                return Err(Problem::bad(format!(
                    "understand the parameters `{other}`; send a list or an object"
                )));
            }
        };
        Ok(Question { sql: asked.sql, values })
    }

    /// From a query: `q`, with parameters as `text.name`, `int.name` and `time.name`.
    pub fn of_query(mut pairs: Pairs) -> Result<Question, Problem> {
        let sql = take(&mut pairs, "q").filter(|sql| !sql.trim().is_empty());
        let sql = sql.ok_or_else(|| Problem::bad("find a statement: give it as `q`"))?;
        let mut values = Vec::new();
        for (name, text) in pairs {
            let unknown = || {
                Problem::bad(format!(
                    "understand `{name}`; parameters are `text.NAME`, `int.NAME`, `time.NAME`"
                ))
            };
            let (kind, own) = name.split_once('.').ok_or_else(unknown)?;
            let kind = match kind {
                "text" => DataType::Utf8,
                "int" => DataType::Int64,
                "time" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
                _ => return Err(unknown()),
            };
            let value = ScalarValue::from(text.as_str()).cast_to(&kind);
            let value =
                value.map_err(|_| Problem::bad(format!("understand `{text}` as the value of `{name}`")))?;
            values.push((own.to_owned(), value));
        }
        Ok(Question { sql, values })
    }

    /// The values as the session takes them.
    pub fn named(&self) -> Vec<(&str, ScalarValue)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.clone())).collect()
    }
}

fn scalar(value: &Json) -> Result<ScalarValue, Problem> {
    Ok(match value {
        Json::Null => ScalarValue::Null,
        Json::Bool(flag) => ScalarValue::from(*flag),
        Json::String(text) => ScalarValue::from(text.as_str()),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => ScalarValue::from(whole),
            (_, Some(float)) => ScalarValue::from(float),
            _ => return Err(Problem::bad(format!("understand the number `{number}`"))),
        },
        other => {
            return Err(Problem::bad(format!(
                "take `{other}` as a parameter; send text, numbers, true, false or null"
            )));
        }
    })
}
