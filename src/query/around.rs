//! What surrounds an action in its trace: its job, run and agent, what was believed and not heard, approvals.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::common::ScalarValue;
use futures::future::BoxFuture;
use futures::{FutureExt as _, TryStreamExt as _};
use serde_json::{Value as Json, json};

use super::write::Object;
use super::{QueryError, Session, quoted};

/// That a row is of the organisation of the action.
const OWN: &str = "coalesce(organization_id = $id, organization = $organization, true)";

/// The verdicts on an event, oldest first, each with why it came and what was said before.
const HISTORY: &str = "
    select 0 as revision, null as decided, null as why, null as old_executor, null as old_grade,
      null as old_agent_id, null as old_agent_name, executor, grade, agent_id, agent_name, evidence
    from lake.events where event_id = $event and date = cast(cast($at as timestamp) as date)
    union all
    select revision, decided, why, old_executor, old_grade, old_agent_id, old_agent_name, executor, grade,
      agent_id, agent_name, evidence
    from lake.revisions where event_id = $event and date = cast(cast($at as timestamp) as date)
    order by revision";

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

/// Other agents that bore the name of one, each with when it was seen and where it was seen last.
const NAMESAKES: &str = "
    select agent_id, pool_id, max(pool_name) as pool_name, min(observed) as first_seen,
      max(observed) as last_seen, first_value(machine order by observed desc) as machine
    from lake.agents
    where name = $name and agent_id <> $agent and event is null and coalesce(organization_id = $id, organization = $organization, true)
    group by agent_id, pool_id order by first_seen, agent_id";

