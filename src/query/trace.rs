//! The trace of an id: its actions with their verdicts, and the jobs, runs and agents around them.

use datafusion::common::ScalarValue;
use serde::Serialize;

use super::around::Asked;
use super::write::{Object, objects};
use super::{QueryError, Session};

/// Everything known of an id. Its JSON form is stable: members are added, never changed.
#[derive(Debug, Clone, Default, Serialize)]
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
        let mut trace = Trace { asked: asked.to_owned(), kind: "nothing", ..Trace::default() };
        let id = asked.rsplit(';').next().unwrap_or(asked).trim().to_ascii_lowercase();
        let (run_kind, number) = match id.split_once(':') {
            Some((kind @ ("build" | "release"), number)) => (Some(kind), number),
            _ => (None, id.as_str()),
        };
        match number.parse::<i64>() {
            Ok(run) => self.of_run(&mut trace, run_kind, run, limit).await?,
            // No event, correlation or token goes by a number.
            Err(_) => {
                self.of_event(&mut trace, &id, limit).await?;
                if trace.is_empty() {
                    self.of_credential(&mut trace, &id, limit).await?;
                }
            }
        }
        if trace.is_empty() {
            self.of_agent(&mut trace, limit).await?;
        }
        self.complete(trace).await
    }

    async fn of_event(&self, trace: &mut Trace, id: &str, limit: usize) -> Result<(), QueryError> {
        for (kind, among, filter) in
            [("event", "actions", "event_id = $id"), ("correlation", "trace($id)", "correlation_id = $id")]
        {
            trace.actions = self.actions(among, filter, vec![("id", ScalarValue::from(id))], limit).await?;
            if !trace.actions.is_empty() {
                trace.kind = kind;
                break;
            }
        }
        Ok(())
    }

    async fn of_credential(&self, trace: &mut Trace, id: &str, limit: usize) -> Result<(), QueryError> {
        let value = || vec![("id", ScalarValue::from(id))];
        // What was done with a token, and what was done to it.
        let used = "authorization_id = $id or starts_with(action, 'Token.') \
            and lower(json_member(data, 'AuthorizationId')) = $id";
        trace.actions = self.actions("actions", used, value(), limit).await?;
        let token = "select * from identities where kind = 'pat' and id = $id";
        trace.tokens = self.rows(token, value()).await?;
        if !trace.is_empty() {
            trace.kind = "credential";
            let registered = "select * from bindings where role = 'registrant' and identity_id = $id \
                order by \"from\"";
            trace.registered = self.rows(registered, value()).await?;
        }
        Ok(())
    }

    async fn of_run(
        &self,
        trace: &mut Trace,
        kind: Option<&str>,
        run: i64,
        limit: usize,
    ) -> Result<(), QueryError> {
        let filter = kind.map_or_else(|| "true".to_owned(), |kind| format!("run_kind = '{kind}'"));
        let value = || vec![("run", ScalarValue::Int64(Some(run)))];
        let of_run = format!("{filter} and run_id = $run");
        trace.actions = self.actions("trace(cast($run as varchar))", &of_run, value(), limit).await?;
        let jobs =
            format!("select * from jobs_of_run($run) where {filter} order by queued desc limit {limit}");
        trace.jobs = self.rows(&jobs, value()).await?;
        if !trace.is_empty() {
            trace.kind = "run";
        }
        Ok(())
    }

    async fn of_agent(&self, trace: &mut Trace, limit: usize) -> Result<(), QueryError> {
        let named = trace.asked.clone();
        let name = || vec![("name", ScalarValue::from(named.as_str()))];
        trace.actions = self.actions("trace($name)", "agent_name = $name", name(), limit).await?;
        let jobs = "select * from jobs_of_agent($name, '2000-01-01', '2100-01-01') where agent_name = $name";
        trace.jobs = self.rows(&format!("{jobs} order by queued desc limit {limit}"), name()).await?;
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
        Ok(())
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
