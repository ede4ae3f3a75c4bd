//! An audit record in any of its spellings to one canonical event.

use std::borrow::Cow;

use super::cursor::{Cursor, Name};
use super::data::Named;
use super::json::{compact, string, text};
use crate::model::{
    ActorKind, AuditId, Event, Reason, RecordHash, Text, Ticks, Time, ZERO_GUID, canonical, is_cookie,
};
use serde::de::IgnoredAny;

/// The members that are read, each in every name it goes by.
#[derive(Clone, Copy)]
enum Member {
    Id,
    CorrelationId,
    ActivityId,
    ActorCuid,
    ActorUserId,
    ActorClientId,
    ActorUpn,
    ActorDisplayName,
    ActorImageUrl,
    AuthenticationMechanism,
    Timestamp,
    ScopeDisplayName,
    ScopeId,
    ProjectId,
    ProjectName,
    IpAddress,
    UserAgent,
    ActionId,
    Data,
    Details,
    Area,
    Category,
    /// Of an envelope: Event Grid's `eventType`, CloudEvents' `type`.
    EventType,
    /// Of a Splunk HEC envelope.
    Event,
}

const NAMES: [(&str, Member); 26] = [
    ("id", Member::Id),
    ("correlationid", Member::CorrelationId),
    ("activityid", Member::ActivityId),
    ("actorcuid", Member::ActorCuid),
    ("actoruserid", Member::ActorUserId),
    ("actorclientid", Member::ActorClientId),
    ("actorupn", Member::ActorUpn),
    ("actordisplayname", Member::ActorDisplayName),
    ("actorimageurl", Member::ActorImageUrl),
    ("authenticationmechanism", Member::AuthenticationMechanism),
    ("timestamp", Member::Timestamp),
    ("scopedisplayname", Member::ScopeDisplayName),
    ("scopeid", Member::ScopeId),
    ("projectid", Member::ProjectId),
    ("projectname", Member::ProjectName),
    ("ipaddress", Member::IpAddress),
    ("useragent", Member::UserAgent),
    ("actionid", Member::ActionId),
    ("data", Member::Data),
    ("details", Member::Details),
    ("area", Member::Area),
    ("category", Member::Category),
    // Log Analytics renames two columns.
    ("operationname", Member::ActionId),
    ("timegenerated", Member::Timestamp),
    // Envelopes.
    ("eventtype", Member::EventType),
    ("event", Member::Event),
];

/// The member of a name in any casing. Names are told apart by their length first: this is asked
/// for every member of every record.
fn member(name: Name<'_>) -> Option<Member> {
    type Names = Vec<(&'static str, Member)>;
    static BY_LENGTH: std::sync::LazyLock<[Names; 24]> = std::sync::LazyLock::new(|| {
        std::array::from_fn(|length| NAMES.iter().filter(|(n, _)| n.len() == length).copied().collect())
    });
    let name = name.meaning()?;
    let names = BY_LENGTH.get(name.len())?;
    names.iter().find(|(n, _)| n.eq_ignore_ascii_case(&name)).map(|(_, member)| *member)
}

/// The values of an object that may be an audit record, unread.
#[derive(Default)]
pub(super) struct Members<'a> {
    values: [Option<&'a str>; 24],
    /// The members of its `Data`, when that is an object.
    named: Named<'a>,
    /// Whether `Data` holds white space between its tokens.
    spaced: bool,
    /// The deepest nesting within.
    pub depth: usize,
}

/// An object read in one pass: its own members, and those of what it wraps.
pub(super) struct Read<'a> {
    pub own: Members<'a>,
    /// The object under `data` or `event`.
    pub inner: Option<Members<'a>>,
}

