//! Sigma rules of an operator: they find the same as pySigma does on the same records, and what is not ours is
//! refused by name.

use std::collections::BTreeMap;

use serde_json::json;

use crate::lake::Scratch;
use crate::readers::{python, run};

/// What rules say of a record, each a part of its `detection`.
const RULES: [(&str, &str); 16] = [
    ("whole", "  s:\n    ActionId: git.repositorycreated\n  condition: s"),
    (
        "one_of",
        "  s:\n    ActionId:\n      - Git.RepositoryCreated\n      - Library.AgentAdded\n  condition: s",
    ),
    ("contains", "  s:\n    UserAgent|contains: CURL\n  condition: s"),
    ("all", "  s:\n    UserAgent|contains|all:\n      - curl\n      - linux\n  condition: s"),
    ("starts", "  s:\n    ActionId|startswith: 'Library.'\n  condition: s"),
    ("ends", "  s:\n    ActorUPN|endswith: '@example.com'\n  condition: s"),
    ("wildcards", "  s:\n    ActionId: 'L*.Agent?dded'\n  condition: s"),
    ("percent", "  s:\n    Data.Name|contains: '100%_'\n  condition: s"),
    ("quote", "  s:\n    Data.Name: \"it's\"\n  condition: s"),
    (
        "filter",
        "  s:\n    ActionId|startswith: Git\n  f:\n    ActorUPN: ada@example.com\n  condition: s and not f",
    ),
    ("missing", "  s:\n    UserAgent: null\n  condition: s"),
    ("there", "  s:\n    Data.Name|exists: true\n  condition: s"),
    ("pattern", "  s:\n    IpAddress|re: '^10\\.[0-9]+\\.'\n  condition: s"),
    ("network", "  s:\n    IpAddress|cidr: 10.0.0.0/8\n  condition: s"),
    (
        "selectors",
        "  s_one:\n    ActionId|contains: Agent\n  s_two:\n    IpAddress|startswith: '10.'\n  f_one:\n    UserAgent|contains: curl\n  condition: 1 of s_* and not all of f_*",
    ),
    (
        "lists",
        "  s:\n    - ActionId: Git.RepositoryCreated\n      IpAddress: 10.1.2.3\n    - UserAgent|startswith: Mozilla\n  condition: s",
    ),
];

fn rule(name: &str, detection: &str) -> String {
    format!(
        "title: {name}\nname: {name}\nlogsource:\n  product: azure\n  service: azuredevops\ndetection:\n{detection}\nlevel: high\n"
    )
}

/// Records of all combinations of a few values.
fn records() -> Vec<serde_json::Value> {
    let mut out = Vec::new();
    for action in ["Git.RepositoryCreated", "Library.AgentAdded", "Library.AgentXdded"] {
        for (ip, agent) in [
            (Some("10.1.2.3"), Some("curl/8 Linux")),
            (Some("110.1.2.3"), Some("Mozilla/5.0")),
            (Some("2001:db8::1"), Some("CURL/7")),
            (None, None),
        ] {
            for (upn, data) in [
                ("ada@example.com", json!({"Name": "it's"})),
                ("bob@example.org", json!({"Name": "100%_ sure"})),
                ("ada@example.com.evil", json!({})),
                ("cleo@example.com", json!({"Name": "100x sure"})),
            ] {
                let n = out.len();
                let mut record = json!({
                    "Id": format!("{n:08x}-1111-4000-8000-000000000000"), "ActionId": action,
                    "Timestamp": format!("2026-03-05T10:{:02}:{:02}Z", n / 60, n % 60),
                    "ScopeId": "5b000000-0000-4000-8000-0000000000c0", "ScopeDisplayName": "contoso (Organization)",
                    "ActorUserId": format!("5a000000-0000-4000-8000-00000000000{}", n % 4), "ActorUPN": upn,
                    "ActorDisplayName": "x", "AuthenticationMechanism": "AAD_Cookie", "Data": data,
                });
                if let (Some(ip), Some(agent)) = (ip, agent) {
                    record["IpAddress"] = ip.into();
                    record["UserAgent"] = agent.into();
                }
                out.push(record);
            }
        }
    }
    out
}

fn scratch(rules: &[(&str, String)]) -> Scratch {
    let scratch = Scratch::new();
    for (name, text) in rules {
        scratch.file(&format!("sigma/{name}.yml"), text);
    }
    scratch.file("agentrail.toml", "[detections]\nbuilt_in = false\nsigma = \"sigma\"\n");
    let lines: Vec<String> = records().iter().map(ToString::to_string).collect();
    scratch.file("records.ndjson", lines.join("\n"));
    scratch
}

