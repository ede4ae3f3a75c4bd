//! Checkpoints in blobs, in Microsoft's emulator of storage, read and written on by Microsoft's JavaScript SDK.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::json;

use super::rig::{Rig, eventually};
use crate::hubs::javascript::{Peer, folder};

/// The account of every Azurite, and its key, which is no secret.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A running Azurite; killed with the value.
struct Azurite {
    child: Child,
    port: u16,
}

impl Azurite {
    /// `None` where `tests/run` could not set it up; in CI that is a failure.
    async fn start(data: &Path) -> Option<Azurite> {
        let Some(folder) = std::env::var_os("PEERS_AZURITE").filter(|folder| !folder.is_empty()) else {
            assert!(std::env::var_os("CI").is_none(), "CI allows no skip: run tests/run");
            println!("skipped: no Azurite; tests/run sets it up");
            return None;
        };
        let script = Path::new(&folder).join("node_modules/azurite/dist/src/azurite.js");
        let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let ports = [free(), free(), free()].map(|port| port.to_string());
        let child = Command::new("node")
            .arg(script)
            .args(["--silent", "--skipApiVersionCheck", "--disableTelemetry", "--location"])
            .arg(data)
            .args(["--blobHost", "127.0.0.1", "--blobPort", &ports[0]])
            .args(["--queuePort", &ports[1], "--tablePort", &ports[2]])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let azurite = Azurite { child, port: ports[0].parse().unwrap() };
        eventually("Azurite", async || std::net::TcpStream::connect(("127.0.0.1", azurite.port)).is_ok())
            .await;
        Some(azurite)
    }

    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}/{ACCOUNT}", self.port)
    }

    fn connection_string(&self) -> String {
        format!(
            "DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={};",
            self.endpoint()
        )
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_sdk_reads_our_checkpoints_and_we_read_its_own() {
    let Some(folder) = folder() else { return };
    let rig = Rig::new(2).await;
    let Some(azurite) = Azurite::start(&rig.scratch.path("azurite")).await else { return };
    let key = rig.scratch.file("key", KEY);
    let blobs = format!(
        "checkpoints = \"az://box\"\ncheckpoint_account = \"{ACCOUNT}\"\ncheckpoint_key = \"file:{}\"\ncheckpoint_endpoint = \"{}\"\n",
        key.display(),
        azurite.endpoint()
    );
    rig.configure(&blobs, "consumer_group = \"g\"");
    let ask = async |more: serde_json::Value| {
        let mut given = json!({
            "storage": azurite.connection_string(), "container": "box", "namespace": rig.hubs.host(), "group": "g",
        });
        given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        // The emulator form of the connection string makes the SDK come here, and name the namespace so.
        Peer::start(&folder, &rig.hubs.emulator_connection_string(), "checkpoints", &given, &[]).said().await
    };
    ask(json!({ "create": true })).await;

    rig.publish(0..20);
    let consumer = rig.consumer().await;
    rig.stored(&consumer.lake, 20).await;
    let group =
        agentrail::source::event_hubs::checkpoints::Group { consumer_group: "g".into(), ..rig.group() };
    let at = async |sequence: i64| {
        let marks = rig.store().marks(&group).await.unwrap();
        marks.len() == 2 && marks.values().all(|mark| mark.sequence == sequence)
    };
    eventually("the checkpoints", async || at(9).await).await;
    let said = ask(json!({})).await;
    let checkpoints = said["checkpoints"].as_array().unwrap();
    assert_eq!(checkpoints.len(), 2, "{said}");
    for checkpoint in checkpoints {
        let partition = checkpoint["partitionId"].as_str().unwrap();
        let last = rig.hubs.events("h", partition).unwrap().pop().unwrap();
        assert_eq!(checkpoint["sequenceNumber"], last.sequence, "{said}");
        assert_eq!(checkpoint["offset"].to_string().trim_matches('"'), last.offset.to_string(), "{said}");
    }
    let owner = &rig.store().owners(&group).await.unwrap()[0].owner;
    assert_eq!(said["ownerships"][0]["ownerId"], owner.as_str(), "{said}");
    assert!(said["ownerships"][0]["etag"].is_string() && said["ownerships"].as_array().unwrap().len() == 2);
    consumer.stop().await;
    let said = ask(json!({})).await;
    assert_eq!(said["ownerships"][0]["ownerId"], "", "released: {said}");

    // In the name that the emulator form gives the namespace, its processor begins where we were.
    let theirs =
        agentrail::source::event_hubs::checkpoints::Group { namespace: "localhost".into(), ..group.clone() };
    let store = rig.store();
    for (partition, mark) in store.marks(&group).await.unwrap() {
        store.save(&theirs, &partition, &mark).await.unwrap();
    }
    rig.publish(20..30);
    let said = ask(json!({ "count": 10 })).await;
    let mut numbers: Vec<i64> =
        said["events"].as_array().unwrap().iter().map(|e| e["sequence"].as_i64().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [10, 10, 11, 11, 12, 12, 13, 13, 14, 14], "{said}");
    // And what it saved is where we would go on.
    let marks = store.marks(&theirs).await.unwrap();
    assert!(marks.values().all(|mark| mark.sequence == 14 && mark.enqueued.is_none()), "{marks:?}");
    let released = store.owners(&theirs).await.unwrap();
    assert!(released.len() == 2 && released.iter().all(|o| o.owner.is_empty()), "{released:?}");
    let marks: Vec<_> = marks.into_iter().collect();
    for (partition, mark) in marks {
        store.save(&group, &partition, &mark).await.unwrap();
    }
    rig.publish(30..32);
    let consumer = rig.consumer().await;
    rig.stored(&consumer.lake, 22).await;
    assert_eq!(consumer.handed(), 2);
    consumer.stop().await;
}
