//! The Flight SQL door: ADBC and pyarrow, TLS, what it refuses, and what it bounds.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use agentrail::serve::flight;
use agentrail::serve::oidc::Issuer;
use agentrail::serve::{Bounds, Certificate, Doorway, Gate, Protocol, Role, Users, Verifier};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::issuer::{Double, grant, seconds};
use super::open::{bounds, demo, directory, doorway, gate, user};
use crate::lake::Scratch;
use crate::readers::python;

/// A project of the demo.
const SHOP: &str = "5b000000-0000-4000-8000-000000001001";

/// An open door over the demo's lake, with people of every kind.
struct Door {
    scratch: Scratch,
    uri: String,
    port: u16,
    gate: Arc<Gate>,
    _stop: oneshot::Sender<()>,
}

impl Door {
    async fn open(bounds: Bounds, connections: usize, tls: bool) -> Door {
        Door::trusting(bounds, connections, tls, None).await
    }

    async fn trusting(bounds: Bounds, connections: usize, tls: bool, issuer: Option<Arc<Issuer>>) -> Door {
        let scratch = demo();
        let users = [
            user("ada", Role::Analyst, &[], &[]),
            user("eve", Role::Admin, &[], &[]),
            user("ned", Role::Analyst, &["contoso"], &[]),
            user("rita", Role::Reader, &["contoso"], &[SHOP]),
            user("otto", Role::Analyst, &["fabrikam"], &[]),
        ];
        let directory = directory(&scratch, Some(users.into())).trusting(issuer);
        let gate = gate(&scratch, bounds, directory).await;
        let certificate = match tls {
            true => {
                let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
                let chain = scratch.file("chain.pem", own.cert.pem());
                let key = scratch.file("key.pem", own.signing_key.serialize_pem());
                Certificate { chain, key, clients: PathBuf::new() }
            }
            false => Certificate::default(),
        };
        let settings = doorway(certificate, connections);
        let open = settings.open(Protocol::Flight, true).await.unwrap();
        let port = open.address.port();
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(flight::serve(open, gate.clone(), async { _ = stopped.await }));
        let uri = match tls {
            true => format!("grpc+tls://localhost:{port}"),
            false => format!("grpc://127.0.0.1:{port}"),
        };
        Door { scratch, uri, port, gate, _stop: stop }
    }

    /// What the peer saw, line by line, having tried everything.
    async fn saw(&self, what: &str, given: Value) -> Option<Vec<String>> {
        let peer = self::peer(&self.uri, what, &given)?;
        let out = tokio::task::spawn_blocking(move || peer.wait_with_output().unwrap()).await.unwrap();
        let (saw, failed) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert!(out.status.success(), "{saw}\n{failed}");
        Some(saw.lines().map(str::to_owned).collect())
    }
}

