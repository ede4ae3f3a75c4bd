//! `score`: verdicts against a known truth, and against what brute force says the records allow.
//!
//! The brute force shares no code with `attribute`: for an event it walks over all jobs of the lake
//! and keeps those that what the event says allows. It says how many candidates there are, not which is
//! right.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

use serde_json::Value as Json;

mod allowed;
mod gaps;

use super::{Failure, ask, open_existing, session};
use crate::cli;
use crate::model::Ticks;
use crate::query::Object;
use crate::settings::Settings;
use allowed::{Allowed, Rows};

/// So many verdicts are shown in a table one by one.
const EXAMPLES: usize = 20;

/// What is counted of a group of verdicts.
#[derive(Default, serde::Serialize)]
struct Tally {
    actions: u64,
    right: u64,
    wrong: u64,
    /// Executed by an agent, in truth.
    by_agents: u64,
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
    /// Of those, the ones for which the records leave one candidate, who was at work for certain, every pool
    /// having been heard.
    determined: u64,
    /// Of those, the ones decided as exact or sole.
    decided: u64,
    /// Verdicts that are wrong: event, action, grade, executor and agent as decided, and in truth.
    wrong: Vec<String>,
    /// Verdicts that are not sure though the records leave one candidate.
    open: Vec<String>,
}

/// Who did it, in truth.
struct Truth {
    executor: String,
    agent: Option<String>,
    /// Whether a release, and its number, where it was the work of a run.
    run: Option<(bool, i64)>,
}

