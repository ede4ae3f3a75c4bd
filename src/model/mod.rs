//! What was reported, about whom, and when.
//!
//! Plain values, shared by every layer above. Invariants:
//! 1. Identifiers are canonical: GUIDs in lower case, and none is `None`, never a zero GUID.
//! 2. Times keep 100 ns; whatever is coarser is coarser because its target is.
//! 3. A record's raw bytes are those delivered, so its hash can be recomputed by anybody.

mod event;
mod fact;
mod id;
mod reject;
mod time;
mod verdict;

pub use event::{ActorKind, Event, Hints, Text, is_cookie};
pub use fact::{
    Agent, Body, Connection, ConnectionUse, ElasticNode, Fact, Heard, Holding, Identity, Job, Org,
    Permission, Pool, Queue, Run, SignIn, Statement,
};
pub use id::{AuditId, Key, RecordHash, ZERO_GUID, canonical, guid, is_guid, random_guid};
pub use reject::{Reason, Reject};
pub use time::{Date, Ticks, Time};
pub use verdict::{
    AgentSeen, Candidate, Evidence, Executor, Grade, IdentitySeen, JobSeen, RunSeen, Subject, Verdict,
};
