//! `score`: verdicts against a known truth, and against what brute force says the records allow.
//!
//! The brute force shares no code with `attribute`: for an event it walks over all jobs of the lake
//! and keeps those that what the event says allows. It knows neither coverage nor clocks but for the
//! tolerance, so it says how many candidates there are, not which is right.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

use serde_json::Value as Json;

use super::{Failure, ask, open_existing, session};
use crate::cli;
use crate::model::{Ticks, Time};
use crate::query::Object;
use crate::settings::Settings;

/// What is counted of a group of verdicts.
#[derive(Default, serde::Serialize)]
struct Tally {
    actions: u64,
    right: u64,
    wrong: u64,
    /// The true agent is among the candidates.
    listed: u64,
    candidates: u64,
    /// Candidates that brute force finds.
    compatible: u64,
    provisional: u64,
}

#[derive(Default, serde::Serialize)]
struct Score {
    by_grade: BTreeMap<String, Tally>,
    by_rule: BTreeMap<String, Tally>,
    /// Events of the truth that the lake does not have.
    lost: u64,
    /// Executed by an agent, in truth.
    by_agents: u64,
    /// Of those, the ones for which the records leave one candidate, every pool having been heard.
    determined: u64,
    /// Of those, the ones decided as exact or sole.
    decided: u64,
}

/// A job as the lake has it.
struct Job {
    project: String,
    run: i64,
    run_name: String,
    plan: String,
    id: String,
    request: i64,
    stage: String,
    agent: String,
    from: Time,
    until: Time,
}

pub(super) async fn run(asked: cli::Score, settings: &Settings) -> Result<u8, Failure> {
    let fail = |e| Failure::of(format!("read the truth `{}`", asked.truth.display()), e);
    let text = std::fs::read_to_string(&asked.truth).map_err(fail)?;
    let mut truth: HashMap<String, (String, Option<String>)> = HashMap::new();
    for line in text.lines().filter(|l| !l.trim().is_empty()) {
        let line: Object = serde_json::from_str(line)
            .map_err(|e| Failure::of(format!("read the truth `{}`", asked.truth.display()), e))?;
        let word = |name: &str| line.get(name).and_then(Json::as_str).map(str::to_owned);
        truth.insert(
            word("event_id").unwrap_or_default(),
            (word("executor").unwrap_or_default(), word("agent")),
        );
    }
    let lake = open_existing(settings).await?;
    let session = session(&lake, settings)?;
    let rows = async |sql: &str| {
        session.objects(sql).await.map_err(|e| Failure::of("read the verdicts of the lake", e))
    };
    let jobs = rows(
        "select j.project_id, j.run_id, coalesce(j.run_name, r.name) as run_name, coalesce(j.stage, '') as stage, \
         j.plan_id, j.job_id, j.request_id, j.agent_name, coalesce(j.received, j.assigned) as began, j.finished \
         from jobs j left join (select run_id, max(name) as name from runs where run_kind = 'build' group by run_id) r \
         on r.run_id = j.run_id where j.agent_name is not null",
    )
    .await?;
    let jobs: Vec<Job> = jobs.iter().filter_map(job).collect();
    let by_day = by_day(&jobs);
    let pools =
        rows("select distinct pool_id from pools where queue_id is null and pool_id is not null").await?;
    let pools: Vec<i64> = pools.iter().filter_map(|row| row.get("pool_id")?.as_i64()).collect();
    let heard = rows("select pool_id, \"from\", until from coverage where source = 'jobs'").await?;
    let heard: Vec<(i64, Time, Time)> = heard.iter().filter_map(span).collect();
    let actions = rows(
        "select event_id, occurred, action, project, project_id, actor_name, actor_kind, executor, grade, agent_name, \
         provisional, candidates, evidence, data from actions",
    )
    .await?;

    let slack = Ticks::seconds(i64::from(settings.attribute.clock_tolerance));
    let mut score = Score { lost: truth.len() as u64, ..Score::default() };
    for action in &actions {
        let text = |name: &str| action.get(name).and_then(Json::as_str).unwrap_or_default();
        let Some((executor, agent)) = truth.get(text("event_id")) else { continue };
        score.lost -= 1;
        let compatible = compatible(action, &jobs, &by_day, slack);
        let listed = items(action, "candidates")
            .any(|c| agent.is_some() && c.get("agent_name").and_then(Json::as_str) == agent.as_deref());
        let named = action.get("agent_name").and_then(Json::as_str);
        let sure = matches!(text("grade"), "exact" | "sole");
        let right = match text("grade") {
            "exact" | "sole" => named == agent.as_deref() && text("executor") == executor,
            "run" | "narrowed" | "corroborated" if agent.is_some() => listed,
            "none" => true,
            _ => text("executor") == executor || text("executor") == "unknown",
        };
        if executor == "agent" {
            score.by_agents += 1;
            let at = Time::parse(text("occurred")).unwrap_or_default();
            if compatible.len() == 1 && all_heard(&pools, &heard, at - slack, at + slack) {
                score.determined += 1;
                score.decided += u64::from(sure);
            }
        }
        // Every rule that gave evidence, the one that decided and those that only corroborate.
        let rules: BTreeSet<&str> =
            items(action, "evidence").filter_map(|e| e.get("kind")?.as_str()).collect();
        let mut names: Vec<(bool, &str)> = rules.into_iter().map(|rule| (true, rule)).collect();
        names.push((false, text("grade")));
        for (is_rule, name) in names {
            let tallies = if is_rule { &mut score.by_rule } else { &mut score.by_grade };
            let tally = tallies.entry(name.to_owned()).or_default();
            tally.actions += 1;
            tally.right += u64::from(right);
            tally.wrong += u64::from(!right);
            tally.listed += u64::from(listed);
            tally.candidates += items(action, "candidates").count() as u64;
            tally.compatible += compatible.len() as u64;
            tally.provisional +=
                u64::from(action.get("provisional").and_then(Json::as_bool).unwrap_or(false));
        }
    }
    let out = match asked.format {
        cli::Format::Table => table(&score),
        _ => serde_json::to_string(&score).map_err(|e| Failure::of("write the score", e))? + "\n",
    };
    ask::print(out.as_bytes())
}

