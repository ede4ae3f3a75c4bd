//! Records that are no audit events: told apart by their members, typed as far as they are known.

mod agents;
mod grants;
mod hooks;
mod identities;
mod jobs;
mod reach;

use std::borrow::Cow;

use super::address::Address;
use super::json::{Fields, integer};
use super::redact::redact;
use super::{Sink, audit, inventory};
use crate::model::{Body, Fact, Heard, Org, Reason, RecordHash, Text, Ticks, Time, canonical};
use serde_json::Value as Json;

/// A fact before it is tied to its raw record.
pub(super) struct Draft {
    pub kind: String,
    /// Natural id in the organisation.
    pub id: String,
    /// What tells one state of it from another.
    pub state: String,
    pub occurred: Option<Time>,
    pub organization: Org,
    pub project_id: Option<String>,
    pub body: Body,
}

/// What is known of a record besides its members.
pub(super) struct Around<'s> {
    pub address: &'s Address,
    pub organization: Org,
}

impl Draft {
    fn new(kind: &str, id: impl Into<String>, body: Body, around: &Around<'_>) -> Draft {
        Draft {
            kind: kind.to_owned(),
            id: id.into(),
            state: String::new(),
            occurred: None,
            organization: around.organization.clone(),
            project_id: around.address.project_id.clone(),
            body,
        }
    }

    /// The key: kind, organisation, natural id and state; of an agent also when a listing had it, as it may
    /// be replaced and put back, and may go.
    fn key(&self, hash: &RecordHash, seen: Option<Time>) -> String {
        let organization =
            self.organization.id.as_deref().or(self.organization.name.as_deref()).unwrap_or("-");
        if self.id.is_empty() {
            return format!("{}/{organization}/{hash}", self.kind);
        }
        let mut key = format!("{}/{organization}/{}", self.kind, self.id);
        if !self.state.is_empty() {
            key.push('/');
            key.push_str(&self.state);
        }
        if let Some(seen) = seen.filter(|_| matches!(self.kind.as_str(), "agent" | "deployment_target")) {
            key.push('@');
            key.push_str(&seen.to_string()[.."2026-03-05T14:00:00".len()]);
        }
        key
    }
}

/// Takes an object that is neither audit record nor envelope.
pub(super) fn take<'a>(raw: &'a str, fields: &Fields<'a>, sink: &mut Sink<'a, '_>) {
    match redact(raw) {
        None => keep(raw, fields, sink),
        Some(clean) => sink.owned(None, clean.as_str(), |clean, inner| {
            let fields = Fields::parse(clean).unwrap_or_default();
            keep(clean, &fields, inner);
        }),
    }
}

fn keep<'a>(raw: &'a str, fields: &Fields<'a>, sink: &mut Sink<'a, '_>) {
    let around = Around { address: &sink.address, organization: sink.organization() };
    if let Some(inner) = fields.object("inventory").filter(|_| fields.0.len() == 1) {
        return match stated(&inner, &around) {
            Ok(draft) => push(draft, raw, sink),
            Err(says) => sink.reject(Reason::UnknownShape, says, raw.as_bytes()),
        };
    }
    let draft = own(fields, &around)
        .or_else(|| hooks::draft(fields, &around))
        .or_else(|| identities::sign_in(fields, &around))
        .or_else(|| jobs::draft(fields, &around))
        .or_else(|| agents::draft(fields, &around))
        .or_else(|| identities::draft(fields, &around))
        .or_else(|| grants::draft(fields, &around))
        .or_else(|| reach::draft(fields, &around))
        .or_else(|| plain(fields, &around));
    match draft {
        Some(draft) => {
            let requests = agents::requests(&draft, fields);
            push(draft, raw, sink);
            for request in requests {
                sink.owned(None, request.as_str(), |raw, inner| {
                    let fields = Fields::parse(raw).unwrap_or_default();
                    let around = Around { address: &inner.address, organization: inner.organization() };
                    if let Some(draft) = jobs::draft(&fields, &around) {
                        push(draft, raw, inner);
                    }
                });
            }
        }
        None => unknown(raw, fields, sink),
    }
}