impl<'a> Read<'a> {
    /// Reads the object at the cursor, which is left after it, or near the fault.
    pub fn of(cursor: &mut Cursor<'a>) -> Option<Read<'a>> {
        let mut read = Read { own: Members::default(), inner: None };
        let Read { own, inner } = &mut read;
        cursor.object(|cursor, name| {
            let found = member(name);
            let start = cursor.at();
            match found {
                Some(Member::Data | Member::Event) if cursor.peek() == Some(b'{') => {
                    let blanks = cursor.blanks;
                    let within = inner.insert(Members::default());
                    let own_named = &mut own.named;
                    cursor.object(|cursor, name| within.take(cursor, name, Some(own_named)))?;
                    own.spaced |= cursor.blanks > blanks;
                    let value = cursor.since(start)?;
                    own.set(found?, value);
                    Some(())
                }
                Some(found) => cursor.value().map(|value| own.set(found, value)),
                None => cursor.value().map(drop),
            }
        })?;
        own.depth = cursor.deepest;
        if let Some(inner) = inner {
            inner.depth = cursor.deepest;
        }
        Some(read)
    }

    /// Whether it is an audit record, or wraps one.
    pub fn is_audit(&self) -> bool {
        self.own.is_audit() || self.inner.as_ref().is_some_and(Members::is_audit)
    }

    /// Reads a text that is one object and nothing else.
    pub fn whole(text: &'a str) -> Option<Read<'a>> {
        let mut cursor = Cursor::new(text, 0);
        cursor.blank();
        let read = Read::of(&mut cursor)?;
        cursor.blank();
        (cursor.at() == text.len()).then_some(read)
    }
}

impl<'a> Members<'a> {
    /// Reads one JSON object; `None` when it is none.
    pub fn parse(text: &'a str) -> Option<Members<'a>> {
        Read::whole(text).map(|read| read.own)
    }

    /// Reads the value of one member. `named` also learns what the object's parent calls its Data.
    fn take(&mut self, cursor: &mut Cursor<'a>, name: Name<'a>, named: Option<&mut Named<'a>>) -> Option<()> {
        let found = member(name);
        let start = cursor.at();
        if matches!(found, Some(Member::Data)) && cursor.peek() == Some(b'{') {
            let blanks = cursor.blanks;
            let own = &mut self.named;
            cursor.object(|cursor, name| cursor.value().map(|value| own.set(name, value)))?;
            self.spaced |= cursor.blanks > blanks;
            let value = cursor.since(start)?;
            self.set(Member::Data, value);
            return Some(());
        }
        let value = cursor.value()?;
        if let Some(found) = found {
            self.set(found, value);
        }
        if let Some(named) = named {
            named.set(name, value);
        }
        Some(())
    }

    fn get(&self, member: Member) -> Option<&'a str> {
        self.values[member as usize]
    }

    fn text(&self, member: Member) -> Option<Text<'a>> {
        text(self.get(member)?)
    }

    /// The first of two members of one name wins; a null is none.
    fn set(&mut self, member: Member, value: &'a str) {
        if value != "null" {
            self.values[member as usize].get_or_insert(value);
        }
    }

    /// The Data object, which in an Event Grid envelope is the record itself.
    pub fn data(&self) -> Option<&'a str> {
        self.get(Member::Data).filter(|v| v.starts_with('{'))
    }

    pub fn id(&self) -> Option<Text<'a>> {
        self.text(Member::Id)
    }

    /// Whether an envelope says that it holds an audit record.
    pub fn claims_audit(&self) -> bool {
        self.text(Member::EventType).is_some_and(|t| t == "AzureDevOpsAuditEvent")
    }

    /// Whether this is an audit record at all: it names an action and has something of the rest.
    pub fn is_audit(&self) -> bool {
        self.get(Member::ActionId).is_some()
            && [Member::Timestamp, Member::ScopeId, Member::ActorUserId, Member::ActorCuid]
                .iter()
                .any(|m| self.get(*m).is_some())
    }
}

/// Where a record lies and when it came.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// The whole record with its envelope.
    pub raw: &'a [u8],
    pub observed: Time,
    /// Id of the envelope, for a record that has none of its own.
    pub envelope_id: Option<&'a str>,
}

/// What a record lacks to be an event.
pub(super) type Lack = (Reason, String);

/// Earlier than any audit log; later than the receiver's clock by more than this is implausible.
const EARLIEST: &str = "2010-01-01T00:00:00Z";
const AHEAD: Ticks = Ticks::days(2);

