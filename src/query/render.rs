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
            "nothing is known of `{}`: it is no event id, correlation id, authorization id, run id or agent name of this lake",
            trace.asked
        );
        return out;
    }
    if !trace.tokens.is_empty() {
        let _ = writeln!(out, "{}", bold("token of this id"));
        trace.tokens.iter().for_each(|token| self::token(&mut out, token, &trace.registered));
        out.push('\n');
    }
    if !trace.agents.is_empty() {
        let _ = writeln!(out, "{}", bold("agents of this name"));
        trace.agents.iter().for_each(|agent| self::agent(&mut out, agent, trace));
        out.push('\n');
    }
    for (i, action) in trace.actions.iter().enumerate() {
        if i > 0 {
            out.push('\n');
        }
        for Told { label, says, strong, .. } in story(action) {
            let says = if strong { bold(&says) } else { says };
            let _ = writeln!(out, "  {label:<10} {says}");
        }
    }
    if !trace.possible.is_empty() {
        let gap = if trace.actions.is_empty() { "" } else { "\n" };
        let _ = writeln!(out, "{gap}{}", bold("actions that it can have done"));
        for action in &trace.possible {
            let candidates = match text(action, "candidates").as_str() {
                "1" => "the only candidate known".to_owned(),
                several => format!("one of {several} candidates"),
            };
            let head =
                join(&[text(action, "action"), text(action, "occurred"), text(action, "event_id")], "  ");
            let _ = writeln!(
                out,
                "  {head}: {} ({}), {candidates}",
                text(action, "executor"),
                text(action, "grade")
            );
        }
    }
    if !trace.jobs.is_empty() {
        let gap = if trace.actions.is_empty() && trace.possible.is_empty() { "" } else { "\n" };
        let _ = writeln!(out, "{gap}{}", bold("jobs"));
        for job in &trace.jobs {
            let _ = writeln!(
                out,
                "  {} of run {} ({}) on {}: {}, {}",
                join(&[labelled("request", job, "request_id"), text(job, "name")], " "),
                text(job, "run_id"),
                text(job, "pipeline_name"),
                first(&[text(job, "agent_name"), "no agent yet".to_owned()]),
                span(job, "received", "finished"),
                first(&[text(job, "result"), text(job, "state"), "not known to be over".to_owned()])
            );
        }
    }
    out
}

/// One line of what is told of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// What the line is about, in one word; empty where it goes on with the line before.
    pub label: &'static str,
    pub says: String,
    /// Whether it is what is looked for first.
    pub strong: bool,
    /// The hash of the record that says so.
    pub record: Option<String>,
}

#[derive(Default)]
struct Story(Vec<Told>);

impl Story {
    fn say(&mut self, label: &'static str, says: String) {
        self.tell(label, says, false, None);
    }

    fn strong(&mut self, label: &'static str, says: String) {
        self.tell(label, says, true, None);
    }

    fn tell(&mut self, label: &'static str, says: String, strong: bool, record: Option<String>) {
        if !says.is_empty() {
            self.0.push(Told { label, says, strong, record });
        }
    }
}

