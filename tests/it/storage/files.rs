//! Files of Capture where the service writes them: ingested by URL as from the local disk, once, and watched.

use std::process::Output;
use std::sync::Arc;
use std::time::{Duration, Instant};

use object_store::azure::MicrosoftAzureBuilder;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};

use super::azurite::{ACCOUNT, Azurite, KEY};
use super::{Remote, records};
use crate::lake::{Scratch, Service};

const CAPTURED: [&[u8]; 2] =
    [include_bytes!("../event_hubs/capture_null.avro"), include_bytes!("../event_hubs/capture_deflate.avro")];

/// A container of an emulator, and a local lake.
struct Rig {
    _azurite: Azurite,
    store: Arc<dyn ObjectStore>,
    runtime: tokio::runtime::Runtime,
    lake: Remote,
}

impl Rig {
    fn start() -> Option<Rig> {
        let azurite = Azurite::start()?;
        assert_eq!(azurite.make("capture").0, 201);
        let store = MicrosoftAzureBuilder::new()
            .with_account(ACCOUNT)
            .with_access_key(KEY)
            .with_container_name("capture")
            .with_endpoint(azurite.endpoint())
            .with_allow_http(true);
        let mut lake = azurite.lake("");
        lake.url = lake.scratch.lake().display().to_string();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        Some(Rig { _azurite: azurite, store: Arc::new(store.build().unwrap()), runtime, lake })
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        let name = Path::from(name);
        self.runtime.block_on(self.store.put(&name, bytes.to_vec().into())).unwrap();
    }

    /// The account of an ingest that ends well.
    fn ingest(&self, arguments: &[&str]) -> serde_json::Value {
        let arguments = [&["ingest", "--format", "json"], arguments].concat();
        serde_json::from_str(&self.lake.ok(&arguments)).unwrap()
    }

    fn fails(&self, url: &str, environment: &[(&str, &str)]) -> String {
        let mut command = self.lake.command(&["ingest", url]);
        let output: Output = command.envs(environment.iter().copied()).output().unwrap();
        let says = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{says}");
        assert!(says.starts_with("error: failed to "), "{says}");
        says
    }
}

/// What a lake has, but for where it came from.
fn held(ask: impl Fn(&str) -> String) -> [String; 2] {
    let events =
        "select event_id, occurred, action, actor_name, details, data, record_hash from actions order by 1";
    let rejects = "select reason, says, position, record_hash from rejects order by 2, 4";
    [ask(events), ask(rejects)]
}

#[test]
fn capture_is_ingested_from_where_it_is_written_as_from_the_local_disk() {
    let Some(rig) = Rig::start() else { return };
    let local = Scratch::new();
    let broken = &CAPTURED[0][..CAPTURED[0].len() - 30];
    // As Capture names them: hub, partition, and when the window began. The broken one is not the last.
    for (name, bytes) in [
        ("contoso/audit/0/2026/03/05/14/00/00.avro", broken),
        ("contoso/audit/0/2026/03/05/14/05/00.avro", CAPTURED[0]),
        ("contoso/audit/1/2026/03/05/14/00/00.avro", CAPTURED[1]),
        ("contoso/audit/1/2026/03/05/14/05/00.avro", b""),
        ("contoso/audit/1/notes/more.ndjson", records(100..140).as_bytes()),
    ] {
        rig.put(name, bytes);
        local.file(&format!("mirror/{name}"), bytes);
    }
    rig.put("contoso/auditor/0/2026/03/05/14/00/00.avro", b"of another hub");
    let asked = "az://capture/contoso/audit/**";
    let mut expected = local.ingest(&local.path("mirror"));
    let mut found = rig.ingest(&[asked]);
    // How many are committed together differs.
    for account in [&mut expected, &mut found] {
        account.as_object_mut().unwrap().remove("payloads");
    }
    assert_eq!(found, expected);
    let sql = |statement: &str| rig.lake.ok(&["sql", "--format", "csv", statement]);
    assert_eq!(held(sql), held(|statement| local.ok(&["sql", "--format", "csv", statement])));
    assert_eq!(rig.lake.count("select count(*) from actions"), 44);
    let from = sql("select distinct source from rejects order by 1");
    assert!(from.contains("az://capture/contoso/audit/0/2026/03/05/14/00/00.avro"), "{from}");

    // Nothing is read again, whatever names it, unless it is asked for; then nothing is stored again.
    for url in [asked, "az://capture/contoso/audit", "az://capture/contoso/audit/0/2026/03/05/14/05/00.avro"]
    {
        assert_eq!(rig.ingest(&[url])["bytes"], 0, "{url}");
    }
    let again = rig.ingest(&["--again", asked]);
    assert_eq!((&again["records"], &again["tables"]["events"]["added"]), (&expected["records"], &0.into()));
    // Made whole, the broken one is read, and nothing else.
    rig.put("contoso/audit/0/2026/03/05/14/00/00.avro", CAPTURED[0]);
    let whole = rig.ingest(&["az://capture/contoso/audit/*/2026/**/*.avro"]);
    assert_eq!(whole["tables"]["events"]["known_already"], 4, "{whole}");
    assert!(rig.lake.ok(&["check"]).contains("all are there"));
}

