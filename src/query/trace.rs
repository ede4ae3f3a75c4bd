//! The trace of an id: its actions with their verdicts, and the jobs, runs and agents around them.

use datafusion::common::ScalarValue;
use serde::Serialize;

use super::write::{Object, objects};
use super::{QueryError, Session};

/// Everything known of an id. Its JSON form is stable: members are added, never changed.
#[derive(Debug, Clone, Serialize)]
pub struct Trace {
    /// The id as it was asked.
    pub asked: String,
    /// What it was understood as: `event`, `correlation`, `run`, `agent` or `nothing`.
    pub kind: &'static str,
    /// Rows of `actions`, newest first, each with what surrounds it.
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

    pub(super) async fn rows(
        &self,
        sql: &str,
        values: Vec<(&str, ScalarValue)>,
    ) -> Result<Vec<Object>, QueryError> {
        objects(self.sql_with(sql, values).await?).await
    }

    /// Adds to each action what surrounds it.
    async fn complete(&self, mut trace: Trace) -> Result<Trace, QueryError> {
        for action in &mut trace.actions {
            self.surround(action).await?;
        }
        Ok(trace)
    }
}
