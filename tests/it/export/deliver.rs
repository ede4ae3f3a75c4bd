//! Every record reaches each kind of destination: once, under its key, in the order of its organisation.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::broker::Brokers;
use super::daemons::{Daemon, Ports, free_port, rsyslog, syslog_ng};
use super::kinds::Pair;
use super::rig::{PATIENCE, Rig, at_least_once, in_order, key, keys_of};

fn delivers(name: &'static str, tls: bool, more: &str, settings: Value) {
    let Some(pair) = Pair::new(name, tls, more, settings) else { return };
    for part in [0..120, 120..150, 150..150] {
        if !part.is_empty() {
            pair.rig.ingest(part);
        }
        pair.rig.exported();
        once_in_order(&pair.keys(), &pair.rig.keys());
    }
    assert_eq!(pair.receivers.complaints(), Vec::<String>::new());
    let status = pair.rig.status("soc");
    assert_eq!(
        (&status["sent"], &status["refused"], &status["waiting"]),
        (&json!(150), &json!(0), &json!(0))
    );
    assert!(status["fault"].is_null(), "{status}");
}

fn once_in_order(keys: &[String], wanted: &[String]) {
    assert_eq!(keys.len(), wanted.len(), "some came twice, or not");
    at_least_once(keys, wanted);
    in_order(keys, wanted);
}

#[test]
fn splunk() {
    delivers("splunk", true, "", json!({}));
}

#[test]
fn splunk_with_acknowledgement() {
    delivers("splunk", false, "acknowledge = 60\n", json!({ "acknowledge": true }));
}

#[test]
fn elastic() {
    delivers("elastic", true, "", json!({}));
}

#[test]
fn elastic_by_user_and_password() {
    let more = "token = \"\"\nuser = \"elastic\"\npassword = \"changeme\"\ngzip = false\n";
    delivers("elastic", false, more, json!({}));
}

#[test]
fn sentinel() {
    delivers("sentinel", false, "", json!({}));
}

#[test]
fn otlp() {
    let more = "headers = { x-scope = \"soc\" }\n";
    delivers("otlp", true, more, json!({ "headers": { "x-scope": "soc" } }));
}

#[test]
fn webhook_in_lines_signed() {
    let signed = json!({ "signature": "x-agentrail-signature", "secret": "of both", "headers": { "authorization": "Bearer own" } });
    delivers("webhook", true, "secret = \"of both\"\ntoken = \"own\"\n", signed);
}

#[test]
fn webhook_as_a_list() {
    delivers("webhook", false, "list = true\ngzip = false\n", json!({}));
}

#[test]
fn kafka() {
    let Some(brokers) = Brokers::start(3, 4) else { return };
    let rig = Rig::new();
    rig.configure(&format!(
        "[[export.destinations]]\nname = \"soc\"\nkind = \"kafka\"\nurl = \"{}\"\ntopic = \"agentrail\"\nwhat = [\"events\"]\nitems = 25\n",
        brokers.addresses
    ));
    rig.ingest(0..120);
    rig.exported();
    let seen = brokers.seen();
    let keys: Vec<String> = seen.iter().map(|line| line["key"].as_str().unwrap().to_owned()).collect();
    assert_eq!(keys, keys_of(&seen), "a record's key is that of its item");
    once_in_order(&keys, &rig.keys());
    // An organisation has one partition, which keeps its order.
    let place =
        |line: &Value| (super::rig::number(line["key"].as_str().unwrap()) % 3, line["partition"].as_i64());
    let places: std::collections::BTreeSet<_> = seen.iter().map(place).collect();
    assert_eq!(places.len(), 3);
    // Leaders that are none for a moment, a broker that goes, and answers that are slow.
    brokers.say(&json!({ "errors": [6, 6, 7] }));
    rig.ingest(120..140);
    rig.exported();
    brokers.say(&json!({ "down": 1, "seconds": 2, "slow": 50 }));
    rig.ingest(140..160);
    rig.exported();
    let seen = brokers.seen();
    let keys = keys_of(&seen);
    at_least_once(&keys, &rig.keys());
    in_order(&keys, &rig.keys());
    assert!(seen.iter().all(|line| line["headers"]["updated"] == "false"));
}