/// The event of a record.
pub(super) fn event<'a>(members: &Members<'a>, place: Place<'a>) -> Result<Event<'a>, Lack> {
    let id = members.text(Member::Id).or(place.envelope_id.map(Cow::Borrowed));
    let id = id.and_then(event_id).ok_or_else(|| {
        (Reason::NoId, "the audit record has no `Id`; send the record as Azure DevOps wrote it".to_owned())
    })?;
    let action = members
        .text(Member::ActionId)
        .ok_or_else(|| (Reason::NoAction, "the audit record has no `ActionId`".to_owned()))?;
    let occurred = occurred(members, place.observed)?;
    let actor_id = id_of(members, Member::ActorUserId);
    let actor_cuid = id_of(members, Member::ActorCuid);
    let actor_client_id = id_of(members, Member::ActorClientId);
    let actor_name = members.text(Member::ActorDisplayName);
    let actor_upn = members.text(Member::ActorUpn);
    let auth_mechanism = members.text(Member::AuthenticationMechanism);
    let (data, (hints, author_id)) = match members.get(Member::Data) {
        None => (None, Default::default()),
        Some(value) if value.starts_with('{') => {
            let data = if members.spaced { compact(value) } else { Cow::Borrowed(value) };
            (Some(data), members.named.hints())
        }
        Some(value) => {
            let data = data_text(value);
            let told = data.as_deref().and_then(Named::parse).map(|named| {
                let (hints, author) = named.hints();
                (hints.into_owned(), author.map(|a| Cow::Owned(a.into_owned())))
            });
            (data, told.unwrap_or_default())
        }
    };
    let organization_id = id_of(members, Member::ScopeId);
    let build_scope = members.text(Member::ActorImageUrl).as_deref().and_then(build_scope);
    let actor_kind = match &build_scope {
        Some(scope) if organization_id.as_deref() == Some(scope) => ActorKind::CollectionBuildService,
        _ => actor_kind(
            Ids { client: actor_client_id.is_some(), user: actor_id.as_deref(), cuid: actor_cuid.is_some() },
            [actor_name.as_deref(), actor_upn.as_deref()],
            build_scope.is_some(),
            auth_mechanism.as_deref().unwrap_or_default(),
        ),
    };
    Ok(Event {
        id,
        occurred,
        observed: place.observed,
        organization_id,
        organization: members.text(Member::ScopeDisplayName).map(organization),
        project_id: id_of(members, Member::ProjectId),
        project: members.text(Member::ProjectName),
        action,
        area: members.text(Member::Area),
        category: members.text(Member::Category).map(category),
        actor_kind,
        build_scope: build_scope.map(Cow::Owned),
        actor_id,
        actor_cuid,
        actor_name,
        actor_upn,
        actor_client_id,
        author_id,
        authorization_id: auth_mechanism.as_ref().and_then(|m| authorization(m)).map(Cow::Owned),
        auth_mechanism,
        ip: members.text(Member::IpAddress),
        user_agent: members.text(Member::UserAgent),
        correlation_id: id_of(members, Member::CorrelationId),
        activity_id: id_of(members, Member::ActivityId),
        details: members.text(Member::Details),
        data,
        hints,
        hash: RecordHash::of(place.raw),
        raw: Cow::Borrowed(place.raw),
    })
}

fn event_id(text: Text<'_>) -> Option<Text<'_>> {
    match text {
        Cow::Borrowed(text) => Some(AuditId::parse(text)?.event),
        Cow::Owned(text) => Some(Cow::Owned(AuditId::parse(&text)?.event.into_owned())),
    }
}

pub(super) fn canonical_text(text: Text<'_>) -> Option<Text<'_>> {
    match text {
        Cow::Borrowed(text) => canonical(text),
        Cow::Owned(text) => Some(Cow::Owned(canonical(&text)?.into_owned())),
    }
}

fn id_of<'a>(members: &Members<'a>, member: Member) -> Option<Text<'a>> {
    // The common case costs a comparison: most records name a zero GUID somewhere.
    let value = members.get(member)?;
    if value.len() == 38 && &value[1..37] == ZERO_GUID {
        return None;
    }
    canonical_text(text(value)?)
}

fn occurred(members: &Members<'_>, observed: Time) -> Result<Time, Lack> {
    let bad = |says: String| (Reason::BadTime, says);
    let text = members.text(Member::Timestamp).ok_or_else(|| {
        bad("the audit record has no `Timestamp`; its place in time cannot be known".to_owned())
    })?;
    let time =
        Time::parse(&text).ok_or_else(|| bad(format!("the timestamp `{text:.40}` is no RFC 3339 time")))?;
    if !is_plausible(time, observed) {
        return Err(bad(format!("the timestamp `{text:.40}` is implausible; check the sender's clock")));
    }
    Ok(time)
}