#[test]
fn parts_of_an_object_come_to_the_same_as_the_whole() {
    let Some(rig) = Rig::start() else { return };
    let local = Scratch::new();
    rig.put("a.avro", CAPTURED[0]);
    rig.put("b.ndjson", records(0..300).as_bytes());
    local.ingest(&local.file("a.avro", CAPTURED[0]));
    local.ingest(&local.file("b.ndjson", records(0..300)));
    let mut ingest = rig.lake.command(&["ingest", "az://capture"]);
    let output = ingest.env("AGENTRAIL_FILES__CHUNK", "700").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let of = |rows: [String; 2]| (rows[0].clone(), rows[1].lines().count());
    let sql = |statement: &str| rig.lake.ok(&["sql", "--format", "csv", statement]);
    assert_eq!(of(held(sql)), of(held(|statement| local.ok(&["sql", "--format", "csv", statement]))));
    // Appended to, as Log Analytics does: what is new is read.
    rig.put("b.ndjson", records(0..310).as_bytes());
    assert_eq!(rig.ingest(&["az://capture/b.ndjson"])["records"], 10);
}

#[test]
fn what_cannot_be_had_is_told_with_its_url_and_a_remedy_and_the_next_goes_in() {
    let Some(rig) = Rig::start() else { return };
    rig.put("a.ndjson", records(0..5).as_bytes());
    let says = rig.fails("az://nobody-made-it/x/**", &[]);
    assert!(says.contains("list `az://nobody-made-it/x`: there is no such container"), "{says}");
    let says = rig.fails("az://capture/b/**", &[]);
    assert!(says.contains("find `az://capture/b/**`: no object"), "{says}");
    let says = rig.fails("gs://capture/b", &[]);
    assert!(says.contains("`gs://capture/b`") && says.contains("write az://container/path"), "{says}");
    let says = rig.fails("az://capture/*?sig=hush", &[]);
    assert!(says.contains("storage.sas_token") && !says.contains("hush"), "{says}");
    let wrong = "d3Jvbmc=";
    let says = rig.fails("az://capture", &[("THE_KEY", wrong)]);
    assert!(says.contains("`az://capture`") && says.contains("Storage Blob Data Reader"), "{says}");
    assert!(!says.contains(wrong), "{says}");
    let says = rig.fails("az://capture", &[("AGENTRAIL_STORAGE__ACCOUNT_KEY", "env:NOBODY_SET_IT")]);
    assert!(says.contains("storage.account_key"), "{says}");
    // A proxy of the environment is asked, as README says: here none is.
    let says = rig.fails("az://capture", &[("HTTP_PROXY", "http://127.0.0.1:1")]);
    assert!(says.contains("cannot be reached"), "{says}");

    let file = rig.lake.scratch.file("local.ndjson", records(10..12));
    let arguments = ["ingest", "az://nobody-made-it", "az://capture", file.to_str().unwrap()];
    assert_eq!(rig.lake.run(&arguments).status.code(), Some(1));
    assert_eq!(rig.lake.count("select count(*) from actions"), 7);
}

#[test]
fn a_service_watches_a_url() {
    let Some(rig) = Rig::start() else { return };
    let config = "[files]\nwatch = [\"az://capture/in/**/*.avro\", \"drop\"]\nurls_every = 1\nevery = 1\n";
    let config = rig.lake.scratch.file("agentrail.toml", config);
    let config = ["--config", config.to_str().unwrap()];
    let checked = rig.lake.ok(&["check", config[0], config[1]]);
    assert!(checked.contains("`az://capture/in/**/*.avro` would be listed every 1 s"), "{checked}");
    let environment: Vec<(&str, &str)> =
        rig.lake.environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let stored = |wanted: i64| {
        let began = Instant::now();
        while rig.lake.count("select count(*) from lake.events") != wanted {
            assert!(began.elapsed() < Duration::from_secs(60), "{wanted} events did not come");
        }
    };
    let service = Service::start_with(&rig.lake.scratch, &config, &environment);
    rig.put("in/1.avro", CAPTURED[0]);
    stored(4);
    rig.lake.scratch.file("drop/a.ndjson", records(200..203));
    stored(7);
    assert!(service.stop().success());
    assert_eq!(rig.ingest(&["az://capture/in"])["records"], 0, "the service has left word of where it was");
}