/// The keys of what a daemon wrote, once they are all there.
fn written(daemon: &Daemon, wanted: usize, keys: impl Fn(&Value) -> Option<String>) -> Vec<String> {
    let began = Instant::now();
    loop {
        let seen = daemon.seen();
        if seen.len() >= wanted {
            return seen
                .iter()
                .map(|line| keys(line).unwrap_or_else(|| panic!("no key in {line}")))
                .collect();
        }
        assert!(began.elapsed() < PATIENCE, "the daemon wrote {} of {wanted}", seen.len());
        std::thread::sleep(Duration::from_millis(50));
    }
}

const HOSTILE: &str = "a|b=c\\d \"e\" ]f \u{2028} Zo\u{e9}\nnext\r\nlast\\";

#[test]
fn rsyslog_reads_our_cef_over_tls() {
    let rig = Rig::new();
    let port = free_port();
    let Some(daemon) = rsyslog(&rig.scratch, port, Some(&rig.own)) else { return };
    rig.configure(&format!(
        "[[export.destinations]]\nname = \"soc\"\nkind = \"syslog\"\nurl = \"localhost:{port}\"\ntransport = \"tls\"\n\
         authorities = \"{}\"\nwhat = [\"events\"]\nitems = 25\n",
        rig.own.chain.display()
    ));
    rig.ingest_with(0..60, |n| {
        if n.is_multiple_of(7) { HOSTILE.to_owned() } else { format!("web {n} was created") }
    });
    rig.exported();
    let keys = written(&daemon, 60, |line| key(&line["parsed"]["cef"]["Extensions"]));
    once_in_order(&keys, &rig.keys());
    for line in daemon.seen() {
        let cef = &line["parsed"]["cef"];
        let n = super::rig::number(&key(&cef["Extensions"]).unwrap());
        assert_eq!(cef["SignatureID"], "Git.RepositoryCreated");
        assert_eq!(cef["Extensions"]["src"], "203.0.113.9", "{cef}");
        let details = if n.is_multiple_of(7) { HOSTILE.to_owned() } else { format!("web {n} was created") };
        let has = |value: &Value| *value == json!(details);
        assert!(cef["Extensions"].as_object().unwrap().values().any(has), "{details:?} is not in {cef}");
        assert!(line["time"].as_str().unwrap().starts_with("2026-03-05T14:"), "{line}");
    }
    daemon.stop();
}

#[test]
fn syslog_ng_takes_json_over_tls_tcp_and_udp() {
    let rig = Rig::new();
    let ports = Ports { tls: free_port(), tcp: free_port(), udp: free_port() };
    let Some(daemon) = syslog_ng(&rig.scratch, &ports, &rig.own) else { return };
    let one = |name: &str, port: u16| {
        format!(
            "[[export.destinations]]\nname = \"{name}\"\nkind = \"syslog\"\nurl = \"localhost:{port}\"\ntransport = \"{name}\"\n\
             authorities = \"{}\"\nwhat = [\"events\"]\nbody = \"json\"\nitems = 10\n",
            rig.own.chain.display()
        )
    };
    rig.configure(&[one("tls", ports.tls), one("tcp", ports.tcp), one("udp", ports.udp)].concat());
    rig.ingest_with(0..30, |_| HOSTILE.to_owned());
    rig.exported();
    let message = |line: &Value| serde_json::from_str::<Value>(line["MESSAGE"].as_str().unwrap()).unwrap();
    let keys = written(&daemon, 90, |line| key(&message(line)));
    for key in rig.keys() {
        assert_eq!(keys.iter().filter(|own| **own == key).count(), 3, "{key}");
    }
    for line in daemon.seen() {
        assert_eq!(message(&line)["details"], HOSTILE);
        assert_eq!((&line["app"], &line["FACILITY"]), (&json!("agentrail"), &json!("security")), "{line}");
    }
    daemon.stop();
}
