//! The API: statements, traces and reports.

use std::sync::Arc;

use axum::Json as Body;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, Response, StatusCode};
use serde_json::{Value as Json, json};

use super::Desk;
use super::answer::answer;
use super::problem::{At, Problem};
use super::question::{Form, Pairs, Question, take};
use super::sign_in::Signed;
use crate::query::{Catalogue, Query, Trace, render};

/// The door by which the log of queries knows this.
const DOOR: &str = "http";
/// Actions of one trace, each with what surrounds it.
const MOST_TRACED: usize = 1000;

type Answered = Result<Response<axum::body::Body>, Problem>;

pub(super) fn pairs(query: Option<String>) -> Pairs {
    let query = query.unwrap_or_default();
    url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

pub(super) async fn sql_get(
    State(desk): State<Arc<Desk>>,
    signed: Signed,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Answered {
    let mut pairs = pairs(query);
    let form = Form::of(take(&mut pairs, "format").as_deref(), &headers)?;
    let save_as = take(&mut pairs, "download");
    ask(&desk, &signed, Question::of_query(pairs)?, form, save_as.as_deref()).await
}

pub(super) async fn sql_post(
    State(desk): State<Arc<Desk>>,
    signed: Signed,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Answered {
    let mut pairs = pairs(query);
    let form = Form::of(take(&mut pairs, "format").as_deref(), &headers)?;
    ask(&desk, &signed, Question::of_body(&headers, &body)?, form, None).await
}

async fn ask(
    desk: &Desk,
    signed: &Signed,
    question: Question,
    form: Form,
    save_as: Option<&str>,
) -> Answered {
    let text = question.sql.clone();
    let asker = signed.asker(DOOR);
    let asked = desk.gate.ask(&asker, &text, async move |session| match question.values.is_empty() {
        true => session.sql(&question.sql).await,
        false => session.sql_with(&question.sql, question.named()).await,
    });
    answer(asked.await?, form, save_as).await
}

pub(super) async fn trace(
    State(desk): State<Arc<Desk>>,
    signed: Signed,
    At(id): At<String>,
    RawQuery(query): RawQuery,
) -> Result<Body<Trace>, Problem> {
    let limit = take(&mut pairs(query), "limit");
    let limit = limit.map_or(Ok(50), |text| text.parse::<usize>());
    let limit = limit.ok().filter(|limit| (1..=MOST_TRACED).contains(limit));
    let limit =
        limit.ok_or_else(|| Problem::bad(format!("use the limit; give a number from 1 to {MOST_TRACED}")))?;
    let text = format!("trace {id}");
    let trace = desk.work(&signed, DOOR, text, async move |session| session.trace(&id, limit).await).await?;
    if trace.is_empty() {
        let says = format!("find it: {}", render(&trace, false).trim_end());
        return Err(Problem::new(StatusCode::NOT_FOUND, says));
    }
    Ok(Body(trace))
}

pub(super) async fn reports(_: Signed) -> Body<Json> {
    Body(json!({ "reports": Catalogue::embedded().reports().iter().map(told).collect::<Vec<_>>() }))
}

fn told(report: &Query) -> Json {
    let params = report.params.iter().map(|(name, param)| {
        json!({ "name": name, "type": param.kind, "doc": param.doc, "default": param.default })
    });
    json!({
        "name": report.name,
        "title": report.title,
        "params": params.collect::<Vec<_>>(),
        "returns": report.returns,
        "tags": report.tags,
        "sql": report.sql,
    })
}

pub(super) async fn report(
    State(desk): State<Arc<Desk>>,
    signed: Signed,
    headers: HeaderMap,
    At(name): At<String>,
    RawQuery(query): RawQuery,
) -> Answered {
    let mut given = pairs(query);
    let form = Form::of(take(&mut given, "format").as_deref(), &headers)?;
    let save_as = take(&mut given, "download");
    let text = format!("report {name} {}", json!(given));
    let asker = signed.asker(DOOR);
    let asked = desk.gate.ask(&asker, &text, async move |session| session.report(&name, &given).await);
    answer(asked.await?, form, save_as.as_deref()).await
}
