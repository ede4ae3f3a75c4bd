//! The trace of an id: its actions with their verdicts, and the jobs, runs and agents around them.

use datafusion::common::ScalarValue;
use futures::{FutureExt as _, TryStreamExt as _};
use serde::Serialize;
use serde_json::Value as Json;

use super::around::Asked;
use super::write::{Object, objects};
use super::{QueryError, Session, quoted};

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

/// The actions that are meant, by columns as they are stored; each by itself, as of one value files say whether they
/// hold it.
const OF_CORRELATION: &str = "select event_id, occurred from lake.events where correlation_id = $id";
/// What was done with a token, and what was done to it.
const OF_TOKEN: &str = "
    select event_id, occurred from lake.events where authorization_id = $id
    union
    select event_id, occurred from lake.events
    where starts_with(action, 'Token.') and lower(json_member(data, 'AuthorizationId')) = $id";
const OF_NAME: &str = "select event_id, occurred from actions where agent_name = $id";

/// What an agent of a name had as jobs and may have done, from a moment on.
const JOBS_OF_NAME: &str = "
    select * from jobs_of_agent($name, $since, '2100-01-01')
    where agent_name = $name and coalesce(queued, assigned, received, finished) >= $since
    order by coalesce(queued, assigned, received, finished) desc";
const POSSIBLE_OF_NAME: &str = "
    select distinct event_id, occurred, action, executor, grade, several as candidates from (
      select event_id, occurred, action, executor, grade, array_length(candidates) as several, unnest(candidates) as candidate
      from actions where agent_name is null and array_length(candidates) > 0 and occurred >= $since)
    where candidate['agent_name'] = $name order by occurred desc";

/// So many narrow rows are looked at for each that is wanted: a job has several states.
const STATES: usize = 8;
const LONG_AGO: &str = "2000-01-01";
/// Actions that are asked for by their ids in one statement.
const AT_ONCE: usize = 40;
/// Agents of one name that are asked for by their ids.
const MOST_NAMESAKES: usize = 1000;

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
        let value = vec![("id", ScalarValue::from(id))];
        trace.actions = self.actions("actions", "event_id = $id", value, limit).await?;
        let is_event = !trace.is_empty();
        if !is_event {
            trace.actions = self.newest_found(OF_CORRELATION, id, limit).await?;
        }
        if !trace.is_empty() {
            trace.kind = if is_event { "event" } else { "correlation" };
        }
        Ok(())
    }

    async fn of_credential(&self, trace: &mut Trace, id: &str, limit: usize) -> Result<(), QueryError> {
        let value = || vec![("id", ScalarValue::from(id))];
        trace.actions = self.newest_found(OF_TOKEN, id, limit).await?;
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
        trace.actions = self.actions("actions_of_run($run)", &filter, value(), limit).await?;
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
        let since = self.last_days(&named, limit).await?;
        let newest = |rows_since: &'static str| {
            let (session, named, since) = (self.clone(), named.clone(), since.clone());
            async move { session.newest(rows_since, &named, since, limit).await }.boxed()
        };
        let (session, of) = (self.clone(), named.clone());
        let found = async move { session.newest_found(OF_NAME, &of, limit).await }.boxed();
        let mut parts = self.together([found, newest(JOBS_OF_NAME), newest(POSSIBLE_OF_NAME)]);
        for part in [&mut trace.actions, &mut trace.jobs, &mut trace.possible] {
            *part = parts.try_next().await?.unwrap_or_default();
        }
        let ids = "select distinct agent_id from lake.agents where name = $name and event is null";
        let ids: Vec<String> =
            self.rows(ids, name()).await?.iter().map(|row| row["agent_id"].to_string()).collect();
        if !ids.is_empty() {
            // The statement that has too many of them would be too long.
            let bore = match ids.len() <= MOST_NAMESAKES {
                true => format!("a.agent_id in ({}) and {BORE}", ids.join(", ")),
                false => BORE.to_owned(),
            };
            let agents =
                format!("select a.* from agents_now a where {bore} order by observed desc limit {limit}");
            trace.agents = self.rows(&agents, name()).await?;
            let versions = format!("select a.* from agents a where {bore} order by agent_id, \"from\"");
            trace.versions = self.rows(&versions, name()).await?;
            let registered =
                format!("select a.* from bindings a where role = 'registrant' and {bore} order by \"from\"");
            trace.registered = self.rows(&registered, name()).await?;
        }
        if !trace.is_empty() {
            trace.kind = "agent";
        }
        Ok(())
    }

    /// The first of the last days with jobs of an agent of a name, which have enough of them; none where it has none.
    async fn last_days(&self, name: &str, limit: usize) -> Result<Option<String>, QueryError> {
        let most = limit.saturating_mul(STATES);
        let first = format!(
            "select cast(min(day) as varchar) as day from (
               select date as day from lake.jobs where agent_name = $name order by day desc limit {most})"
        );
        let first = self.rows(&first, vec![("name", ScalarValue::from(name))]).await?.pop();
        Ok(first.and_then(|row| row.get("day")?.as_str().map(str::to_owned)))
    }

    /// The newest rows of an agent by its name: those since a day, and only where they are too few, those of all
    /// times.
    async fn newest(
        &self,
        rows_since: &str,
        name: &str,
        day: Option<String>,
        limit: usize,
    ) -> Result<Vec<Object>, QueryError> {
        let mut rows = Vec::new();
        for since in [day.as_deref(), Some(LONG_AGO)].into_iter().flatten() {
            let since = format!("cast({} as timestamp)", quoted(since));
            let sql = format!("{} limit {limit}", rows_since.replace("$since", &since));
            rows = self.rows(&sql, vec![("name", ScalarValue::from(name))]).await?;
            if rows.len() >= limit {
                break;
            }
        }
        Ok(rows)
    }

    /// The newest of the actions that a statement finds, by `event_id` and `occurred`: all columns are read of these
    /// alone.
    async fn newest_found(&self, found: &str, id: &str, limit: usize) -> Result<Vec<Object>, QueryError> {
        let sql = format!("select event_id, occurred from ({found}) order by occurred desc limit {limit}");
        let found = self.rows(&sql, vec![("id", ScalarValue::from(id))]).await?;
        let mut actions = Vec::with_capacity(found.len());
        // Of the newest first, so each part is of a span of its own.
        for part in found.chunks(AT_ONCE) {
            let text = |row: &Object, column: &str| row.get(column).and_then(Json::as_str).map(quoted);
            let ids: Vec<String> = part.iter().filter_map(|row| text(row, "event_id")).collect();
            let ends = [part.last(), part.first()].map(|row| text(row?, "occurred"));
            let [Some(first), Some(last)] = ends else { continue };
            let filter = format!("event_id in ({}) and occurred between {first} and {last}", ids.join(", "));
            actions.extend(self.actions("actions", &filter, Vec::new(), limit).await?);
        }
        Ok(actions)
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