/// On which machine each of some agents was, as far as was seen by then, or else the first that was; since
/// when it is gone.
const PLACES: &str = "
    with at as (select cast($at as timestamp) as t)
    select agent_id, first_value(machine order by a.\"from\" > t, abs(extract(epoch from (a.\"from\" - t)))) as machine,
      case when count(*) = count(until) then max(until) end as gone
    from agents a cross join at";

/// Approvals in the project of an action that can be of its run: an approval may wait for a month.
const APPROVALS: &str = "
    select event_id, occurred, action, executor, grade, agent_name, actor_id, actor_name, subjects, null as raw
    from lake.events
    where project_id = $project and action in ('Release.ApprovalCompleted', 'Release.ApprovalsCompleted')
      and occurred between cast($at as timestamp) - interval '30 days' and cast($at as timestamp) + interval '1 day'
    union all
    select key, occurred, kind, null, null, null, null, null, null, raw from facts
    where project_id = $project and kind in ('hook.ms.vss-pipelinechecks-events.approval-completed', 'approval')
      and occurred between cast($at as timestamp) - interval '30 days' and cast($at as timestamp) + interval '1 day'
    order by occurred";

impl Session {
    /// Adds to an action: `job`, `run` and `agent`, rows of `jobs`, `runs` and `agents_now` where the
    /// verdict names them, the job with the `project` of its pipeline; `agent_gone`, since when the agent is
    /// not there any more, and `removal`, the row of `removals` that says so; `namesakes`, other agents that bore its name; `approvals` of a deployment's run
    /// or, for an approval, the run as `approved_run`; `history`, what was believed before, with the
    /// `records` that changed it; `blind_windows`, what was not heard then.
    pub(super) async fn surround(&self, action: &mut Object, asked: &Asked) -> Result<(), QueryError> {
        let around = Around { session: self.clone(), action: action.clone().into(), asked: asked.clone() };
        let part = |part: Part| part(around.clone());
        let parts: [Part; 7] = [
            |around| async move { around.job().await.map(|job| vec![("job", job)]) }.boxed(),
            |around| async move { around.run_and_approvals().await }.boxed(),
            |around| async move { around.agent_and_removal().await }.boxed(),
            |around| async move { Ok(vec![("candidates", around.candidates().await?)]) }.boxed(),
            |around| async move { Ok(vec![("namesakes", listed(around.namesakes().await?))]) }.boxed(),
            |around| async move { Ok(vec![("history", listed(around.history().await?))]) }.boxed(),
            |around| {
                async move { Ok(vec![("blind_windows", listed(around.blind_windows().await?))]) }.boxed()
            },
        ];
        let mut parts = self.together(parts.map(part));
        while let Some(part) = parts.try_next().await? {
            action.extend(part.into_iter().map(|(name, value)| (name.to_owned(), value)));
        }
        Ok(())
    }
}

/// What was asked about one action of a trace: the next is often of the same job and agent.
#[derive(Clone, Default)]
pub(super) struct Asked(Arc<Mutex<HashMap<String, Vec<Object>>>>);

/// Members of an action.
type Members = Vec<(&'static str, Json)>;
type Part = fn(Around) -> BoxFuture<'static, Result<Members, QueryError>>;

fn listed(rows: Vec<Object>) -> Json {
    rows.into_iter().map(Json::Object).collect()
}

#[derive(Clone)]
struct Around {
    session: Session,
    action: Arc<Object>,
    asked: Asked,
}

impl Around {
    async fn run_and_approvals(&self) -> Result<Members, QueryError> {
        let action = self.text("action").to_ascii_lowercase();
        let decides = action.contains("approv") || action.starts_with("checksuite.");
        let approved = if decides { self.approved_run().await? } else { Json::Null };
        let run = self.run().await?;
        let deployed = self.text("action").contains(".Deployment");
        let approvals = if deployed { self.approvals(&run).await? } else { Vec::new() };
        Ok(vec![("run", run), ("approvals", approvals.into()), ("approved_run", approved)])
    }

    async fn agent_and_removal(&self) -> Result<Members, QueryError> {
        let agent = self.first("select * from agents_now", &["agent_id"]).await?;
        let gone = agent["gone"].clone();
        let removal = match gone.is_null() {
            true => Json::Null,
            false => self.first("select * from removals", &["agent_id"]).await?,
        };
        Ok(vec![("agent", agent), ("agent_gone", gone), ("removal", removal)])
    }

    fn text(&self, name: &str) -> &str {
        self.action.get(name).and_then(Json::as_str).unwrap_or_default()
    }

    fn value(&self, name: &str) -> ScalarValue {
        match self.action.get(name) {
            Some(Json::Number(number)) => ScalarValue::Int64(number.as_i64()),
            other => ScalarValue::Utf8(other.and_then(Json::as_str).map(str::to_owned)),
        }
    }

    /// The rows of a statement.
    async fn rows(&self, sql: &str, values: Vec<(&str, ScalarValue)>) -> Result<Vec<Object>, QueryError> {
        let key = format!("{sql} {values:?}");
        let known = || self.asked.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rows) = known().get(&key) {
            return Ok(rows.clone());
        }
        let rows = self.session.rows(sql, values).await?;
        known().insert(key, rows.clone());
        Ok(rows)
    }

    /// The rows of a statement about the organisation of the action.
    async fn own(&self, sql: &str, mut values: Vec<(&str, ScalarValue)>) -> Result<Vec<Object>, QueryError> {
        values.push(("id", self.value("organization_id")));
        values.push(("organization", self.value("organization")));
        self.rows(sql, values).await
    }

    /// The first row of a selection in which these columns are what the action says; none where the action
    /// does not say one of them.
    async fn first(&self, select: &str, columns: &[&'static str]) -> Result<Json, QueryError> {
        let values: Vec<(&str, ScalarValue)> = columns.iter().map(|name| (*name, self.value(name))).collect();
        if values.iter().any(|(_, value)| value.is_null()) {
            return Ok(Json::Null);
        }
        let same: Vec<String> = columns.iter().map(|name| format!("{name} = ${name}")).collect();
        let sql = format!("{select} where {} and {OWN} limit 1", same.join(" and "));
        Ok(self.own(&sql, values).await?.pop().map_or(Json::Null, Json::Object))
    }

    async fn job(&self) -> Result<Json, QueryError> {
        // Of its run or its agent alone: of all jobs there are too many to look through.
        let mut job = match self.value("run_id").is_null() {
            true => {
                let at = format!("cast({} as timestamp)", quoted(self.text("occurred")));
                let of_agent = format!(
                    "select * from jobs_of_agent(cast($agent_id as varchar), {at} - interval '31 days', {at} + interval '1 day')"
                );
                self.first(&of_agent, &["agent_id", "request_id"]).await?
            }
            false => self.first("select * from jobs_of_run($run_id)", &["run_id", "request_id"]).await?,
        };
        let Some(id) = job.get("project_id").and_then(Json::as_str).map(str::to_owned) else {
            return Ok(job);
        };
        let name = if id == self.text("project_id") {
            self.action.get("project").cloned().unwrap_or_default()
        } else {
            let sql = "select project from lake.events where project_id = $project and project is not null \
                and date between cast(cast($at as timestamp) - interval '1 day' as date) and cast(cast($at as timestamp) + interval '1 day' as date) limit 1";
            let values = vec![("project", ScalarValue::from(id.as_str())), ("at", self.value("occurred"))];
            let row = self.rows(sql, values).await?.pop();
            row.and_then(|mut row| row.remove("project")).unwrap_or_default()
        };
        job["project"] = name;
        Ok(job)
    }

    /// The row of `runs`; where no record of the run came, what its jobs say of it.
    async fn run(&self) -> Result<Json, QueryError> {
        const RUN: [&str; 2] = ["run_id", "run_kind"];
        let run = self.first("select * from runs", &RUN).await?;
        if !run.is_null() {
            return Ok(run);
        }
        let of_jobs =
            "select run_id, run_kind, run_name as name, pipeline_id, pipeline_name from jobs_of_run($run_id)";
        self.first(of_jobs, &RUN).await
    }

    /// The candidates, each with the `pool_name`, the `machine` and since when the agent is `gone`.
    async fn candidates(&self) -> Result<Json, QueryError> {
        let mut all = self.action.get("candidates").cloned().unwrap_or_default();
        let own = all.as_array_mut().map(Vec::as_mut_slice).unwrap_or_default();
        let ids = |name: &str, own: &[Json]| {
            let ids: BTreeSet<i64> = own.iter().filter_map(|candidate| candidate[name].as_i64()).collect();
            ids.iter().map(i64::to_string).collect::<Vec<_>>().join(", ")
        };
        let (agents, pools) = (ids("agent_id", own), ids("pool_id", own));
        let mut known = Vec::new();
        if !agents.is_empty() {
            let sql = format!("{PLACES} where agent_id in ({agents}) and {OWN} group by agent_id");
            known = self.own(&sql, vec![("at", self.value("occurred"))]).await?;
        }
        let mut names = Vec::new();
        if !pools.is_empty() {
            let sql = "select pool_id, name as pool_name from pools where queue_id is null";
            names = self.own(&format!("{sql} and pool_id in ({pools}) and {OWN}"), Vec::new()).await?;
        }
        for candidate in own {
            let sides = [
                (&known, "agent_id", "machine"),
                (&known, "agent_id", "gone"),
                (&names, "pool_id", "pool_name"),
            ];
            for (rows, id, member) in sides {
                let row =
                    rows.iter().find(|row| !candidate[id].is_null() && row.get(id) == Some(&candidate[id]));
                candidate[member] = row.and_then(|row| row.get(member).cloned()).unwrap_or_default();
            }
        }
        Ok(all)
    }

    async fn namesakes(&self) -> Result<Vec<Object>, QueryError> {
        let (agent, name) = (self.value("agent_id"), self.value("agent_name"));
        if agent.is_null() || name.is_null() {
            return Ok(Vec::new());
        }
        self.own(NAMESAKES, vec![("agent", agent), ("name", name)]).await
    }

    /// What was believed before, each with the records that the verdict after it cites and it did not.
    async fn history(&self) -> Result<Vec<Object>, QueryError> {
        if self.action.get("revision").and_then(Json::as_i64).is_none_or(|n| n == 0) {
            return Ok(Vec::new());
        }
        let event = vec![("event", self.value("event_id")), ("at", self.value("occurred"))];
        let mut all = self.rows(HISTORY, event).await?;
        let cited: Vec<Vec<String>> = all.iter_mut().map(records).collect();
        for (n, row) in all.iter_mut().enumerate().skip(1) {
            let fresh = cited[n].iter().filter(|record| !cited[n - 1].contains(record));
            row.insert("records".to_owned(), fresh.cloned().collect());
        }
        Ok(all.split_off(1.min(all.len())))
    }

    async fn blind_windows(&self) -> Result<Vec<Object>, QueryError> {
        if self.action.get("blind").and_then(Json::as_bool) != Some(true) {
            return Ok(Vec::new());
        }
        self.own(BLIND, vec![("at", self.value("occurred"))]).await
    }

    /// The run that an approval or a check names, where one run of its project, and of the pipeline that it
    /// names, has the name.
    async fn approved_run(&self) -> Result<Json, QueryError> {
        let Some(name) = run_names(&self.action).next() else { return Ok(Json::Null) };
        let values = vec![("name", ScalarValue::from(name)), ("project", self.value("project_id"))];
        let sql = "select * from runs where name = $name and project_id = $project limit 100";
        let mut runs = self.rows(sql, values).await?;
        // Runs of several pipelines have the same names each day.
        if let Some(pipeline) = subjects(&self.action, "pipeline").next() {
            runs.retain(|run| run["pipeline_name"].as_str().is_none_or(|own| own == pipeline));
        }
        Ok(if runs.len() == 1 { Json::Object(runs.remove(0)) } else { Json::Null })
    }

    /// The approvals of the run of a deployment: who gave them, when, and whether who asked for the run did.
    async fn approvals(&self, run: &Json) -> Result<Vec<Json>, QueryError> {
        let run_text = |name: &str| run.get(name).and_then(Json::as_str);
        let Some(name) = run_text("name").or_else(|| run_names(&self.action).next()) else {
            return Ok(Vec::new());
        };
        let values = vec![("project", self.value("project_id")), ("at", self.value("occurred"))];
        let mut out = Vec::new();
        for row in self.rows(APPROVALS, values).await? {
            let told = match row.get("raw").and_then(Json::as_str) {
                Some(raw) => approvers(raw, name),
                None if run_names(&row).any(|own| own == name) => {
                    let by = if row["executor"] == "agent" { "agent_name" } else { "actor_name" };
                    vec![(row["actor_id"].clone(), row[by].clone())]
                }
                None => Vec::new(),
            };
            for (id, by) in told {
                let own = run.as_object().zip(id.as_str()).is_some_and(|(run, id)| asked_for(run, id));
                out.push(json!({
                    "occurred": row["occurred"], "by": by, "by_id": id, "asked_for_the_run": own,
                    "record": row["event_id"], "kind": row["action"], "executor": row["executor"],
                    "grade": row["grade"], "actor_name": row["actor_name"],
                }));
            }
        }
        Ok(out)
    }
}

/// Whether a run was asked for by, or for, this identity.
pub(super) fn asked_for(run: &Object, id: &str) -> bool {
    ["requested_for_id", "requested_by_id"]
        .iter()
        .any(|member| run.get(*member).and_then(Json::as_str) == Some(id))
}

/// The records that a row's evidence cites; the evidence is taken off.
fn records(row: &mut Object) -> Vec<String> {
    let evidence = row.remove("evidence").unwrap_or_default();
    let all = evidence.as_array().into_iter().flatten();
    all.filter_map(|item| item["record"].as_str().map(str::to_owned)).collect()
}

/// The names of the runs that an action is about.
fn run_names(action: &Object) -> impl Iterator<Item = &str> {
    subjects(action, "run")
}

fn subjects<'a>(action: &'a Object, kind: &'static str) -> impl Iterator<Item = &'a str> {
    let subjects = action.get("subjects").and_then(Json::as_array).into_iter().flatten();
    subjects.filter(move |subject| subject["kind"] == kind).filter_map(|subject| subject["name"].as_str())
}

/// Who approved the run of this name, as an approval of the checks says: the id and the name of each.
fn approvers(raw: &str, run: &str) -> Vec<(Json, Json)> {
    let Ok(record) = serde_json::from_str::<Json>(raw) else { return Vec::new() };
    let (hook, listed) = (&record["resource"], &record["pipeline"]["owner"]);
    let approval = if hook["approval"].is_object() { &hook["approval"] } else { &record };
    if hook["run"]["name"] != run && listed["name"] != run {
        return Vec::new();
    }
    let steps = approval["steps"].as_array().into_iter().flatten();
    let given = steps.filter(|step| step["status"] == "approved");
    given
        .map(|step| {
            // Of a group that may approve, the one who did.
            let of = |member: &str| step.get(member).filter(|who| who["id"].is_string());
            let who = of("actualApprover").or_else(|| of("assignedApprover")).cloned().unwrap_or_default();
            (who["id"].clone(), who["displayName"].clone())
        })
        .collect()
}
