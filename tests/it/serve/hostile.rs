//! The hostile list through both doors of a running service, which is well, unchanged and ingesting afterwards.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agentrail::serve::{Role, Users};
use serde_json::{Value as Json, json};

use super::hostile_list::{self as list, Case, Outcome};
use super::open::{demo, user};
use super::wire::{Answer, Row, Told, Wire};
use crate::lake::{Scratch, Service, audit_record, request};

/// What a project of the demo's organisation is called by its id.
pub const SHOP: &str = "5b000000-0000-4000-8000-000000001001";
/// The process may use this much whatever is asked of it: far from what the machine has, and above what the
/// engine and a lake in a build without optimisation take.
const MOST_MEMORY: u64 = 4 << 30;

/// A service with its doors, and people who ask.
pub struct Server {
    /// What is asked of one takes what the machine has, so there is one at a time.
    _alone: MutexGuard<'static, ()>,
    pub scratch: Scratch,
    pub service: Service,
    pub http: String,
    pub postgres: u16,
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Server {
    pub fn start(settings: &[(&str, &str)]) -> Server {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let scratch = demo();
        let people = [
            user("root", Role::Admin, &[], &[]),
            user("ada", Role::Analyst, &[], &[]),
            user("eve", Role::Analyst, &[], &[]),
            user("otto", Role::Reader, &["fabrikam"], &[]),
            user("rita", Role::Reader, &["contoso"], &[SHOP]),
        ];
        let users = scratch.path("users.toml");
        Users(people.into_iter().collect()).write(&users).unwrap();
        let (http, postgres) = (format!("127.0.0.1:{}", free_port()), free_port());
        let wire = format!("127.0.0.1:{postgres}");
        let own = [
            ("AGENTRAIL_SERVE__HTTP", http.as_str()),
            ("AGENTRAIL_SERVE__POSTGRES", wire.as_str()),
            ("AGENTRAIL_SERVE__USERS", users.to_str().unwrap()),
            ("AGENTRAIL_SERVE__TIMEOUT", "5"),
            ("AGENTRAIL_SERVE__MEMORY", "67108864"),
            ("AGENTRAIL_SERVE__SPILL", "67108864"),
            ("AGENTRAIL_SERVE__ROWS", "200000"),
            ("AGENTRAIL_COMMIT__MAINTAIN_EVERY", "0"),
            ("AGENTRAIL_ATTRIBUTE__REVISE_EVERY", "0"),
        ];
        let service = Service::start(&scratch, &[&own[..], settings].concat());
        for _ in 0..600 {
            let is_up = |address: &str| std::net::TcpStream::connect(address).is_ok();
            if is_up(&http) && is_up(&wire) {
                return Server { _alone: alone, scratch, service, http, postgres };
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the doors did not open within 30 s");
    }

    /// A statement over HTTP: the status, and the whole text.
    pub fn http(&self, name: &str, sql: &str) -> (u16, String) {
        self.http_body(name, &json!({ "sql": sql }))
    }

    fn http_body(&self, name: &str, body: &Json) -> (u16, String) {
        let token = format!("Bearer bearer of {name}");
        let headers = [("Authorization", token.as_str()), ("Content-Type", "application/json")];
        request(&self.http, "POST", "/api/sql?format=ndjson", &headers, body.to_string().as_bytes())
            .unwrap_or_else(|e| (0, e.to_string()))
    }

    pub fn wire(&self, name: &str) -> Wire {
        Wire::sign_in(self.postgres, name, &format!("password of {name}")).unwrap()
    }

    /// The most memory that the process has had.
    fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.service.child.id())).unwrap();
        let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        most.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// Asserts that the process lives, answers others, and has taken no more memory than it may.
    fn is_well(&self, after: &str) {
        let ask = || self.http("eve", "select count(*) as n from lake.events");
        // A machine that others load as well can be too slow for the bound of a question, which is short here.
        let answer = (0..12).map(|_| ask()).find(|(status, _)| *status != 504);
        assert!(
            answer.as_ref().is_some_and(|(status, _)| *status == 200),
            "after {}: {answer:?}",
            short(after)
        );
        assert!(self.wire("eve").ask("select 1").is_ok(), "after {}", short(after));
        let memory = self.memory();
        assert!(memory < MOST_MEMORY, "after {} the process has had {} MiB", short(after), memory >> 20);
    }

    /// The version of every table but the log of queries.
    fn versions(&self) -> BTreeMap<String, usize> {
        let tables = std::fs::read_dir(self.scratch.lake()).unwrap().map(|entry| entry.unwrap());
        let logs = tables.filter(|table| table.path().join("_delta_log").is_dir());
        let of = |table: &std::fs::DirEntry| {
            let files = std::fs::read_dir(table.path().join("_delta_log")).unwrap();
            files.filter(|f| f.as_ref().unwrap().path().extension().is_some_and(|e| e == "json")).count()
        };
        let all = logs.map(|table| (table.file_name().to_string_lossy().into_owned(), of(&table)));
        all.filter(|(name, _)| name != "queries_log").collect()
    }
}

fn short(sql: &str) -> String {
    let text: String = sql.chars().take(120).collect();
    if text.len() < sql.len() { format!("`{text}...` ({} bytes)", sql.len()) } else { format!("`{text}`") }
}

/// The rows of an answer of NDJSON, in its chunks or not; an error that came after them is none.
fn rows(text: &str) -> Vec<Json> {
    text.lines()
        .filter_map(|line| serde_json::from_str::<Json>(line.trim()).ok())
        .filter(Json::is_object)
        .collect()
}

const BOUNDS: [&str; 6] = ["57014", "53200", "54000", "54001", "42601", "0A000"];
const STATUSES: [u16; 4] = [504, 422, 400, 200];

fn check_http(sql: &str, outcome: Outcome, (status, text): (u16, String)) {
    let told = format!("{} over HTTP: {status} {}", short(sql), text.chars().take(300).collect::<String>());
    assert!(!text.contains("root:x:"), "{told}");
    match outcome {
        Outcome::Refused(_, statuses) => assert!(statuses.contains(&status), "{told}"),
        Outcome::Bounded => assert!(STATUSES.contains(&status), "{told}"),
        Outcome::Memory(says) => assert!(status == 422 && text.contains(says), "{told}"),
        Outcome::Hidden => {
            assert_eq!(status, 200, "{told}");
            let nothing = |row: &Json| row.as_object().unwrap().values().all(|value| *value == json!(0));
            assert!(rows(&text).iter().all(nothing), "{told}");
        }
        Outcome::Harmless => assert!((200..500).contains(&status), "{told}"),
    }
}

fn check_wire(sql: &str, outcome: Outcome, answer: &Answer) {
    let told = format!("{} over PostgreSQL's protocol: {answer:.300?}", short(sql));
    let code = answer.as_ref().err().map(|told| told.code.as_str());
    match outcome {
        Outcome::Refused(codes, _) => assert!(code.is_some_and(|code| codes.contains(&code)), "{told}"),
        Outcome::Bounded => assert!(code.is_none_or(|code| BOUNDS.contains(&code)), "{told}"),
        Outcome::Memory(says) => {
            assert!(answer.as_ref().is_err_and(|e| e.code == "53200" && e.says.contains(says)), "{told}");
        }
        Outcome::Hidden => {
            let rows = answer.as_ref().unwrap_or_else(|_| panic!("{told}"));
            assert!(rows.iter().flatten().all(|value| value.as_deref() == Some("0")), "{told}");
        }
        Outcome::Harmless => {
            assert!(code.is_none_or(|code| !code.starts_with("XX") && code != "gone"), "{told}")
        }
    }
}

/// Asks each through both doors, in the simple and in the extended form.
fn run(server: &Server, name: &str, cases: &[Case]) {
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for (outcome, sql) in cases {
                check_http(sql, *outcome, server.http(name, sql));
            }
        });
        threads.spawn(|| {
            let mut wire = server.wire(name);
            for (outcome, sql) in cases {
                let answer = wire.ask(sql);
                check_wire(sql, *outcome, &answer);
                if *outcome != Outcome::Bounded {
                    check_wire(sql, *outcome, &wire.ask_prepared(sql));
                }
            }
        });
    });
}

