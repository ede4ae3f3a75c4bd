//! `simulate`: a simulated organisation as recordings with the truth of who did what, or as a service.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use super::{Failure, ask, service};
use crate::cli::Simulate;
use crate::model::Ticks;
use crate::simulate::{Moods, Plan, SimEvent, Spelling, World, serve};
use crate::source::clock::{Clock as _, System};

/// Actions of a build job that name no job; with the reports of its deployment that is what a run gives.
const ACTIONS: usize = 5;
const EVENTS_A_RUN: usize = ACTIONS + 2;
/// When people come to work, after the first moment of a day.
const MORNING: Ticks = Ticks::seconds(7 * 3600);

pub(super) async fn run(asked: &Simulate) -> Result<u8, Failure> {
    let a_day = (asked.events_per_day / EVENTS_A_RUN).max(1);
    let recorded = Plan {
        runs: a_day * asked.days,
        agents: (a_day / 40).max(4),
        projects: (a_day / 60).max(2),
        actions: ACTIONS,
        days: asked.days.max(1),
        seed: asked.seed,
        outages: true,
        varied: true,
        ..Plan::demo()
    };
    let plan = match asked.serve {
        Some(_) => Plan { day: System.now() - MORNING, outages: false, hasty: true, ..recorded },
        None => recorded,
    };
    let world = World::build(&plan);
    if let Some(out) = &asked.out {
        write(&world, asked.seed, out)?;
    }
    match &asked.serve {
        Some(address) => until_stopped(world, asked.seed, address).await,
        None => Ok(0),
    }
}

/// Serves the organisation as it is at each moment.
async fn until_stopped(world: World, seed: u64, address: &str) -> Result<u8, Failure> {
    let told_to_stop = service::told_to_stop()?;
    let moods = Moods {
        seed,
        token_life: Ticks::seconds(3600),
        unkind_one_in: 50,
        stalls_one_in: 2000,
        page: 200,
        lag: Ticks::seconds(1800),
        ..Moods::default()
    };
    let served = serve(world, moods, address, |_| System.now()).await;
    let (address, task) =
        served.map_err(|e| Failure::of(format!("listen on `{address}`; name another with --serve"), e))?;
    let code = ask::print(
        format!(
            "contoso is at http://{address}, and its day begins; in another terminal:\n\
             AGENTRAIL_AZURE_DEVOPS__ORGANIZATIONS=contoso AGENTRAIL_AZURE_DEVOPS__ENDPOINT=http://{address} \
             AGENTRAIL_AZURE_DEVOPS__CREDENTIAL=pat AGENTRAIL_AZURE_DEVOPS__PAT=any agentrail run\n"
        )
        .as_bytes(),
    )?;
    told_to_stop.await;
    task.abort();
    Ok(code)
}

/// Writes `facts.ndjson` (recorded REST traffic), `hooks.ndjson`, `audit.ndjson`, `truth.ndjson`, and in
/// `forged.ndjson` records that bear the id of another and come after it.
fn write(world: &World, seed: u64, out: &Path) -> Result<u8, Failure> {
    let fail = |e: std::io::Error| Failure::of(format!("write the recordings to `{}`", out.display()), e);
    std::fs::create_dir_all(out).map_err(fail)?;
    let create = |name: &str| File::create(out.join(name)).map(BufWriter::new).map_err(fail);
    let lines = |name: &str, lines: &[String]| {
        let mut out = create(name)?;
        lines.iter().try_for_each(|line| writeln!(out, "{line}")).and_then(|()| out.flush()).map_err(fail)
    };
    lines("facts.ndjson", world.captures())?;
    lines("hooks.ndjson", world.hooks())?;
    let truth: Vec<String> = world.events().iter().map(SimEvent::truth_line).collect();
    lines("truth.ndjson", &truth)?;
    let mut audit = create("audit.ndjson")?;
    deliver(world, seed, &mut audit).and_then(|()| audit.flush()).map_err(fail)?;
    let forged: Vec<String> = world.forged().iter().map(|event| spelt(event, Spelling::EventGrid)).collect();
    lines("forged.ndjson", &forged)?;
    ask::print(
        format!(
            "{} audit events with {} answers of the REST API and {} hooks in {out}\n\
             agentrail --lake {out}/lake ingest {out}/facts.ndjson {out}/hooks.ndjson {out}/audit.ndjson {out}/forged.ndjson\n\
             agentrail --lake {out}/lake score --truth {out}/truth.ndjson\n",
            world.events().len(),
            world.captures().len(),
            world.hooks().len(),
            out = out.display()
        )
        .as_bytes(),
    )
}

/// The audit events as deliveries are: out of order, some twice, in every spelling. Some come late, those
/// of some hours at the very end.
fn deliver(world: &World, seed: u64, out: &mut impl std::io::Write) -> std::io::Result<()> {
    const SPELLINGS: [Spelling; 4] =
        [Spelling::EventGrid, Spelling::Rest, Spelling::Export, Spelling::LogAnalytics];
    let events = world.events();
    let mut line = Vec::new();
    let mut write = |event: &SimEvent, turn: usize| -> std::io::Result<()> {
        line.clear();
        event.write(SPELLINGS[turn % 4], &mut line);
        line.push(b'\n');
        out.write_all(&line)
    };
    let hour = |event: &SimEvent| event.occurred.0.div_euclid(Ticks::seconds(3600).0);
    let mut late = Vec::new();
    for start in (0..events.len()).step_by(500) {
        let size = (events.len() - start).min(500);
        // A stride without a common factor visits each once, far from its place.
        let stride = [211, 307, 401, 463][seed as usize % 4];
        let order = |i: usize| if size == 500 { i * stride % 500 } else { i };
        for i in 0..size {
            let index = start + order(i);
            let event = &events[index];
            // In one hour of 31 the stream is silent; what it missed is sent again when it is back.
            if (hour(event) + seed as i64) % 31 == 9 || index % 71 == 3 {
                late.push(index);
                continue;
            }
            write(event, index + seed as usize)?;
            if index % 50 == 7 {
                write(event, index + 1 + seed as usize)?;
            }
        }
    }
    late.iter().rev().try_for_each(|index| write(&events[*index], index + 2))
}

fn spelt(event: &SimEvent, spelling: Spelling) -> String {
    let mut line = Vec::new();
    event.write(spelling, &mut line);
    String::from_utf8_lossy(&line).into_owned()
}
