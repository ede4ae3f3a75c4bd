//! The chain from the organisation to the identity: the work as a path, and who did it as boxes, read as one list.

use super::html::{Html, address, html};
use super::table::{badge, text};
use super::trace::{objects, organization};
use crate::query::Object;

struct Link {
    kind: &'static str,
    name: String,
    /// A second line: an id, or a word on it.
    under: String,
    href: Option<String>,
    /// Whether the verdict leaves it open.
    is_open: bool,
    /// Whether it is who did it, rather than the work that it was done in.
    is_who: bool,
}

/// The chain of an action. What is not known is left as an empty place, so that the gap is seen.
pub(super) fn figure(action: &Object) -> Html {
    let links = links(action);
    let part = |is_who: bool| links.iter().filter(|link| link.is_who == is_who).map(place).collect::<Html>();
    html!(
        "<figure class=\"chain\"><figcaption>From the organisation to the identity {}</figcaption>\
         <ol class=\"work\">{}</ol><ol class=\"who\">{}</ol></figure>",
        badge(&text(action, "grade")),
        part(false),
        part(true)
    )
}

fn place(link: &Link) -> Html {
    let class = match (link.name.is_empty(), link.is_open) {
        (true, _) => "unknown",
        (_, true) => "open",
        _ => "known",
    };
    let name = match (&link.href, link.name.is_empty()) {
        (_, true) => html!("<span class=\"name\">not known</span>"),
        (Some(href), _) => html!("<a class=\"name\" href=\"{}\">{}</a>", href, link.name),
        (None, _) => html!("<span class=\"name\">{}</span>", link.name),
    };
    html!(
        "<li class=\"{}\"><span class=\"kind\">{}</span> {} <span class=\"under\">{}</span></li>",
        class,
        link.kind,
        name,
        link.under
    )
}

fn links(action: &Object) -> Vec<Link> {
    let none = Object::new();
    let part = |name: &str| action.get(name).and_then(serde_json::Value::as_object).unwrap_or(&none);
    let (job, run) = (part("job"), part("run"));
    let first = |parts: [String; 2]| parts.into_iter().find(|part| !part.is_empty()).unwrap_or_default();
    let labelled = |label: &str, row: &Object, name: &str| match text(row, name).as_str() {
        "" => String::new(),
        value => format!("{label} {value}"),
    };
    let organization = organization(action);
    let whole = |name: &str| Some(text(action, name)).filter(|id| !id.is_empty());
    let work = |kind, name: String, under: String| Link {
        kind,
        name,
        under,
        href: None,
        is_open: false,
        is_who: false,
    };
    let who = |kind, name: String, under: String| Link { is_who: true, ..work(kind, name, under) };
    let mut all = vec![
        work("organisation", organization.clone(), String::new()),
        work("project", first([text(action, "project"), text(action, "project_id")]), String::new()),
    ];
    let executor = text(action, "executor");
    let several = objects(action, "candidates").len();
    let run_kind = text(action, "run_kind");
    // A person or a service acts without any of what lies between.
    if executor == "agent" || whole("run_id").is_some() || several > 0 {
        let pipeline = first([text(run, "pipeline_name"), text(job, "pipeline_name")]);
        all.push(Link {
            href: Some(address(&["search"], &[("q", &pipeline)])),
            ..work("pipeline", pipeline, labelled("definition", action, "pipeline_id"))
        });
        all.push(Link {
            href: whole("run_id").map(|id| address(&["run", &run_kind, &id], &[])),
            ..work(
                "run",
                whole("run_id").map_or(String::new(), |id| {
                    let name = first([text(run, "name"), text(job, "run_name")]);
                    if name.is_empty() { format!("{run_kind} {id}") } else { name }
                }),
                labelled(&run_kind, action, "run_id"),
            )
        });
        all.push(work("stage", text(job, "stage"), String::new()));
        all.push(work(
            "job",
            first([text(job, "name"), text(action, "job_id")]),
            labelled("request", action, "request_id"),
        ));
        let agent = text(action, "agent_name");
        all.push(match (agent.is_empty(), several) {
            (false, _) => Link {
                href: whole("agent_id").map(|id| address(&["agent", &organization, &id], &[])),
                ..who(
                    "agent",
                    agent,
                    first([labelled("pool", action, "pool_name"), labelled("pool", action, "pool_id")]),
                )
            },
            (true, 0) => who("agent", String::new(), String::new()),
            (true, several) => Link {
                is_open: true,
                href: Some("#candidates".to_owned()),
                ..who("agent", format!("one of {several}"), "see the candidates".to_owned())
            },
        });
        all.push(who("machine", text(action, "machine"), String::new()));
    }
    let identity = [text(action, "actor_client_id"), text(action, "actor_id"), text(action, "actor_name")];
    let identity = identity.into_iter().find(|id| !id.is_empty());
    all.push(Link {
        href: identity.as_ref().map(|id| address(&["identity", id], &[])),
        ..who(
            "identity",
            first([text(action, "actor_name"), identity.clone().unwrap_or_default()]),
            text(action, "auth_mechanism").split(' ').next().unwrap_or_default().to_owned(),
        )
    });
    all
}
