//! One audit event, the same whatever delivery brought it.

use std::borrow::Cow;

use super::{RecordHash, Time};

/// Text that borrows from the delivery where it can.
pub type Text<'a> = Cow<'a, str>;

/// One audit event in canonical form. Identifiers are as [`super::canonical`] makes them; `None`
/// stands for absent, null, empty and the zero GUID alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event<'a> {
    /// The event's GUID in lower case (part 3 of a REST id): its key in every delivery.
    pub id: Text<'a>,
    /// When Azure DevOps says it happened, to 100 ns.
    pub occurred: Time,
    /// When this program received it.
    pub observed: Time,
    /// The host id of the organisation (`scopeId`).
    pub organization_id: Option<Text<'a>>,
    /// The organisation's name: `scopeDisplayName` without its trailing ` (Organization)`.
    pub organization: Option<Text<'a>>,
    pub project_id: Option<Text<'a>>,
    pub project: Option<Text<'a>>,
    /// `ActionId`, or `OperationName` of a Log Analytics row; the list of actions is open.
    pub action: Text<'a>,
    pub area: Option<Text<'a>>,
    /// In lower case: `modify`, `remove`, `create`, `access`, `execute`, `unknown` or a new one.
    pub category: Option<Text<'a>>,
    /// `ActorUserId`: the storage key of a user, or `0000000n-0000-8888-8000-...` of a service.
    pub actor_id: Option<Text<'a>>,
    pub actor_cuid: Option<Text<'a>>,
    pub actor_name: Option<Text<'a>>,
    pub actor_kind: ActorKind,
    /// Of a build identity the project or collection, where its descriptor says it.
    pub build_scope: Option<Text<'a>>,
    pub actor_upn: Option<Text<'a>>,
    /// The Entra application (client) id when a service principal or managed identity acted.
    pub actor_client_id: Option<Text<'a>>,
    /// A second actor named in Data (`EventAuthor`).
    pub author_id: Option<Text<'a>>,
    /// `AuthenticationMechanism` as it came.
    pub auth_mechanism: Option<Text<'a>>,
    /// The GUID behind `authorizationId:` in it: the one exact link to a credential.
    pub authorization_id: Option<Text<'a>>,
    pub ip: Option<Text<'a>>,
    pub user_agent: Option<Text<'a>>,
    pub correlation_id: Option<Text<'a>>,
    pub activity_id: Option<Text<'a>>,
    pub details: Option<Text<'a>>,
    /// The Data object as compact JSON text, keys and values as they came.
    pub data: Option<Text<'a>>,
    /// What Data says about agents, runs and jobs, read once, keys in any casing.
    pub hints: Hints<'a>,
    /// The whole record as delivered (with its envelope), byte for byte.
    pub raw: Cow<'a, [u8]>,
    pub hash: RecordHash,
}

/// What an event's Data names that leads to a run, a job or an agent. Numbers may come as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints<'a> {
    pub agent_id: Option<i64>,
    pub agent_name: Option<Text<'a>>,
    pub pool_id: Option<i64>,
    pub pool_name: Option<Text<'a>>,
    /// `RequestId`: a job request's number in its organisation.
    pub request_id: Option<i64>,
    pub job_id: Option<Text<'a>>,
    pub job_name: Option<Text<'a>>,
    pub stage_name: Option<Text<'a>>,
    pub plan_id: Option<Text<'a>>,
    /// `Build`, `Release` or `Deployment`: which id space `run_id` is in.
    pub plan_type: Option<Text<'a>>,
    /// `OwnerId`, `RunId` or `BuildId`: a build or release id.
    pub run_id: Option<i64>,
    /// `RunName` or `ReleaseName`: a run number, which is not unique.
    pub run_name: Option<Text<'a>>,
    /// `PipelineId` or `DefinitionId`.
    pub pipeline_id: Option<i64>,
    pub pipeline_name: Option<Text<'a>>,
    pub environment: Option<Text<'a>>,
    pub attempt: Option<i64>,
    pub connection_id: Option<Text<'a>>,
    pub connection_name: Option<Text<'a>>,
    /// `AuthorizationId` of a token event: the credential it is about.
    pub authorization_id: Option<Text<'a>>,
    /// `DisplayName`, `OwnerName` and `Scopes` of a token event.
    pub token_name: Option<Text<'a>>,
    pub token_owner: Option<Text<'a>>,
    pub token_scopes: Option<Text<'a>>,
    pub started: Option<Time>,
    pub finished: Option<Time>,
    /// `CallerProcedure`: the stored procedure that raised the event, so a server did.
    pub caller: Option<Text<'a>>,
    /// `RequesterId`: who asked for the run.
    pub requester_id: Option<Text<'a>>,
}

