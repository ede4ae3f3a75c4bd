//! One record that is not an audit event: a job request, an agent, a sign-in, a hook, ...

use super::{RecordHash, Time};

/// A record of the world the audit events happen in. What evidence cites.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact<'a> {
    /// Lower-case kind, for example `job_request`, `agent`, `hook.build.complete`.
    pub kind: String,
    /// Natural key and state, so that the same state reported twice is one fact; for a record
    /// without one, its hash. Starts with the kind.
    pub key: String,
    /// When it was true, as the record says; `None` when the record names no time.
    pub occurred: Option<Time>,
    pub observed: Time,
    pub organization: Org,
    pub project_id: Option<String>,
    /// The REST address it came from, when known.
    pub url: Option<String>,
    pub body: Body,
    /// The record byte for byte, but for secrets among an agent's capabilities.
    pub raw: std::borrow::Cow<'a, [u8]>,
    pub hash: RecordHash,
}

impl Fact<'_> {
    /// The same fact, free of what it borrowed from.
    pub fn into_owned<'b>(self) -> Fact<'b> {
        Fact {
            kind: self.kind,
            key: self.key,
            occurred: self.occurred,
            observed: self.observed,
            organization: self.organization,
            project_id: self.project_id,
            url: self.url,
            body: self.body,
            raw: std::borrow::Cow::Owned(self.raw.into_owned()),
            hash: self.hash,
        }
    }

    /// When it was true, or else when it was seen.
    pub fn when(&self) -> Time {
        self.occurred.unwrap_or(self.observed)
    }
}

/// An organisation as far as a record names it: the name from a URL, the host id from a body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Org {
    pub id: Option<String>,
    pub name: Option<String>,
}

/// The typed content of a fact.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    Job(Box<Job>),
    Run(Box<Run>),
    Agent(Box<Agent>),
    Pool(Pool),
    Queue(Queue),
    ElasticNode(ElasticNode),
    Identity(Identity),
    Connection(Connection),
    ConnectionUse(ConnectionUse),
    Permissions(Vec<Permission>),
    Holding(Box<Holding>),
    SignIn(Box<SignIn>),
    /// A poll that proves a source was heard; drawn from capture lines beside their records.
    Heard(Heard),
    Stated(Box<Statement>),
    /// A known kind of record from which nothing typed is drawn.
    Other,
}

/// One state of a job: a pool's job request, a job record of a timeline, or a job hook.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Job {
    /// Unique in an organisation; absent from timelines and hooks.
    pub request_id: Option<i64>,
    pub job_id: Option<String>,
    /// `jobName`, or the name of a timeline record (the display name).
    pub name: Option<String>,
    /// The job's identifier: the tail of the orchestration id without the plan and the stage.
    pub identifier: Option<String>,
    pub stage: Option<String>,
    pub attempt: Option<i64>,
    pub plan_id: Option<String>,
    /// `Build`, `Release`, `Deployment`, ... as it came.
    pub plan_type: Option<String>,
    pub run_id: Option<i64>,
    pub run_name: Option<String>,
    pub pipeline_id: Option<i64>,
    pub pipeline_name: Option<String>,
    pub pool_id: Option<i64>,
    pub pool_name: Option<String>,
    pub queue_id: Option<i64>,
    pub queued: Option<Time>,
    pub assigned: Option<Time>,
    /// When the agent took it up (`receiveTime`, or a timeline record's `startTime`).
    pub received: Option<Time>,
    pub finished: Option<Time>,
    /// `abandoned` means that `finished` is the expiry of the lock, not the end of work.
    pub result: Option<String>,
    pub state: Option<String>,
    pub service_owner: Option<String>,
    /// The agent it was given to. A timeline knows only the name.
    pub agent_id: Option<i64>,
    pub agent_name: Option<String>,
    pub agent_version: Option<String>,
    pub agent_os: Option<String>,
    /// `agentSpecification.VMImage`: a Microsoft-hosted machine.
    pub image: Option<String>,
    pub orchestration_id: Option<String>,
    pub demands: Vec<String>,
}

