//! Who executed an action, who raised the record, and how sure we are.

use super::{RecordHash, Time};

/// The answer for one event, with everything it rests on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    pub executor: Executor,
    /// Who wrote the record: `agent`, `human`, `service`, `client` or `unknown`.
    pub raised_by: Executor,
    pub grade: Grade,
    /// The one agent, when the grade is `exact` or `sole` (or a single one is left in `run`).
    pub agent: Option<AgentSeen>,
    /// The one job request, when known.
    pub job: Option<JobSeen>,
    /// The run, when known.
    pub run: Option<RunSeen>,
    /// Every identity involved, by role.
    pub identities: Vec<IdentitySeen>,
    /// All agents and jobs that could have done it; also the chosen one.
    pub candidates: Vec<Candidate>,
    pub evidence: Vec<Evidence>,
    /// What was looked for and not there: lowercase sentences.
    pub missing: Vec<String>,
    /// What the record is about.
    pub subjects: Vec<Subject>,
    /// A window overlaps the event in which a source that could have decided was not heard.
    pub blind: bool,
    /// Later evidence may still change this verdict.
    pub provisional: bool,
}

/// Who did the work a record reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Executor {
    Agent,
    Human,
    Service,
    /// A credential used outside any job.
    Client,
    #[default]
    Unknown,
}

/// How far the evidence reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Grade {
    /// Ids in the record lead to one job request and its reserved agent.
    Exact,
    /// Every other candidate is excluded, and coverage is complete past the event.
    Sole,
    /// Exact to the run; its agents are listed.
    Run,
    /// Two or more candidates remain, or negatives are not in yet.
    Narrowed,
    /// Hints only.
    Corroborated,
    #[default]
    None,
    /// A human, a service or a client did it.
    NotAgent,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct AgentSeen {
    pub id: Option<i64>,
    pub name: Option<String>,
    pub version: Option<String>,
    pub pool_id: Option<i64>,
    pub pool_name: Option<String>,
    /// The host it ran on (`Agent.ComputerName`, or a scale-set instance).
    pub machine: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobSeen {
    pub job_id: Option<String>,
    pub request_id: Option<i64>,
    pub name: Option<String>,
    pub attempt: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunSeen {
    pub id: Option<i64>,
    /// `build` or `release`: the two id spaces.
    pub kind: Option<String>,
    pub name: Option<String>,
    pub pipeline_id: Option<i64>,
    pub pipeline_name: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentitySeen {
    pub id: String,
    pub name: Option<String>,
    /// `user`, `service`, `project_build_service`, `application`, `pat`, ...
    pub kind: String,
    /// `actor`, `author`, `requester`, `credential`, `registrant`, `listener` or `machine`.
    pub role: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidate {
    pub agent_id: Option<i64>,
    pub agent_name: Option<String>,
    pub pool_id: Option<i64>,
    pub job_id: Option<String>,
    pub run_id: Option<i64>,
    /// Why it is a candidate: a lowercase sentence.
    pub why: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The rule that used it, for example `job_ids`.
    pub kind: String,
    /// Hash of the source record: where to read it.
    pub record: RecordHash,
    /// What it says: a lowercase sentence.
    pub says: String,
    /// When this program learned it.
    pub known: Time,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// `agent`, `pool`, `run`, `pipeline`, `connection`, `credential`, ...
    pub kind: String,
    pub id: String,
    pub name: Option<String>,
}

impl Verdict {
    /// Sixteen hex digits that stand for the final verdict: all but when its evidence was known.
    pub fn digest(&self) -> String {
        let mut settled = self.clone();
        settled.evidence.iter_mut().for_each(|e| e.known = Time::default());
        RecordHash::of(format!("{settled:?}").as_bytes()).to_string()[..16].to_owned()
    }
}

impl Executor {
    pub const fn as_str(self) -> &'static str {
        match self {
            Executor::Agent => "agent",
            Executor::Human => "human",
            Executor::Service => "service",
            Executor::Client => "client",
            Executor::Unknown => "unknown",
        }
    }
}

impl Grade {
    pub const fn as_str(self) -> &'static str {
        match self {
            Grade::Exact => "exact",
            Grade::Sole => "sole",
            Grade::Run => "run",
            Grade::Narrowed => "narrowed",
            Grade::Corroborated => "corroborated",
            Grade::None => "none",
            Grade::NotAgent => "not_agent",
        }
    }
}