#[test]
fn nothing_that_is_asked_writes_reads_elsewhere_or_sets_anything() {
    let server = Server::start(&[("AGENTRAIL_SERVE__TIMEOUT", "55")]);
    let before = server.versions();
    // A run with a wall taken away may have left it.
    let written = std::path::Path::new("/tmp/agentrail-hostile.csv");
    let _ = std::fs::remove_file(written);
    for name in ["root", "rita"] {
        for cases in [list::writes(), list::readers(), list::settings(), list::functions()] {
            run(&server, name, &cases);
        }
    }
    assert_eq!(server.versions(), before);
    assert!(!written.exists());
    // What one connection sets, no other sees; nor what it has prepared and declared.
    let (mut one, mut other) = (server.wire("ada"), server.wire("ada"));
    one.ask("set application_name = 'one'; set statement_timeout = '1ms'").unwrap();
    assert_eq!(one.ask("show application_name").unwrap(), [[Some("one".to_owned())]]);
    assert_eq!(other.ask("show application_name").unwrap(), [[Some(String::new())]]);
    assert_eq!(other.ask("show statement_timeout").unwrap(), [[Some("0".to_owned())]]);
    other.ask("begin; declare mine cursor for select 1").unwrap();
    let code = |answer: Answer| answer.unwrap_err().code;
    assert_eq!(code(server.wire("ada").ask("fetch next from mine")), "34000");
    server.is_well("the statements that write");
    // Every question is written down with whoever asked it, also those that were refused.
    let log = "select count(*) from queries_log where person = 'rita' and outcome in ('failed', 'refused')";
    std::thread::sleep(Duration::from_secs(2));
    let refused: usize = one_value(&server.wire("root").ask(log)).parse().unwrap();
    assert!(refused > 60, "{refused} refusals are in the log");
}