fn items<'a>(row: &'a Object, name: &str) -> impl Iterator<Item = &'a Object> {
    row.get(name).and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_object)
}

fn job(row: &Object) -> Option<Job> {
    let text = |name: &str| row.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
    Some(Job {
        project: text("project_id"),
        run: row.get("run_id").and_then(Json::as_i64)?,
        run_name: text("run_name"),
        plan: text("plan_id"),
        id: text("job_id"),
        request: row.get("request_id").and_then(Json::as_i64).unwrap_or(-1),
        stage: text("stage"),
        agent: text("agent_name"),
        from: Time::parse(&text("began"))?,
        until: Time::parse(&text("finished")).unwrap_or(Time(i64::MAX / 2)),
    })
}

fn span(row: &Object) -> Option<(i64, Time, Time)> {
    let time = |name: &str| Time::parse(row.get(name)?.as_str()?);
    Some((row.get("pool_id")?.as_i64()?, time("from")?, time("until")?))
}

/// Whether one listing of each pool speaks for a span.
fn all_heard(pools: &[i64], heard: &[(i64, Time, Time)], from: Time, until: Time) -> bool {
    pools.iter().all(|pool| heard.iter().any(|(of, since, to)| of == pool && *since <= from && *to >= until))
}

/// Indexes of the jobs that began on a day or the day before.
fn by_day(jobs: &[Job]) -> HashMap<i32, Vec<usize>> {
    let mut days: HashMap<i32, Vec<usize>> = HashMap::new();
    for (index, job) in jobs.iter().enumerate() {
        for day in [job.from.date().0, job.from.date().0 + 1] {
            days.entry(day).or_default().push(index);
        }
    }
    days
}

