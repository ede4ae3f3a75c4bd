//! Microsoft's JavaScript client as producer and consumer: an independent reading of the protocol.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use agentrail::simulate::hubs::{Hubs, Role};
use azure_messaging_eventhubs::StartLocation;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

use crate::hubs::client::{SOON, anew, bodies, consumer, from, receiver, server, soon, stuck, take, until};

/// The folder that `tests/run` set up; without it these tests are skipped, in CI they fail.
pub fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("PEERS_JAVASCRIPT").filter(|folder| !folder.is_empty());
    if folder.is_none() {
        assert!(std::env::var_os("CI").is_none(), "CI allows no skip: run tests/run");
        println!("skipped: no JavaScript peer; tests/run sets it up");
    }
    folder.map(PathBuf::from)
}

/// The client in a process of its own. Dropped, it ends.
pub struct Peer {
    child: Child,
    asides: Lines<BufReader<ChildStderr>>,
}

impl Peer {
    /// Starts it in the folder, with more in its environment.
    pub fn start(
        folder: &Path,
        connection: &str,
        command: &str,
        given: &Value,
        more: &[(&str, &Path)],
    ) -> Self {
        let mut child = Command::new("node")
            .arg("peer.mjs")
            .args([command, connection, "h", &given.to_string()])
            .current_dir(folder)
            .env("NODE_NO_WARNINGS", "1")
            .envs(more.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let asides = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, asides }
    }

    /// Waits until it has been reading: cuts and thefts before that are told in another way.
    async fn reads(&mut self) {
        let reading = async {
            while let Some(line) = self.asides.next_line().await.unwrap() {
                if line == "reading" {
                    return true;
                }
            }
            false
        };
        assert!(soon("the peer's reading", reading).await, "it ended before");
    }

    /// What it said at its end.
    pub async fn said(self) -> Value {
        let Self { child, mut asides } = self;
        let rest = async {
            let mut text = String::new();
            while let Ok(Some(line)) = asides.next_line().await {
                text += &line;
                text.push('\n');
            }
            text
        };
        let ended = async { tokio::join!(child.wait_with_output(), rest) };
        let Ok((output, asides)) = tokio::time::timeout(SOON * 2, ended).await else {
            stuck("the peer did not end".to_owned())
        };
        let output = output.unwrap();
        let out = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{out}\n{asides}");
        serde_json::from_str(out.trim()).unwrap_or_else(|error| panic!("{error}: {out}\n{asides}"))
    }
}

fn start(folder: &Path, connection: &str, command: &str, given: &Value) -> Peer {
    Peer::start(folder, connection, command, given, &[])
}

async fn peer(folder: &Path, hubs: &Hubs, command: &str, given: Value) -> Value {
    start(folder, &hubs.emulator_connection_string(), command, &given).said().await
}

/// Runs a test where there is a peer.
pub fn with_peer(test: impl AsyncFn(&Path)) {
    if let Some(folder) = folder() {
        anew(async || test(&folder).await);
    }
}

fn texts(events: &Value) -> Vec<&str> {
    events.as_array().unwrap().iter().map(|event| event["body"].as_str().unwrap()).collect()
}

#[test]
fn it_sends_what_we_receive() {
    with_peer(async |folder| {
        let hubs = server().await;
        let given = json!({ "batches": [
            { "partitionId": "1", "bodies": ["a", "b", "c"] },
            { "partitionKey": "k", "bodies": ["d", "e"] },
            { "bodies": ["f"] },
        ]});
        peer(folder, &hubs, "send", given).await;
        let client = consumer(&hubs).await;
        let mut all = Vec::new();
        for partition in ["0", "1"] {
            let count = hubs.events("h", partition).unwrap().len();
            let reader = receiver(&client, partition, from(StartLocation::Earliest, false)).await;
            let events = take(&reader, count).await.unwrap();
            for event in &events {
                assert_eq!(event.event_data().properties().unwrap().len(), 1);
                let keyed = ["d", "e"].contains(&crate::hubs::client::body(event).as_str());
                assert_eq!(event.partition_key().as_deref(), keyed.then_some("k"));
            }
            all.extend(bodies(&events));
        }
        all.sort();
        assert_eq!(all, ["a", "b", "c", "d", "e", "f"]);
        assert!(hubs.tokens().iter().filter(|t| t.kind.ends_with("sastoken")).all(|t| t.accepted));
    });
}