fn push<'a>(draft: Draft, raw: &'a str, sink: &mut Sink<'a, '_>) {
    let hash = RecordHash::of(raw.as_bytes());
    sink.out.facts.push(Fact {
        key: draft.key(&hash, sink.stated.then_some(sink.observed)),
        kind: draft.kind,
        occurred: draft.occurred,
        observed: sink.observed,
        organization: draft.organization,
        project_id: draft.project_id,
        url: sink.address.url.clone(),
        body: draft.body,
        raw: Cow::Borrowed(raw.as_bytes()),
        hash,
    });
}

/// A record of a known origin from which nothing typed is drawn.
pub(super) fn other<'a>(kind: &str, raw: &'a str, sink: &mut Sink<'a, '_>) {
    // It may hold a text that was never read.
    if let Cow::Owned(clean) = super::hidden(raw) {
        return sink.owned(None, clean.as_str(), |clean, inner| other(kind, clean, inner));
    }
    let around = Around { address: &sink.address, organization: sink.organization() };
    push(Draft::new(kind, "", Body::Other, &around), raw, sink);
}

/// What fits nothing: a damaged audit record is named as such, a body from a known address is kept
/// as a fact, the rest is refused.
fn unknown<'a>(raw: &'a str, fields: &Fields<'a>, sink: &mut Sink<'a, '_>) {
    let inner = fields.get("data").or_else(|| fields.get("event")).unwrap_or(raw);
    for text in [raw, inner] {
        if let Some(members) = audit::Members::parse(text)
            && (fields.has("actionId")
                || members.is_audit()
                || fields.has("scopeId") && fields.has("actorUserId"))
        {
            let place = audit::Place { raw: raw.as_bytes(), observed: sink.observed, envelope_id: None };
            if let Err((reason, says)) = audit::event(&members, place) {
                return sink.reject(reason, says, raw.as_bytes());
            }
        }
    }
    if sink.address.path.is_empty() {
        let names: Vec<&str> = fields.0.iter().take(5).map(|(k, _)| k.as_ref()).collect();
        let says = format!("an object with the members {} is of no known form", names.join(", "));
        return sink.reject(Reason::UnknownShape, says, raw.as_bytes());
    }
    let tail: Vec<&str> =
        sink.address.path.split('/').filter(|p| p.bytes().all(|b| b.is_ascii_alphabetic())).collect();
    other(&format!("rest.{}", tail.join(".")), raw, sink);
}

/// How far back a pool that lists no finished job is believed to have had none. A listing remembers
/// finished jobs for much longer; how long is documented nowhere.
const IDLE: Ticks = Ticks::seconds(60 * 60);

/// Since when a whole list of a pool's requests, asked for at a moment, has all of them: it lists what
/// runs and the jobs finished last, so it speaks for the time since the oldest of those.
pub fn idle_since(oldest: Option<Time>, asked: Time) -> Time {
    oldest.map_or(asked - IDLE, |oldest| oldest.min(asked))
}

/// Draws from the records of a capture line, those since `from`, that their source was heard.
pub(super) fn heard(from: usize, body: &str, is_whole: bool, sink: &mut Sink<'_, '_>) {
    let until = sink.observed;
    let drawn = sink.out.facts.get(from..).unwrap_or_default();
    // A body may be large, and most are of no source.
    let list = source_of(&sink.address).map(|source| Listing::of(source, body));
    let list = list.as_ref();
    let listed = list.and_then(|list| list.listed(&sink.address, drawn)).filter(|_| is_whole);
    let listing = || reach::listing(&sink.address, drawn, body).filter(|_| is_whole);
    let timeline = || timeline_read(&sink.address, until).filter(|_| is_whole);
    let spoken = list.and_then(|list| list.spoken_for(&sink.address, drawn, is_whole, until));
    let Some(Json::Object(mut members)) = spoken.or_else(listing).or_else(timeline) else {
        return;
    };
    if let Some(name) = sink.organization().name {
        members.insert("organization".into(), name.into());
    }
    members.insert("until".into(), until.to_string().into());
    if let Some((name, ids)) = listed {
        members.insert(name.into(), ids.into());
    }
    let raw = Json::Object(members).to_string();
    sink.owned(None, raw.as_str(), |raw, inner| {
        let fields = Fields::parse(raw).unwrap_or_default();
        let around = Around { address: &inner.address, organization: inner.organization() };
        if let Some(draft) = own(&fields, &around) {
            push(draft, raw, inner);
        }
    });
}

