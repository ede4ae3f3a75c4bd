//! Detections: what each has found and means, and what none of them sees.

use std::sync::Arc;

use axum::extract::State;

use super::ask::Ask;
use super::html::{Html, address, html};
use super::layout::{Page, page};
use super::parts::{Part, sections, seen};
use super::table::facts;
use super::turns::Turns;
use super::{Failed, Visitor, unknown};
use crate::query::{Detection, NOT_AUDITED, silent};
use crate::serve::http::Desk;
use crate::serve::http::problem::At;

const COUNTS: &str = "
    select detection, max(title) as title, severity, count(*) as findings, max(occurred) as newest
    from findings where status = 'open' group by detection, severity order by newest desc, detection, severity";
const FINDINGS: &str = "
    select occurred, coalesce(organization, organization_id) as organization, severity, says, agent_id, agent_name, pool_id, pool_name,
      machine, grade, run_kind, run_id, status, revision, found, event_id
    from findings where detection = $detection order by occurred desc, key";

pub(super) async fn list(
    State(desk): State<Arc<Desk>>,
    Visitor(signed): Visitor,
    turns: Turns,
) -> Result<Page, Failed> {
    let parts: [Part; 1] = [("Findings by detection", Ask::new(COUNTS), "No detection has found anything.")];
    let seen = seen(&desk, &signed, "page /detections".to_owned(), &parts, &turns).await?;
    let all = Detection::embedded();
    let entries: Html = all
        .iter()
        .map(|own| {
            let href = address(&["detection", &own.name], &[]);
            html!(
                "<li><a href=\"{}\"><b>{}</b><span>{}</span></a></li>",
                href,
                own.name.replace('_', " "),
                own.title
            )
        })
        .collect();
    let patterns: Vec<&str> = all.iter().flat_map(|own| &own.actions).map(String::as_str).collect();
    let areas: Html = silent(&patterns)
        .into_iter()
        .map(|(area, ids)| html!("<tr><th scope=\"row\">{}</th><td>{}</td></tr>", area, ids.join(", ")))
        .collect();
    let never: Html = NOT_AUDITED
        .into_iter()
        .map(|(what, instead)| html!("<tr><th scope=\"row\">{}</th><td>{}</td></tr>", what, instead))
        .collect();
    let main = html!(
        "<h1>Detections</h1>{}<section><h2>All that are built in</h2><ul class=\"cards\">{}</ul></section>\
         <section><h2>Silent areas</h2><p>Actions that no built-in detection names.</p>\
         <div class=\"scroll\"><table><tbody>{}</tbody></table></div></section>\
         <section><h2>Not audited</h2><p>What leaves no record in the audit log of Azure DevOps, and what tells of it instead.</p>\
         <div class=\"scroll\"><table><tbody>{}</tbody></table></div></section>",
        sections(seen.iter().zip(&parts), &turns),
        entries,
        areas,
        never
    );
    Ok(page(&signed.person, "Detections", "/", "", main))
}

pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    Visitor(signed): Visitor,
    At(name): At<String>,
    turns: Turns,
) -> Result<Page, Failed> {
    let own = Detection::embedded().iter().find(|own| own.name == name);
    let parts: [Part; 1] = [(
        "Findings",
        Ask::new(FINDINGS).text("detection", &name),
        "It has found nothing, or nothing that you may see.",
    )];
    let seen = seen(&desk, &signed, format!("page detection {name}"), &parts, &turns).await?;
    if own.is_none() && seen.iter().all(|rows| rows.rows.is_empty()) {
        return Err(unknown("the detection", &name));
    }
    let told = own.map_or_else(Html::default, |own| {
        let lines = facts(&[
            ("severity", html!("{}", own.severity)),
            ("why it matters", html!("{}", own.why)),
            ("false positives", html!("{}", own.false_positives)),
            ("look next at", html!("{}", own.next)),
            ("ATT&CK", html!("{}", own.attack.join(", "))),
            ("OWASP CI/CD", html!("{}", own.owasp.join(", "))),
        ]);
        html!("<p class=\"lead\">{}</p>{}", own.title, lines)
    });
    let sql = own.map_or_else(Html::default, |own| {
        html!("<details><summary>The SQL</summary><pre><code>{}</code></pre></details>", own.sql)
    });
    let main = html!(
        "<p class=\"over\"><a href=\"/detections\">Detections</a></p><h1>{}</h1>{}{}{}",
        name.replace('_', " "),
        told,
        sections(seen.iter().zip(&parts), &turns),
        sql
    );
    Ok(page(&signed.person, &name, "/", "", main))
}
