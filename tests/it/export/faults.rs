//! Whatever a receiver does, nothing is lost, a copy has the key of the first, and the cursor waits.

use serde_json::{Value, json};

use super::kinds::Pair;
use super::rig::{at_least_once, in_order};

/// What befalls a request, and whether the records in it may arrive twice.
fn faults(name: &str) -> Vec<Value> {
    let mut faults = vec![
        json!({ "kind": "status", "status": 503, "retry_after": 2 }),
        json!({ "kind": "status", "status": 429, "retry_after": "date:2" }),
        json!({ "kind": "status", "status": 500 }),
        json!({ "kind": "cut_before" }),
        json!({ "kind": "cut_after" }),
        json!({ "kind": "cut_midway" }),
        json!({ "kind": "reset" }),
        json!({ "kind": "close_early" }),
        json!({ "kind": "hang", "seconds": 8 }),
        json!({ "kind": "slow", "seconds": 1 }),
        json!({ "kind": "redirect", "location": "http://127.0.0.1:9/elsewhere" }),
        json!({ "kind": "status", "status": 413 }),
    ];
    // Of a webhook any success is one, whatever it says.
    if name != "webhook" {
        faults.push(json!({ "kind": "garbage" }));
        faults.push(json!({ "kind": "garbage", "body": "" }));
    }
    faults
}

fn survives(name: &'static str, tls: bool, more: &str, settings: Value, own: &[Value]) {
    let more = format!("timeout = 5\n{more}");
    let Some(pair) = Pair::new(name, tls, &more, settings) else { return };
    let mut faults = faults(name);
    // An empty answer of a collector of OpenTelemetry is a success.
    faults.retain(|fault| !(name == "otlp" && fault["body"] == ""));
    faults.extend_from_slice(own);
    if tls {
        faults.push(json!({ "kind": "tls_wrong" }));
    }
    for (round, fault) in faults.iter().enumerate() {
        let first = round as u32 * 40;
        pair.rig.ingest(first..first + 40);
        let mut wanted = fault.clone();
        let at_connection = ["tls_wrong", "close_early"].contains(&fault["kind"].as_str().unwrap());
        if !at_connection {
            wanted["service"] = name.into();
        }
        // The token of Sentinel comes from the same receiver.
        wanted["skip"] = json!(u8::from(name == "sentinel" && !at_connection));
        let before = pair.receivers.felt(fault["kind"].as_str().unwrap());
        pair.fault(wanted);
        pair.rig.exported();
        assert_eq!(pair.receivers.felt(fault["kind"].as_str().unwrap()), before + 1, "{fault}");
        at_least_once(&pair.keys(), &pair.rig.keys());
        in_order(&pair.keys(), &pair.rig.keys());
        let status = pair.rig.status("soc");
        assert_eq!((&status["waiting"], &status["refused"]), (&json!(0), &json!(0)), "{fault}: {status}");
    }
    waits_as_told(&pair);
    assert_eq!(pair.receivers.complaints(), Vec::<String>::new());
}

/// After an answer with `Retry-After` nothing is sent before that time.
fn waits_as_told(pair: &Pair) {
    let requests = pair.receivers.requests();
    let own: Vec<&Value> = requests.iter().filter(|r| r["service"] == pair.name).collect();
    let mut told = 0;
    for pair in own.windows(2) {
        let status = pair[0]["status"].as_u64();
        if pair[0]["fault"] == "status" && (status == Some(503) || status == Some(429)) {
            let waited = pair[1]["at"].as_f64().unwrap() - pair[0]["at"].as_f64().unwrap();
            // A date has whole seconds.
            assert!(waited >= 1.0, "{waited} s after {}", pair[0]);
            told += 1;
        }
    }
    assert!(told >= 2, "nobody was told to wait");
}

#[test]
fn splunk() {
    survives("splunk", true, "", json!({}), &[]);
}

#[test]
fn splunk_with_acknowledgement() {
    let own = ["lost", "never", "late"].map(|how| json!({ "kind": "ack", "how": how, "seconds": 6 }));
    // The request after the one that is to be acknowledged asks for that.
    let foreign = json!({ "kind": "ack", "how": "foreign", "skip": 1 });
    let settings = json!({ "acknowledge": true, "delay": 0.1 });
    survives("splunk", false, "acknowledge = 3\n", settings, &[&own[..], &[foreign]].concat());
}

#[test]
fn elastic() {
    survives("elastic", true, "", json!({}), &[]);
}

#[test]
fn sentinel() {
    survives("sentinel", false, "", json!({}), &[]);
}

#[test]
fn otlp() {
    survives("otlp", true, "", json!({}), &[]);
}

#[test]
fn webhook() {
    survives("webhook", true, "", json!({}), &[]);
}

#[test]
fn elastic_takes_parts_of_a_batch_and_the_rest_later() {
    let Some(pair) = Pair::new("elastic", false, "", json!({})) else { return };
    pair.rig.ingest(0..50);
    pair.fault(json!({ "kind": "partial", "every": 3, "status": 429, "times": 3 }));
    pair.rig.exported();
    assert!(pair.receivers.felt("partial") >= 2);
    let keys = pair.keys();
    at_least_once(&keys, &pair.rig.keys());
    assert_eq!(keys.len(), 50, "what was taken is not sent again");
    assert_eq!(pair.rig.status("soc")["refused"], 0);
}

#[test]
fn a_token_of_sentinel_that_ends_is_renewed() {
    let Some(pair) = Pair::new("sentinel", false, "items = 5\n", json!({ "lifetime": 3600 })) else { return };
    pair.rig.ingest(0..20);
    // The service takes it for ended before its time.
    pair.fault(json!({ "kind": "status", "status": 401, "service": "sentinel", "skip": 2 }));
    pair.rig.exported();
    at_least_once(&pair.keys(), &pair.rig.keys());
}
