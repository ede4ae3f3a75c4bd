//! People beside ingestion: `cargo bench --bench serve -- [SECONDS]`; with `--small` on a lake of a day.
//!
//! `agentrail run` in a process of its own takes single events at a steady rate, each acknowledged once it is
//! durable: alone; beside fifty connections of a dozen people, half of them PostgreSQL's protocol and half HTTP,
//! that ask for traces and reports one after another; alone again; and beside one person who asks as many endless
//! queries as may run at once, while another one traces. A request's time counts from when it was due. All of it,
//! the senders and the askers included, shares this machine's cores. Quote the ratios.

mod lake;
#[path = "lake/looked.rs"]
mod looked;
#[path = "../tests/it/serve/wire.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod wire;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use agentrail::model::Ticks;
use agentrail::pipeline::Reviser;
use agentrail::serve::{Role, User, Users, Verifier, token_hash};
use agentrail::simulate::{Plan, SimEvent, Spelling, World};
use agentrail::store::{Lake, Settings};
use lake::{Outcome, ingest, rows_of, settings, shifted};
use looked::looked_at_all;
use wire::Wire;

const PEOPLE: usize = 13;
const CONNECTIONS: usize = 50;
/// Connections that carry what is ingested.
const SENDERS: usize = 8;

const MONSTERS: [&str; 4] = [
    "select count(*) from generate_series(1, 1000000000) a, generate_series(1, 1000000) b",
    "select max(x) from (select md5(cast(value as varchar)) as x from generate_series(1, 1000000000) order by 1)",
    "select count(*) from lake.events a, lake.events b, lake.events c where a.seq * b.seq > c.seq",
    "select count(distinct md5(cast(value as varchar))) from generate_series(1, 1000000000)",
];

/// The service, killed with the value.
struct Service {
    child: Child,
    webhook: u16,
    http: u16,
    postgres: u16,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if !arguments.iter().any(|a| a == "--bench") {
        return Ok(());
    }
    let is_small = arguments.iter().any(|a| a == "--small");
    let seconds = arguments.iter().filter_map(|a| a.parse().ok()).next().unwrap_or(20);
    let rate = if is_small { 50 } else { 200 };
    let folder = tempfile::tempdir()?;
    let ids = Arc::new(tokio::runtime::Runtime::new()?.block_on(build(folder.path(), is_small))?);
    let service = start(folder.path())?;
    let bodies = Arc::new(bodies(rate * seconds * 5));
    let next = Arc::new(AtomicUsize::new(0));
    paced(service.webhook, &bodies, &next, 1, 1)?;
    caught_up(&service)?;
    let sent = || paced(service.webhook, &bodies, &next, rate, seconds);

    let alone = sent()?;
    told("ingestion alone", &alone, None);
    let asked = Asked::default();
    let beside = beside(|stop| people(&service, &ids, stop, &asked), sent)?;
    told(&format!("beside {CONNECTIONS} connections"), &beside, Some(&alone));
    asked.told();
    let again = sent()?;
    told("ingestion alone, again", &again, Some(&alone));
    let asked = Asked::default();
    let monsters = beside_monsters(&service, &ids, &asked, sent)?;
    told("beside the endless queries of one person", &monsters, Some(&again));
    asked.told();
    Ok(())
}

/// Times of answers by kind, in milliseconds, and what was said instead of one, with how often.
#[derive(Default)]
struct Asked(Mutex<BTreeMap<&'static str, Vec<f64>>>, Mutex<BTreeMap<String, usize>>);

impl Asked {
    /// A person who gets no answer asks the next thing.
    fn note(&self, kind: &'static str, since: Instant, answered: Outcome<()>) {
        match answered {
            Ok(()) => {
                let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                all.entry(kind).or_default().push(since.elapsed().as_secs_f64() * 1000.0);
            }
            Err(says) => {
                let mut all = self.1.lock().unwrap_or_else(PoisonError::into_inner);
                *all.entry(format!("{kind}: {says}")).or_default() += 1;
            }
        }
    }

    fn told(&self) {
        for (kind, times) in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let (p50, p99) = percentiles(times);
            println!("  {kind:<26} {:>6} answers, p50 {p50:.0} ms, p99 {p99:.0} ms", times.len());
        }
        for (says, count) in self.1.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            println!("  {count} without an answer, {says}");
        }
    }
}

