//! `simulate`: the recordings of a simulated organisation, and the truth of who did what.

use std::fs::File;
use std::io::{BufWriter, Write as _};

use super::{Failure, ask};
use crate::cli::Simulate;
use crate::simulate::{Plan, Spelling, World};

/// Actions of a build job that name no job; with the reports of its deployment that is what a run gives.
const ACTIONS: usize = 5;
const EVENTS_A_RUN: usize = ACTIONS + 2;

/// Writes `facts.ndjson` (recorded REST traffic), `hooks.ndjson`, `audit.ndjson` and `truth.ndjson`.
pub(super) fn run(asked: &Simulate) -> Result<u8, Failure> {
    let a_day = (asked.events_per_day / EVENTS_A_RUN).max(1);
    let world = World::build(&Plan {
        runs: a_day * asked.days,
        agents: (a_day / 40).max(4),
        projects: (a_day / 60).max(2),
        actions: ACTIONS,
        days: asked.days.max(1),
        seed: asked.seed,
        outages: true,
        ..Plan::demo()
    });
    let fail =
        |e: std::io::Error| Failure::of(format!("write the recordings to `{}`", asked.out.display()), e);
    std::fs::create_dir_all(&asked.out).map_err(fail)?;
    let create = |name: &str| File::create(asked.out.join(name)).map(BufWriter::new).map_err(fail);
    let lines = |name: &str, lines: &[String]| {
        let mut out = create(name)?;
        lines.iter().try_for_each(|line| writeln!(out, "{line}")).and_then(|()| out.flush()).map_err(fail)
    };
    lines("facts.ndjson", world.captures())?;
    lines("hooks.ndjson", world.hooks())?;
    let mut truth = create("truth.ndjson")?;
    for event in world.events() {
        writeln!(truth, "{}", event.truth_line()).map_err(fail)?;
    }
    truth.flush().map_err(fail)?;
    let mut audit = create("audit.ndjson")?;
    deliver(&world, asked.seed, &mut audit).and_then(|()| audit.flush()).map_err(fail)?;
    ask::print(
        format!(
            "{} audit events with {} answers of the REST API and {} hooks in {out}\n\
             agentrail --lake {out}/lake ingest {out}/facts.ndjson {out}/hooks.ndjson {out}/audit.ndjson\n\
             agentrail --lake {out}/lake score --truth {out}/truth.ndjson\n",
            world.events().len(),
            world.captures().len(),
            world.hooks().len(),
            out = asked.out.display()
        )
        .as_bytes(),
    )
}

/// The audit events as deliveries are: out of order, some twice, in every spelling.
fn deliver(world: &World, seed: u64, out: &mut impl std::io::Write) -> std::io::Result<()> {
    const SPELLINGS: [Spelling; 4] =
        [Spelling::EventGrid, Spelling::Rest, Spelling::Export, Spelling::LogAnalytics];
    let mut line = Vec::new();
    let mut write = |index: usize, turn: usize| -> std::io::Result<()> {
        line.clear();
        world.events()[index].write(SPELLINGS[turn % 4], &mut line);
        line.push(b'\n');
        out.write_all(&line)
    };
    for start in (0..world.events().len()).step_by(500) {
        let size = (world.events().len() - start).min(500);
        // A stride without a common factor visits each once, far from its place.
        let stride = [211, 307, 401, 463][seed as usize % 4];
        let order = |i: usize| if size == 500 { i * stride % 500 } else { i };
        for i in 0..size {
            let index = start + order(i);
            write(index, index + seed as usize)?;
            if index % 50 == 7 {
                write(index, index + 1 + seed as usize)?;
            }
        }
    }
    Ok(())
}
