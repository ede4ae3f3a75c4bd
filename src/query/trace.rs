//! The trace of an id: its actions with their verdicts, and the jobs, runs and agents around them.

use datafusion::common::ScalarValue;
use serde::Serialize;
use serde_json::Value as Json;

use super::write::{Object, objects};
use super::{QueryError, Session};

/// What was believed before, oldest first.
const HISTORY: &str = "select revision, decided, why, old_executor, old_grade, old_agent_id, old_agent_name, \
    executor, grade, agent_id, agent_name from lake.revisions where event_id = $event order by revision";

/// The pools whose job requests were not heard at a moment, between which times; the list of pools where
/// that was not heard since.
const BLIND: &str = "
    with at as (select cast($at as timestamp) as t),
    own as (
      select c.* from coverage c
      where coalesce(c.organization_id = $id, c.organization = $organization, true)
    ),
    pool as (
      select distinct pool_id, name from pools
      where queue_id is null and pool_id is not null
        and coalesce(organization_id = $id, organization = $organization, true)
    )
    select 'jobs' as source, pool.pool_id, pool.name as pool_name,
      max(case when own.until < t then own.until end) as \"from\",
      min(case when own.\"from\" > t then own.\"from\" end) as until
    from pool cross join at left join own on own.source = 'jobs' and own.pool_id = pool.pool_id
    group by pool.pool_id, pool.name
    having count(case when own.\"from\" <= t and own.until >= t then 1 end) = 0
    union all
    select 'pools', null, null, max(until), null
    from own cross join at where source = 'pools' having coalesce(max(until) < max(t), true)
    order by 1, 2";

/// Everything known of an id. Its JSON form is stable: members are added, never changed.
#[derive(Debug, Clone, Serialize)]
pub struct Trace {
    /// The id as it was asked.
    pub asked: String,
    /// What it was understood as: `event`, `correlation`, `run`, `agent` or `nothing`.
    pub kind: &'static str,
    /// Rows of `actions`, newest first, each with its `job`, `run` and `agent`, the `history` of its
    /// verdict and the `blind_windows` it lies in.
    pub actions: Vec<Object>,
    /// Rows of `jobs` of a run or an agent, newest first.
    pub jobs: Vec<Object>,
    /// The newest version of an agent that was asked for by name.
    pub agents: Vec<Object>,
}

impl Trace {
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty() && self.jobs.is_empty() && self.agents.is_empty()
    }
}

impl Session {
    /// Traces an event id (GUID or REST form), a correlation id, a run id (also `build:7` or
    /// `release:7`) or an agent name.
    pub async fn trace(&self, asked: &str, limit: usize) -> Result<Trace, QueryError> {
        let asked = asked.trim();
        let mut trace = Trace {
            asked: asked.to_owned(),
            kind: "nothing",
            actions: Vec::new(),
            jobs: Vec::new(),
            agents: Vec::new(),
        };
        let id = asked.rsplit(';').next().unwrap_or(asked).trim().to_ascii_lowercase();
        let text = |t: &str| ScalarValue::Utf8(Some(t.to_owned()));
        for (kind, column) in [("event", "event_id"), ("correlation", "correlation_id")] {
            trace.actions = self.actions(&format!("{column} = $id"), vec![("id", text(&id))], limit).await?;
            if !trace.actions.is_empty() {
                trace.kind = kind;
                return self.complete(trace).await;
            }
        }
        let (run_kind, number) = match id.split_once(':') {
            Some((kind @ ("build" | "release"), number)) => (Some(kind), number),
            _ => (None, id.as_str()),
        };
        if let Ok(run) = number.parse::<i64>() {
            let only = run_kind.map_or_else(String::new, |k| format!(" and run_kind = '{k}'"));
            let filter = format!("run_id = $run{only}");
            let value = || vec![("run", ScalarValue::Int64(Some(run)))];
            trace.actions = self.actions(&filter, value(), limit).await?;
            trace.jobs = self
                .rows(
                    &format!("select * from jobs where {filter} order by queued desc limit {limit}"),
                    value(),
                )
                .await?;
            if !trace.is_empty() {
                trace.kind = "run";
                return self.complete(trace).await;
            }
        }
        let name = || vec![("name", text(asked))];
        trace.actions = self.actions("agent_name = $name", name(), limit).await?;
        trace.jobs = self
            .rows(
                &format!("select * from jobs where agent_name = $name order by queued desc limit {limit}"),
                name(),
            )
            .await?;
        trace.agents =
            self.rows(&format!("select * from agents_now where name = $name limit {limit}"), name()).await?;
        if !trace.is_empty() {
            trace.kind = "agent";
        }
        self.complete(trace).await
    }

    async fn actions(
        &self,
        filter: &str,
        values: Vec<(&str, ScalarValue)>,
        limit: usize,
    ) -> Result<Vec<Object>, QueryError> {
        self.rows(
            &format!("select * from actions where {filter} order by occurred desc limit {limit}"),
            values,
        )
        .await
    }

    async fn rows(&self, sql: &str, values: Vec<(&str, ScalarValue)>) -> Result<Vec<Object>, QueryError> {
        objects(self.sql_with(sql, values).await?).await
    }

    /// Adds to each action the job, the run and the agent that its verdict names.
    async fn complete(&self, mut trace: Trace) -> Result<Trace, QueryError> {
        for action in &mut trace.actions {
            let number = |action: &Object, name: &str| {
                action.get(name).and_then(Json::as_i64).map(|n| ScalarValue::Int64(Some(n)))
            };
            let named =
                |name: &str| ScalarValue::Utf8(action.get(name).and_then(Json::as_str).map(str::to_owned));
            let (id, organization) = (named("organization_id"), named("organization"));
            let mut parts: Vec<(&str, Json)> = Vec::new();
            let mut first =
                async |name, sql: &str, mut values: Vec<(&str, ScalarValue)>| -> Result<(), QueryError> {
                    values.push(("id", id.clone()));
                    values.push(("organization", organization.clone()));
                    let row = self.rows(sql, values).await?.into_iter().next();
                    parts.push((name, row.map_or(Json::Null, Json::Object)));
                    Ok(())
                };
            if let Some(request) = number(action, "request_id") {
                let sql = "select * from jobs where request_id = $request and coalesce(organization_id = $id, organization = $organization, true) limit 1";
                first("job", sql, vec![("request", request)]).await?;
            }
            if let Some(run) = number(action, "run_id") {
                let sql = "select * from runs where run_id = $run and coalesce(organization_id = $id, organization = $organization, true) limit 1";
                first("run", sql, vec![("run", run)]).await?;
            }
            if let Some(agent) = number(action, "agent_id") {
                let sql = "select * from agents_now where agent_id = $agent and coalesce(organization_id = $id, organization = $organization, true) limit 1";
                first("agent", sql, vec![("agent", agent)]).await?;
            }
            let mut history = Vec::new();
            if action.get("revision").and_then(Json::as_i64).is_some_and(|n| n > 0) {
                history = self.rows(HISTORY, vec![("event", named("event_id"))]).await?;
            }
            let mut windows = Vec::new();
            if action.get("blind").and_then(Json::as_bool) == Some(true) {
                let values = vec![
                    ("id", id.clone()),
                    ("organization", organization.clone()),
                    ("at", named("occurred")),
                ];
                windows = self.rows(BLIND, values).await?;
            }
            for (name, rows) in [("history", history), ("blind_windows", windows)] {
                action.insert(name.to_owned(), rows.into_iter().map(Json::Object).collect());
            }
            for name in ["job", "run", "agent"] {
                action.insert(name.to_owned(), Json::Null);
            }
            for (name, part) in parts {
                action.insert(name.to_owned(), part);
            }
        }
        Ok(trace)
    }
}
