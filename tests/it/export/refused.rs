//! What a receiver refuses for good lies in `export_rejects`, stops nothing, and goes out again when asked for; and what
//! an operator is told when a receiver takes nothing at all.

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::{Value, json};

use super::kinds::Pair;
use super::rig::{PATIENCE, at_least_once, number};

fn refuses(name: &'static str, more: &str, settings: Value) {
    let Some(pair) = Pair::new(name, false, more, settings) else { return };
    let bad = [0, 7, 8, 33, 59];
    pair.rig.ingest_with(0..60, |n| if bad.contains(&n) { "a poison".to_owned() } else { "good".to_owned() });
    pair.receivers.say(&json!({ "poison": ["a poison"] }));
    pair.rig.exported();
    let wanted = pair.rig.keys();
    let (lost, good): (Vec<String>, Vec<String>) =
        wanted.iter().cloned().partition(|key| bad.contains(&number(key)));
    at_least_once(&pair.keys(), &good);
    let rejects = pair.rig.rejects("soc");
    assert_eq!(rejects.keys().collect::<BTreeSet<_>>(), lost.iter().collect());
    assert!(rejects.values().all(|reason| !reason.is_empty()), "{rejects:?}");
    let status = pair.rig.status("soc");
    assert_eq!((&status["refused"], &status["waiting"]), (&json!(5), &json!(0)), "{status}");
    assert_eq!(status["sent"], 55, "{status}");
    // Refused again, it stays where it is; taken, it is gone from there.
    pair.rig.command(&["export", "replay", "soc"]).output().unwrap();
    pair.rig.exported();
    assert_eq!(pair.rig.rejects("soc").len(), 5);
    pair.receivers.say(&json!({ "clear": true }));
    let output = pair.rig.command(&["export", "replay", "soc"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    pair.rig.exported();
    assert_eq!(pair.rig.rejects("soc").len(), 0);
    at_least_once(&pair.keys(), &wanted);
}

#[test]
fn splunk() {
    refuses("splunk", "", json!({}));
}

#[test]
fn splunk_that_keeps_nothing_of_such_a_batch() {
    refuses("splunk", "", json!({ "prefix": false }));
}

#[test]
fn elastic() {
    refuses("elastic", "", json!({}));
}

#[test]
fn sentinel() {
    refuses("sentinel", "", json!({}));
}

#[test]
fn otlp() {
    refuses("otlp", "", json!({}));
}

#[test]
fn webhook() {
    refuses("webhook", "", json!({}));
}

#[test]
fn what_is_too_large_for_a_receiver_is_set_aside_and_the_rest_is_sent() {
    for name in ["splunk", "elastic", "webhook"] {
        let Some(pair) = Pair::new(name, false, "gzip = false\n", json!({ "most": 60_000 })) else { return };
        let large = |n: u32| if n == 5 { "x".repeat(100_000) } else { "y".repeat(4000) };
        pair.rig.ingest_with(0..40, large);
        pair.rig.exported();
        let rejects = pair.rig.rejects("soc");
        assert_eq!(rejects.keys().map(|key| number(key)).collect::<Vec<_>>(), [5], "{name}: {rejects:?}");
        let good: Vec<String> = pair.rig.keys().into_iter().filter(|key| number(key) != 5).collect();
        at_least_once(&pair.keys(), &good);
    }
}

/// What `export status` says once nothing goes out.
fn fault(pair: &Pair) -> String {
    let mut child = pair.rig.begin();
    let began = Instant::now();
    let fault = loop {
        if let Some(fault) = pair.rig.status("soc")["fault"].as_str() {
            break fault.to_owned();
        }
        assert!(began.elapsed() < PATIENCE, "no fault is told of");
        std::thread::sleep(std::time::Duration::from_millis(100));
    };
    child.kill().unwrap();
    child.wait().unwrap();
    let status = pair.rig.status("soc");
    assert_eq!((&status["sent"], &status["waiting"]), (&json!(0), &json!(10)), "{status}");
    let output = pair.rig.command(&["export", "status"]).output().unwrap();
    let says = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(says.contains("10 wait") && says.contains("failed to "), "{says}");
    fault
}

#[test]
fn a_wrong_token_is_told_of_and_nothing_is_lost() {
    for (name, more, settings, says) in [
        ("splunk", "token = \"00000000-2222-4333-8444-555555555555\"\n", json!({}), "Invalid token"),
        ("splunk", "token = \"99999999-2222-4333-8444-555555555555\"\n", json!({}), "Token disabled"),
        ("elastic", "token = \"aWQ6b3RoZXI=\"\n", json!({}), "unable to authenticate"),
        ("sentinel", "", json!({ "role": false }), "does not have access"),
        ("webhook", "token = \"other\"\n", json!({ "headers": { "authorization": "Bearer own" } }), "401"),
    ] {
        let Some(pair) = Pair::new(name, false, more, settings) else { return };
        pair.rig.ingest(0..10);
        let fault = fault(&pair);
        assert!(fault.contains(says) && fault.contains("check the token"), "{name}: {fault}");
        assert!(
            !fault.contains("00000000-2222") && !fault.contains("aWQ6b3RoZXI="),
            "a secret is in {fault}"
        );
        pair.configure(false, if name == "webhook" { "token = \"own\"\n" } else { "" });
        pair.receivers.say(&json!({ "sentinel": { "role": true } }));
        pair.rig.exported();
        at_least_once(&pair.keys(), &pair.rig.keys());
        assert!(pair.rig.status("soc")["fault"].is_null());
    }
}

#[test]
fn what_the_settings_get_wrong_is_no_fault_of_an_event() {
    for (name, more, says) in [
        ("splunk", "index = \"other\"\n", "Incorrect index"),
        ("sentinel", "stream = \"Custom-Other_CL\"\n", "Custom-Other_CL"),
        ("sentinel", "rule = \"dcr-other\"\n", "was not found"),
        ("elastic", "index = \"other\"\n", "no such index"),
        ("webhook", "url = \"http://localhost:9/hook\"\n", "localhost:9"),
    ] {
        let Some(pair) = Pair::new(name, false, more, json!({})) else { return };
        pair.rig.ingest(0..10);
        let fault = fault(&pair);
        assert!(fault.contains(says), "{name}: {fault}");
        assert_eq!(pair.rig.rejects("soc").len(), 0, "{name}");
    }
}

#[test]
fn another_certificate_is_told_of_and_nothing_is_sent() {
    let Some(pair) = Pair::new("webhook", true, "", json!({})) else { return };
    pair.rig.ingest(0..10);
    pair.configure(true, &format!("authorities = \"{}\"\n", pair.rig.other.chain.display()));
    let fault = fault(&pair);
    assert!(fault.contains("certificate"), "{fault}");
    assert!(pair.seen().is_empty());
    pair.configure(true, "");
    pair.rig.exported();
    at_least_once(&pair.keys(), &pair.rig.keys());
}

#[test]
fn a_receiver_that_is_down_holds_up_itself_alone() {
    let Some(pair) = Pair::new("webhook", false, "", json!({})) else { return };
    pair.rig.ingest(0..10);
    let text = std::fs::read_to_string(pair.rig.scratch.path("agentrail.toml")).unwrap();
    let gone = "[[export.destinations]]\nname = \"gone\"\nkind = \"webhook\"\nurl = \"http://127.0.0.1:9/\"\nwhat = [\"events\"]\n";
    pair.rig.configure(&format!("{gone}{text}"));
    let mut child = pair.rig.begin();
    let began = Instant::now();
    while pair.keys().len() < 10 {
        assert!(began.elapsed() < PATIENCE, "the second destination waits for the first");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}