/// What is told of an action of a [`Trace`], line by line, the same on every door.
pub fn story(action: &Object) -> Vec<Told> {
    let mut story = Story::default();
    let none = Object::new();
    let part = |name: &str| action.get(name).and_then(Json::as_object).unwrap_or(&none);
    let (job, run) = (part("job"), part("run"));
    let head =
        format!("{}  {}  {}", text(action, "action"), text(action, "occurred"), text(action, "event_id"));
    story.strong("action", head);
    let details = text(action, "details");
    story.say("", if details == text(action, "action") { String::new() } else { details });
    for window in items(action, "blind_windows") {
        story.say("blind", blind_window(window));
    }
    story.say("project", join(&[text(action, "organization"), text(action, "project")], " / "));
    let grade = text(action, "grade");
    let provisional = if is_true(action, "provisional") { ", provisional" } else { "" };
    let blind = if is_true(action, "blind") { ", within a blind window" } else { "" };
    story.strong("executor", format!("{} ({grade}{provisional}{blind})", text(action, "executor")));
    story.say("sure", how_sure(&grade, &text(action, "executor"), items(action, "candidates").count()));
    // First which machine it was, then which work it was part of, then who else had to do with it.
    place(&mut story, action, part("removal"));
    if !text(action, "request_id").is_empty() || !text(action, "job_id").is_empty() {
        let name = join(&[text(job, "stage"), text(job, "name")], " / ");
        let request = labelled("request", action, "request_id");
        let attempt = labelled("attempt", action, "attempt");
        let when =
            if text(job, "received").is_empty() { String::new() } else { span(job, "received", "finished") };
        story.say("job", join(&[name, elsewhere(action, job), request, attempt, when], ", "));
    }
    if !text(action, "run_id").is_empty() {
        let name = first(&[text(run, "name"), text(job, "run_name")]);
        let asked = first(&[
            labelled("asked for by", run, "requested_for"),
            labelled("asked for by", run, "requested_by"),
        ]);
        let id = format!("{} {}", text(action, "run_kind"), text(action, "run_id"));
        story.say("run", join(&[id, name, asked], ", "));
        let pipeline = first(&[text(run, "pipeline_name"), text(job, "pipeline_name")]);
        story.say("pipeline", join(&[pipeline, labelled("definition", action, "pipeline_id")], ", "));
    }
    let raiser = match text(action, "raised_by").as_str() {
        // Whoever holds the token of a job writes as it: the record proves no agent.
        "agent" => "a build identity".to_owned(),
        raiser => raiser.to_owned(),
    };
    let (actor, how) = (text(action, "actor_name"), text(action, "auth_mechanism"));
    story.say("raised by", join(&[raiser, actor, how, labelled("from", action, "ip")], ", "));
    for identity in items(action, "identities") {
        story.say("identity", self::identity(identity, run));
    }
    let subjects: Vec<String> = items(action, "subjects")
        .map(|s| format!("{} {}", text(s, "kind"), first(&[text(s, "name"), text(s, "id")])))
        .collect();
    story.say("about", subjects.join(", "));
    approvals(&mut story, action);
    for evidence in items(action, "evidence") {
        let record = short(&text(evidence, "record"));
        let says = format!(
            "{} [{}, record {record}, known {}]",
            text(evidence, "says"),
            text(evidence, "kind"),
            text(evidence, "known")
        );
        story.tell("evidence", says, false, Some(text(evidence, "record")));
    }
    for missing in action.get("missing").and_then(Json::as_array).into_iter().flatten() {
        story.say("missing", missing.as_str().unwrap_or_default().to_owned());
    }
    history(&mut story, action);
    story.0
}

/// The agent of a verdict, or those it can have been: pool, machine, and what became of it.
fn place(story: &mut Story, action: &Object, removal: &Object) {
    let name = text(action, "agent_name");
    if !name.is_empty() {
        let version = labelled("version", action, "agent_version");
        story.strong("agent", join(&[name.clone(), labelled("id", action, "agent_id"), version], ", "));
        story.say("pool", join(&[text(action, "pool_name"), labelled("id", action, "pool_id")], ", "));
        story.say("machine", text(action, "machine"));
        let gone = labelled("the agent is not listed any more since", action, "agent_gone");
        let deleted = labelled("deleted by", removal, "actor_name");
        let deleted = join(&[deleted, labelled("at", removal, "occurred")], " ");
        story.say("gone", join(&[gone, deleted, labelled("event", removal, "event_id")], ", "));
    }
    for other in items(action, "namesakes") {
        let machine = labelled("on", other, "machine");
        let pool = first(&[labelled("of pool", other, "pool_name"), labelled("of pool", other, "pool_id")]);
        let who = join(&[format!("agent {} {pool}", text(other, "agent_id")), machine], ", ");
        let (from, until) = (text(other, "first_seen"), text(other, "last_seen"));
        let seen = if from == until { format!("at {from}") } else { format!("from {from} to {until}") };
        story.say("namesake", format!("{who}, bore the name {name} as well: it was seen {seen}"));
    }
    let alone = !name.is_empty() && items(action, "candidates").count() == 1;
    for candidate in items(action, "candidates") {
        let why = text(candidate, "why");
        if alone {
            // It is the agent above; that it is, evidence often says in the same words.
            let told = items(action, "evidence").any(|evidence| text(evidence, "says") == why);
            story.say("because", if told { String::new() } else { why });
            continue;
        }
        let who = [
            first(&[text(candidate, "agent_name"), labelled("agent", candidate, "agent_id")]),
            pool(candidate),
            labelled("run", candidate, "run_id"),
            labelled("on", candidate, "machine"),
            labelled("not listed any more since", candidate, "gone"),
        ];
        story.say("candidate", format!("{}: {why}", join(&who, ", ")));
    }
}

