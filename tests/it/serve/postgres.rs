//! The postgres door: psql, psycopg and SQLAlchemy, TLS, and what it refuses.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;

use agentrail::serve::postgres;
use agentrail::serve::{Certificate, Directory, Gate, Protocol, Role, Users};
use agentrail::store::Lake;
use tokio::sync::oneshot;

use super::open::{bounds, demo, doorway, user};
use crate::lake::Scratch;
use crate::readers::python;

/// An open door over the demo's lake, with the users ada (analyst) and rita (reader).
pub(super) struct Door {
    scratch: Scratch,
    pub(super) port: u16,
    gate: Arc<Gate>,
    _stop: oneshot::Sender<()>,
}

/// The certificate of a run, as `(chain, key)`.
fn certificate(scratch: &Scratch) -> (PathBuf, PathBuf) {
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let chain = scratch.file("chain.pem", own.cert.pem());
    let key = scratch.file("key.pem", own.signing_key.serialize_pem());
    (chain, key)
}

impl Door {
    pub(super) async fn open(connections: usize, tls: bool) -> Door {
        let scratch = demo();
        let users = [user("ada", Role::Analyst, &[], &[]), user("rita", Role::Reader, &["fabrikam"], &[])];
        let path = scratch.path("users.toml");
        Users(users.into_iter().collect()).write(&path).unwrap();
        let lake = agentrail::store::Settings { free_floor_bytes: 0, ..Default::default() };
        let lake = Arc::new(Lake::open(&scratch.lake(), lake).await.unwrap());
        let gate = Gate::start(lake, bounds(), Directory::open(Some(path), [7; 32]).unwrap()).unwrap();
        let certificate = match tls {
            true => {
                let (chain, key) = certificate(&scratch);
                Certificate { chain, key, clients: PathBuf::new() }
            }
            false => Certificate::default(),
        };
        let settings = doorway(certificate, connections);
        let open = settings.open(Protocol::Postgres, true).await.unwrap();
        let port = open.address.port();
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(postgres::serve(open, gate.clone(), async { _ = stopped.await }));
        Door { scratch, port, gate, _stop: stop }
    }

