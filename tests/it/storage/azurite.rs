//! Azurite: the commands, credentials, and several processes of which some are killed.

use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;

use super::{Remote, Server, records, serve};
use crate::lake::{Scratch, audit_record, request};
use crate::readers::python;

/// Of the emulator, and public.
pub const ACCOUNT: &str = "devstoreaccount1";
pub const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
const CONTAINER: &str = "lakes";

pub struct Azurite {
    _server: Server,
    pub port: u16,
}

impl Azurite {
    /// Starts the emulator that `tests/run` set up, with an empty container; without it these tests are
    /// skipped, in CI they fail.
    pub fn start() -> Option<Azurite> {
        let folder = std::env::var_os("PEERS_AZURITE").filter(|folder| !folder.is_empty()).map(PathBuf::from);
        let Some(folder) = folder else {
            assert!(std::env::var_os("CI").is_none(), "CI allows no skip: run tests/run");
            println!("skipped: no Azurite; tests/run sets it up");
            return None;
        };
        let (server, port) = serve(|port| {
            let mut command = Command::new("node");
            command.arg(folder.join("node_modules/azurite/dist/src/blob/main.js"));
            command.args([
                "--silent",
                "--inMemoryPersistence",
                "--skipApiVersionCheck",
                "--disableTelemetry",
            ]);
            command.args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()]).current_dir(&folder);
            command
        });
        let azurite = Azurite { _server: server, port };
        let (status, answer) = azurite.make(CONTAINER);
        assert_eq!(status, 201, "{answer}");
        Some(azurite)
    }

    /// Makes a container, as an operator does once.
    pub fn make(&self, container: &str) -> (u16, String) {
        let date = "Thu, 05 Mar 2026 14:00:00 GMT";
        let text = format!(
            "PUT{}x-ms-date:{date}\nx-ms-version:2021-08-06\n/{ACCOUNT}/{ACCOUNT}/{container}\nrestype:container",
            "\n".repeat(12)
        );
        let signed = format!("SharedKey {ACCOUNT}:{}", signed(&text));
        let headers = [("x-ms-date", date), ("x-ms-version", "2021-08-06"), ("Authorization", &signed)];
        let path = format!("/{ACCOUNT}/{container}?restype=container");
        request(&format!("127.0.0.1:{}", self.port), "PUT", &path, &headers, b"").unwrap()
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}/{ACCOUNT}", self.port)
    }

    /// A lake of this name, reached with the key of the account.
    pub(super) fn lake(&self, name: &str) -> Remote {
        Remote {
            scratch: Scratch::new(),
            url: format!("az://{CONTAINER}/{name}"),
            environment: vec![
                ("AGENTRAIL_STORAGE__ACCOUNT", ACCOUNT.to_owned()),
                ("AGENTRAIL_STORAGE__ENDPOINT", self.endpoint()),
                ("AGENTRAIL_STORAGE__ACCOUNT_KEY", "env:THE_KEY".to_owned()),
                ("THE_KEY", KEY.to_owned()),
            ],
            options: json!({
                "account_name": ACCOUNT, "account_key": KEY, "endpoint": self.endpoint(), "allow_http": "true",
            }),
        }
    }
}

fn signed(text: &str) -> String {
    let key = BASE64_STANDARD.decode(KEY).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(text.as_bytes());
    BASE64_STANDARD.encode(mac.finalize().into_bytes())
}

/// A shared access signature of the container: read, add, create, write, delete and list.
fn signature() -> String {
    let (may, until, version) = ("racwdl", "2099-01-01T00:00:00Z", "2021-08-06");
    let text = format!("{may}\n\n{until}\n/blob/{ACCOUNT}/{CONTAINER}\n\n\n\n{version}\nc\n\n\n\n\n\n\n");
    let escaped = signed(&text).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!("sp={may}&se={}&sv={version}&sr=c&sig={escaped}", until.replace(':', "%3A"))
}