fn one_value(answer: &Answer) -> String {
    answer.as_ref().unwrap()[0][0].clone().unwrap_or_default()
}

#[test]
fn no_view_function_or_statement_leads_around_a_scope() {
    let server = Server::start(&[("AGENTRAIL_SERVE__TIMEOUT", "55")]);
    run(&server, "otto", &list::escapes());
    // The same shows something to whoever sees all, or fails over it: else it would prove nothing.
    let mut all = server.wire("root");
    for (_, sql) in list::escapes() {
        let answer = all.ask(&sql);
        let is_nothing = answer
            .as_ref()
            .is_ok_and(|rows: &Vec<Row>| rows.iter().flatten().all(|v| v.as_deref() == Some("0")));
        let is_log = sql.contains("queries_log");
        assert!(!is_nothing || is_log, "{sql} shows nothing to anybody");
    }
    let mut rita = server.wire("rita");
    let of = |wire: &mut Wire, sql: &str| one_value(&wire.ask(sql)).parse::<i64>().unwrap();
    // What is of no project or of another one is not for whoever is bound to one, unless the organisation shares it.
    let mut shown = 0;
    for table in ["grants", "holdings", "signins", "rejects", "revisions", "findings"] {
        let every = format!("select count(*) from lake.{table}");
        shown += of(&mut all, &every);
        let others = format!("{every} where project_id is distinct from '{SHOP}'");
        let sql = if all.ask(&others).is_ok() { others } else { every };
        assert_eq!(of(&mut server.wire("rita"), &sql), 0, "{sql}");
    }
    assert!(shown > 0);
    let nulls = "select count(*) from lake.events where raw is null";
    assert_eq!(
        of(&mut server.wire("rita"), nulls),
        of(&mut server.wire("rita"), "select count(*) from lake.events")
    );
    // Within an organisation: of one project, masked, lists as their length.
    let shop = format!("select count(*) from lake.events where project_id = '{SHOP}'");
    let events = of(&mut all, &shop);
    assert!(events > 0 && events < of(&mut all, "select count(*) from lake.events"));
    for table in ["lake.events", "actions"] {
        assert_eq!(of(&mut rita, &format!("select count(*) from {table}")), events, "{table}");
    }
    for (column, table) in [
        ("raw", "lake.events"),
        ("raw", "lake.facts"),
        ("data", "lake.events"),
        ("data", "actions"),
        ("authorization_id", "actions"),
        ("key_fingerprint", "agents"),
        ("token_id", "lake.identities"),
    ] {
        let answer = rita.ask(&format!("select count({column}) from {table}"));
        // A column that a table does not have is hidden as well.
        if answer.is_ok() {
            assert_eq!(one_value(&answer), "0", "{column} of {table}");
        }
        let sql = format!("select count(*) from {table} where {column} like '%a%' or length({column}) > 0");
        assert!(rita.ask(&sql).is_err() || of(&mut rita, &sql) == 0, "{sql}");
    }
    let longest = "select coalesce(max(cardinality(evidence)), 0) from actions";
    assert!(of(&mut all, longest) > 1);
    assert_eq!(of(&mut rita, longest), 1);
    let told =
        "select count(*) from (select unnest(evidence) as e from actions) where e['record'] is not null";
    assert!(of(&mut all, told) > 0);
    assert_eq!(of(&mut rita, told), 0);
    // What there is to ask is told to all, what is in it to nobody else; an error names no value of others.
    assert!(of(&mut rita, "select count(*) from information_schema.tables where table_name = 'actions'") > 0);
    let told = "select event_id from lake.events where cast(project as bigint) > 0";
    let says = rita.ask(told).unwrap_err();
    assert!(!says.says.contains("payments"), "{says:?}");
    let log = "select count(*) from queries_log";
    rita.ask(log).unwrap();
    std::thread::sleep(Duration::from_secs(2));
    assert!(of(&mut rita, &format!("{log} where person = 'rita'")) > 0);
    assert_eq!(of(&mut rita, &format!("{log} where person <> 'rita'")), 0);
    assert!(of(&mut all, &format!("{log} where person = 'rita'")) > 0);
}

