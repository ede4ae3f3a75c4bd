//! What a question reads: over our file set, and over the same lake through delta-rs' own provider.
//!
//! `cargo bench --bench prune -- [COPIES]` builds a lake of twenty simulated days, lays copies of it
//! into the days after, and asks the questions of a trace. Each line says what was read and how long
//! a warm answer took. With PEERS_PYTHON naming an interpreter that has `deltalake`, the same
//! statements go through its DataFusion provider.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agentrail::attribute::Tolerance;
use agentrail::decode::{Limits, is_audit};
use agentrail::model::Time;
use agentrail::pipeline::{Pipeline, Settings};
use agentrail::query::{Format, Limits as QueryLimits, Pinned, Session, write};
use agentrail::schema::{STAMPS, table};
use agentrail::simulate::{Plan, Spelling, World};
use agentrail::source::files;
use agentrail::store::{Cell, Lake, RowKey, Rows, Settings as StoreSettings, Writer, arrow_schema};
use arrow::array::{Array as _, ArrayRef, AsArray as _, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::TimestampMicrosecondType;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const DAYS: usize = 20;
const DAY_MICROS: i64 = 86_400_000_000;

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

/// The simulated days, through the pipeline.
async fn ingest(lake: &Arc<Lake>, world: &World, folder: &Path) -> Outcome<()> {
    let settings = Settings {
        linger: Duration::ZERO,
        max_bytes: 64 << 20,
        limits: Limits::default(),
        tolerance: Tolerance::default(),
        retention: None,
        organization: None,
        max_jobs: 1_000_000,
        max_news: 200_000,
    };
    let pipeline = Pipeline::start(lake.clone(), settings);
    let (captures, events) = (folder.join("captures.ndjson"), folder.join("events.ndjson"));
    std::fs::write(&captures, world.captures().join("\n"))?;
    let mut out = std::io::BufWriter::new(std::fs::File::create(&events)?);
    let mut line = Vec::new();
    for event in world.events() {
        line.clear();
        event.write(Spelling::EventGrid, &mut line);
        line.push(b'\n');
        out.write_all(&line)?;
    }
    out.flush()?;
    let settings = files::Settings {
        chunk: 8 << 20,
        max_document: 256 << 20,
        under_way: 96 << 20,
        every: Duration::from_secs(2),
    };
    let paths = [captures.display().to_string(), events.display().to_string()];
    let report =
        files::ingest_once(&settings, &paths, pipeline.bulk.clone(), &is_audit, &|_| None, |_| {}).await?;
    pipeline.finish().await;
    report.failed.into_iter().next().map_or(Ok(()), |says| Err(says.into()))
}

/// The days of the simulation again, `copy` times as many days later, under ids of their own.
async fn lay_copy(lake: &Lake, path: &Path, copy: usize) -> Outcome<()> {
    let events = table("events").ok_or("no table `events`")?;
    let set = lake.files("events");
    let first = set.files.iter().filter_map(|f| f.date).min().ok_or("no days")?;
    let last = first.plus_days(DAYS as i32);
    let writer = Writer::new();
    for file in set.files.iter().filter(|f| f.date.is_some_and(|d| d < last)) {
        let file = std::fs::File::open(path.join("events").join(&file.path))?;
        for batch in ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(1 << 20).build()? {
            lake.commit(&writer, vec![shifted(events, &batch?, copy)?]).await?;
        }
    }
    Ok(())
}

fn shifted(events: &'static agentrail::schema::Table, batch: &RecordBatch, copy: usize) -> Outcome<Rows> {
    let schema = arrow_schema(events);
    let own = events.columns.len() - STAMPS.len();
    let by = (copy * DAYS) as i64 * DAY_MICROS;
    let mut columns: Vec<ArrayRef> = Vec::new();
    for (field, column) in schema.fields().iter().zip(batch.columns()).take(own) {
        columns.push(match field.name().as_str() {
            "event_id" => {
                let ids = column.as_string::<i32>();
                let id = |i: usize| format!("{copy:08x}{}", &ids.value(i)[8..]);
                Arc::new(StringArray::from_iter_values((0..ids.len()).map(id)))
            }
            "occurred" => {
                let times = column.as_primitive::<TimestampMicrosecondType>();
                let times = times.unary::<_, TimestampMicrosecondType>(|t| t + by);
                Arc::new(TimestampMicrosecondArray::from(times.to_data()).with_timezone("UTC"))
            }
            _ => column.clone(),
        });
    }
    let fields: arrow::datatypes::Fields = schema.fields().iter().take(own).cloned().collect();
    let batch = RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(fields)), columns)?;
    let column = |name: &str| batch.column_by_name(name).ok_or("a column is missing");
    let (ids, actions) = (column("event_id")?.as_string::<i32>(), column("action")?.as_string::<i32>());
    let occurred = column("occurred")?.as_primitive::<TimestampMicrosecondType>();
    let (keys, dates) = (0..batch.num_rows())
        .map(|i| {
            let at = Time::from_unix_micros(occurred.value(i));
            let check = [
                Cell::Time(Some(at)),
                Cell::Text(Some(actions.value(i))),
                Cell::Text(None),
                Cell::Text(None),
            ];
            (RowKey::checked(ids.value(i), &check), Some(at.date()))
        })
        .unzip();
    Ok(Rows { table: events, batch: batch.clone(), keys, dates })
}

fn session(lake: &Lake) -> Outcome<Session> {
    let tables =
        lake.pin().into_iter().map(|files| Pinned { schema: arrow_schema(files.table), files }).collect();
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
