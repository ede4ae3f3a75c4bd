//! What an event's Data object names: runs, jobs, agents, credentials.

use std::borrow::Cow;

use super::audit::canonical_text;
use super::cursor::{Cursor, Name};
use super::json::{integer, text, time};
use crate::model::{Hints, Text};

/// The members of Data that are read.
#[derive(Clone, Copy)]
enum Slot {
    AgentId,
    AgentName,
    PoolId,
    PoolName,
    RequestId,
    JobId,
    JobName,
    StageName,
    PlanId,
    PlanType,
    RunId,
    ReleaseId,
    RunName,
    ReleaseName,
    PipelineId,
    PipelineName,
    Environment,
    Attempt,
    ConnectionId,
    ConnectionName,
    AuthorizationId,
    TokenName,
    TokenOwner,
    TokenScopes,
    StartTime,
    FinishTime,
    Caller,
    RequesterId,
    EventAuthor,
}

const SLOTS: usize = 29;

/// Each in every name it goes by.
const NAMES: [(&str, Slot); 37] = [
    ("agentid", Slot::AgentId),
    ("agentname", Slot::AgentName),
    ("agentpoolid", Slot::PoolId),
    ("poolid", Slot::PoolId),
    ("agentpoolname", Slot::PoolName),
    ("poolname", Slot::PoolName),
    ("requestid", Slot::RequestId),
    ("jobid", Slot::JobId),
    ("jobname", Slot::JobName),
    ("stagename", Slot::StageName),
    ("planid", Slot::PlanId),
    ("plantype", Slot::PlanType),
    ("ownerid", Slot::RunId),
    ("runid", Slot::RunId),
    ("buildid", Slot::RunId),
    ("releaseid", Slot::ReleaseId),
    ("runname", Slot::RunName),
    ("buildnumber", Slot::RunName),
    ("releasename", Slot::ReleaseName),
    ("pipelineid", Slot::PipelineId),
    ("definitionid", Slot::PipelineId),
    ("pipelinename", Slot::PipelineName),
    ("definitionname", Slot::PipelineName),
    ("environmentname", Slot::Environment),
    ("attempt", Slot::Attempt),
    ("attemptid", Slot::Attempt),
    ("connectionid", Slot::ConnectionId),
    ("connectionname", Slot::ConnectionName),
    ("authorizationid", Slot::AuthorizationId),
    ("displayname", Slot::TokenName),
    ("ownername", Slot::TokenOwner),
    ("scopes", Slot::TokenScopes),
    ("starttime", Slot::StartTime),
    ("finishtime", Slot::FinishTime),
    ("callerprocedure", Slot::Caller),
    ("requesterid", Slot::RequesterId),
    ("eventauthor", Slot::EventAuthor),
];

/// The values of a Data object under the names that are read, themselves unread. Keys come in any
/// casing and numbers as text, since much of Data is the parameters of a stored procedure.
#[derive(Default)]
pub(super) struct Named<'a>([Option<&'a str>; SLOTS]);

impl<'a> Named<'a> {
    /// Reads a text that is one object.
    pub fn parse(data: &'a str) -> Option<Named<'a>> {
        let mut named = Named::default();
        let mut cursor = Cursor::new(data, 0);
        cursor.blank();
        cursor.object(|cursor, name| cursor.value().map(|value| named.set(name, value)))?;
        Some(named)
    }

    /// The first of two values of one name wins; a null is none.
    pub fn set(&mut self, name: Name<'a>, value: &'a str) {
        if let Some(slot) = slot(name)
            && value != "null"
        {
            self.0[slot as usize].get_or_insert(value);
        }
    }

    /// What they say, and the second actor they name (`EventAuthor`).
    pub fn hints(&self) -> (Hints<'a>, Option<Text<'a>>) {
        let get = |slot: Slot| self.0[slot as usize];
        let number = |slot| get(slot).and_then(integer);
        let words = |slot| get(slot).and_then(text);
        let id = |slot| words(slot).and_then(canonical_text);
        let release = get(Slot::ReleaseId).is_some() || get(Slot::ReleaseName).is_some();
        let hints = Hints {
            agent_id: number(Slot::AgentId),
            agent_name: words(Slot::AgentName),
            pool_id: number(Slot::PoolId),
            pool_name: words(Slot::PoolName),
            request_id: number(Slot::RequestId),
            job_id: id(Slot::JobId),
            job_name: words(Slot::JobName),
            stage_name: words(Slot::StageName),
            plan_id: id(Slot::PlanId),
            plan_type: words(Slot::PlanType).or(release.then_some(Cow::Borrowed("Release"))),
            run_id: number(Slot::RunId).or_else(|| number(Slot::ReleaseId)),
            run_name: words(Slot::RunName).or_else(|| words(Slot::ReleaseName)),
            pipeline_id: number(Slot::PipelineId),
            pipeline_name: words(Slot::PipelineName),
            environment: words(Slot::Environment),
            attempt: number(Slot::Attempt),
            connection_id: id(Slot::ConnectionId),
            connection_name: words(Slot::ConnectionName),
            authorization_id: id(Slot::AuthorizationId),
            token_name: words(Slot::TokenName),
            token_owner: words(Slot::TokenOwner),
            // A list of scopes, or one text of them.
            token_scopes: words(Slot::TokenScopes).or_else(|| get(Slot::TokenScopes).map(Cow::Borrowed)),
            started: get(Slot::StartTime).and_then(time),
            finished: get(Slot::FinishTime).and_then(time),
            caller: words(Slot::Caller),
            requester_id: id(Slot::RequesterId),
        };
        (hints, id(Slot::EventAuthor))
    }
}

/// The slot of a name in any casing, told apart by length first.
fn slot(name: Name<'_>) -> Option<Slot> {
    type Names = Vec<(&'static str, Slot)>;
    static BY_LENGTH: std::sync::LazyLock<[Names; 16]> = std::sync::LazyLock::new(|| {
        std::array::from_fn(|length| NAMES.iter().filter(|(n, _)| n.len() == length).copied().collect())
    });
    let text = name.meaning()?;
    let names = BY_LENGTH.get(text.len())?;
    names.iter().find(|(n, _)| n.eq_ignore_ascii_case(&text)).map(|(_, slot)| *slot)
}