/// Sends events one after another until it is told to stop; how many were acknowledged.
fn ingest(address: &str, stop: &AtomicBool, count: &AtomicU32) {
    while !stop.load(Ordering::Relaxed) {
        let number = 10_000 + count.load(Ordering::Relaxed);
        let body = format!(r#"{{"event":{}}}"#, audit_record(number));
        let (status, text) =
            request(address, "POST", "/services/collector/event", &[], body.as_bytes()).unwrap();
        assert_eq!(status, 200, "{text}");
        count.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Each bound of memory is met by what only it stops.
#[test]
fn every_bound_of_memory_is_told_by_its_name() {
    let server = Server::start(&[("AGENTRAIL_SERVE__TIMEOUT", "55")]);
    for (n, (outcome, sql)) in list::memory().iter().enumerate() {
        if n % 2 == 0 {
            check_wire(sql, *outcome, &server.wire("ada").ask(sql));
        } else {
            check_http(sql, *outcome, server.http("ada", sql));
        }
        server.is_well(sql);
    }
    // A value that is said once and used often.
    let columns: Vec<String> = (0..100).map(|n| format!("$x as c{n}")).collect();
    let sql = format!("select {} from generate_series(1, 100000)", columns.join(", "));
    let answer = server.http_body("ada", &json!({ "sql": sql, "params": { "x": "x".repeat(90_000) } }));
    check_http(&sql, Outcome::Memory("constants of"), answer);
    server.is_well(&sql);
}

/// Asks these beside ingestion, and looks after each whether the server is well and goes on.
fn beside_ingestion(cases: &[Case]) {
    let server = Server::start(&[]);
    let before =
        one_value(&server.wire("root").ask("select count(*) from lake.events")).parse::<u32>().unwrap();
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let sender = std::thread::spawn({
        let (address, stop, count) = (server.service.address.clone(), stop.clone(), count.clone());
        move || ingest(&address, &stop, &count)
    });
    for (n, (outcome, sql)) in cases.iter().enumerate() {
        let sent = count.load(Ordering::Relaxed);
        // Each door with every other one: both are one gate.
        if n % 2 == 0 {
            check_http(sql, *outcome, server.http("ada", sql));
        } else {
            check_wire(sql, *outcome, &server.wire("ada").ask(sql));
        }
        server.is_well(sql);
        let goes_on = (0..600).any(|_| {
            std::thread::sleep(Duration::from_millis(100));
            count.load(Ordering::Relaxed) > sent
        });
        assert!(goes_on, "after {} nothing was ingested", short(sql));
    }
    stop.store(true, Ordering::Relaxed);
    sender.join().unwrap();
    let sent = count.load(Ordering::Relaxed);
    let after =
        one_value(&server.wire("root").ask("select count(*) from lake.events")).parse::<u32>().unwrap();
    assert_eq!(after, before + sent);
}

#[test]
fn statements_too_large_to_plan_are_refused_before_they_are() {
    beside_ingestion(&list::too_large());
}

#[test]
fn memory_bombs_end_and_harm_nobody() {
    beside_ingestion(&list::bombs());
}

#[test]
fn endless_statements_end_and_harm_nobody() {
    beside_ingestion(&list::endless());
    // On a page as well.
    let server = Server::start(&[]);
    let sql = "select+count(*)+from+generate_series(1,1000000000)+a,+generate_series(1,1000000)+b";
    let token = [("Authorization", "Bearer bearer of ada")];
    let (status, page) = request(&server.http, "GET", &format!("/sql?q={sql}"), &token, b"").unwrap();
    assert!(status == 200 && page.contains("answer within 5s"), "{status} {page}");
}

#[test]
fn faults_of_the_engine_are_refusals() {
    beside_ingestion(&list::faults());
}

#[test]
fn a_person_has_so_many_queries_at_once_and_holds_up_nobody() {
    let server = Server::start(&[("AGENTRAIL_SERVE__AT_ONCE", "2"), ("AGENTRAIL_SERVE__TIMEOUT", "30")]);
    let endless = "select count(*) from generate_series(1, 1000000000) a, generate_series(1, 1000000) b";
    let mut busy: Vec<Wire> = (0..2).map(|_| server.wire("ada")).collect();
    for wire in &mut busy {
        wire.send(&super::wire::message(b'Q', format!("{endless}\0").as_bytes()));
    }
    std::thread::sleep(Duration::from_millis(500));
    let refused = server.wire("ada").ask("select 1").unwrap_err();
    assert_eq!(refused.code, "53300", "{refused:?}");
    assert_eq!(server.http("ada", "select 1").0, 429);
    server.is_well("two endless statements of another");
    // They give way to everything else.
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.service.child.id())).unwrap();
    let stats = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("stat")).ok());
    let nice: Vec<String> = stats
        .filter_map(|stat| {
            let (name, rest) = stat.split_once(") ")?;
            name.ends_with("(query").then(|| rest.split(' ').nth(16).map(str::to_owned))?
        })
        .collect();
    assert!(!nice.is_empty() && nice.iter().all(|nice| nice == "15"), "{nice:?}");
    // A key that is wrong cancels nothing, the right one does.
    let cancel = |key: [u8; 8]| {
        let mut wire = Wire::open(server.postgres);
        wire.send(&[&16_u32.to_be_bytes()[..], &80_877_102_u32.to_be_bytes(), &key].concat());
        let _ = wire.next();
    };
    let mut wrong = busy[0].key;
    wrong[7] ^= 1;
    cancel(wrong);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(server.wire("ada").ask("select 1").map_err(|told| told.code), Err("53300".to_owned()));
    cancel(busy[0].key);
    assert_eq!(busy[0].answer().unwrap_err().code, "57014");
    assert_eq!(server.wire("ada").ask("select 1").unwrap().len(), 1);
}

