//! What a question reads: over our file set, and over the same lake through delta-rs' own provider.
//!
//! `cargo bench --bench prune -- [COPIES]` builds a lake of twenty simulated days, lays copies of it
//! into the days after, and asks the questions of a trace. Each line says what was read and how long
//! a warm answer took. With PEERS_PYTHON naming an interpreter that has `deltalake`, the same
//! statements go through its DataFusion provider.

mod lake;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use agentrail::query::{Format, Limits as QueryLimits, Pinned, Session, write};
use agentrail::schema::table;
use agentrail::simulate::{Plan, World};
use agentrail::store::{Lake, Settings as StoreSettings, Writer, arrow_schema};
use lake::{Outcome, ingest, rows_of, shifted};

const DAYS: usize = 20;

/// What a trace asks, over the table `events`.
const QUESTIONS: [(&str, &str); 6] = [
    ("one event", "select * from events where event_id = '{id}'"),
    ("no event", "select * from events where event_id = '00000000-1111-4111-8111-111111111111'"),
    ("one run", "select event_id, action, occurred from events where run_id = {run}"),
    ("one agent", "select event_id, action, occurred from events where agent_name = 'linux-build-07'"),
    (
        "five minutes",
        "select event_id, action, data from events where occurred >= '{at}' and occurred < '{at}'::timestamptz + interval '5 minutes'",
    ),
    ("one day", "select action, count(*) from events where date = '2026-03-11' group by action"),
];

#[tokio::main]
async fn main() -> Outcome<()> {
    if !std::env::args().any(|a| a == "--bench") {
        return Ok(());
    }
    let copies: usize = std::env::args().filter_map(|a| a.parse().ok()).next().unwrap_or(3);
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("lake");
    let world = World::build(&Plan {
        runs: 10_000,
        agents: 100,
        projects: 25,
        actions: 17,
        days: DAYS,
        ..Plan::quiet()
    });
    let settings = StoreSettings { free_floor_bytes: 0, ..StoreSettings::default() };
    let lake = Arc::new(Lake::open(&path, settings).await?);
    ingest(&lake, &world, folder.path()).await?;
    for copy in 1..=copies {
        lay_copy(&lake, &path, copy).await?;
    }
    lake.maintain().await?;
    let set = lake.files("events");
    let rows: u64 = set.files.iter().map(|f| f.rows).sum();
    println!("{rows} events in {} files", set.files.len());

    let middle = &world.events()[world.events().len() / 2];
    let questions = QUESTIONS.map(|(name, sql)| {
        let sql = sql
            .replace("{id}", &middle.id)
            .replace("{run}", "5700")
            .replace("{at}", &middle.occurred.to_string());
        (name, sql)
    });
    let mut ours = Vec::new();
    for (name, sql) in &questions {
        let session = session(&lake)?;
        let own = sql.replace("from events", "from lake.events");
        let read = reading(&text(&session, &format!("explain analyze {own}")).await?);
        let mut times = Vec::new();
        for _ in 0..9 {
            let start = Instant::now();
            text(&session, &own).await?;
            times.push(start.elapsed().as_secs_f64() * 1000.0);
        }
        times.sort_by(f64::total_cmp);
        println!("{name:<14} ours      {:>8.1} ms  {read}", times[4]);
        ours.push(times[4]);
    }
    let Ok(python) = std::env::var("PEERS_PYTHON") else { return Ok(()) };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/prune.py");
    let mut command = Command::new(python);
    command.arg(script).arg(path.join("events"));
    command.args(questions.iter().map(|(_, sql)| sql));
    let answer = command.output()?;
    if !answer.status.success() {
        return Err(String::from_utf8_lossy(&answer.stderr).into());
    }
    let answer = String::from_utf8(answer.stdout)?;
    for (((name, _), ours), line) in questions.iter().zip(&ours).zip(answer.split('\x1e')) {
        let (time, plan) = line.split_once('\n').unwrap_or((line, ""));
        let time: f64 = time.trim().parse().unwrap_or(f64::NAN);
        println!("{name:<14} delta-rs  {time:>8.1} ms  {} ({:.2}x ours)", reading(plan), time / ours);
    }
    Ok(())
}

/// The days of the simulation again, `copy` times as many days later, under ids of their own.
async fn lay_copy(lake: &Lake, path: &Path, copy: usize) -> Outcome<()> {
    let events = table("events").ok_or("no table `events`")?;
    let set = lake.files("events");
    let first = set.files.iter().filter_map(|f| f.date).min().ok_or("no days")?;
    let last = first.plus_days(DAYS as i32);
    let writer = Writer::new();
    for file in set.files.iter().filter(|f| f.date.is_some_and(|d| d < last)) {
        for batch in rows_of(&path.join("events").join(&file.path))? {
            let rows = shifted(events, &batch?, file.date, (copy * DAYS) as i32, true)?;
            lake.commit(&writer, vec![rows]).await?;
        }
    }
    Ok(())
}

fn session(lake: &Lake) -> Outcome<Session> {
    let tables = lake
        .pin()
        .into_iter()
        .map(|files| Pinned { schema: arrow_schema(files.table), files, store: lake.store() })
        .collect();
    Ok(Session::new(tables, QueryLimits::default())?)
}

async fn text(session: &Session, sql: &str) -> Outcome<String> {
    let mut out = Vec::new();
    write(session.sql(sql).await?, Format::Csv, &mut out).await?;
    Ok(String::from_utf8(out)?)
}

/// What an analysed plan says of its reading: `name=total total -> matched matched` or `name=n`.
fn reading(plan: &str) -> String {
    const SAID: [(&str, &str); 6] = [
        ("files_ranges_pruned_statistics=", "files"),
        ("row_groups_pruned_statistics=", "groups by bounds"),
        ("row_groups_pruned_bloom_filter=", "by bloom"),
        ("page_index_pages_pruned=", "pages"),
        ("bytes_scanned=", "bytes"),
        ("output_rows=", "rows"),
    ];
    let scan = plan.split("DataSourceExec").nth(1).unwrap_or("no file is read");
    let mut out = Vec::new();
    for (name, label) in SAID {
        if let Some(rest) = scan.split(name).nth(1) {
            let value: String = rest.chars().take_while(|c| !matches!(c, ',' | ']')).collect();
            let value = value.replace(" total", "").replace(" matched", "").replace(" fully", "");
            out.push(format!("{label} {}", value.trim()));
        }
    }
    out.join("; ")
}
