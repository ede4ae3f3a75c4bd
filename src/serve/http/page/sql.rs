//! The SQL box: a statement, its rows, a plot where they are a series, and all of them as a file.

use std::sync::Arc;

use axum::extract::{RawQuery, State};

use super::ask::{MOST_ROWS, Rows, first};
use super::html::{Html, address, html};
use super::layout::{Page, page};
use super::table::{Source, section, text};
use super::{DOOR, Failed, Visitor, chart};
use crate::query::Catalogue;
use crate::serve::http::Desk;
use crate::serve::http::api::pairs;
use crate::serve::http::problem::Problem;
use crate::serve::http::question::take;

/// Bars of one plot.
const MOST_BARS: usize = 60;

const EXAMPLES: [(&str, &str); 3] = [
    ("Grades", "select grade, count(*) as actions from actions group by grade order by actions desc"),
    (
        "Busiest agents",
        "select agent_name, count(*) as jobs from jobs where agent_name is not null group by 1 order by 2 desc limit 20",
    ),
    (
        "Newest actions",
        "select occurred, organization, action, actor_name, agent_id, agent_name, grade, event_id from actions order by occurred desc limit 50",
    ),
];

pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    Visitor(signed): Visitor,
    RawQuery(query): RawQuery,
) -> Result<Page, Failed> {
    let q = take(&mut pairs(query), "q").unwrap_or_default();
    let answer = match q.trim().is_empty() {
        true => Html::default(),
        false => {
            let own = q.clone();
            let work = desk.work(&signed, DOOR, q.clone(), async move |session| {
                first(session.sql(&own).await?, MOST_ROWS).await
            });
            match work.await {
                Ok(rows) => answer(&q, &rows),
                Err(refusal) => {
                    let problem = Problem::from(refusal);
                    html!(
                        "<section class=\"notice bad\" role=\"alert\"><h2>{}</h2><p>{}</p></section>",
                        problem.title(),
                        problem.detail
                    )
                }
            }
        }
    };
    let examples: Html = EXAMPLES
        .into_iter()
        .map(|(name, sql)| html!("<a href=\"{}\">{}</a> ", address(&["sql"], &[("q", sql)]), name))
        .collect();
    let views: Html = Catalogue::embedded()
        .views()
        .iter()
        .filter(|view| view.params.is_empty())
        .map(|view| {
            let sql = format!("select * from {} limit 50", view.name);
            html!(
                "<li><a href=\"{}\"><b>{}</b><span>{}</span></a></li>",
                address(&["sql"], &[("q", &sql)]),
                view.name,
                view.title
            )
        })
        .collect();
    let main = html!(
        "<h1>SQL</h1><form class=\"sql\" action=\"/sql\"><label for=\"sql\">One statement, which can only read</label>\
         <textarea id=\"sql\" name=\"q\" rows=\"6\" spellcheck=\"false\" autocomplete=\"off\" maxlength=\"16000\">{}</textarea>\
         <p><button>Ask</button> <span class=\"hint\"><kbd>Ctrl</kbd> <kbd>Enter</kbd></span> <span class=\"examples\">{}</span></p></form>{}\
         <details{}><summary>What can be asked</summary><ul class=\"cards\">{}</ul></details>",
        q,
        examples,
        answer,
        if q.trim().is_empty() { html!(" open") } else { Html::default() },
        views
    );
    Ok(page(&signed.person, "SQL", "/sql", "", main))
}

fn answer(q: &str, rows: &Rows) -> Html {
    let mut out = plot(rows);
    let source = [("q", q)];
    out.push(section(
        "Rows",
        rows,
        &Source::Path(&["api", "sql"], &source),
        "The statement has no row as its answer.",
    ));
    out
}

/// Bars, where the first column names and the second is a number.
fn plot(rows: &Rows) -> Html {
    let [label, value] = rows.columns.as_slice() else { return Html::default() };
    let series: Option<Vec<(String, f64)>> = rows
        .rows
        .iter()
        .take(MOST_BARS)
        .map(|row| Some((text(row, label), row.get(value)?.as_f64()?)))
        .collect();
    match series {
        Some(series) if series.len() > 1 => {
            html!("<section><h2>Plot</h2>{}</section>", chart::bars(&format!("{value} by {label}"), &series))
        }
        _ => Html::default(),
    }
}