/// Who approved what is deployed, or what this approves.
fn approvals(story: &mut Story, action: &Object) {
    for approval in items(action, "approvals") {
        let by = first(&[text(approval, "by"), text(approval, "by_id")]);
        let who = match text(approval, "executor").as_str() {
            "agent" if text(approval, "by").is_empty() => {
                format!("a job as {}, and no person", text(approval, "actor_name"))
            }
            "agent" => format!("a job on agent {by} as {}, and no person", text(approval, "actor_name")),
            _ if is_true(approval, "asked_for_the_run") => format!("{by}, who had asked for the run"),
            _ => by,
        };
        story.say("approved", format!("{} by {who}", text(approval, "occurred")));
    }
    let approves = text(action, "action").to_ascii_lowercase().contains("approv");
    if approves
        && (text(action, "executor") == "agent" || text(action, "actor_kind").ends_with("build_service"))
    {
        story.say("unusual", "a job gave this approval, and no person".to_owned());
    }
    if let Some(run) = action.get("approved_run").and_then(Json::as_object) {
        let own = asked_for(run, &text(action, "actor_id"));
        let who = if own { "who approved it" } else { "" }.to_owned();
        let who = first(&[who, text(run, "requested_for"), text(run, "requested_by")]);
        let asked = if who.is_empty() { who } else { format!("asked for by {who}") };
        let run = format!("{} {}, {}", text(run, "run_kind"), text(run, "run_id"), text(run, "name"));
        story.say(if approves { "approves" } else { "checks" }, join(&[run, asked], ", "));
    }
}

/// What was believed before; what was decided again in the same words is one line.
fn history(story: &mut Story, action: &Object) {
    let mut told: Vec<(String, String, String, Vec<String>, usize)> = Vec::new();
    for was in items(action, "history") {
        let agent = first(&[text(was, "old_agent_name"), labelled("agent", was, "old_agent_id")]);
        let believed = join(&[text(was, "old_executor"), agent, text(was, "old_grade")], ", ");
        let records = was.get("records").and_then(Json::as_array).into_iter().flatten();
        let records = records.filter_map(Json::as_str).map(short);
        let (why, until) = (text(was, "why"), text(was, "decided"));
        match told.last_mut() {
            Some(last) if (&last.0, &last.1) == (&believed, &why) => {
                last.2 = until;
                last.3.extend(records);
                last.4 += 1;
            }
            _ => told.push((believed, why, until, records.collect(), 1)),
        }
    }
    for (believed, why, until, records, times) in told {
        let by = if records.is_empty() { String::new() } else { format!(", record {}", records.join(", ")) };
        let times = if times > 1 { format!(" ({times} times)") } else { String::new() };
        story.say("was", format!("{believed} until {until}: {why}{times}{by}"));
    }
}

/// An identity in its role; a requester has the name that the run knows.
fn identity(identity: &Object, run: &Object) -> String {
    let (role, id, kind) = (text(identity, "role"), text(identity, "id"), text(identity, "kind"));
    let asked = [("requested_for_id", "requested_for"), ("requested_by_id", "requested_by")];
    let mut names: Vec<String> = asked
        .iter()
        .filter(|(own, _)| text(run, own).eq_ignore_ascii_case(&id) && !id.is_empty())
        .map(|(_, name)| text(run, name))
        .collect();
    if text(identity, "name") != id {
        names.insert(0, text(identity, "name"));
    }
    names.push(id.clone());
    let name = first(&names);
    let kind = if kind == role { String::new() } else { kind };
    let id = if id == name { String::new() } else { id };
    format!("{role}: {}", join(&[name, kind, id], ", "))
}

fn token(out: &mut String, token: &Object, registered: &[Object]) {
    let name = first(&[text(token, "name"), text(token, "id")]);
    let parts = [
        name,
        labelled("of", token, "principal_name"),
        labelled("for", token, "scopes"),
        labelled("valid from", token, "valid_from"),
        labelled("valid until", token, "valid_until"),
    ];
    let _ = writeln!(out, "  {}", join(&parts, ", "));
    for binding in registered {
        let _ = writeln!(
            out,
            "    registered agent {} in pool {} at {}",
            join(&[text(binding, "agent_name"), labelled("id", binding, "agent_id")], ", "),
            first(&[text(binding, "pool_name"), text(binding, "pool_id")]),
            text(binding, "from")
        );
    }
}

