//! A trace for people.

use std::fmt::Write as _;

use serde_json::Value as Json;

use super::Trace;
use super::around::asked_for;
use super::write::Object;

/// The trace as text; `color` adds terminal emphasis.
pub fn render(trace: &Trace, color: bool) -> String {
    let mut out = String::new();
    let bold = |text: &str| if color { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() };
    if trace.is_empty() {
        let _ = writeln!(
            out,
            "nothing is known of `{}`: it is no event id, correlation id, run id or agent name of this lake",
            trace.asked
        );
        return out;
    }
    for (i, action) in trace.actions.iter().enumerate() {
        if i > 0 {
            out.push('\n');
        }
        one(&mut out, action, &bold);
    }
    if !trace.agents.is_empty() {
        let _ = writeln!(out, "\n{}", bold("agents of this name"));
        for agent in &trace.agents {
            let _ = writeln!(
                out,
                "  {} in pool {}, machine {}, version {}, seen {}",
                line(agent, &["agent_id", "name"]),
                line(agent, &["pool_name", "pool_id"]),
                text(agent, "machine"),
                text(agent, "version"),
                text(agent, "observed")
            );
        }
    }
    if !trace.jobs.is_empty() {
        let _ = writeln!(out, "\n{}", bold("jobs"));
        for job in &trace.jobs {
            let _ = writeln!(
                out,
                "  request {} {} of run {} ({}) on {}: {} to {}, {}",
                text(job, "request_id"),
                text(job, "name"),
                text(job, "run_id"),
                text(job, "pipeline_name"),
                text(job, "agent_name"),
                text(job, "received"),
                text(job, "finished"),
                text(job, "result")
            );
        }
    }
    out
}

fn one(out: &mut String, action: &Object, bold: &impl Fn(&str) -> String) {
    let mut say = |name: &str, value: String| {
        if !value.is_empty() {
            let _ = writeln!(out, "  {name:<10} {value}");
        }
    };
    let none = Object::new();
    let part = |name: &str| action.get(name).and_then(Json::as_object).unwrap_or(&none);
    let (job, run) = (part("job"), part("run"));
    say("", String::new());
    let head =
        format!("{}  {}  {}", text(action, "action"), text(action, "occurred"), text(action, "event_id"));
    say("action", bold(&head));
    say("", text(action, "details"));
    for window in items(action, "blind_windows") {
        say("blind", blind_window(window));
    }
    say("project", join(&[text(action, "organization"), text(action, "project")], " / "));
    let grade = text(action, "grade");
    let provisional = if is_true(action, "provisional") { ", provisional" } else { "" };
    let blind = if is_true(action, "blind") { ", within a blind window" } else { "" };
    say("executor", bold(&format!("{} ({grade}{provisional}{blind})", text(action, "executor"))));
    say("sure", how_sure(&grade, &text(action, "executor"), items(action, "candidates").count()));
    say(
        "raised by",
        join(
            &[
                match text(action, "raised_by").as_str() {
                    // Whoever holds the token of a job writes as it: the record proves no agent.
                    "agent" => "a build identity".to_owned(),
                    raiser => raiser.to_owned(),
                },
                text(action, "actor_name"),
                text(action, "auth_mechanism"),
                labelled("from", action, "ip"),
            ],
            ", ",
        ),
    );
    if !text(action, "request_id").is_empty() || !text(action, "job_id").is_empty() {
        let name = join(&[text(job, "stage"), text(job, "name")], " / ");
        let when = join(&[text(job, "received"), text(job, "finished")], " to ");
        say(
            "job",
            join(
                &[
                    name,
                    elsewhere(action, job),
                    labelled("request", action, "request_id"),
                    labelled("attempt", action, "attempt"),
                    when,
                ],
                ", ",
            ),
        );
    }
    if !text(action, "run_id").is_empty() {
        let name = first(&[text(run, "name"), text(job, "run_name")]);
        let asked = first(&[
            labelled("asked for by", run, "requested_for"),
            labelled("asked for by", run, "requested_by"),
        ]);
        let id = format!("{} {}", text(action, "run_kind"), text(action, "run_id"));
        say("run", join(&[id, name, asked], ", "));
        let pipeline = first(&[text(run, "pipeline_name"), text(job, "pipeline_name")]);
        say("pipeline", join(&[pipeline, labelled("definition", action, "pipeline_id")], ", "));
    }
    let agent = join(
        &[
            text(action, "agent_name"),
            labelled("id", action, "agent_id"),
            labelled("version", action, "agent_version"),
        ],
        ", ",
    );
    if !text(action, "agent_name").is_empty() {
        say("agent", bold(&agent));
        say("pool", join(&[text(action, "pool_name"), labelled("id", action, "pool_id")], ", "));
        say("machine", text(action, "machine"));
        say("gone", labelled("the agent is not listed any more since", action, "agent_gone"));
    }
    for other in items(action, "namesakes") {
        let machine = labelled("on", other, "machine");
        let pool = first(&[labelled("of pool", other, "pool_name"), labelled("of pool", other, "pool_id")]);
        let who = join(&[format!("agent {} {pool}", text(other, "agent_id")), machine], ", ");
        let name = text(action, "agent_name");
        let (from, until) = (text(other, "first_seen"), text(other, "last_seen"));
        let seen = if from == until { format!("at {from}") } else { format!("from {from} to {until}") };
        say("namesake", format!("{who}, bore the name {name} as well: it was seen {seen}"));
    }
    for identity in items(action, "identities") {
        let value = join(
            &[
                first(&[text(identity, "name"), text(identity, "id")]),
                text(identity, "kind"),
                text(identity, "id"),
            ],
            ", ",
        );
        say("identity", format!("{}: {value}", text(identity, "role")));
    }
    let subjects: Vec<String> = items(action, "subjects")
        .map(|s| format!("{} {}", text(s, "kind"), first(&[text(s, "name"), text(s, "id")])))
        .collect();
    say("about", subjects.join(", "));
    for approval in items(action, "approvals") {
        let by = first(&[text(approval, "by"), text(approval, "by_id")]);
        let own = if is_true(approval, "asked_for_the_run") { ", who had asked for the run" } else { "" };
        say("approved", format!("{} by {by}{own}", text(approval, "occurred")));
    }
    if let Some(run) = action.get("approved_run").and_then(Json::as_object) {
        let own = asked_for(run, &text(action, "actor_id"));
        let who = if own { "who approved it" } else { "" }.to_owned();
        let who = first(&[who, text(run, "requested_for"), text(run, "requested_by")]);
        let run = format!("{} {}, {}", text(run, "run_kind"), text(run, "run_id"), text(run, "name"));
        say("approves", join(&[run, format!("asked for by {who}")], ", "));
    }
    for candidate in items(action, "candidates") {
        let who = join(
            &[
                first(&[text(candidate, "agent_name"), labelled("agent", candidate, "agent_id")]),
                labelled("pool", candidate, "pool_id"),
                labelled("run", candidate, "run_id"),
            ],
            ", ",
        );
        say("candidate", format!("{who}: {}", text(candidate, "why")));
    }
    for evidence in items(action, "evidence") {
        let record = short(&text(evidence, "record"));
        say(
            "evidence",
            format!(
                "{} [{}, record {record}, known {}]",
                text(evidence, "says"),
                text(evidence, "kind"),
                text(evidence, "known")
            ),
        );
    }
    for was in items(action, "history") {
        let agent = first(&[text(was, "old_agent_name"), labelled("agent", was, "old_agent_id")]);
        let believed = join(&[text(was, "old_executor"), agent, text(was, "old_grade")], ", ");
        let records = was.get("records").and_then(Json::as_array).into_iter().flatten();
        let records: Vec<String> = records.filter_map(Json::as_str).map(short).collect();
        let by = if records.is_empty() { String::new() } else { format!(", record {}", records.join(", ")) };
        say("was", format!("{believed} until {}: {}{by}", text(was, "decided"), text(was, "why")));
    }
    for missing in action.get("missing").and_then(Json::as_array).into_iter().flatten() {
        say("missing", missing.as_str().unwrap_or_default().to_owned());
    }
}