/// One state of a run: a build, a release or a pipeline run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Run {
    pub run_id: Option<i64>,
    /// `build` or `release`: the two id spaces.
    pub run_kind: String,
    pub name: Option<String>,
    pub pipeline_id: Option<i64>,
    pub pipeline_name: Option<String>,
    pub state: Option<String>,
    pub result: Option<String>,
    pub queued: Option<Time>,
    pub started: Option<Time>,
    pub finished: Option<Time>,
    pub plan_ids: Vec<String>,
    pub pool_id: Option<i64>,
    pub pool_name: Option<String>,
    pub queue_id: Option<i64>,
    pub requested_for_id: Option<String>,
    pub requested_for: Option<String>,
    pub requested_by_id: Option<String>,
    pub requested_by: Option<String>,
    pub reason: Option<String>,
    pub source_branch: Option<String>,
    pub source_version: Option<String>,
}

/// One version of an agent as a pool or a deployment group listed it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Agent {
    pub agent_id: i64,
    pub name: Option<String>,
    pub pool_id: Option<i64>,
    pub version: Option<String>,
    pub os: Option<String>,
    pub enabled: Option<bool>,
    /// `online` or `offline`; not part of a version, as it changes all the time.
    pub status: Option<String>,
    pub provisioning_state: Option<String>,
    pub created: Option<Time>,
    pub status_changed: Option<Time>,
    pub max_parallelism: Option<i64>,
    /// `authorization.clientId`: the listener's own id, not one of Entra.
    pub client_id: Option<String>,
    /// SHA-256 of the public key's modulus and exponent: changes when the agent is replaced.
    pub key_fingerprint: Option<String>,
    /// `Agent.ComputerName` of its capabilities.
    pub machine: Option<String>,
    pub deployment_group_id: Option<i64>,
    /// Names, and the values of those that cannot hold a secret.
    pub capabilities: Vec<(String, Option<String>)>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pool {
    pub pool_id: i64,
    pub name: Option<String>,
    pub is_hosted: Option<bool>,
    /// `automation` or `deployment`.
    pub pool_type: Option<String>,
    /// `none`, `elasticPool`, `singleUseAgents`, `preserveAgentOnJobFailure`.
    pub options: Option<String>,
    pub size: Option<i64>,
    pub agent_cloud_id: Option<i64>,
    /// ARM id of the scale set behind an elastic pool.
    pub azure_id: Option<String>,
    pub created: Option<Time>,
}

/// A project's view of a pool.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Queue {
    pub queue_id: i64,
    pub name: Option<String>,
    pub pool_id: Option<i64>,
}

/// A scale-set machine: which agent it is and which request it ran last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ElasticNode {
    pub node_id: Option<i64>,
    pub pool_id: Option<i64>,
    pub agent_id: Option<i64>,
    pub machine: Option<String>,
    /// Instance in the scale set.
    pub compute_id: Option<String>,
    pub request_id: Option<i64>,
    pub state: Option<String>,
    pub changed: Option<Time>,
}

/// A user, service principal, group, service identity or personal access token.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Identity {
    /// `user`, `service_principal`, `managed_identity`, `group`, `service` or `pat`.
    pub kind: String,
    /// Graph descriptor, authorization id of a PAT, or application id: unique in the organisation.
    pub id: String,
    /// Decoded from the descriptor: equals the audit record's `ActorCUID`.
    pub cuid: Option<String>,
    /// Entra application (client) id: equals the audit record's `ActorClientId`.
    pub application_id: Option<String>,
    /// Entra object id (`originId`).
    pub object_id: Option<String>,
    pub tenant_id: Option<String>,
    pub name: Option<String>,
    pub principal_name: Option<String>,
    /// Of a PAT.
    pub scopes: Option<String>,
    pub valid_from: Option<Time>,
    pub valid_until: Option<Time>,
}

