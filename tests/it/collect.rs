//! The collectors against the simulated organisation's REST API, in all its moods.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use agentrail::model::Ticks;
use agentrail::simulate::{Moods, Plan, Request, World, serve};
use agentrail::source::clock::{Clock as _, System};

use crate::lake::{Scratch, Service};

/// `Basic :token`.
const AUTHORIZATION: &str = "Basic OnRva2Vu";

const LOOPBACK: &str = "127.0.0.1:0";

fn environment(endpoint: &str) -> Vec<(&'static str, String)> {
    vec![
        ("AGENTRAIL_AZURE_DEVOPS__ORGANIZATIONS", "contoso".to_owned()),
        ("AGENTRAIL_AZURE_DEVOPS__ENDPOINT", endpoint.to_owned()),
        ("AGENTRAIL_AZURE_DEVOPS__CREDENTIAL", "pat".to_owned()),
        ("AGENTRAIL_AZURE_DEVOPS__PAT", "token".to_owned()),
        ("AGENTRAIL_AZURE_DEVOPS__REQUESTS_PER_MINUTE", "100000".to_owned()),
        ("AGENTRAIL_AZURE_DEVOPS__AUDIT_BACKFILL_DAYS", "4".to_owned()),
        ("AGENTRAIL_AZURE_DEVOPS__AUDIT_EVERY", "1".to_owned()),
        ("AGENTRAIL_AZURE_DEVOPS__JOBS_EVERY", "1".to_owned()),
        ("AGENTRAIL_ATTRIBUTE__REVISE_EVERY", "1".to_owned()),
    ]
}

/// A quiet day that is over, within the ninety that the service keeps.
fn lately() -> Plan {
    let today = System.now().date().start();
    Plan { day: today - Ticks::days(2), ..Plan::quiet() }
}