/// What kind of actor a record names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ActorKind {
    User,
    /// Azure DevOps itself: `Azure DevOps Service` or another `0000000n-0000-8888-8000-...`.
    Service,
    /// `{Project} Build Service ({org})`, the identity all jobs of a project share.
    ProjectBuildService,
    /// `Project Collection Build Service ({org})`, shared by the jobs of all projects.
    CollectionBuildService,
    /// `Agent Pool Service ({n})`, the listener identity of a pool.
    AgentPoolService,
    /// An Entra service principal or managed identity (`ActorClientId`).
    Application,
    #[default]
    Unknown,
}

impl ActorKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            ActorKind::User => "user",
            ActorKind::Service => "service",
            ActorKind::ProjectBuildService => "project_build_service",
            ActorKind::CollectionBuildService => "collection_build_service",
            ActorKind::AgentPoolService => "agent_pool_service",
            ActorKind::Application => "application",
            ActorKind::Unknown => "unknown",
        }
    }
}

/// Whether an authentication mechanism is a cookie of the web pages. `UserAuthToken` may be one, or not.
pub fn is_cookie(mechanism: &str) -> bool {
    ["AAD_Cookie", "FedAuth"].iter().any(|cookie| mechanism.starts_with(cookie))
}

/// The same text, free of what it borrowed from.
fn owned<'b>(text: Option<Text<'_>>) -> Option<Text<'b>> {
    text.map(|t| Cow::Owned(t.into_owned()))
}

impl Event<'_> {
    /// The same event, free of what it borrowed from.
    pub fn into_owned<'b>(self) -> Event<'b> {
        Event {
            id: Cow::Owned(self.id.into_owned()),
            occurred: self.occurred,
            observed: self.observed,
            action: Cow::Owned(self.action.into_owned()),
            actor_kind: self.actor_kind,
            build_scope: owned(self.build_scope),
            hints: self.hints.into_owned(),
            raw: Cow::Owned(self.raw.into_owned()),
            hash: self.hash,
            organization_id: owned(self.organization_id),
            organization: owned(self.organization),
            project_id: owned(self.project_id),
            project: owned(self.project),
            area: owned(self.area),
            category: owned(self.category),
            actor_id: owned(self.actor_id),
            actor_cuid: owned(self.actor_cuid),
            actor_name: owned(self.actor_name),
            actor_upn: owned(self.actor_upn),
            actor_client_id: owned(self.actor_client_id),
            author_id: owned(self.author_id),
            auth_mechanism: owned(self.auth_mechanism),
            authorization_id: owned(self.authorization_id),
            ip: owned(self.ip),
            user_agent: owned(self.user_agent),
            correlation_id: owned(self.correlation_id),
            activity_id: owned(self.activity_id),
            details: owned(self.details),
            data: owned(self.data),
        }
    }
}

impl Hints<'_> {
    /// The same hints, free of what they borrowed from.
    pub fn into_owned<'b>(self) -> Hints<'b> {
        Hints {
            agent_id: self.agent_id,
            pool_id: self.pool_id,
            request_id: self.request_id,
            run_id: self.run_id,
            pipeline_id: self.pipeline_id,
            attempt: self.attempt,
            started: self.started,
            finished: self.finished,
            agent_name: owned(self.agent_name),
            pool_name: owned(self.pool_name),
            job_id: owned(self.job_id),
            job_name: owned(self.job_name),
            stage_name: owned(self.stage_name),
            plan_id: owned(self.plan_id),
            plan_type: owned(self.plan_type),
            run_name: owned(self.run_name),
            pipeline_name: owned(self.pipeline_name),
            environment: owned(self.environment),
            connection_id: owned(self.connection_id),
            connection_name: owned(self.connection_name),
            authorization_id: owned(self.authorization_id),
            token_name: owned(self.token_name),
            token_owner: owned(self.token_owner),
            token_scopes: owned(self.token_scopes),
            caller: owned(self.caller),
            requester_id: owned(self.requester_id),
        }
    }
}