/// Who is not in a list is not there: the agents of a pool, its requests that are not finished, the pools.
/// The member of our own record that says so, and what a query may hold besides.
const LISTED: [(&str, &str, &[&str]); 3] = [
    (
        "agents",
        "agents",
        &["includecapabilities", "includeassignedrequest", "includelastcompletedrequest", "api-version", ""],
    ),
    ("jobs", "open", &["$top", "%24top", "completedrequestcount", "api-version", ""]),
    ("pools", "pools", &["api-version", ""]),
];

/// The name under which our own record of a source says whom a whole list had.
fn list_of(source: &str) -> Option<&'static str> {
    LISTED.iter().find(|(own, ..)| *own == source).map(|(_, name, _)| *name)
}

/// Whether an address asks for all there is of its source.
fn asks_for_all(address: &Address, source: &str) -> bool {
    let query = address.url.as_deref().and_then(|url| url.split_once('?')).map_or("", |(_, query)| query);
    let names = query.split('&').map(|pair| pair.split('=').next().unwrap_or_default().to_ascii_lowercase());
    let may = LISTED.iter().find(|(own, ..)| *own == source).map_or(&[][..], |(.., may)| may);
    names.into_iter().all(|name| may.contains(&name.as_str()))
}

/// The source that an address lists: agents, pools or jobs.
fn source_of(address: &Address) -> Option<&'static str> {
    match address.pool_id {
        // A request of its own has an address below it.
        Some(_) if address.path.ends_with("/jobrequests") => Some("jobs"),
        Some(_) if address.path.ends_with("/agents") => Some("agents"),
        None if address.path.ends_with("distributedtask/pools") => Some("pools"),
        _ => None,
    }
}

/// That the timeline of a build was read: as it stood before, it is no news, and yet tells of the time since.
fn timeline_read(address: &Address, at: Time) -> Option<Json> {
    let run = address.run_id.filter(|_| address.run_kind == Some("build") && address.names("timeline"))?;
    Some(serde_json::json!({"heard": "timeline", "runId": run, "from": at.to_string()}))
}

/// Whether a body is a list of nothing.
fn is_empty(body: &str) -> bool {
    Fields::parse(body).is_some_and(|body| lists_nothing(&body))
}

fn lists_nothing(body: &Fields<'_>) -> bool {
    let list = body.get("value").and_then(|l| l.strip_prefix('['));
    list.is_some_and(|l| l.trim_start().starts_with(']'))
}

/// A body that lists a source: agents, pools or jobs.
struct Listing {
    source: &'static str,
    /// How many records it says it has.
    count: Option<i64>,
    is_empty: bool,
}

impl Listing {
    fn of(source: &'static str, body: &str) -> Listing {
        let body = Fields::parse(body).unwrap_or_default();
        Listing { source, count: int(&body, "count"), is_empty: lists_nothing(&body) }
    }

    /// The ids in a whole list, and under which name they are kept.
    fn listed(&self, address: &Address, drawn: &[Fact<'_>]) -> Option<(&'static str, Vec<i64>)> {
        let source = Some(self.source).filter(|source| asks_for_all(address, source))?;
        // Of jobs also those that are over, which count as records but are not open.
        let id = |fact: &Fact<'_>| match &fact.body {
            Body::Agent(agent) if source == "agents" && agent.pool_id == address.pool_id => {
                Some((agent.agent_id, true))
            }
            Body::Job(job) if source == "jobs" => {
                Some((job.request_id?, job.finished.is_none() && job.result.is_none()))
            }
            Body::Pool(pool) if source == "pools" => Some((pool.pool_id, true)),
            _ => None,
        };
        let ids: Vec<(i64, bool)> = drawn.iter().filter_map(id).collect();
        // A record that could not be read is one all the same.
        let all = self.count.map_or(!ids.is_empty() || self.is_empty, |count| count == ids.len() as i64);
        let there = ids.into_iter().filter(|(_, there)| *there).map(|(id, _)| id).collect();
        all.then_some((list_of(source)?, there))
    }

