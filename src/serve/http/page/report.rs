//! The reports: what may be asked, a form for each, and its answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;

use super::ask::{MOST_ROWS, window};
use super::html::{Html, address, html};
use super::layout::{Page, page};
use super::table::{Source, section};
use super::turns::Turns;
use super::{DOOR, Failed, Visitor};
use crate::query::{Catalogue, Query};
use crate::serve::gate::Refusal;
use crate::serve::http::Desk;
use crate::serve::http::problem::At;

pub(super) async fn list(Visitor(signed): Visitor) -> Page {
    let mut by_tag: BTreeMap<&str, Vec<&Query>> = BTreeMap::new();
    for report in Catalogue::embedded().reports() {
        by_tag.entry(report.tags.first().map_or("other", String::as_str)).or_default().push(report);
    }
    let groups: Html = by_tag
        .into_iter()
        .map(|(tag, reports)| {
            let entries: Html = reports
                .into_iter()
                .map(|report| {
                    let href = address(&["reports", &report.name], &[]);
                    html!(
                        "<li><a href=\"{}\"><b>{}</b><span>{}</span></a></li>",
                        href,
                        report.name.replace('_', " "),
                        report.title
                    )
                })
                .collect();
            html!("<section><h2>{}</h2><ul class=\"cards\">{}</ul></section>", tag, entries)
        })
        .collect();
    page(&signed.person, "Reports", "/reports", "", html!("<h1>Reports</h1>{}", groups))
}

pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    Visitor(signed): Visitor,
    At(name): At<String>,
    turns: Turns,
) -> Result<Page, Failed> {
    let report = Catalogue::embedded().report(&name).map_err(Refusal::from)?;
    let given: Vec<(String, String)> =
        turns.given().into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let has_all = report
        .params
        .iter()
        .all(|(own, param)| param.default.is_some() || given.iter().any(|(name, _)| name == own));
    let answer = match has_all {
        false => html!("<p class=\"empty\">Fill in what it needs, then ask.</p>"),
        true => {
            let (own, own_given, from) = (report.name.clone(), given.clone(), turns.at("answer"));
            let text = format!("report {name} {}", serde_json::json!(given));
            let work = desk.work(&signed, DOOR, text, async move |session| {
                window(session.report(&own, &own_given).await?, from, MOST_ROWS).await
            });
            let rows = work.await?;
            let query: Vec<(&str, &str)> = given.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            let path = ["api", "reports", &report.name];
            let empty = "It has no row for these parameters: nothing of this kind was recorded, or it lies outside your scope or these times.";
            section("Answer", &rows, &Source::Path(&path, &query), &turns, empty)
        }
    };
    let fields: Html = report
        .params
        .iter()
        .map(|(own, param)| {
            let value = given.iter().rev().find(|(name, _)| name == own).map_or("", |(_, value)| value.as_str());
            let shown = param.default.as_deref().unwrap_or_default();
            let mode = if param.kind == "bigint" { "numeric" } else { "text" };
            let required = if param.default.is_none() { html!(" required") } else { Html::default() };
            html!(
                "<div><label for=\"p-{}\">{} <small>{}, {}</small></label>\
                 <input id=\"p-{}\" name=\"{}\" value=\"{}\" placeholder=\"{}\" inputmode=\"{}\" spellcheck=\"false\"{}></div>",
                own,
                own.replace('_', " "),
                param.doc,
                param.kind,
                own,
                own,
                value,
                shown,
                mode,
                required
            )
        })
        .collect();
    let form = match report.params.is_empty() {
        true => Html::default(),
        false => html!(
            "<form class=\"ask\" action=\"{}\">{}<button>Ask</button></form>",
            address(&["reports", &report.name], &[]),
            fields
        ),
    };
    let main = html!(
        "<p class=\"over\"><a href=\"/reports\">Reports</a></p><h1>{}</h1><p class=\"lead\">{}</p>{}{}\
         <details><summary>The SQL</summary><pre><code>{}</code></pre><p><a href=\"{}\">Open the SQL box</a></p></details>",
        report.name.replace('_', " "),
        report.title,
        form,
        answer,
        report.sql,
        address(&["sql"], &[])
    );
    Ok(page(&signed.person, &report.name, "/reports", "", main))
}