/// A service connection: what a pipeline may reach, and as whom.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Connection {
    pub connection_id: String,
    pub name: Option<String>,
    /// For example `azurerm`.
    pub kind: Option<String>,
    pub scheme: Option<String>,
    /// Client id of the service principal it signs in as.
    pub application_id: Option<String>,
    pub target: Option<String>,
    pub created_by: Option<String>,
    pub is_shared: Option<bool>,
}

/// One use of a service connection by a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConnectionUse {
    pub connection_id: String,
    pub use_id: Option<i64>,
    pub plan_type: Option<String>,
    pub run_id: Option<i64>,
    pub run_name: Option<String>,
    pub pipeline_id: Option<i64>,
    pub pipeline_name: Option<String>,
    pub started: Option<Time>,
    pub finished: Option<Time>,
    pub result: Option<String>,
}

/// That a pipeline may use a protected resource (queue, connection, variable group, ...).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Permission {
    pub resource_kind: String,
    pub resource_id: String,
    pub pipeline_id: Option<i64>,
    pub authorized: Option<bool>,
    pub authorized_by: Option<String>,
    pub authorized_at: Option<Time>,
}

/// One word on who holds what: that somebody is in a group, has a role on a pool, or no longer does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Holding {
    /// `membership`, `pool_role`, `access` (a permission of a security namespace), `permission` (a resource
    /// of a pipeline) or `connection`.
    pub kind: String,
    /// Graph descriptor or storage key; `None` stands for all who hold it.
    pub holder_id: Option<String>,
    pub holder_name: Option<String>,
    pub pipeline_id: Option<i64>,
    /// `group`, `pool`, a resource's type, or the name of a security namespace.
    pub resource_kind: Option<String>,
    /// `None` stands for all of that kind.
    pub resource_id: Option<String>,
    pub resource_name: Option<String>,
    /// Role or permission; `None` stands for all.
    pub role: Option<String>,
    /// In the record's words: `added`, `removed`, `allow`, `deny`, `reset`, `seen`, `listed`, ...
    pub says: String,
    /// Whether it is held from then on.
    pub holds: bool,
    /// Whether it counts for all tokens that begin like this one.
    pub below: bool,
    /// Of a whole listing: all who hold the resource, each with the role behind a slash.
    pub members: Option<Vec<String>>,
}

/// A token issued to a service principal or managed identity.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SignIn {
    pub sign_in_id: String,
    /// `managed_identity` or `service_principal`.
    pub kind: String,
    pub application_id: Option<String>,
    pub service_principal_id: Option<String>,
    pub name: Option<String>,
    pub resource_id: Option<String>,
    pub resource_name: Option<String>,
    /// Empty for every managed identity seen so far.
    pub ip: Option<String>,
    pub token_id: Option<String>,
    pub tenant_id: Option<String>,
    pub result: Option<String>,
    pub credential_key_id: Option<String>,
}

/// A span in which a source was heard: every change in it would have been seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heard {
    /// `jobs`, `agents` or `pools`; `runs`, all of them with their timelines; `timeline`, that of one.
    pub source: String,
    /// The pool it speaks for; `None` for a source without one.
    pub pool_id: Option<i64>,
    /// The build whose timeline was read.
    pub run_id: Option<i64>,
    pub from: Time,
    pub until: Time,
    /// Of a whole list the ids of the pools, of a pool's agents, or of its requests that are not finished:
    /// what is not among them is not there, or over.
    pub listed: Option<Vec<i64>>,
}

/// The operator's own word on which agents or machines bear which identity. Agent, machine and pool are
/// patterns in which `*` stands for any text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statement {
    pub pool: Option<String>,
    pub agent: Option<String>,
    pub machine: Option<String>,
    /// Client id of a managed identity or an application, or the id of another kind.
    pub identity: Option<String>,
    pub identity_kind: String,
    pub identity_name: Option<String>,
    /// Resource id of the machine or the scale set.
    pub resource: Option<String>,
    /// Addresses or networks (`10.1.2.0/24`) from which requests of these machines come.
    pub addresses: Vec<String>,
    pub from: Option<Time>,
    /// Exclusive.
    pub until: Option<Time>,
}