    /// Since when it speaks for its source.
    fn spoken_for(&self, address: &Address, drawn: &[Fact<'_>], is_whole: bool, until: Time) -> Option<Json> {
        let jobs = self.source == "jobs";
        let listed = || {
            drawn.iter().filter_map(|fact| match &fact.body {
                Body::Job(job) if jobs => Some(job),
                _ => None,
            })
        };
        // Cut behind the newest requests: one that is older may have run and ended unseen.
        let cut = address.is_continued || address.top.is_some_and(|top| listed().count() as u64 >= top);
        // A request that could not be read is one all the same.
        let lacks = listed().any(|job| job.request_id.is_none())
            || self.count.is_some_and(|count| count != listed().count() as i64);
        // And of some agents' requests alone nothing follows for the pool.
        if jobs && (cut || lacks || !asks_for_all(address, self.source)) {
            return None;
        }
        let oldest = listed().filter_map(|job| job.finished).min();
        // One that was asked for no finished request does not show that there was none.
        let url = address.url.as_deref().unwrap_or_default().to_ascii_lowercase();
        let only_open = url.split(['?', '&']).any(|pair| pair == "completedrequestcount=0");
        let all = jobs && is_whole && (listed().next().is_some() || self.is_empty);
        let speaks = !only_open && (oldest.is_some() || all);
        let from = if speaks { idle_since(oldest, until) } else { until };
        let mut members = serde_json::Map::new();
        members.insert("heard".into(), self.source.into());
        if let Some(pool) = address.pool_id {
            members.insert("poolId".into(), pool.into());
        }
        members.insert("from".into(), from.to_string().into());
        Some(Json::Object(members))
    }
}

/// The operator's word: of the same agents, identity and beginning the newest counts.
fn stated(fields: &Fields<'_>, around: &Around<'_>) -> Result<Draft, String> {
    let (organization, statement) = inventory::statement(fields)?;
    let part = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let from = statement.from.map(|time| time.to_string());
    let about = [&statement.pool, &statement.agent, &statement.machine, &statement.identity, &from];
    let id = short(&about.map(part).join("/"));
    let mut draft = Draft::new("inventory", id, Body::Stated(Box::new(statement)), around);
    draft.state = digest(fields, &[]);
    draft.organization.name = organization.or(draft.organization.name);
    Ok(draft)
}

/// Our own record of a source that was heard, or of all it listed.
fn own(fields: &Fields<'_>, around: &Around<'_>) -> Option<Draft> {
    let source = fields.text("heard")?.into_owned();
    let until = time(fields, "until")?;
    let kind = format!("heard.{source}");
    let mut draft = if fields.has("members") {
        let listed = reach::listed(source, fields)?;
        let members = listed.members.as_deref().unwrap_or_default().join("\n");
        let id = format!("{}/{until}/{}", fields.text("resourceId")?, short(&members));
        Draft::new(&kind, id, Body::Holding(Box::new(listed)), around)
    } else {
        let (from, pool_id, run_id) = (time(fields, "from")?, int(fields, "poolId"), int(fields, "runId"));
        let about = pool_id.or(run_id).map_or_else(|| "-".to_owned(), |id| id.to_string());
        let id = format!("{about}/{from}/{until}");
        let ids = list_of(&source).and_then(|name| fields.get(name));
        let listed = ids.and_then(|ids| serde_json::from_str(ids).ok());
        Draft::new(&kind, id, Body::Heard(Heard { source, pool_id, run_id, from, until, listed }), around)
    };
    if let Some(name) = fields.text("organization") {
        draft.organization.name = Some(name.into_owned());
    }
    draft.occurred = Some(until);
    Some(draft)
}

/// Kinds that are kept for what they say, without a table of their own.
fn plain(fields: &Fields<'_>, around: &Around<'_>) -> Option<Draft> {
    let has = |names: &[&str]| names.iter().all(|n| fields.has(n));
    let id = fields.text("id").map(Cow::into_owned).unwrap_or_default();
    let (kind, id) = if has(&["checkRuns"]) {
        ("check_suite", id)
    } else if has(&["steps"]) && (fields.has("minRequiredApprovers") || fields.has("executionOrder")) {
        ("approval", id)
    } else if has(&["publisherId", "consumerId"]) {
        ("hook_subscription", id)
    } else if has(&["publisherId"])
        && (fields.has("inputDescriptors") || fields.has("supportedResourceVersions"))
    {
        ("hook_event_type", id)
    } else if has(&["deliveryTracing"]) {
        ("hook_diagnostics", String::new())
    } else if has(&["consumerType", "consumerInputs"]) {
        ("audit_stream", id)
    } else if has(&["actionId", "area"]) && !fields.has("timestamp") && !fields.has("id") {
        ("audit_action", fields.text("actionId")?.into_owned())
    } else if has(&["variables", "name"]) && fields.has("type") {
        ("variable_group", id)
    } else if has(&["iss", "sub"]) && (fields.has("prj_id") || fields.has("org_id")) {
        ("oidc_claims", String::new())
    } else if has(&["value", "_links"]) && fields.object("_links").is_some_and(|l| l.has("descriptor")) {
        ("graph_storage_key", fields.text("value")?.into_owned())
    } else if has(&["name", "jobId"])
        && fields.text("name").is_some_and(|n| n.starts_with("Job") || n.starts_with("Task"))
    {
        ("job_event", String::new())
    } else if has(&["message"]) && (fields.has("typeKey") || fields.has("innerException")) {
        ("rest.error", String::new())
    } else {
        return None;
    };
    let mut draft = Draft::new(kind, id, Body::Other, around);
    if !draft.id.is_empty() {
        draft.state = digest(fields, &["_links", "url"]);
    }
    Some(draft)
}

/// A digest of an object's members but for those that change without meaning.
pub(super) fn digest(fields: &Fields<'_>, without: &[&str]) -> String {
    let mut members: Vec<(&str, &str)> = fields
        .0
        .iter()
        .filter(|(key, _)| !without.iter().any(|w| w.eq_ignore_ascii_case(key)))
        .map(|(key, value)| (key.as_ref(), value.get()))
        .collect();
    members.sort_unstable();
    let mut text = String::new();
    for (key, value) in members {
        text.push_str(key);
        text.push('\0');
        text.push_str(&super::json::compact(value));
        text.push('\0');
    }
    short(&text)
}

/// Sixteen hex digits that stand for a text.
pub(super) fn short(text: &str) -> String {
    RecordHash::of(text.as_bytes()).to_string()[..16].to_owned()
}

pub(super) fn int(fields: &Fields<'_>, name: &str) -> Option<i64> {
    fields.get(name).and_then(integer)
}

pub(super) fn string(fields: &Fields<'_>, name: &str) -> Option<String> {
    fields.text(name).map(Text::into_owned)
}

pub(super) fn id(fields: &Fields<'_>, name: &str) -> Option<String> {
    fields.text(name).and_then(|t| canonical(&t).map(Text::into_owned))
}

pub(super) fn flag(fields: &Fields<'_>, name: &str) -> Option<bool> {
    let text = fields.text(name)?;
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// A time; .NET's `0001-01-01` means that there is none.
pub(super) fn time(fields: &Fields<'_>, name: &str) -> Option<Time> {
    fields.get(name).and_then(super::json::time).filter(|t| *t > Time::default())
}

/// The address a record names itself by.
pub(super) fn own_address(fields: &Fields<'_>) -> Option<Address> {
    let links = fields.object("_links")?;
    let link = links.object("self").or_else(|| links.object("web"))?;
    Some(Address::parse(&link.text("href")?))
}
