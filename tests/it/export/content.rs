//! What goes out: filters, shapes of an operator's own, verdicts that settle, updates, and what is sent again.

use serde_json::{Value, json};

use super::kinds::Pair;
use super::rig::{at_least_once, number, record};
use crate::revisions::{event, jobs, pools};

#[test]
fn a_filter_sends_what_it_lets_through() {
    let Some(pair) = Pair::new("webhook", false, "filter = \"a.organization = 'contoso'\"\n", json!({}))
    else {
        return;
    };
    pair.rig.ingest(0..30);
    pair.rig.exported();
    let wanted: Vec<String> =
        pair.rig.keys().into_iter().filter(|key| number(key).is_multiple_of(3)).collect();
    at_least_once(&pair.keys(), &wanted);
    assert_eq!(pair.rig.status("soc")["waiting"], 0);
    let ours = |line: &Value| line["item"].as_object().unwrap().keys().all(|name| !name.starts_with('_'));
    assert!(pair.seen().iter().all(ours), "a column of the relay's own went out");
}

#[test]
fn a_shape_of_ones_own_redacts_and_leaves_out() {
    let Some(pair) = Pair::new("webhook", false, "", json!({})) else { return };
    let shape = pair.rig.scratch.file(
        "own.sql",
        "--! title = \"Without persons\"\n--! reads = [\"outgoing\"]\n--! tags = [\"export\"]\n\
         select \"_key\", \"_order\", \"_key\" as key, action, regexp_replace(details, 'card [0-9]+', 'card ***') as details\n\
         from outgoing where details not like 'secret%'\n",
    );
    pair.configure(false, &format!("shape = \"{}\"\n", shape.display()));
    pair.rig.ingest_with(0..20, |n| {
        if n % 2 == 0 { "secret".to_owned() } else { format!("card 4711{n} was used") }
    });
    pair.rig.exported();
    let seen = pair.seen();
    assert_eq!(seen.len(), 10);
    for line in &seen {
        let item = line["item"].as_object().unwrap();
        assert_eq!(item["details"], "card *** was used");
        assert_eq!(item.keys().collect::<Vec<_>>(), ["action", "details", "key"], "{item:?}");
    }
    assert_eq!(pair.rig.status("soc")["waiting"], 0);
}

fn sent(pair: &Pair) -> Vec<(String, bool, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let one = |line: &Value| {
        let item = &line["item"];
        (text(&item["key"]), item["updated"].as_bool().unwrap(), text(&item["executor"]))
    };
    pair.seen().iter().map(one).collect()
}

const ID: &str = "a1000000-0000-4000-8000-000000000001";

#[test]
fn a_later_verdict_goes_out_as_an_update_under_a_key_of_its_own() {
    let Some(pair) = Pair::new("webhook", false, "", json!({})) else { return };
    let scratch = &pair.rig.scratch;
    scratch.ingest(&scratch.file("events.ndjson", event(1, "10:05:00")));
    pair.rig.exported();
    scratch.ingest(&scratch.file("jobs.ndjson", jobs()));
    scratch.ingest(&scratch.file("pools.ndjson", pools()));
    pair.rig.exported();
    pair.rig.exported();
    let sent = sent(&pair);
    assert_eq!(sent[0], (format!("{ID}:0"), false, "unknown".to_owned()));
    // Between two looks the verdict changed twice: the newest is sent.
    let last = sent.last().unwrap();
    assert_eq!(*last, (format!("{ID}:2"), true, "agent".to_owned()), "{sent:?}");
    assert!(sent[1..].iter().all(|(_, updated, _)| *updated), "{sent:?}");
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert_eq!(pair.rig.status("soc")["updates"], 1);
}

#[test]
fn a_verdict_that_passes_a_filter_no_longer_replaces_the_one_that_did() {
    let filter = "filter = \"a.executor = 'unknown' -- not yet\"\n";
    let Some(pair) = Pair::new("webhook", false, filter, json!({})) else { return };
    let scratch = &pair.rig.scratch;
    scratch.ingest(&scratch.file("events.ndjson", event(1, "10:05:00")));
    pair.rig.exported();
    scratch.ingest(&scratch.file("jobs.ndjson", jobs()));
    scratch.ingest(&scratch.file("pools.ndjson", pools()));
    // One that never passed does not go out.
    scratch.ingest(&scratch.file("later.ndjson", event(2, "10:06:00")));
    pair.rig.exported();
    pair.rig.exported();
    let last = (format!("{ID}:2"), true, "agent".to_owned());
    assert_eq!(sent(&pair), [(format!("{ID}:0"), false, "unknown".to_owned()), last]);
}