/// An agent as it is now, who registered it, what it was before, and what became of it.
fn agent(out: &mut String, agent: &Object, trace: &Trace) {
    let is_own = |row: &&Object| {
        let same = |name: &str| text(row, name) == text(agent, name);
        same("agent_id") && (same("organization_id") || same("organization"))
    };
    let now = [
        join(&[text(agent, "name"), labelled("id", agent, "agent_id")], ", "),
        pool(agent),
        labelled("machine", agent, "machine"),
        labelled("version", agent, "version"),
    ];
    let _ = writeln!(out, "  {}", join(&now, ", "));
    for binding in trace.registered.iter().filter(is_own) {
        let who = first(&[text(binding, "identity_name"), text(binding, "identity_id")]);
        let kind = text(binding, "identity_kind");
        let _ = writeln!(out, "    registered by {who} ({kind}) at {}", text(binding, "from"));
    }
    // What differs between two versions and is told here; other things change as well.
    const TOLD: [(&str, &str); 6] = [
        ("name", "name"),
        ("pool_id", "pool"),
        ("machine", "machine"),
        ("key_fingerprint", "key"),
        ("version", "version"),
        ("enabled", "enabled"),
    ];
    let mut spans: Vec<(&Object, String, Vec<&str>)> = Vec::new();
    for version in trace.versions.iter().filter(is_own) {
        let until = text(version, "until");
        let news: Vec<&str> = spans.last().map_or_else(Vec::new, |(before, ..)| {
            TOLD.iter()
                .filter(|(name, _)| text(before, name) != text(version, name))
                .map(|told| told.1)
                .collect()
        });
        match spans.last_mut() {
            Some(last) if news.is_empty() => last.1 = until,
            _ => spans.push((version, until, news)),
        }
    }
    for (version, until, news) in &spans {
        let when = match until.as_str() {
            "" => labelled("since", version, "from"),
            until => format!("from {} to {until}", text(version, "from")),
        };
        let key = labelled("key", version, "key_fingerprint");
        let off = if text(version, "enabled") == "false" { "disabled" } else { "" }.to_owned();
        let what = join(
            &[
                text(version, "name"),
                pool(version),
                labelled("on", version, "machine"),
                key.get(..16).unwrap_or(&key).to_owned(),
                labelled("version", version, "version"),
                off,
            ],
            ", ",
        );
        // Under the same id another key is another configuration of the agent, whoever made it.
        let replaced = news.contains(&"key") || news.contains(&"machine");
        let news = match (news.is_empty(), replaced) {
            (true, _) => String::new(),
            (_, true) => format!(": replaced, another {}", news.join(", another ")),
            _ => format!(": another {}", news.join(", another ")),
        };
        let _ = writeln!(out, "    {when}: {what}{news}");
    }
    if !text(agent, "gone").is_empty() {
        let gone = labelled("not there any more since", agent, "gone");
        let _ = writeln!(out, "    {}", join(&[gone, labelled("deleted by", agent, "deleted_by")], ", "));
    }
}

/// A pool by name and id.
fn pool(row: &Object) -> String {
    let (name, id) = (text(row, "pool_name"), text(row, "pool_id"));
    match (name.as_str(), id.as_str()) {
        ("", "") => String::new(),
        (name, "") => format!("pool {name}"),
        ("", id) => format!("pool {id}"),
        (name, id) => format!("pool {name} ({id})"),
    }
}

/// From when until when something was, as far as that is known.
fn span(row: &Object, from: &str, until: &str) -> String {
    let (from, until) = (text(row, from), text(row, until));
    match (from.as_str(), until.as_str()) {
        ("", _) => "not begun".to_owned(),
        (from, "") => format!("since {from}"),
        (from, until) => format!("{from} to {until}"),
    }
}

/// The project of a job, where it is not the one that the record is about.
fn elsewhere(action: &Object, job: &Object) -> String {
    let same = text(job, "project_id").is_empty() || text(job, "project_id") == text(action, "project_id");
    if same {
        String::new()
    } else {
        format!("of another project, {}", first(&[text(job, "project"), text(job, "project_id")]))
    }
}

/// The start of a record's hash, by which a record can be told from others.
fn short(hash: &str) -> String {
    hash.get(..12).unwrap_or(hash).to_owned()
}

/// In words, what a grade stands for.
pub fn how_sure(grade: &str, executor: &str, candidates: usize) -> String {
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

fn join(parts: &[String], between: &str) -> String {
    parts.iter().filter(|p| !p.is_empty()).cloned().collect::<Vec<_>>().join(between)
}

fn first(parts: &[String]) -> String {
    parts.iter().find(|p| !p.is_empty()).cloned().unwrap_or_default()
}
