//! The SQL box: a statement, its rows, a plot where they are a series, and all of them as a file.

use std::sync::Arc;

use axum::extract::State;

use super::ask::{MOST_ROWS, Rows, window};
use super::html::{Html, address, html};
use super::layout::{Page, page};
use super::table::{Source, section};
use super::turns::Turns;
use super::{DOOR, Failed, Visitor, plot};
use crate::query::Catalogue;
use crate::serve::http::Desk;
use crate::serve::http::problem::Problem;
use crate::serve::http::question::take;

const EXAMPLES: [(&str, &str); 4] = [
    ("Grades", "select grade, count(*) as actions from actions group by grade order by actions desc"),
    (
        "Grades by day",
        "select date_trunc('day', occurred) as day, grade, count(*) as actions from actions group by 1, 2 order by 1, 2",
    ),
    (
        "Busiest agents",
        "select agent_name, count(*) as jobs from jobs where agent_name is not null group by 1 order by 2 desc, 1 limit 20",
    ),
    (
        "Newest actions",
        "select occurred, organization, action, actor_name, agent_id, agent_name, grade, event_id from actions order by occurred desc, event_id limit 50",
    ),
];

pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    Visitor(signed): Visitor,
    turns: Turns,
) -> Result<Page, Failed> {
    let q = take(&mut turns.given(), "q").unwrap_or_default();
    let from = turns.at("rows");
    let answer = match q.trim().is_empty() {
        true => Html::default(),
        false => {
            let own = q.clone();
            let work = desk.work(&signed, DOOR, q.clone(), async move |session| {
                window(session.sql(&own).await?, from, MOST_ROWS).await
            });
            match work.await {
                Ok(rows) => answer(&q, &Rows { chosen: true, ..rows }, &turns),
                Err(refusal) => {
                    let problem = Problem::from(refusal);
                    html!(
                        "<section class=\"notice bad\" role=\"alert\"><h2>Not answered: {}</h2><p class=\"says\">{}</p></section>",
                        problem.title().to_lowercase(),
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
         <textarea id=\"sql\" name=\"q\" rows=\"6\" spellcheck=\"false\" autocomplete=\"off\" autocapitalize=\"off\" maxlength=\"16000\">{}</textarea>\
         <p class=\"row\"><button>Ask</button> <span class=\"hint\"><kbd>Ctrl</kbd> <kbd>Enter</kbd></span> <span class=\"examples\">{}</span></p></form>{}\
         <details{}><summary>What can be asked</summary><ul class=\"cards\">{}</ul></details>",
        q,
        examples,
        answer,
        if q.trim().is_empty() { html!(" open") } else { Html::default() },
        views
    );
    Ok(page(&signed.person, "SQL", "/sql", "", main))
}

fn answer(q: &str, rows: &Rows, turns: &Turns) -> Html {
    let mut out = plot::of(rows);
    let source = [("q", q)];
    out.push(section(
        "Rows",
        rows,
        &Source::Path(&["api", "sql"], &source),
        turns,
        "The statement has no row as its answer.",
    ));
    // Without an order of their own, rows come as the threads have them.
    if (rows.more || rows.from > 0) && !q.to_ascii_lowercase().contains("order by") {
        out.push(html!(
            "<p class=\"more\">The statement has no <code>order by</code>: a row can be on two of its pages, or on none. The downloads have each once.</p>"
        ));
    }
    out
}