pub(super) async fn run(asked: cli::Score, settings: &Settings) -> Result<u8, Failure> {
    let fail = |e| Failure::of(format!("read the truth `{}`", asked.truth.display()), e);
    let text = std::fs::read_to_string(&asked.truth).map_err(fail)?;
    let mut truth: HashMap<String, Truth> = HashMap::new();
    for line in text.lines().filter(|l| !l.trim().is_empty()) {
        let line: Object = serde_json::from_str(line)
            .map_err(|e| Failure::of(format!("read the truth `{}`", asked.truth.display()), e))?;
        let word = |name: &str| line.get(name).and_then(Json::as_str).map(str::to_owned);
        let run = line.get("run_id").and_then(Json::as_i64);
        let own = Truth {
            executor: word("executor").unwrap_or_default(),
            agent: word("agent"),
            run: run.map(|id| (word("run_kind").as_deref() == Some("release"), id)),
        };
        truth.insert(word("event_id").unwrap_or_default(), own);
    }
    let lake = open_existing(settings).await?;
    let session = session(&lake, settings)?;
    let rows = async |sql: &str| {
        session.objects(sql).await.map_err(|e| Failure::of("read the verdicts of the lake", e))
    };
    let allowed = Rows {
        jobs: rows("select * from lake.jobs").await?,
        runs: rows(
            "select run_kind, run_id, name, project_id, started, finished, result, observed from lake.runs \
             order by name nulls first",
        )
        .await?,
        pools: rows("select distinct pool_id from pools where queue_id is null and pool_id is not null")
            .await?,
        pool_events: rows("select occurred, action, data from actions where action like 'Library.Agent%'")
            .await?,
        projects: rows("select distinct project, project_id from actions where project is not null").await?,
        heard: rows(
            "select kind, raw from facts where kind in ('heard.jobs', 'heard.runs', 'heard.timeline')",
        )
        .await?,
    };
    let actions = rows(
        "select event_id, occurred, action, project_id, actor_name, actor_kind, executor, grade, agent_name, run_id, \
         run_kind, provisional, blind, candidates, evidence, data from actions order by event_id",
    )
    .await?;

    let allowed = Allowed::new(&allowed, Ticks::seconds(i64::from(settings.attribute.clock_tolerance)));
    let mut score = Score { lost: truth.len() as u64, ..Score::default() };
    for action in &actions {
        let text = |name: &str| action.get(name).and_then(Json::as_str).unwrap_or_default();
        let Some(Truth { executor, agent, run }) = truth.get(text("event_id")) else { continue };
        score.lost -= 1;
        let found = allowed.find(action);
        let listed = items(action, "candidates")
            .any(|c| agent.is_some() && c.get("agent_name").and_then(Json::as_str) == agent.as_deref());
        let names_agents =
            items(action, "candidates").any(|c| c.get("agent_name").is_some_and(Json::is_string));
        let named = action.get("agent_name").and_then(Json::as_str);
        let sure = matches!(text("grade"), "exact" | "sole");
        let claimed =
            action.get("run_id").and_then(Json::as_i64).map(|id| (text("run_kind") == "release", id));
        let of_run = claimed.zip(*run).is_none_or(|(claimed, run)| claimed == run);
        let right = match text("grade") {
            "exact" | "sole" => named == agent.as_deref() && text("executor") == executor && of_run,
            // Of a run none of whose jobs was given to an agent yet no agent is claimed.
            "run" if agent.is_some() => of_run && (listed || !names_agents),
            "narrowed" | "corroborated" if agent.is_some() => listed,
            "none" => true,
            _ => text("executor") == executor || text("executor") == "unknown",
        };
        if executor == "agent" {
            score.by_agents += 1;
            score.determined += u64::from(found.is_determined);
            score.decided += u64::from(found.is_determined && sure);
        }
        let is_open = executor == "agent" && found.is_determined && !sure;
        if !right || is_open {
            let list = if right { &mut score.open } else { &mut score.wrong };
            list.push(format!(
                "{} {}: {} {} {}, in truth {executor} {}",
                text("event_id"),
                text("action"),
                text("grade"),
                text("executor"),
                named.unwrap_or("-"),
                agent.as_deref().unwrap_or("-"),
            ));
        }
        // Every rule that gave evidence, the one that decided and those that only corroborate.
        let rules: BTreeSet<&str> =
            items(action, "evidence").filter_map(|e| e.get("kind")?.as_str()).collect();
        let mut names: Vec<(bool, &str)> = rules.into_iter().map(|rule| (true, rule)).collect();
        // Of a moment at which a pool was not heard of, the list of candidates says itself that it is not whole.
        let is_blind = action.get("blind").and_then(Json::as_bool).unwrap_or(false);
        let grade = match text("grade") {
            grade @ ("narrowed" | "corroborated") if is_blind => format!("{grade}, blind"),
            grade => grade.to_owned(),
        };
        names.push((false, &grade));
        for (is_rule, name) in names {
            let tallies = if is_rule { &mut score.by_rule } else { &mut score.by_grade };
            let tally = tallies.entry(name.to_owned()).or_default();
            tally.actions += 1;
            tally.right += u64::from(right);
            tally.wrong += u64::from(!right);
            tally.by_agents += u64::from(executor == "agent");
            tally.listed += u64::from(listed);
            tally.candidates += items(action, "candidates").count() as u64;
            tally.compatible += found.agents.len() as u64;
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

fn table(score: &Score) -> String {
    let mut out = String::new();
    for (title, tallies) in [("grade", &score.by_grade), ("rule", &score.by_rule)] {
        let _ = writeln!(
            out,
            "{title:<16} {:>9} {:>9} {:>7} {:>9} {:>14} {:>11} {:>11} {:>11}",
            "actions",
            "right",
            "wrong",
            "by agents",
            "true one there",
            "candidates",
            "brute force",
            "provisional"
        );
        for (name, t) in tallies {
            let mean = |n: u64| n as f64 / t.actions.max(1) as f64;
            let _ = writeln!(
                out,
                "{name:<16} {:>9} {:>9} {:>7} {:>9} {:>14} {:>11.2} {:>11.2} {:>11}",
                t.actions,
                t.right,
                t.wrong,
                t.by_agents,
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
    for (title, list) in [("wrong", &score.wrong), ("could be sure", &score.open)] {
        for line in list.iter().take(EXAMPLES) {
            let _ = writeln!(out, "{title}: {line}");
        }
    }
    out
}