fn ingest(scratch: &Scratch) -> serde_json::Value {
    let mut command =
        scratch.command(&["--config", "agentrail.toml", "ingest", "--format", "json", "records.ndjson"]);
    let output = command.env("AGENTRAIL_DETECTIONS__AT_INGEST", "true").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn rules_match_the_records_that_pysigma_says() {
    let Some(python) = python() else { return };
    let rules: Vec<(&str, String)> = RULES.iter().map(|(name, own)| (*name, rule(name, own))).collect();
    let scratch = scratch(&rules);
    ingest(&scratch);
    let mut ours: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in scratch
        .sql("select detection, event_id from findings where detection like 'sigma_%' order by event_id")
    {
        let name = row["detection"].as_str().unwrap().trim_start_matches("sigma_").to_owned();
        ours.entry(name).or_default().push(row["event_id"].as_str().unwrap().to_owned());
    }
    let script =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peer/sigma_rules.py")).unwrap();
    let (folder, records) = (scratch.path("sigma"), scratch.path("records.ndjson"));
    let told = run(&python, &script, &[folder.to_str().unwrap(), records.to_str().unwrap()]);
    let theirs: BTreeMap<String, Vec<String>> = serde_json::from_str(&told).unwrap();
    for (name, _) in RULES {
        let found = ours.get(name).cloned().unwrap_or_default();
        assert_eq!(found, theirs[name], "{name}");
        assert!(!found.is_empty() && found.len() < 48, "{name} tells nothing apart: {}", found.len());
    }
}

#[test]
fn correlations_are_windows_that_slide() {
    let base = rule("base", "  s:\n    ActionId: Git.RepositoryCreated\n  condition: s");
    let other = rule("other", "  s:\n    ActionId: Library.AgentAdded\n  condition: s");
    let correlation = |of: &str, more: &str| {
        format!(
            "title: c\ncorrelation:\n  rules:\n{of}  group-by:\n    - ActorUserId\n  timespan: 9s\n{more}level: high\n"
        )
    };
    let (one, both) = ("    - base\n", "    - base\n    - other\n");
    let scratch = scratch(&[
        ("base", base),
        ("other", other),
        ("count", correlation(one, "  type: event_count\n  condition:\n    gte: 3\n")),
        ("values", correlation(one, "  type: value_count\n  condition:\n    field: IpAddress\n    gte: 3\n")),
        ("together", correlation(both, "  type: temporal\n")),
    ]);
    ingest(&scratch);
    // A record a second; every fourth is of the same person. The first sixteen are of the one action, then come
    // sixteen of the other.
    let found = |name: &str| -> Vec<i64> {
        let sql = format!(
            "select cast(extract(second from occurred) as bigint) as s from findings where detection = 'sigma_{name}' order by 1"
        );
        scratch.sql(&sql).iter().map(|row| row["s"].as_i64().unwrap()).collect()
    };
    assert_eq!(found("count"), [8, 9, 10, 11]);
    assert_eq!(found("values"), [8, 9, 10, 11]);
    assert_eq!(found("together"), [16, 17, 18, 19]);
    assert_eq!(found("base"), Vec::<i64>::new());
    let row = &scratch.sql(
        "select events, subject, event_id from findings where detection = 'sigma_count' order by occurred",
    )[0];
    assert_eq!(row["events"].as_array().unwrap().len(), 3);
    assert_eq!(row["events"][2], row["event_id"]);
    assert!(row["subject"].as_str().unwrap().starts_with("5a000000"));
}

#[test]
fn what_is_refused_is_named_and_stops_nothing() {
    let foreign =
        rule("foreign", "  s:\n    ActionId: x\n  condition: s").replace("azuredevops", "auditlogs");
    let scratch = scratch(&[("foreign", foreign), ("starts", rule("starts", RULES[4].1))]);
    assert_eq!(ingest(&scratch)["events"], 48);
    assert_eq!(scratch.count("select count(*) from findings where detection = 'sigma_starts'"), 32);
    let list = scratch.ok(&["--config", "agentrail.toml", "detections"]);
    assert!(list.contains("foreign.yml") && list.contains("service: auditlogs"), "{list}");
    let check = scratch.run(&["--config", "agentrail.toml", "check"]);
    assert_eq!(check.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&check.stdout).contains("foreign.yml"));
}