fn percentiles(values: &[f64]) -> (f64, f64) {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let at = |part: f64| {
        values.get(((values.len().max(1) - 1) as f64 * part) as usize).copied().unwrap_or(f64::NAN)
    };
    (at(0.5), at(0.99))
}

fn told(what: &str, (times, rate): &(Vec<f64>, f64), other: Option<&(Vec<f64>, f64)>) {
    let (p50, p99) = percentiles(times);
    let ratio = other.map_or(String::new(), |(times, rate_alone)| {
        let (alone50, alone99) = percentiles(times);
        format!(
            "; {:.1}x and {:.1}x as long, {:.2} of the rate",
            p50 / alone50,
            p99 / alone99,
            rate / rate_alone
        )
    });
    println!("{what}: acknowledged {rate:.0}/s, p50 {p50:.1} ms, p99 {p99:.1} ms{ratio}");
}

/// A lake of real size, or of a day; the ids of its events.
async fn build(folder: &Path, is_small: bool) -> Outcome<Vec<String>> {
    let path = folder.join("lake");
    let (runs, days, copies) = if is_small { (200, 1, 0) } else { (13_700, 1, 30) };
    let plan = Plan { runs, agents: 100, projects: 20, actions: 5, days, ..Plan::quiet() };
    let world = World::build(&plan);
    let open = Settings { free_floor_bytes: 0, ..Settings::default() };
    let lake = Arc::new(Lake::open(&path, open).await?);
    ingest(&lake, &world, folder).await?;
    if let Some(mut reviser) = Reviser::take(lake.clone(), settings())? {
        reviser.pass().await?;
    }
    let writer = agentrail::store::Writer::new();
    for set in lake.pin() {
        for file in set.files.iter().filter(|file| file.date.is_some() && copies > 0) {
            for batch in rows_of(&path.join(set.table.name).join(&file.path))? {
                let batch = batch?;
                for copy in 1..=copies {
                    let rows = shifted(set.table, &batch, file.date, -copy, true)?;
                    lake.commit(&writer, vec![rows]).await?;
                }
            }
        }
    }
    lake.maintain().await?;
    if copies > 0 {
        looked_at_all(&lake).await?;
    }
    let rows: u64 = lake.pin().iter().flat_map(|set| set.files.iter().map(|file| file.rows)).sum();
    println!("a lake of {rows} rows");
    Ok(world.events().iter().map(|event| event.id.clone()).collect())
}