/// Agents that the jobs of the lake allow for an event.
fn compatible<'j>(
    action: &Object,
    jobs: &'j [Job],
    by_day: &HashMap<i32, Vec<usize>>,
    slack: Ticks,
) -> Vec<&'j str> {
    let text = |name: &str| action.get(name).and_then(Json::as_str).unwrap_or_default();
    let at = Time::parse(text("occurred")).unwrap_or_default();
    let data: Object = serde_json::from_str(text("data")).unwrap_or_default();
    let said = |name: &str| match data.get(name) {
        Some(Json::String(text)) => Some(text.clone()),
        Some(Json::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let (began, ended) = (said("StartTime"), said("FinishTime"));
    let time = |text: &Option<String>| text.as_deref().and_then(Time::parse).unwrap_or(at);
    let (began, ended) = (time(&began), time(&ended));
    let (run, run_name, stage) = (said("OwnerId"), said("RunName"), said("StageName"));
    let (plan, job_id, request) = (said("PlanId"), said("JobId"), said("RequestId"));
    let reports_work =
        matches!(text("action"), "Library.ServiceConnectionExecuted" | "Pipelines.DeploymentJobCompleted");
    let build = text("actor_kind").ends_with("build_service");
    if !reports_work && !build {
        return Vec::new();
    }
    let home = text("actor_name").split(" Build Service (").next().unwrap_or_default();
    let fits = |job: &&Job| {
        let in_time = job.from <= ended + slack && job.until + slack >= began;
        let of_run = run.as_ref().is_none_or(|run| *run == job.run.to_string());
        let of_name = run_name.as_ref().is_none_or(|name| *name == job.run_name);
        let of_plan = plan.as_ref().is_none_or(|plan| *plan == job.plan)
            && job_id.as_ref().is_none_or(|id| *id == job.id)
            && request.as_ref().is_none_or(|request| *request == job.request.to_string());
        let of_stage = job.stage.is_empty() || stage.as_ref().is_none_or(|stage| *stage == job.stage);
        let of_project = job.project == text("project_id");
        if reports_work {
            in_time && of_run && of_name && of_plan && of_stage && of_project
        } else {
            job.from <= at + slack && job.until + slack >= at && of_project && home == text("project")
        }
    };
    let mut agents: Vec<&str> = by_day
        .get(&at.date().0)
        .into_iter()
        .flatten()
        .map(|index| &jobs[*index])
        .filter(fits)
        .map(|job| job.agent.as_str())
        .collect();
    agents.sort_unstable();
    agents.dedup();
    agents
}

fn table(score: &Score) -> String {
    let mut out = String::new();
    for (title, tallies) in [("grade", &score.by_grade), ("rule", &score.by_rule)] {
        let _ = writeln!(
            out,
            "{title:<16} {:>9} {:>9} {:>7} {:>14} {:>11} {:>11} {:>11}",
            "actions", "right", "wrong", "true one there", "candidates", "brute force", "provisional"
        );
        for (name, t) in tallies {
            let mean = |n: u64| n as f64 / t.actions.max(1) as f64;
            let _ = writeln!(
                out,
                "{name:<16} {:>9} {:>9} {:>7} {:>14} {:>11.2} {:>11.2} {:>11}",
                t.actions,
                t.right,
                t.wrong,
                t.listed,
                mean(t.candidates),
                mean(t.compatible),
                t.provisional
            );
        }
        out.push('\n');
    }
    let share = 100.0 * score.decided as f64 / score.determined.max(1) as f64;
    let _ = writeln!(
        out,
        "{} actions were executed by agents; for {} the records leave one candidate, of which {} ({share:.2} %) are exact or sole",
        score.by_agents, score.determined, score.decided
    );
    let _ = writeln!(out, "{} events of the truth are not in the lake", score.lost);
    out
}