#[test]
fn every_command_works_and_says_what_a_local_lake_says() {
    let Some(azurite) = Azurite::start() else { return };
    let lake = azurite.lake("some/where");
    let local = Scratch::new();
    let simulated = lake.scratch.path("simulated");
    let out = simulated.to_str().unwrap();
    lake.ok(&["simulate", "--seed", "3", "--days", "1", "--events-per-day", "100", "--out", out]);
    let files = ["facts.ndjson", "audit.ndjson"].map(|name| simulated.join(name));
    assert!(lake.ok(&["check"]).contains("is not there yet"));
    assert!(!lake.run(&["sql", "select 1"]).status.success(), "there is no lake to ask");
    for file in &files {
        local.ingest(file);
        lake.ingest(&[file]);
    }
    let verdicts = "select event_id, executor, grade, agent_name, run_id from actions order by event_id";
    let theirs = lake.ok(&["sql", "--format", "csv", verdicts]);
    assert!(theirs.lines().count() > 50);
    assert_eq!(theirs, local.ok(&["sql", "--format", "csv", verdicts]));
    // Files and positions are known: nothing is read a second time.
    assert_eq!(lake.ingest(&[&files[1]])["records"], 0);
    let checked = lake.ok(&["check"]);
    assert!(checked.contains("all are there") && checked.contains(&lake.url), "{checked}");
    let agent = "select agent_name from actions where agent_name is not null limit 1";
    let agent = lake.ok(&["sql", "--format", "csv", agent]);
    lake.ok(&["trace", agent.lines().nth(1).unwrap()]);
    lake.ok(&["report", "agent_actions", "--param", &format!("agent={}", agent.lines().nth(1).unwrap())]);
    assert!(lake.ok(&["reattribute", "--since", "2020-01-01"]).contains("looked at"));
    lake.ok(&["maintain"]);
    lake.ok(&["score", "--truth", simulated.join("truth.ndjson").to_str().unwrap()]);
}

#[test]
fn status_says_what_a_service_is_at() {
    let Some(azurite) = Azurite::start() else { return };
    let lake = azurite.lake("service");
    let mut environment: Vec<(&str, &str)> = vec![("AGENTRAIL_LAKE", &lake.url)];
    environment.extend(lake.environment.iter().map(|(name, value)| (*name, value.as_str())));
    let service = crate::lake::Service::start(&lake.scratch, &environment);
    let runs = format!("process    {} on ", service.child.id());
    let began = std::time::Instant::now();
    loop {
        let says = lake.ok(&["status"]);
        if says.contains(&runs) {
            assert!(says.contains(" runs, since ") && says.contains(&lake.url), "{says}");
            break;
        }
        assert!(began.elapsed().as_secs() < 60, "{says}");
    }
    assert!(service.stop().success());
    assert!(lake.ok(&["status"]).contains("none runs on this lake"));
}

#[test]
fn credentials_are_taken_as_they_come_and_what_is_wrong_is_told_with_its_remedy() {
    let Some(azurite) = Azurite::start() else { return };
    let mut lake = azurite.lake("lake");
    let file = lake.scratch.file("events.ndjson", records(0..5));
    // A signature in a file.
    let signature_file = lake.scratch.file("signature", signature() + "\n");
    lake.environment.truncate(2);
    let by_signature = format!("file:{}", signature_file.display());
    lake.environment.push(("AGENTRAIL_STORAGE__SAS_TOKEN", by_signature));
    lake.ingest(&[&file]);
    assert_eq!(lake.count("select count(*) from actions"), 5);
    // The environment of other programs.
    lake.environment = vec![
        ("AZURE_STORAGE_USE_EMULATOR", "true".to_owned()),
        ("AZURITE_BLOB_STORAGE_URL", format!("http://127.0.0.1:{}", azurite.port)),
    ];
    assert_eq!(lake.count("select count(*) from actions"), 5);

    let wrong = |name: &'static str, value: &str, url: &str| {
        let mut lake = azurite.lake("lake");
        lake.environment.push((name, value.to_owned()));
        lake.url = url.to_owned();
        let output = lake.run(&["ingest", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1));
        let says = String::from_utf8(output.stderr).unwrap();
        assert!(says.contains(url.split('?').next().unwrap()) || says.contains("the setting"), "{says}");
        says
    };
    let url = "az://lakes/lake";
    let key = BASE64_STANDARD.encode([7; 64]);
    let says = wrong("THE_KEY", &key, url);
    assert!(
        says.contains("refuses the credential") && says.contains("Storage Blob Data Contributor"),
        "{says}"
    );
    assert!(!says.contains(&key), "{says}");
    let says = wrong("THE_KEY", "no base64", url);
    assert!(says.contains("check [storage]") && !says.contains("no base64"), "{says}");
    let says = wrong("THE_KEY", KEY, "az://nobody-made-it/lake");
    assert!(says.contains("no such container"), "{says}");
    let says = wrong("AGENTRAIL_STORAGE__ENDPOINT", "http://127.0.0.1:1/x", url);
    assert!(says.contains("cannot be reached"), "{says}");
    let says = wrong("AGENTRAIL_STORAGE__ACCOUNT_KEY", "env:NOBODY_SET_IT", url);
    assert!(says.contains("storage.account_key"), "{says}");
    let says = wrong("THE_KEY", KEY, "az://lakes/lake?sig=secret");
    assert!(says.contains("storage.sas_token") && !says.contains("secret"), "{says}");
}