/// Whether a time can be when something happened, or was seen, that was received at `observed`.
pub(super) fn is_plausible(time: Time, observed: Time) -> bool {
    time >= Time::parse(EARLIEST).unwrap_or_default() && time <= observed + AHEAD
}

/// `fabrikam (Organization)` is how every delivery spells the organisation fabrikam.
fn organization(text: Text<'_>) -> Text<'_> {
    const TAIL: &str = " (Organization)";
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.strip_suffix(TAIL).unwrap_or(text)),
        Cow::Owned(text) => Cow::Owned(text.strip_suffix(TAIL).unwrap_or(&text).to_owned()),
    }
}

/// Event Grid writes the category as its number in the REST contract's enumeration.
fn category(text: Text<'_>) -> Text<'_> {
    let name = match text.as_ref() {
        "0" => "unknown",
        "1" => "modify",
        "2" => "remove",
        "3" => "create",
        "4" => "access",
        "5" => "execute",
        other if other.bytes().any(|b| b.is_ascii_uppercase()) => {
            return Cow::Owned(other.to_ascii_lowercase());
        }
        _ => return text,
    };
    Cow::Borrowed(name)
}

/// The Data object as compact JSON; some pipelines deliver it as a string that holds the JSON.
fn data_text(value: &str) -> Option<Text<'_>> {
    if !value.starts_with('"') {
        return Some(compact(value));
    }
    let inner = string(value)?;
    if inner.is_empty() {
        return None;
    }
    if inner.trim_start().starts_with(['{', '[']) && serde_json::from_str::<IgnoredAny>(&inner).is_ok() {
        return Some(Cow::Owned(compact(&inner).into_owned()));
    }
    Some(compact(value))
}

/// The GUID behind `authorizationId:`, with or without a blank; none when it is cut short.
fn authorization(mechanism: &str) -> Option<String> {
    const MARK: &str = "authorizationId:";
    let at = mechanism.find(MARK)? + MARK.len();
    let guid = mechanism[at..].trim_start().get(..36)?;
    crate::model::is_guid(guid).then(|| guid.to_ascii_lowercase())
}

/// Services act as `0000000n-0000-8888-8000-000000000000`.
fn is_service_id(id: &str) -> bool {
    id.len() == 36 && id.ends_with("-0000-8888-8000-000000000000")
}

/// The ids that a record gives its actor.
struct Ids<'a> {
    client: bool,
    user: Option<&'a str>,
    cuid: bool,
}

/// `is_build` where the descriptor of the actor says that it is a build identity.
fn actor_kind(ids: Ids<'_>, names: [Option<&str>; 2], is_build: bool, mechanism: &str) -> ActorKind {
    if ids.client {
        return ActorKind::Application;
    }
    if ids.user.is_some_and(is_service_id) {
        return ActorKind::Service;
    }
    // A mail address belongs to a person, and so does a browser, whatever that person is called, and also
    // where the ids were taken out.
    let mail = names[1].is_some_and(|upn| upn.contains('@'));
    if mail || is_cookie(mechanism) {
        return ActorKind::User;
    }
    for name in names.into_iter().flatten() {
        if name == "Azure DevOps Service" {
            return ActorKind::Service;
        }
        if name.starts_with("Project Collection Build Service") {
            return ActorKind::CollectionBuildService;
        }
        if name.contains(" Build Service (") || name.contains("ServiceIdentity;") && name.contains(":Build:")
        {
            return ActorKind::ProjectBuildService;
        }
        if name.starts_with("Agent Pool Service (") {
            return ActorKind::AgentPoolService;
        }
    }
    match is_build {
        true => ActorKind::ProjectBuildService,
        false if ids.user.is_some() || ids.cuid => ActorKind::User,
        false => ActorKind::Unknown,
    }
}

/// The project or collection of a build identity, by the descriptor at the end of its picture's address:
/// `svc.` and base64 of `{host}:Build:{scope}`.
fn build_scope(image_url: &str) -> Option<String> {
    use base64::Engine as _;
    let descriptor = image_url.rsplit('/').next()?.strip_prefix("svc.")?;
    let text =
        base64::engine::general_purpose::STANDARD_NO_PAD.decode(descriptor.trim_end_matches('=')).ok()?;
    let scope = std::str::from_utf8(&text).ok()?.split_once(":Build:")?.1;
    // It may be cut short.
    crate::model::is_guid(scope).then(|| scope.to_ascii_lowercase())
}