/// Waits until a count is reached, at most a minute.
fn wait_for(scratch: &Scratch, sql: &str, wanted: i64) {
    let mut last = -1;
    for _ in 0..120 {
        if scratch.lake().join("lake.json").exists() {
            last = scratch.count(sql);
        }
        if last == wanted {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
    let verdicts = "select executor, grade, missing, count(*) as n from actions group by 1, 2, 3";
    panic!("{sql} gives {last}, not {wanted}: {:#?}", scratch.sql(verdicts));
}

fn start(scratch: &Scratch, endpoint: &str, record: Option<&str>) -> Service {
    let environment = environment(endpoint);
    let environment: Vec<(&str, &str)> = environment.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let record = record.map(|folder| ["--record", folder]);
    Service::start_with(scratch, record.as_ref().map_or(&[], |r| r.as_slice()), &environment)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organisation_is_collected_through_every_mood_and_goes_on_where_it_was() {
    let moods = Moods {
        authorization: AUTHORIZATION.to_owned(),
        unkind_one_in: 25,
        page: 20,
        lag: Ticks::seconds(1800),
        ..Moods::default()
    };
    let (address, _task) = serve(World::build(&lately()), moods, LOOPBACK, |_| System.now()).await.unwrap();
    let world = World::build(&lately());
    let events = world.events().len() as i64;
    // The records of runs determine every action of an agent here: one timeline or one request each.
    let of_agents = world.events().iter().filter(|e| e.executor() == "agent").count() as i64;
    tokio::task::spawn_blocking(move || {
        let scratch = Scratch::new();
        let endpoint = format!("http://{address}");
        let records = scratch.path("records");
        let service = start(&scratch, &endpoint, Some(records.to_str().unwrap()));
        wait_for(&scratch, "select count(*) from actions", events);
        wait_for(&scratch, "select count(*) from agents_now where pool_id < 13", 8);
        wait_for(&scratch, "select count(*) from jobs where request_id is not null and name is not null", 80);
        // Late evidence has settled what the audit log alone could not say.
        wait_for(&scratch, "select count(*) from actions where grade = 'sole'", of_agents);
        // What was cut by somebody in between is kept as it came, and asked for again.
        assert_eq!(scratch.count("select count(*) from rejects where reason <> 'syntax'"), 0);
        assert!(scratch.count("select count(*) from coverage where source = 'audit'") > 0);
        assert!(service.stop().success());

        // A restart goes on where it was: nothing is there twice, and one look finds nothing new.
        let service = start(&scratch, &endpoint, None);
        std::thread::sleep(std::time::Duration::from_secs(3));
        assert!(service.stop().success());
        assert_eq!(scratch.count("select count(*) from actions"), events);
        assert_eq!(scratch.count("select count(distinct event_id) from actions"), events);

        // The recording replays to the same, and holds no secret.
        let recording = std::fs::read_dir(&records).unwrap().next().unwrap().unwrap().path();
        let text = std::fs::read_to_string(&recording).unwrap();
        assert!(text.contains("DB_PASSWORD") && !text.contains("never stored"));
        let replay = Scratch::new();
        replay.ingest(&recording);
        assert_eq!(replay.count("select count(*) from actions"), events);
        assert_eq!(replay.count("select count(*) from actions where grade = 'sole'"), of_agents);
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_is_said_and_the_service_goes_on() {
    let moods = Moods { authorization: "Basic other".to_owned(), ..Moods::default() };
    let (address, _task) =
        serve(World::build(&Plan::demo()), moods, LOOPBACK, |_| System.now()).await.unwrap();
    tokio::task::spawn_blocking(move || {
        let scratch = Scratch::new();
        let service = start(&scratch, &format!("http://{address}"), None);
        let (status, _) = service.request("POST", "/eventgrid", &[], crate::lake::audit_record(1).as_bytes());
        assert_eq!(status, 200);
        assert!(service.stop().success());
        assert_eq!(scratch.count("select count(*) from actions"), 1);
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_refused_before_its_time_is_asked_for_anew() {
    let moods = Moods {
        authorization: "none but those that are given out".to_owned(),
        token_life: Ticks::seconds(3),
        ..Moods::default()
    };
    let given = Arc::new(Mutex::new(Vec::new()));
    let log = given.clone();
    let now = move |request: &Request| {
        let now = System.now();
        if request.path == "/msi/token" {
            log.lock().unwrap().push(now);
        }
        now
    };
    let (address, _task) = serve(World::build(&lately()), moods, LOOPBACK, now).await.unwrap();
    tokio::task::spawn_blocking(move || {
        let scratch = Scratch::new();
        let mut environment = environment(&format!("http://{address}"));
        environment.push(("AGENTRAIL_AZURE_DEVOPS__CREDENTIAL", "managed_identity".to_owned()));
        environment.push(("IDENTITY_ENDPOINT", format!("http://{address}/msi/token")));
        environment.push(("IDENTITY_HEADER", "secret".to_owned()));
        let environment: Vec<(&str, &str)> = environment.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let service = Service::start_with(&scratch, &[], &environment);
        // The third token is good for calls as the first was, though that was said to last a day.
        for _ in 0..600 {
            std::thread::sleep(std::time::Duration::from_millis(100));
            let third = given.lock().unwrap().get(2).copied();
            let heard = |at| {
                let after = format!("source = 'jobs' and until > timestamp '{at}'");
                scratch.count(&format!("select count(*) from coverage where {after}")) > 0
            };
            if third.is_some_and(heard) {
                assert!(service.stop().success());
                return;
            }
        }
        panic!("no jobs were heard with a third token: {:?}", given.lock().unwrap());
    })
    .await
    .unwrap();
}

#[test]
fn a_served_organisation_is_collected_in_real_time() {
    use std::io::BufRead as _;
    let scratch = Scratch::new();
    let arguments = ["simulate", "--serve", LOOPBACK, "--seed", "5", "--days", "1"];
    let mut served = scratch.command(&arguments).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut says = String::new();
    std::io::BufReader::new(served.stdout.take().unwrap()).read_line(&mut says).unwrap();
    let endpoint = says.split(' ').find_map(|word| word.strip_suffix(',')).unwrap();
    let service = start(&scratch, endpoint, None);
    // Seven agents in each pool were registered in the morning, and eight that are spare in the first; the
    // first job comes within two minutes.
    wait_for(
        &scratch,
        "select count(*) from actions where action = 'Library.AgentAdded' and data like '%azure-deploy%'",
        7,
    );
    wait_for(&scratch, "select count(*) from agents_now where pool_id < 13", 22);
    wait_for(
        &scratch,
        "select least(count(*), 1) from jobs where run_id between 700 and 9999 and finished is null",
        1,
    );
    assert!(service.stop().success());
    let id = served.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert!(served.wait().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_fails_and_a_call_without_an_end_hold_up_nothing_else() {
    use axum::response::IntoResponse as _;
    let world = Arc::new(World::build(&lately()));
    let looks = Arc::new(AtomicUsize::new(0));
    let seen = looks.clone();
    let answer = move |request: axum::extract::Request| {
        let (world, seen) = (world.clone(), seen.clone());
        async move {
            let path = request.uri().path().to_owned();
            if path.ends_with("pools/11/jobrequests") || path.ends_with("pools/12/agents") {
                return "a proxy's word".into_response();
            }
            if path.ends_with("/_apis/projects") {
                return std::future::pending().await;
            }
            seen.fetch_add(usize::from(path.ends_with("pools/12/jobrequests")), Ordering::Relaxed);
            let query = request.uri().query().unwrap_or_default().to_owned();
            let asked = Request { path, query, ..Request::default() };
            let reply = world.answer(System.now(), &Moods::default(), &asked);
            (axum::http::StatusCode::from_u16(reply.status).unwrap(), reply.body).into_response()
        }
    };
    let listener = tokio::net::TcpListener::bind(LOOPBACK).await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let router = axum::Router::new().fallback(answer);
    let _task = tokio::spawn(async move { axum::serve(listener, router).await });
    tokio::task::spawn_blocking(move || {
        let scratch = Scratch::new();
        let service = start(&scratch, &endpoint, None);
        wait_for(&scratch, "select count(*) from agents_now where pool_id <> 12", 5);
        wait_for(
            &scratch,
            "select least(count(*), 1) from coverage where source = 'jobs' and pool_id = 12",
            1,
        );
        let before = looks.load(Ordering::Relaxed);
        while looks.load(Ordering::Relaxed) < before + 3 {
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        assert!(service.stop().success());
        // What cannot be read is no empty list: nothing was heard.
        let heard = |what: &str| scratch.count(&format!("select count(*) from coverage where {what}"));
        assert_eq!(heard("source = 'jobs' and pool_id = 11"), 0);
        assert_eq!(heard("source = 'agents' and pool_id = 12"), 0);
        assert!(scratch.count("select count(*) from rejects") > 0);
    })
    .await
    .unwrap();
}