#[test]
fn what_was_there_before_a_destination_that_starts_now_is_not_sent_as_an_update_either() {
    let Some(pair) = Pair::new("webhook", false, "start = \"now\"\n", json!({})) else { return };
    let scratch = &pair.rig.scratch;
    scratch.ingest(&scratch.file("events.ndjson", event(1, "10:05:00")));
    pair.rig.exported();
    scratch.ingest(&scratch.file("jobs.ndjson", jobs()));
    scratch.ingest(&scratch.file("pools.ndjson", pools()));
    pair.rig.exported();
    pair.rig.exported();
    assert_eq!(sent(&pair), []);
    assert!(scratch.count("select count(*) from lake.revisions") > 0);
}

#[test]
fn an_event_waits_for_its_verdict_as_long_as_settle_says() {
    let Some(pair) = Pair::new("webhook", false, "settle = 3600\n", json!({})) else { return };
    let scratch = &pair.rig.scratch;
    scratch.ingest(&scratch.file("events.ndjson", event(1, "10:05:00")));
    pair.rig.exported();
    assert_eq!(sent(&pair), []);
    assert_eq!(pair.rig.status("soc")["waiting"], 1);
    scratch.ingest(&scratch.file("jobs.ndjson", jobs()));
    scratch.ingest(&scratch.file("pools.ndjson", pools()));
    pair.rig.exported();
    let first = sent(&pair);
    assert_eq!(
        first.iter().map(|(key, _, executor)| (key.as_str(), executor.as_str())).collect::<Vec<_>>(),
        [(format!("{ID}:2").as_str(), "agent")]
    );
    pair.rig.exported();
    assert_eq!(sent(&pair).len(), 1, "what went out with its verdict is no update: {:?}", sent(&pair));
}

#[test]
fn a_rewind_sends_again_what_was_known_since() {
    let Some(pair) = Pair::new("webhook", false, "", json!({})) else { return };
    pair.rig.ingest(0..20);
    let since = pair.rig.scratch.sql("select cast(max(known) as varchar) as t from lake.events")[0]["t"]
        .as_str()
        .unwrap()
        .to_owned();
    std::thread::sleep(std::time::Duration::from_millis(10));
    pair.rig.ingest(20..30);
    pair.rig.exported();
    let output = pair.rig.command(&["export", "rewind", "soc", "--to", &since]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    pair.rig.exported();
    let keys = pair.keys();
    let again: Vec<String> = keys[30..].to_vec();
    assert!(again.len() >= 10 && again.iter().filter(|key| number(key) >= 20).count() == 10, "{again:?}");
    let (first, second) = (&pair.seen()[20..30], &pair.seen()[keys.len() - 10..]);
    assert!(first.iter().zip(second).all(|(a, b)| a["item"] == b["item"]), "a copy differs");
    let output = pair.rig.command(&["export", "rewind", "soc", "--to", "2999-01-01"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("is yet to come"), "{output:?}");
}

#[test]
fn findings_go_out_beside_events() {
    let Some(pair) = Pair::new("webhook", false, "what = [\"findings\"]\n", json!({})) else { return };
    pair.rig.ingest(0..3);
    // The same id with another action is a finding.
    let scratch = &pair.rig.scratch;
    let forged = record(1, "forged").replace("\"ActionId\":\"", "\"ActionId\":\"Other.");
    assert_ne!(forged, record(1, "forged"));
    scratch.ingest(&scratch.file("forged.ndjson", forged));
    let found = scratch.count("select count(*) from findings");
    assert!(found > 0);
    pair.rig.exported();
    let seen = pair.seen();
    assert_eq!(seen.len() as i64, found);
    assert!(seen.iter().all(|line| line["item"]["detection"].is_string() && line["item"]["key"].is_string()));
}