#[test]
fn messages_that_are_too_long_too_slow_or_out_of_order_end_a_connection() {
    use super::wire::{message, startup};
    let server = Server::start(&[]);
    let ended = |wire: &mut Wire| -> Vec<Told> {
        let mut errors = Vec::new();
        loop {
            match wire.answer() {
                Err(told) if told.code == "gone" => return errors,
                Err(told) => errors.push(told),
                Ok(rows) => panic!("it answered {rows:?}"),
            }
        }
    };
    let query = message(b'Q', b"select count(*) from lake.events\0");
    // Nothing is answered before the sign-in, nor after one that went wrong.
    for said in [
        query.clone(),
        [startup("ada"), query.clone()].concat(),
        [startup("ada"), message(b'p', b"MD5\0\0\0\0\0"), query.clone()].concat(),
        [startup("ada"), message(b'p', b"SCRAM-SHA-256\0\xff\xff\xff\xff"), query.clone(), query.clone()]
            .concat(),
        [
            startup("ada"),
            message(b'p', b"SCRAM-SHA-256\0\0\0\0\x0cn,,n=,r=abcd"),
            message(b'p', b"c=biws,r=x,p=AAAA"),
            query.clone(),
        ]
        .concat(),
        [startup("ada"), message(b'p', b""), query.clone()].concat(),
        b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec(),
        vec![0; 64],
        b"\x7f\xff\xff\xff\0\x03\0\0".to_vec(),
    ] {
        let mut wire = Wire::open(server.postgres);
        wire.send(&said);
        let errors = ended(&mut wire);
        assert!(errors.iter().all(|told| !told.code.starts_with("XX")), "{said:?}: {errors:?}");
    }
    let wrong = |name: &str, password: &str| {
        Wire::sign_in(server.postgres, name, password).err().map(|told| told.code)
    };
    assert_eq!(wrong("ada", "password of eve"), Some("28P01".to_owned()));
    assert_eq!(wrong("nobody", "password of ada"), Some("28P01".to_owned()));
    assert_eq!(wrong("", ""), Some("28P01".to_owned()));
    // A message is read up to a bound, and not believed beyond it.
    let mut wire = server.wire("ada");
    wire.send(&[&b"Q"[..], &0x3fff_0000_u32.to_be_bytes(), &[b'x'; 4096]].concat());
    let errors = ended(&mut wire);
    assert_eq!(errors.first().map(|told| told.code.as_str()), Some("08P01"), "{errors:?}");
    // What is prepared is kept up to a bound.
    let mut wire = server.wire("ada");
    let long = "x".repeat(100_000);
    let mut refused = None;
    for n in 0..100 {
        let parse = format!("s{n}\0select '{long}'\0\0\0");
        wire.send(&[message(b'P', parse.as_bytes()), message(b'S', b"")].concat());
        if let Err(told) = wire.answer() {
            refused = Some((n, told.code));
            break;
        }
    }
    let (count, code) = refused.unwrap();
    assert!((10..90).contains(&count) && code == "53400", "{count} {code}");
    wire.send(
        &[message(b'C', b"Ss0\0"), message(b'P', b"again\0select 1\0\0\0"), message(b'S', b"")].concat(),
    );
    assert!(wire.answer().is_ok());
    // Many cursors are not kept either.
    let mut wire = server.wire("ada");
    wire.ask("begin").unwrap();
    let codes: Vec<String> = (0..20)
        .filter_map(|n| wire.ask(&format!("declare c{n} cursor for select 1")).err().map(|told| told.code))
        .collect();
    assert!(codes.iter().any(|code| code == "53400"), "{codes:?}");
    // Whoever says nothing is not waited for.
    let mut silent = Wire::open(server.postgres);
    let mut half = Wire::open(server.postgres);
    half.send(&startup("ada")[..9]);
    let mut asked = Wire::open(server.postgres);
    asked.send(&startup("ada"));
    assert_eq!(asked.next().unwrap().0, b'R');
    for wire in [&mut silent, &mut half, &mut asked] {
        assert_eq!(wire.next().map_err(|e| e.kind()), Err(std::io::ErrorKind::UnexpectedEof));
    }
    server.is_well("messages of no order");
}