fn free_port() -> Outcome<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn start(folder: &Path) -> Outcome<Service> {
    let user = |n: usize| User {
        role: Role::Analyst,
        verifier: Verifier::of(&format!("password of {n}"), vec![5; 16]).to_string(),
        tokens: vec![token_hash(&format!("bearer of {n}"))],
        organizations: Vec::new(),
        projects: Vec::new(),
    };
    let users = folder.join("users.toml");
    Users((0..=PEOPLE).map(|n| (n.to_string(), user(n))).collect()).write(&users)?;
    let (webhook, http, postgres) = (free_port()?, free_port()?, free_port()?);
    let at = |port: u16| format!("127.0.0.1:{port}");
    let child = Command::new(env!("CARGO_BIN_EXE_agentrail"))
        .arg("run")
        .env("AGENTRAIL_LAKE", folder.join("lake"))
        .env("AGENTRAIL_LOG", "error")
        .env("AGENTRAIL_WEBHOOK__LISTEN", at(webhook))
        .env("AGENTRAIL_SERVE__HTTP", at(http))
        .env("AGENTRAIL_SERVE__POSTGRES", at(postgres))
        .env("AGENTRAIL_SERVE__USERS", users)
        .spawn()?;
    let service = Service { child, webhook, http, postgres };
    for port in [webhook, http, postgres] {
        let since = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if since.elapsed() > Duration::from_secs(60) {
                return Err("the service did not open its doors within 60 s".into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(service)
}

/// Waits until the service, which an event wakes, has run the detections over a lake that they never saw.
fn caught_up(service: &Service) -> Outcome<()> {
    let since = Instant::now();
    let mut idle = 0;
    // Longer than between two looks of the detections.
    while idle < 20 {
        let before = seconds_of_cpu(service.child.id())?;
        std::thread::sleep(Duration::from_secs(2));
        idle = if seconds_of_cpu(service.child.id())? - before < 0.2 { idle + 1 } else { 0 };
    }
    println!("caught up with it after {:.0} s", since.elapsed().as_secs_f64());
    Ok(())
}

/// What all threads of a process have used.
fn seconds_of_cpu(process: u32) -> Outcome<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // Fields 14 and 15 of proc(5), counted from behind the name, in hundredths.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    let ticks: Vec<f64> = fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    Ok(ticks.iter().sum::<f64>() / 100.0)
}

/// Events of the day after the lake's last, under ids of their own, each in Splunk's wrapping.
fn bodies(count: usize) -> Vec<Vec<u8>> {
    let day = Plan::quiet().day + Ticks::days(1);
    let plan = Plan { runs: count / 19 + 1, agents: 100, projects: 20, actions: 17, day, ..Plan::quiet() };
    let one = |event: &SimEvent| {
        let mut record = Vec::new();
        event.write(Spelling::Export, &mut record);
        let own = format!("ffffffff{}", &event.id[8..]);
        format!("{{\"event\":{}}}", String::from_utf8_lossy(&record).replace(&event.id, &own)).into_bytes()
    };
    World::build(&plan).events().iter().take(count).map(one).collect()
}

/// Sends at the rate for so long; the milliseconds of each request since it was due, and what was acknowledged a second.
fn paced(
    port: u16,
    bodies: &Arc<Vec<Vec<u8>>>,
    next: &Arc<AtomicUsize>,
    rate: usize,
    seconds: usize,
) -> Outcome<(Vec<f64>, f64)> {
    let start = Instant::now() + Duration::from_millis(50);
    let send = |sender: usize| -> Outcome<Vec<f64>> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        let mut times = Vec::new();
        for n in (sender..seconds * rate).step_by(SENDERS) {
            let due = start + Duration::from_secs_f64(n as f64 / rate as f64);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            post(&mut stream, &bodies[next.fetch_add(1, Ordering::Relaxed) % bodies.len()])?;
            times.push(due.elapsed().as_secs_f64() * 1000.0);
        }
        Ok(times)
    };
    let times = std::thread::scope(|threads| -> Outcome<Vec<f64>> {
        let senders: Vec<_> = (0..SENDERS).map(|sender| threads.spawn(move || send(sender))).collect();
        let mut all = Vec::new();
        for sender in senders {
            all.extend(sender.join().map_err(|_| "a sender failed")??);
        }
        Ok(all)
    })?;
    let rate = times.len() as f64 / start.elapsed().as_secs_f64();
    Ok((times, rate))
}

/// One request on an open connection; anything but a 200 fails.
fn post(stream: &mut TcpStream, body: &[u8]) -> Outcome<()> {
    let length = body.len();
    let head =
        format!("POST /services/collector HTTP/1.1\r\nHost: bench\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(&[head.as_bytes(), body].concat())?;
    let (mut answer, mut part) = (Vec::new(), [0; 1024]);
    // Every answer of this door ends with the brace of its one object.
    while !answer.ends_with(b"}") {
        match stream.read(&mut part)? {
            0 => break,
            count => answer.extend_from_slice(&part[..count]),
        }
    }
    match answer.starts_with(b"HTTP/1.1 200") {
        true => Ok(()),
        false => Err(format!("the webhook answered {}", String::from_utf8_lossy(&answer)).into()),
    }
}

/// What `sent` comes to while others ask until it ends.
fn beside<T: Send>(
    others: impl FnOnce(&AtomicBool) -> Outcome<()> + Send,
    sent: impl FnOnce() -> Outcome<T>,
) -> Outcome<T> {
    let stop = AtomicBool::new(false);
    std::thread::scope(|threads| {
        let others = threads.spawn(|| others(&stop));
        let came = sent();
        stop.store(true, Ordering::Relaxed);
        others.join().map_err(|_| "an asker failed")??;
        came
    })
}

/// Fifty connections that ask one thing after another.
fn people(service: &Service, ids: &[String], stop: &AtomicBool, asked: &Asked) -> Outcome<()> {
    std::thread::scope(|threads| {
        let askers: Vec<_> =
            (0..CONNECTIONS).map(|n| threads.spawn(move || person(service, n, ids, stop, asked))).collect();
        askers.into_iter().try_for_each(|asker| asker.join().map_err(|_| "an asker failed")?)
    })
}

fn person(service: &Service, number: usize, ids: &[String], stop: &AtomicBool, asked: &Asked) -> Outcome<()> {
    let name = (number % PEOPLE).to_string();
    let mut wire = match number % 2 {
        0 => None,
        _ => Some(sign_in(service, &name)?),
    };
    let mut turn = number;
    while !stop.load(Ordering::Relaxed) {
        turn += 1;
        let id = &ids[turn * 7919 % ids.len()];
        let is_report = turn.is_multiple_of(5);
        let since = Instant::now();
        match (&mut wire, is_report) {
            (Some(wire), false) => {
                let sql = format!("select action, grade, agent_name from trace('{id}')");
                asked.note("trace, PostgreSQL", since, ask(wire, &sql));
            }
            (Some(wire), true) => {
                let sql = "select grade, executor, count(*) from actions group by 1, 2 order by 3 desc";
                asked.note("report, PostgreSQL", since, ask(wire, sql));
            }
            (None, false) => {
                let answered = get(service, &name, &format!("/api/trace/{id}"));
                asked.note("trace, HTTP", since, answered);
            }
            (None, true) => {
                let answered = get(service, &name, "/api/reports/grades?format=csv");
                asked.note("report, HTTP", since, answered);
            }
        }
    }
    Ok(())
}

fn sign_in(service: &Service, name: &str) -> Outcome<Wire> {
    Wire::sign_in(service.postgres, name, &format!("password of {name}")).map_err(|told| told.says.into())
}

fn ask(wire: &mut Wire, sql: &str) -> Outcome<()> {
    wire.ask(sql).map(drop).map_err(|told| told.says.into())
}

fn get(service: &Service, name: &str, path: &str) -> Outcome<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", service.http))?;
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer bearer of {name}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    match answer.starts_with(b"HTTP/1.1 200") {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().into()),
    }
}

