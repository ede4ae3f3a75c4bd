//! The trace of an id: its actions with their verdicts, and the jobs, runs and agents around them.

use datafusion::common::ScalarValue;
use serde::Serialize;

use super::around::Asked;
use super::write::{Object, objects};
use super::{QueryError, Session};

/// Everything known of an id. Its JSON form is stable: members are added, never changed.
#[derive(Debug, Clone, Serialize)]
pub struct Trace {
    /// The id as it was asked.
    pub asked: String,
    /// What it was understood as: `event`, `correlation`, `credential`, `run`, `agent` or `nothing`.
    pub kind: &'static str,
    /// Rows of `actions`, newest first, each with what surrounds it.
    pub actions: Vec<Object>,
    /// The actions of which an agent of the name is a candidate and no more: `event_id`, `occurred`, `action`,
    /// `executor`, `grade`, and how many `candidates` there are; newest first.
    pub possible: Vec<Object>,
    /// Rows of `jobs` of a run or an agent, newest first.
    pub jobs: Vec<Object>,
    /// Rows of `agents_now`: the agents that bear or bore the name that was asked for.
    pub agents: Vec<Object>,
    /// Rows of `agents`: all versions of these agents, oldest first.
    pub versions: Vec<Object>,
    /// Rows of `identities`: the token of an authorization id.
    pub tokens: Vec<Object>,
    /// Rows of `bindings`: who registered these agents, or what was registered with this token.
    pub registered: Vec<Object>,
}

/// That an agent bore a name at any time.
const BORE: &str = "exists (select 1 from lake.agents n where n.name = $name and n.event is null and n.agent_id = a.agent_id \
    and coalesce(n.organization_id = a.organization_id, n.organization = a.organization, true))";

impl Trace {
    pub fn is_empty(&self) -> bool {
        let parts = [&self.actions, &self.possible, &self.jobs, &self.agents, &self.tokens];
        parts.iter().all(|part| part.is_empty())
    }
}

impl Session {
    /// Traces an event id (GUID or REST form), a correlation id, an authorization id, a run id (also
    /// `build:7` or `release:7`) or an agent name.
    pub async fn trace(&self, asked: &str, limit: usize) -> Result<Trace, QueryError> {
        let asked = asked.trim();
        let mut trace = Trace {
            asked: asked.to_owned(),
            kind: "nothing",
            actions: Vec::new(),
            possible: Vec::new(),
            jobs: Vec::new(),
            agents: Vec::new(),
            versions: Vec::new(),
            tokens: Vec::new(),
            registered: Vec::new(),
        };
        let id = asked.rsplit(';').next().unwrap_or(asked).trim().to_ascii_lowercase();
        let text = |t: &str| ScalarValue::Utf8(Some(t.to_owned()));
        for (kind, column) in [("event", "event_id"), ("correlation", "correlation_id")] {
            let filter = format!("{column} = $id");
            trace.actions = self.actions("actions", &filter, vec![("id", text(&id))], limit).await?;
            if !trace.actions.is_empty() {
                trace.kind = kind;
                return self.complete(trace).await;
            }
        }
        // What was done with a token, and what was done to it.
        let used = "authorization_id = $id or starts_with(action, 'Token.') \
            and lower(json_member(data, 'AuthorizationId')) = $id";
        trace.actions = self.actions("actions", used, vec![("id", text(&id))], limit).await?;
        let token = "select * from identities where kind = 'pat' and id = $id";
        trace.tokens = self.rows(token, vec![("id", text(&id))]).await?;
        if !trace.is_empty() {
            trace.kind = "credential";
            let registered = "select * from bindings where role = 'registrant' and identity_id = $id \
                order by \"from\"";
            trace.registered = self.rows(registered, vec![("id", text(&id))]).await?;
            return self.complete(trace).await;
        }
        let (run_kind, number) = match id.split_once(':') {
            Some((kind @ ("build" | "release"), number)) => (Some(kind), number),
            _ => (None, id.as_str()),
        };
        if let Ok(run) = number.parse::<i64>() {
            let filter = run_kind.map_or_else(|| "true".to_owned(), |kind| format!("run_kind = '{kind}'"));
            let value = || vec![("run", ScalarValue::Int64(Some(run)))];
            let of_run = format!("{filter} and run_id = $run");
            let named = "trace(cast($run as varchar))";
            trace.actions = self.actions(named, &of_run, value(), limit).await?;
            let jobs =
                format!("select * from jobs_of_run($run) where {filter} order by queued desc limit {limit}");
            trace.jobs = self.rows(&jobs, value()).await?;
            if !trace.is_empty() {
                trace.kind = "run";
                return self.complete(trace).await;
            }
        }
        let name = || vec![("name", text(asked))];
        trace.actions = self.actions("trace($name)", "agent_name = $name", name(), limit).await?;
        trace.jobs = self
            .rows(
                &format!("select * from jobs where agent_name = $name order by queued desc limit {limit}"),
                name(),
            )
            .await?;
        let possible = format!(
            "select distinct event_id, occurred, action, executor, grade, several as candidates from (
               select event_id, occurred, action, executor, grade, array_length(candidates) as several, unnest(candidates) as candidate
               from actions where agent_name is null and array_length(candidates) > 0)
             where candidate['agent_name'] = $name order by occurred desc limit {limit}"
        );
        trace.possible = self.rows(&possible, name()).await?;
        let bore = |select: &str| format!("select a.* from {select}");
        let agents = bore(&format!("agents_now a where {BORE} order by observed desc limit {limit}"));
        trace.agents = self.rows(&agents, name()).await?;
        if !trace.agents.is_empty() {
            let versions = bore(&format!("agents a where {BORE} order by agent_id, \"from\""));
            trace.versions = self.rows(&versions, name()).await?;
            let registered =
                bore(&format!("bindings a where role = 'registrant' and {BORE} order by \"from\""));
            trace.registered = self.rows(&registered, name()).await?;
        }
        if !trace.is_empty() {
            trace.kind = "agent";
        }
        self.complete(trace).await
    }

    async fn actions(
        &self,
        among: &str,
        filter: &str,
        values: Vec<(&str, ScalarValue)>,
        limit: usize,
    ) -> Result<Vec<Object>, QueryError> {
        self.rows(
            &format!("select * from {among} where {filter} order by occurred desc limit {limit}"),
            values,
        )
        .await
    }

    pub(super) async fn rows(
        &self,
        sql: &str,
        values: Vec<(&str, ScalarValue)>,
    ) -> Result<Vec<Object>, QueryError> {
        objects(self.sql_with(sql, values).await?).await
    }

    /// Adds to each action what surrounds it.
    async fn complete(&self, mut trace: Trace) -> Result<Trace, QueryError> {
        let asked = Asked::default();
        for action in &mut trace.actions {
            self.surround(action, &asked).await?;
        }
        Ok(trace)
    }
}