/// The peer, trying something.
fn peer(uri: &str, what: &str, given: &Value) -> Option<Child> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peer/flight.py");
    let mut command = Command::new(python()?);
    command.args([script, what, uri, &given.to_string()]).stdin(Stdio::piped());
    Some(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn adbc_asks_with_parameters_and_reads_many_rows_and_every_question_is_written_down() {
    let door = Door::open(bounds(), 20, false).await;
    let Some(saw) = door.saw("asks", json!({})).await else { return };
    assert_eq!(saw.len(), 16, "{saw:?}");
    door.gate.written().await;
    // Asked once, it is there once: neither preparing nor planning is a question.
    let log = "select person, role, door, client, outcome, rows from queries_log where query = 'select ''a'' || ''b'''";
    let row = json!({ "person": "ada", "role": "analyst", "door": "flight", "client": "127.0.0.1", "outcome": "done", "rows": 1 });
    assert_eq!(door.scratch.sql(log), [row]);
}

#[tokio::test(flavor = "multi_thread")]
async fn drivers_find_all_that_they_look_up() {
    let door = Door::open(bounds(), 20, false).await;
    let Some(saw) = door.saw("looks", json!({})).await else { return };
    assert_eq!(saw.len(), 34, "{saw:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_writes_and_what_is_of_others_is_refused_and_the_door_stays_well() {
    let door = Door::open(bounds(), 20, false).await;
    let versions = || -> Vec<(String, u64)> {
        let all = door.gate.lake().pin().into_iter().filter(|set| set.table.name != "queries_log");
        all.map(|set| (set.table.name.to_owned(), set.version)).collect()
    };
    let before = versions();
    let writes = [
        "insert into lake.events select * from lake.events",
        "create table x (a int)",
        "create external table x stored as csv location '/etc/passwd'",
        "drop table lake.events",
        "update lake.events set action = 'x'",
        "delete from lake.events",
        "truncate lake.events",
        "copy (select 1) to '/tmp/x.csv'",
        "copy lake.events from '/tmp/x.csv'",
        "set datafusion.execution.batch_size = 1",
        "explain analyze insert into lake.events select * from lake.events",
        "select * from '/etc/passwd'",
        "select * from 'https://example.org/x.parquet'",
        "select 1; drop table lake.events",
        "prepare p as select 1",
        "begin",
        "select * into x from actions",
        "selec 1",
    ];
    let Some(saw) = door.saw("refused", json!({ "writes": writes })).await else { return };
    assert_eq!(saw.len(), 17, "{saw:?}");
    door.gate.lake().refresh().await.unwrap();
    assert_eq!(versions(), before);
    // What was refused is known as well.
    door.gate.written().await;
    let log = "select outcome from queries_log where query = 'drop table lake.events'";
    assert_eq!(door.scratch.sql(log)[0]["outcome"], "failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_refused_and_who_is_out_is_out_at_once() {
    let door = Door::open(bounds(), 20, false).await;
    let Some(mut peer) = self::peer(&door.uri, "strangers", &json!({})) else { return };
    let mut out = BufReader::new(peer.stdout.take().unwrap());
    let mut saw = String::new();
    while !saw.ends_with("ready\n") {
        if out.read_line(&mut saw).unwrap() == 0 {
            let ended = peer.wait_with_output().unwrap();
            panic!("{saw}\n{}", String::from_utf8_lossy(&ended.stderr));
        }
    }
    let path = door.scratch.path("users.toml");
    let mut users = Users::read(&path).unwrap();
    users.0.remove("ned");
    users.0.get_mut("rita").unwrap().verifier = Verifier::of("another", vec![6; 16]).to_string();
    std::thread::sleep(Duration::from_millis(20));
    users.write(&path).unwrap();
    let _ = peer.stdin.take().unwrap().write_all(b"go on\n");
    let rest = tokio::task::spawn_blocking(move || {
        out.read_to_string(&mut saw).unwrap();
        (saw, peer.wait_with_output().unwrap())
    });
    let (saw, ended) = rest.await.unwrap();
    assert!(ended.status.success(), "{saw}\n{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(saw.lines().count(), 7, "{saw}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_an_issuer_open_what_their_roles_say() {
    let double = Double::start().await;
    let grants = vec![
        grant("audit.analyst", Role::Analyst, &[], &[]),
        grant("audit.shop", Role::Reader, &["contoso"], &[SHOP]),
    ];
    let door = Door::trusting(bounds(), 20, false, Some(double.trusted(grants))).await;
    let shop = json!({ "roles": ["audit.shop"], "oid": "o9" });
    let case = |token: String, sql: &str| json!({ "token": token, "sql": sql });
    let cases = vec![
        case(double.token(json!({})), "select 1"),
        case(double.token(shop), "select distinct project_id from jobs"),
        case("bearer of ada".to_owned(), "select 2"),
        case(double.token(json!({ "exp": seconds() - 200 })), "select 1"),
        case(double.token(json!({ "roles": [] })), "select 1"),
        case("no.such.token".to_owned(), "select 1"),
    ];
    let Some(saw) = door.saw("tokens", json!({ "cases": cases })).await else { return };
    let saw: Vec<Value> = saw.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(saw[..3], [json!([[1]]), json!([[SHOP]]), json!([[2]])]);
    for (said, part) in saw[3..].iter().zip(["it has expired", "gives a role", "failed to"]) {
        assert!(said.as_str().is_some_and(|said| said.contains(part)), "{said}");
    }
    door.gate.written().await;
    let log = "select distinct person from queries_log where door = 'flight' and query like '%project_id from jobs'";
    assert!(door.scratch.sql(log)[0]["person"].as_str().unwrap().contains(" (oidc "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_bounded_in_time_memory_and_rows_and_can_be_stopped() {
    let bounds = Bounds { timeout: Duration::from_secs(30), rows: 100_000, ..bounds() };
    let door = Door::open(bounds, 20, false).await;
    let Some(saw) = door.saw("bounds", json!({})).await else { return };
    assert_eq!(saw.len(), 10, "{saw:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_and_a_mask_hold_whatever_is_asked() {
    let door = Door::open(bounds(), 20, false).await;
    let hidden = [
        "select count(*) from actions",
        "select count(*) from (select * from lake.events where details like '%')",
        "select count(*) from lake.facts",
        "select count(*) from agents",
        "select count(*) from trace('006d87aa-bdfd-49db-852e-be4934f0df9d')",
        "select count(*) from actions_as_known(now())",
        "select count(*) from lake.jobs where (select count(*) from lake.events) > 0",
    ];
    let Some(saw) = door.saw("scope", json!({ "project": SHOP, "hidden": hidden })).await else { return };
    assert_eq!(saw.len(), 7, "{saw:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_where_there_is_a_certificate_and_too_many_connections_are_told() {
    let door = Door::open(bounds(), 2, true).await;
    let root = std::fs::read_to_string(door.scratch.path("chain.pem")).unwrap();
    let root = ("adbc.flight.sql.client_option.tls_root_certs", root);
    let given = json!({ "name": "ada", "sql": "select 'through tls' as how", (root.0): root.1 });
    let Some(saw) = door.saw("once", given.clone()).await else { return };
    assert_eq!(saw, ["[('through tls',)]"]);
    // A certificate that nobody signed is refused by the client, and clear text by the server.
    let clear = format!("grpc://127.0.0.1:{}", door.port);
    for (uri, given) in [(&door.uri, json!({ "name": "ada", "sql": "select 1" })), (&clear, given.clone())] {
        let peer = self::peer(uri, "once", &given).unwrap();
        let out = tokio::task::spawn_blocking(move || peer.wait_with_output().unwrap()).await.unwrap();
        assert!(!out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
    }
    let hold = json!({ "count": 2, (root.0): root.1 });
    let mut held = self::peer(&door.uri, "hold", &hold).unwrap();
    let mut line = String::new();
    BufReader::new(held.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "2\n");
    let peer = self::peer(&door.uri, "once", &given).unwrap();
    let out = tokio::task::spawn_blocking(move || peer.wait_with_output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(said.contains("failed to connect: as many connections as allowed are open"), "{said}");
    drop(held.stdin.take());
    held.wait().unwrap();
    assert_eq!(door.saw("once", given).await.unwrap(), ["[('through tls',)]"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_and_silence_hold_no_place() {
    let door = Door::open(bounds(), 8, false).await;
    let port = door.port;
    let hostile = tokio::task::spawn_blocking(move || {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        let mut torn = preface.to_vec();
        torn.extend(settings);
        // A head that is never ended, of a length that is not there.
        torn.extend([0x00, 0x40, 0x00, 1, 0, 0, 0, 0, 1, 0x82]);
        let mut stranger = preface.to_vec();
        stranger.extend(settings);
        let sends: [Vec<u8>; 8] = [
            Vec::new(),
            b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
            b"PRI * HTTP/2.0".to_vec(),
            vec![0xff; 4096],
            vec![0x16, 0x03, 0x01, 0x02, 0x00, 0x01],
            torn,
            stranger,
            b"\x00\x00\x00\x08\x04\xd2\x16\x2f".to_vec(),
        ];
        let all = sends.map(|bytes| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let _ = stream.write_all(&bytes);
            stream
        });
        // Each is hung up on by the server, or hears what it did wrong first.
        all.into_iter().all(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(90))).unwrap();
            let mut heard = Vec::new();
            match stream.read_to_end(&mut heard) {
                Ok(_) => true,
                Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
            }
        })
    });
    assert!(hostile.await.unwrap());
    let Some(saw) = door.saw("once", json!({ "name": "ada", "sql": "select 1" })).await else { return };
    assert_eq!(saw, ["[(1,)]"]);
}

#[test]
fn a_door_to_others_needs_a_certificate_and_people() {
    let says = |listen: &str, asks: bool| {
        let settings =
            Doorway { listen: listen.to_owned(), certificate: Certificate::default(), connections: 1 };
        settings.check(Protocol::Flight, asks).err().map(|e| e.to_string()).unwrap_or_default()
    };
    assert_eq!(says("127.0.0.1:32010", false), "");
    assert!(says("0.0.0.0:32010", true).contains("set `certificate`"));
    assert!(says("nowhere", true).contains("understand the address"));
}