#[test]
fn two_processes_at_once_and_killed_ones_leave_every_key_once() {
    let Some(azurite) = Azurite::start() else { return };
    let lake = azurite.lake("shared");
    // Each file holds some of the next one's records: the processes meet in the middle.
    let files: Vec<PathBuf> =
        (0..8).map(|n| lake.scratch.file(&format!("{n}.ndjson"), records(n * 100..n * 100 + 130))).collect();
    let forth: Vec<_> = files.iter().map(PathBuf::as_path).collect();
    let back: Vec<_> = forth.iter().rev().copied().collect();
    // Both make the lake, both write; neither knows of the other but by the log.
    let (mut a, mut b) = (lake.start(&forth, None), lake.start(&back, None));
    assert!(a.wait().unwrap().success());
    assert!(b.wait().unwrap().success());
    assert_eq!(lake.count("select count(*) from actions"), 830);

    // The same, and one of them ends between two of its steps.
    for (n, failpoint) in ["parquet_synced:1", "entry_linked:1", "committed:1"].iter().enumerate() {
        let first = 1000 * (n as u32 + 1);
        let files: Vec<PathBuf> = (0..4)
            .map(|n| {
                let from = first + n * 100;
                lake.scratch.file(&format!("{first}/{n}.ndjson"), records(from..from + 130))
            })
            .collect();
        let all: Vec<_> = files.iter().map(PathBuf::as_path).collect();
        // The last is the second one's alone, so that it surely has something to write.
        let back: Vec<_> = all.iter().rev().copied().collect();
        let (mut a, mut b) = (lake.start(&all[..3], None), lake.start(&back, Some(failpoint)));
        assert!(a.wait().unwrap().success());
        assert!(!b.wait().unwrap().success(), "{failpoint} is never passed");
        assert!(lake.start(&back, None).wait().unwrap().success());
    }
    let rows = 830 + 3 * 430;
    assert_eq!(lake.count("select count(*) from actions"), rows);
    assert_eq!(lake.count("select count(distinct event_id) from actions"), rows);
    assert!(lake.ok(&["check"]).contains("all are there"));
    if let Some(python) = python() {
        assert_eq!(lake.counted_by_deltalake(&python), format!("{rows} {rows}"));
    }
}

#[test]
fn what_two_services_acknowledged_is_there_once_after_kills() {
    let Some(azurite) = Azurite::start() else { return };
    let rounds = if std::env::var("PEERS_LONG").is_ok_and(|v| v == "1") { 20 } else { 2 };
    let lake = azurite.lake("service");
    let mut environment: Vec<(&str, &str)> = vec![("AGENTRAIL_LAKE", &lake.url)];
    environment.extend(lake.environment.iter().map(|(name, value)| (*name, value.as_str())));
    // Half of the records come to both services at once.
    let send = |address: &str, numbers: std::ops::Range<u32>| -> Vec<u32> {
        let mut acknowledged = Vec::new();
        for n in numbers {
            let body = audit_record(n);
            if let Ok((200, _)) = request(address, "POST", "/services/collector", &[], body.as_bytes()) {
                acknowledged.push(n);
            }
        }
        acknowledged
    };
    let mut acknowledged = std::collections::BTreeSet::new();
    for round in 0..rounds {
        let first = round * 30;
        let stays = crate::lake::Service::start(&lake.scratch, &environment);
        let mut dies = crate::lake::Service::start(&lake.scratch, &environment);
        let (one, address) = (stays.address.clone(), dies.address.clone());
        std::thread::scope(|scope| {
            let one = scope.spawn(move || send(&one, first..first + 20));
            let other = scope.spawn(move || send(&address, first + 10..first + 30));
            // Killed when it has written something, wherever it is by then.
            let before = acknowledged.len() as i64;
            while lake.count("select count(*) from lake.events") <= before {}
            dies.child.kill().unwrap();
            acknowledged.extend(one.join().unwrap());
            acknowledged.extend(other.join().unwrap());
        });
        assert!(stays.stop().success());
    }
    let ids = lake.ok(&["sql", "--format", "csv", "select event_id from actions"]);
    let ids: Vec<&str> = ids.lines().skip(1).collect();
    let distinct: std::collections::BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(ids.len(), distinct.len(), "an event is there twice");
    assert!(acknowledged.len() as u32 >= rounds * 20, "the one that stays answered all");
    for n in acknowledged {
        let id = format!("a1000000-0000-4000-8000-{n:012x}");
        assert!(distinct.contains(id.as_str()), "{id} was acknowledged and is not there");
    }
}
