//! Writes the input of the file benches: `cargo bench --bench input -- FOLDER EVENTS`.
//!
//! `events.ndjson` are audit events as Event Grid spells them, `captures.ndjson` the REST traffic
//! agentrail joins them with. `jobs.ndjson` and `agents.ndjson` hold the same jobs and agents as
//! flat lines, which is easier for the engines it is compared with.

#[path = "lake/events.rs"]
mod events;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use agentrail::simulate::{Plan, World};
use events::write_events;
use serde_json::{Value as Json, json};

/// What one run gives: its actions, two reports of its deployment, a quarter of a check.
const ACTIONS: usize = 17;
const EVENTS_A_RUN: f64 = ACTIONS as f64 + 2.25;

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let [folder, events] = arguments.as_slice() else { return Ok(()) };
    let events: f64 = events.parse().map_err(std::io::Error::other)?;
    let plan = Plan {
        runs: (events / EVENTS_A_RUN) as usize,
        agents: 1000,
        projects: 25,
        actions: ACTIONS,
        days: 20,
        ..Plan::quiet()
    };
    let world = World::build(&plan);
    let folder = Path::new(folder);
    std::fs::create_dir_all(folder)?;
    let create = |name: &str| File::create(folder.join(name)).map(BufWriter::new);

    write_events(&world, &folder.join("events.ndjson"))?;
    let mut out = create("captures.ndjson")?;
    for capture in world.captures() {
        writeln!(out, "{capture}")?;
    }
    out.flush()?;

    let (mut jobs, mut agents) = (BTreeMap::new(), BTreeMap::new());
    for capture in world.captures() {
        let line: Json = serde_json::from_str(capture)?;
        let url = line["url"].as_str().unwrap_or_default();
        for item in line["body"]["value"].as_array().into_iter().flatten() {
            if url.ends_with("/jobrequests") {
                let flat = json!({
                    "request_id": item["requestId"], "run_id": item["owner"]["id"], "job_id": item["jobId"],
                    "project_id": item["scopeId"], "pool_id": item["poolId"], "agent_id": item["reservedAgent"]["id"],
                    "received": item["receiveTime"], "finished": item["finishTime"],
                });
                jobs.insert(item["requestId"].as_i64(), flat);
            } else if url.contains("/agents?") {
                let flat = json!({
                    "agent_id": item["id"], "name": item["name"], "version": item["version"],
                    "machine": item["systemCapabilities"]["Agent.ComputerName"],
                });
                agents.insert(item["id"].as_i64(), flat);
            }
        }
    }
    for (name, rows) in [("jobs.ndjson", &jobs), ("agents.ndjson", &agents)] {
        let mut out = create(name)?;
        for row in rows.values() {
            writeln!(out, "{row}")?;
        }
        out.flush()?;
    }
    println!(
        "{} events, {} jobs, {} agents in {}",
        world.events().len(),
        jobs.len(),
        agents.len(),
        folder.display()
    );
    Ok(())
}