#[test]
fn it_reads_properties() {
    with_peer(async |folder| {
        let hubs = server().await;
        for n in 0..3 {
            hubs.publish("h", "1", format!("{n}")).unwrap();
        }
        let read = peer(folder, &hubs, "properties", json!({})).await;
        assert_eq!((&read["name"], &read["ids"]), (&json!("h"), &json!(["0", "1"])));
        let (empty, full) = (&read["parts"][0], &read["parts"][1]);
        assert_eq!((&empty["isEmpty"], &full["isEmpty"]), (&json!(true), &json!(false)));
        assert_eq!(full["beginningSequenceNumber"], 0);
        assert_eq!(full["lastEnqueuedSequenceNumber"], 2);
        assert_eq!(full["lastEnqueuedOffset"].to_string().trim_matches('"'), "114");
    });
}

#[test]
fn it_receives_from_where_it_asks() {
    with_peer(async |folder| {
        let hubs = server().await;
        for n in 0..300 {
            hubs.publish("h", "0", format!("{n}")).unwrap();
        }
        let all = peer(folder, &hubs, "receive", json!({ "partition": "0", "count": 300 })).await;
        let expected: Vec<String> = (0..300).map(|n| n.to_string()).collect();
        assert_eq!(texts(&all["events"]), expected, "{}", all["errors"]);
        let after = json!({ "sequenceNumber": 297, "isInclusive": false });
        let tail =
            peer(folder, &hubs, "receive", json!({ "partition": "0", "count": 2, "from": after })).await;
        assert_eq!(texts(&tail["events"]), ["298", "299"]);
        let offset = all["events"][297]["offset"].clone();
        let after = json!({ "offset": offset, "isInclusive": true });
        let tail =
            peer(folder, &hubs, "receive", json!({ "partition": "0", "count": 3, "from": after })).await;
        assert_eq!(texts(&tail["events"]), ["297", "298", "299"]);
        assert!(hubs.attached().iter().any(|link| link.role == Role::Reads && link.filter.is_some()));
    });
}

#[test]
fn it_loses_to_a_higher_owner_level() {
    with_peer(async |folder| {
        let hubs = server().await;
        hubs.publish("h", "0", "x").unwrap();
        let given = json!({ "partition": "0", "count": 99, "level": 1, "stop": true });
        let mut running = start(folder, &hubs.emulator_connection_string(), "receive", &given);
        until("the peer to own the partition", || hubs.owner_level("h", "$Default", "0").unwrap() == Some(1))
            .await;
        running.reads().await;
        hubs.faults().steal("h", "$Default", "0", 2).unwrap();
        let said = running.said().await;
        assert!(said["errors"][0]["message"].as_str().unwrap().contains("epoch"), "{said}");
        assert_eq!(said["errors"][0]["code"], "ReceiverDisconnectedError", "{said}");
    });
}

#[test]
fn it_survives_cuts_without_seeing_events_twice() {
    with_peer(async |folder| {
        let hubs = server().await;
        for n in 0..10 {
            hubs.publish("h", "0", format!("{n}")).unwrap();
        }
        let given = json!({ "partition": "0", "count": 20 });
        let mut running = start(folder, &hubs.emulator_connection_string(), "receive", &given);
        running.reads().await;
        hubs.faults().drop_sockets();
        for n in 10..20 {
            hubs.publish("h", "0", format!("{n}")).unwrap();
        }
        let said = running.said().await;
        let expected: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        assert_eq!(texts(&said["events"]), expected, "{said}");
    });
}

#[test]
fn it_is_refused_with_a_wrong_key() {
    with_peer(async |folder| {
        let hubs = server().await;
        hubs.publish("h", "0", "x").unwrap();
        let forged = hubs.emulator_connection_string().replace("SAS_KEY_VALUE", "another");
        let given = json!({ "partition": "0", "count": 1, "stop": true });
        let said = start(folder, &forged, "receive", &given).said().await;
        assert_eq!(said["errors"][0]["code"], "UnauthorizedError", "{said}");
        assert_eq!(said["events"], json!([]));
        assert!(hubs.tokens().iter().all(|token| !token.accepted));
    });
}