/// One person asks what never ends, as often as may be at once; another one traces.
fn beside_monsters<T: Send>(
    service: &Service,
    ids: &[String],
    asked: &Asked,
    sent: impl FnOnce() -> Outcome<T>,
) -> Outcome<T> {
    let monsters = |stop: &AtomicBool| {
        std::thread::scope(|threads| {
            for sql in MONSTERS {
                threads.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        // It ends by a bound, or when the service does.
                        let Ok(mut wire) = sign_in(service, "0") else { return };
                        let _ = wire.stream.set_read_timeout(Some(Duration::from_secs(1)));
                        wire.send(&wire::message(b'Q', format!("{sql}\0").as_bytes()));
                        while !stop.load(Ordering::Relaxed) {
                            if wire.next().is_ok_and(|(letter, _)| letter == b'Z') {
                                break;
                            }
                        }
                    }
                });
            }
            let name = PEOPLE.to_string();
            let mut wire = sign_in(service, &name)?;
            let mut turn = 0;
            while !stop.load(Ordering::Relaxed) {
                turn += 1;
                let since = Instant::now();
                let sql = format!("select action from trace('{}')", ids[turn * 7919 % ids.len()]);
                asked.note("trace of another person", since, ask(&mut wire, &sql));
            }
            Ok(())
        })
    };
    beside(monsters, sent)
}
