//! The program itself: several processes on one group and one lake, ended in every way.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use base64::Engine as _;

use super::rig::{Rig, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_share_a_group_and_one_survives_the_other() {
    let rig = Rig::new(4).await;
    let lake = rig.lake().await;
    let mut first = rig.process(&[]);
    let second = rig.process(&[]);
    let shared = async || {
        let owners = rig.owners().await;
        let first = owners.first().map(|o| o.owner.clone()).unwrap_or_default();
        owners.len() == 4 && owners.iter().filter(|o| o.owner == first).count() == 2
    };
    eventually("an even share", shared).await;
    rig.publish(0..200);
    rig.stored(&lake, 200).await;
    // SIGKILL: no word to anybody.
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    rig.publish(200..400);
    rig.stored(&lake, 400).await;
    let status: serde_json::Value = serde_json::from_str(&rig.scratch.ok(&[
        "status",
        "--format",
        "json",
        "--config",
        rig.scratch.path("agentrail.toml").to_str().unwrap(),
    ]))
    .unwrap();
    assert_eq!(status["processes"].as_array().unwrap().len(), 2);
    assert_eq!(status["checkpoints"][0]["partitions"].as_object().unwrap().len(), 4);
    assert!(status["lake"]["rows"].as_u64().unwrap() >= 400);
    assert!(second.stop().success());
    assert!(
        rig.owners().await.iter().all(|o| o.owner.is_empty()),
        "released by the one that was asked to stop"
    );
    assert_eq!(rig.numbers(), (0..400).collect());
    let text = rig.scratch.ok(&["status", "--config", rig.scratch.path("agentrail.toml").to_str().unwrap()]);
    assert!(text.contains("owned by nobody") && text.contains("checkpoints of event_hubs/"), "{text}");
}

/// Answers as the identity endpoint of App Service does; what it was asked.
fn identity(token: &str) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/msi/token", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (heard, body) = (asked.clone(), token.to_owned());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut head = Vec::new();
            let mut byte = [0u8; 1];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                head.push(byte[0]);
            }
            heard.lock().unwrap().push(String::from_utf8_lossy(&head).into_owned());
            let body = format!(
                r#"{{"access_token":"{body}","expires_on":"4000000000","resource":"https://eventhubs.azure.net","token_type":"Bearer"}}"#
            );
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    (address, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_managed_identity_signs_in() {
    let rig = Rig::new(1).await;
    rig.configure("", &format!("namespace = \"{}\"\ncredential = \"managed_identity\"", rig.hubs.host()));
    let claims = r#"{"aud":"https://eventhubs.azure.net","exp":4000000000}"#;
    let token = format!("e30.{}.c2ln", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims));
    let (endpoint, asked) = identity(&token);
    let lake = rig.lake().await;
    let service = rig.process(&[("IDENTITY_ENDPOINT", &endpoint), ("IDENTITY_HEADER", "a secret header")]);
    rig.publish(0..10);
    rig.stored(&lake, 10).await;
    assert!(service.stop().success());
    let seen = rig.hubs.tokens();
    assert!(seen.iter().all(|t| t.kind == "jwt" && t.text == token && t.accepted), "{seen:?}");
    assert!(seen.iter().any(|t| t.audience.contains("/Partitions/0")));
    let asked = asked.lock().unwrap();
    assert!(asked[0].contains("resource=https%3A%2F%2Feventhubs.azure.net"), "{}", asked[0]);
    assert!(asked[0].to_lowercase().contains("x-identity-header: a secret header"), "{}", asked[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_settings_are_said_before_anything_runs() {
    let rig = Rig::new(1).await;
    let says = |section: &str, hub: &str| {
        let config = rig.configure(section, hub);
        let output = rig.scratch.run(&["run", "--config", config.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(says("", "start = \"newest\"").contains("write earliest, latest"));
    assert!(says("", "transport = \"udp\"").contains("tcp or websocket"));
    assert!(says("", "transport = \"websocket\"").contains("amqps://host:443"));
    assert!(says("", "namespase = \"x\"").contains("namespase"));
    assert!(
        says("", "credential = \"pat\"\nnamespace = \"n\"").contains("managed_identity, workload_identity")
    );
    assert!(says("", "credential = \"client_secret\"\nnamespace = \"n\"").contains("tenant_id"));
    assert!(says("expiry = 1", "").contains("at least twice"));
    assert!(says("checkpoints = \"az://box\"", "").contains("checkpoint_account"));
    assert!(says("checkpoints = \"s3://box\"", "").contains("az://container"));
    let secret = says("", "consumer_group = \"a/b\"");
    assert!(secret.contains("consumer_group") && !secret.contains("SAS_KEY_VALUE"), "{secret}");
    rig.scratch.file("agentrail.toml", "[[event_hubs.hubs]]\nconnection_string = \"SharedAccessKey=hush\"\n");
    let output = rig.scratch.run(&["run", "--config", rig.scratch.path("agentrail.toml").to_str().unwrap()]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("[event_hubs]") && !text.contains("hush"), "{text}");
}