/// The project of a job, where it is not the one that the record is about.
fn elsewhere(action: &Object, job: &Object) -> String {
    let same = text(job, "project_id").is_empty() || text(job, "project_id") == text(action, "project_id");
    if same {
        String::new()
    } else {
        format!("of project {}", first(&[text(job, "project"), text(job, "project_id")]))
    }
}

/// The start of a record's hash, by which a record can be told from others.
fn short(hash: &str) -> String {
    hash.get(..12).unwrap_or(hash).to_owned()
}

/// In words, what a grade stands for.
fn how_sure(grade: &str, executor: &str, candidates: usize) -> String {
    let says = match grade {
        "exact" => "the record itself leads to this job and its agent",
        "sole" => "every other candidate is excluded, and all pools were heard",
        "run" => "the run is certain; which of its jobs it was may not be",
        "narrowed" if candidates > 1 => return format!("one of {candidates} candidates, none excluded"),
        "narrowed" => "one candidate is known, and others are not excluded",
        "corroborated" => "hints only: no candidate is proven",
        "none" => "nothing known leads to whoever did it",
        "not_agent" => match executor {
            "client" => "no agent did it: a credential was used outside any job",
            "human" => "no agent did it: a person did",
            "service" => "no agent did it: a service of Azure DevOps did",
            _ => "no agent did it",
        },
        _ => "",
    };
    says.to_owned()
}

/// In words, what was not heard and between which times.
fn blind_window(window: &Object) -> String {
    let what = match text(window, "source").as_str() {
        "pools" => "lists of pools".to_owned(),
        _ => {
            let pool = first(&[text(window, "pool_name"), labelled("pool", window, "pool_id")]);
            format!("job requests of {pool} ({})", text(window, "pool_id"))
        }
    };
    let (from, until) = (text(window, "from"), text(window, "until"));
    match (from.as_str(), until.as_str()) {
        ("", "") => format!("{what} were never heard"),
        ("", until) => format!("{what} were not heard before {until}"),
        (from, "") => format!("{what} were not heard since {from}"),
        (from, until) => format!("{what} were not heard from {from} to {until}"),
    }
}

fn items<'o>(object: &'o Object, name: &str) -> impl Iterator<Item = &'o Object> {
    object.get(name).and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_object)
}

fn is_true(object: &Object, name: &str) -> bool {
    object.get(name).and_then(Json::as_bool).unwrap_or(false)
}

fn text(object: &Object, name: &str) -> String {
    match object.get(name) {
        // What a record says goes to a terminal: nothing in it may steer that.
        Some(Json::String(text)) => text.chars().filter(|c| !c.is_control()).collect(),
        Some(Json::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

fn labelled(label: &str, object: &Object, name: &str) -> String {
    let value = text(object, name);
    if value.is_empty() { value } else { format!("{label} {value}") }
}

fn line(object: &Object, names: &[&str]) -> String {
    join(&names.iter().map(|n| text(object, n)).collect::<Vec<_>>(), " ")
}

fn join(parts: &[String], between: &str) -> String {
    parts.iter().filter(|p| !p.is_empty()).cloned().collect::<Vec<_>>().join(between)
}

fn first(parts: &[String]) -> String {
    parts.iter().find(|p| !p.is_empty()).cloned().unwrap_or_default()
}