    async fn psql(&self, name: &str, password: &str, tls: &str, commands: &[&str]) -> Option<Output> {
        let Some(psql) = std::env::var("PEERS_PSQL").ok().filter(|p| !p.is_empty()) else {
            assert!(std::env::var("CI").is_err(), "CI allows no skip: run tests/run");
            println!("skipped: no psql; tests/run sets it up");
            return None;
        };
        let where_ = format!("host=127.0.0.1 port={} user={name} dbname=agentrail sslmode={tls}", self.port);
        let mut command = Command::new(psql);
        command.args(["-X", "-P", "pager=off", "-d", &where_]).env("PGPASSWORD", password);
        commands.iter().for_each(|one| _ = command.args(["-c", one]));
        Some(tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap())
    }
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_asks_and_looks_around() {
    let door = Door::open(10, false).await;
    let looks = [
        "\\dt",
        "\\dv+ public.actions",
        "\\d+ agents_now",
        "\\df",
        "\\df+ trace",
        "\\dT+",
        "\\du",
        "\\l",
        "\\dn+",
        "\\dp actions",
        "\\conninfo",
    ];
    let asks = [
        "select current_user as who, count(*) > 0 as some from actions",
        "copy (select 1 as one, 'a,b' as two, '' as three, null::text as four) to stdout with (format csv, header)",
        "select 'timely' as what, count(*) > 0 as there from actions where occurred > '2026-01-01 10:00'",
        // What was prepared outlives the settings.
        "prepare kept as select 11 as eleven",
        "reset all",
        "execute kept",
        "discard all",
    ];
    let all: Vec<&str> = looks.iter().chain(&asks).copied().collect();
    let Some(out) = door.psql("ada", "password of ada", "prefer", &all).await else { return };
    let (out, err) = (text(&out.stdout), text(&out.stderr));
    assert_eq!(err, "");
    for part in [
        "| events ",
        "Every audit event with its newest verdict",
        "Agent id in its organisation.",
        "actions_as_known",
        " ada       |",
        "agentrail | agentrail",
        "as user \"ada\"",
        " ada | t",
        "one,two,three,four\n1,\"a,b\",\"\",\n",
        " eleven \n--------\n     11\n",
        "DISCARD ALL\n",
        "=U/agentrail",
        "=r/agentrail",
        " timely | t",
    ] {
        assert!(out.contains(part), "{part} is not in\n{out}");
    }
    // Whoever asked, and what, is known.
    door.gate.written().await;
    let log = ["select person, door, outcome, rows from queries_log where query like '%''a,b''%'"];
    let out = door.psql("ada", "password of ada", "prefer", &log).await.unwrap();
    assert!(text(&out.stdout).contains(" ada    | postgres | done    |    1"), "{}", text(&out.stdout));
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_is_refused_in_words_and_the_door_stays_open() {
    let door = Door::open(2, false).await;
    let Some(out) = door.psql("ada", "password of eve", "prefer", &["select 1"]).await else { return };
    assert!(text(&out.stderr).contains("failed to sign in as `ada`: name or password is wrong"));
    let out = door.psql("nobody", "password of ada", "prefer", &["select 1"]).await.unwrap();
    assert!(text(&out.stderr).contains("failed to sign in as `nobody`: name or password is wrong"));
    // What is refused, and with which codes, is in the hostile list; here are its words.
    for (statement, says) in [
        ("insert into actions select 1", "this server only reads"),
        ("select * into x from actions", "DDL not supported"),
        ("select * from '/etc/passwd'", "not found"),
        ("set datafusion.execution.batch_size = 1", "does not have it"),
        ("set transaction_read_only = off", "this server only reads"),
        ("prepare p as delete from actions", "this server only reads"),
        ("execute p", "prepare it first"),
        ("select repeat('x', 2000000000)", "at most 10000"),
        ("select range(1, 10000000000)", "at most 4000000 are made"),
        ("select 1/0", "Divide by zero"),
        ("selec 1", "failed to understand"),
        ("", ""),
    ] {
        let out = door.psql("ada", "password of ada", "prefer", &[statement]).await.unwrap();
        assert!(text(&out.stderr).contains(says), "{statement}: {}", text(&out.stderr));
    }
    let out = door.psql("ada", "password of ada", "prefer", &["select count(*) > 0 from lake.events"]).await;
    assert!(text(&out.unwrap().stdout).contains(" t\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_where_there_is_a_certificate_and_too_many_connections_are_told() {
    let door = Door::open(1, true).await;
    let ask = ["select 'through tls' as how"];
    let Some(out) = door.psql("ada", "password of ada", "require", &ask).await else { return };
    assert!(text(&out.stdout).contains("through tls"), "{}", text(&out.stderr));
    // One connection waits for a password for ever; the next one is told why it is not let in. The one
    // before it may hold its place for a moment.
    let mut held = Vec::new();
    let mut said = String::new();
    for _ in 0..20 {
        held.push(tokio::net::TcpStream::connect(("127.0.0.1", door.port)).await.unwrap());
        let out = door.psql("ada", "password of ada", "require", &ask).await.unwrap();
        said = text(&out.stderr);
        if said.contains("too many connections are open") {
            return;
        }
    }
    panic!("{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn psycopg_and_sqlalchemy_work_and_tools_find_what_they_look_up() {
    let Some(python) = python() else { return };
    let door = Door::open(10, false).await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peer/postgres.py");
    let mut command = Command::new(python);
    command.args([script, &door.port.to_string(), "ada", "password of ada"]);
    let out = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(out.status.success(), "{}\n{}", text(&out.stdout), text(&out.stderr));
    assert_eq!(text(&out.stdout).lines().count(), 51, "{}", text(&out.stdout));
    assert!(door.scratch.lake().exists());
}
