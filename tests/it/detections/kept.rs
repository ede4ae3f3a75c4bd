//! What detections find is kept once, with its verdict, and stands or falls with it, whatever comes in which order.

use std::path::Path;
use std::process::Output;

use crate::lake::{Scratch, Service};

const ORG: &str = "5b000000-0000-4000-8000-0000000000c0";
const SHOP: &str = "5b000000-0000-4000-8000-000000000001";

/// A detection of the operator: a build identity that acted while none of its jobs ran.
const OUTSIDE: &str = r#"--! title = "A build identity acted outside any job"
--! severity = "high"
--! attack = ["T1528"]
--! owasp = ["CICD-SEC-6"]
--! mirrors = []
--! why = "w"
--! false_positives = "f"
--! next = "n"
--! actions = ["*"]
--! tables = []
--! window_hours = 1
--! suppress_hours = SUPPRESS
--! reads = ["actions"]
--! params = [{ name = "allowed", type = "text", doc = "Names that may", default = "" }]
select concat('user ', actor_id) as subject, occurred, organization_id, organization, project_id, event_id,
  make_array(event_id) as events, agent_id, agent_name, cast(null as varchar) as severity,
  concat(actor_name, ' did ', action, ' as ', executor) as says
from actions
where actor_kind = 'project_build_service' and executor in ('unknown', 'client') and actor_name <> $allowed
  and occurred >= $from and occurred < $until
"#;

fn event(n: u32, at: &str) -> String {
    format!(
        r#"{{"Id":"a1000000-0000-4000-8000-00000000000{n}","ActionId":"Git.RepositoryCreated","Timestamp":"{at}Z","ScopeId":"{ORG}","ScopeDisplayName":"contoso (Organization)","ProjectId":"{SHOP}","ProjectName":"shop","ActorUserId":"5a000000-0000-4000-8000-000000000001","ActorDisplayName":"shop Build Service (contoso)","AuthenticationMechanism":"SessionToken_Unscoped","Data":{{}}}}"#
    )
}

fn job() -> String {
    let job = |request: u32, day: u32| {
        format!(
            r#"{{"requestId":{request},"assignTime":"2026-03-0{day}T10:00:00Z","receiveTime":"2026-03-0{day}T10:00:00Z","finishTime":"2026-03-0{day}T10:10:00Z","result":"succeeded","hostId":"{ORG}","scopeId":"{SHOP}","planType":"Build","planId":"3d000000-0000-4000-8000-00000000000{request}","jobId":"7f000000-0000-4000-8000-000000000001","poolId":11,"owner":{{"id":{request},"name":"n.{request}"}},"reservedAgent":{{"id":{request},"name":"builder"}}}}"#
        )
    };
    let pools = r#"{"url":"https://dev.azure.com/contoso/_apis/distributedtask/pools","observed":"2026-03-05T23:00:00Z","status":200,"body":{"value":[{"id":11,"name":"linux","isHosted":false,"poolType":"automation"}]}}"#;
    format!(
        r#"{{"url":"https://dev.azure.com/contoso/_apis/distributedtask/pools/11/jobrequests","observed":"2026-03-05T23:00:00Z","status":200,"body":{{"value":[{},{}]}}}}"#,
        job(1, 4),
        job(2, 5)
    ) + "\n"
        + pools
}

/// A lake with that detection and, of the others, those alone that the settings name.
fn scratch(suppress: u32, more: &str) -> Scratch {
    let scratch = Scratch::new();
    scratch.file("own/outside_any_job.sql", OUTSIDE.replace("SUPPRESS", &suppress.to_string()));
    scratch.file("agentrail.toml", format!("[detections]\nbuilt_in = false\nfolder = \"own\"\n{more}"));
    scratch
}

fn output(scratch: &Scratch, arguments: &[&str]) -> Output {
    let mut command = scratch.command(&[&["--config", "agentrail.toml"], arguments].concat());
    command.env("AGENTRAIL_DETECTIONS__AT_INGEST", "true").output().unwrap()
}

fn ok(scratch: &Scratch, arguments: &[&str]) -> String {
    let output = output(scratch, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn ingest(scratch: &Scratch, path: &Path) -> serde_json::Value {
    serde_json::from_str(&ok(scratch, &["ingest", "--format", "json", path.to_str().unwrap()])).unwrap()
}

/// Each finding of that detection: its event, status and revision.
fn findings(scratch: &Scratch) -> Vec<(String, String, i64)> {
    let sql = "select right(event_id, 1) as event, status, revision from findings where detection = 'outside_any_job' order by occurred";
    let text = |row: &serde_json::Value, name: &str| row[name].as_str().unwrap().to_owned();
    scratch
        .sql(sql)
        .iter()
        .map(|r| (text(r, "event"), text(r, "status"), r["revision"].as_i64().unwrap()))
        .collect()
}

fn stands(event: u32, status: &str, revision: i64) -> (String, String, i64) {
    (event.to_string(), status.to_owned(), revision)
}

#[test]
fn a_finding_is_kept_once_and_changes_with_its_verdict() {
    let scratch = scratch(0, "");
    let events = [event(1, "2026-03-05T10:05:00"), event(2, "2026-03-05T12:00:00")].join("\n");
    let events = scratch.file("events.ndjson", events);
    assert_eq!(ingest(&scratch, &events)["findings"], 2);
    assert_eq!(findings(&scratch), [stands(1, "open", 0), stands(2, "open", 0)]);
    let account: serde_json::Value = serde_json::from_str(&ok(
        &scratch,
        &["ingest", "--again", "--format", "json", events.to_str().unwrap()],
    ))
    .unwrap();
    assert_eq!(account["findings"], 0);
    let row = &scratch.sql("select * from findings order by occurred")[0];
    assert_eq!(row["trace"], row["event_id"]);
    assert_eq!((row["executor"].as_str(), row["severity"].as_str()), (Some("unknown"), Some("high")));
    assert_eq!(row["attack"], serde_json::json!(["T1528"]));
    assert!(row["subject"].as_str().unwrap().starts_with("user 5a000000"));

    // The job that was on record later did the one, and shows that nothing ran during the other.
    let account = ingest(&scratch, &scratch.file("job.ndjson", job()));
    assert_eq!((account["revised"].as_u64(), account["withdrawn"].as_u64()), (Some(2), Some(1)), "{account}");
    assert_eq!(findings(&scratch), [stands(1, "withdrawn", 1), stands(2, "open", 1)]);
    let says = &scratch.sql("select says, grade, executor from findings where status = 'open'")[0];
    assert_eq!((says["executor"].as_str(), says["grade"].as_str()), (Some("client"), Some("not_agent")));
    assert!(says["says"].as_str().unwrap().ends_with("as client"), "{says}");
    // What was told before is still there, with when it was known.
    assert_eq!(scratch.count("select count(*) from lake.findings where detection = 'outside_any_job'"), 4);
    let both = scratch.count("select count(*) from findings where found < known");
    assert_eq!(both, 2);

    // Asked for on demand it is the same, and a parameter that is tried changes nothing.
    let again = ok(&scratch, &["detect", "outside_any_job", "--since", "2026-03-01", "--format", "ndjson"]);
    assert_eq!(again.lines().count(), 1, "{again}");
    let tried = scratch.run(&[
        "--config",
        "agentrail.toml",
        "detect",
        "outside_any_job",
        "--since",
        "2026-03-01",
        "--param",
        "allowed=shop Build Service (contoso)",
    ]);
    assert_eq!(tried.status.code(), Some(3), "{}", String::from_utf8_lossy(&tried.stdout));
    assert_eq!(findings(&scratch), [stands(1, "withdrawn", 1), stands(2, "open", 1)]);
    let other = scratch.run(&["detect", "outside_any_job", "--since", "2026-03-01"]);
    assert!(String::from_utf8_lossy(&other.stderr).contains("find the detection `outside_any_job`"));
}

/// What a destination of files was given, by the last digit of the event.
fn exported(folder: &Path) -> Vec<(String, String, i64, bool)> {
    let (mut folders, mut out) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            for line in std::fs::read_to_string(&path).unwrap().lines() {
                let row: serde_json::Value = serde_json::from_str(line).unwrap();
                let event = row["event_id"].as_str().unwrap();
                out.push((
                    event[event.len() - 1..].to_owned(),
                    row["status"].as_str().unwrap().to_owned(),
                    row["revision"].as_i64().unwrap(),
                    row["updated"].as_bool().unwrap(),
                ));
            }
        }
    }
    out.sort();
    out
}

/// Adds a destination of files for findings.
fn exports(scratch: &Scratch, out: &Path) {
    let settings = std::fs::read_to_string(scratch.path("agentrail.toml")).unwrap();
    let destination = format!(
        "[[export.destinations]]\nname = \"soc\"\nkind = \"file\"\nurl = \"{}\"\nwhat = [\"findings\"]\nshape = \"plain\"\n",
        out.display()
    );
    scratch.file("agentrail.toml", settings + &destination);
}

#[test]
fn a_finding_that_changes_goes_out_again_as_an_update() {
    let scratch = scratch(0, "");
    let out = scratch.path("out");
    exports(&scratch, &out);
    let events = [event(1, "2026-03-05T10:05:00"), event(2, "2026-03-05T12:00:00")].join("\n");
    ingest(&scratch, &scratch.file("events.ndjson", events));
    ok(&scratch, &["export", "run", "--once"]);
    let sent = |event: &str, status: &str, revision: i64| {
        (event.to_owned(), status.to_owned(), revision, revision > 0)
    };
    assert_eq!(exported(&out), [sent("1", "open", 0), sent("2", "open", 0)]);
    ingest(&scratch, &scratch.file("job.ndjson", job()));
    ok(&scratch, &["export", "run", "--once"]);
    ok(&scratch, &["export", "run", "--once"]);
    let all = [sent("1", "open", 0), sent("1", "withdrawn", 1), sent("2", "open", 0), sent("2", "open", 1)];
    assert_eq!(exported(&out), all);
}

#[test]
fn a_finding_that_an_earlier_one_suppresses_later_goes_out_as_that() {
    let scratch = scratch(24, "");
    let out = scratch.path("out");
    exports(&scratch, &out);
    let sent = |event: &str, status: &str, revision: i64, is_update: bool| {
        (event.to_owned(), status.to_owned(), revision, is_update)
    };
    let arrives = |n: u32, at: &str| {
        ingest(&scratch, &scratch.file(&format!("{n}.ndjson"), event(n, at)));
        ok(&scratch, &["export", "run", "--once"]);
    };
    arrives(2, "2026-03-05T12:00:00");
    // Suppressed from the first, it is not told.
    arrives(3, "2026-03-06T09:00:00");
    assert_eq!(exported(&out), [sent("2", "open", 0, false)]);
    arrives(1, "2026-03-05T10:05:00");
    let all = [sent("1", "open", 0, false), sent("2", "open", 0, false), sent("2", "suppressed", 1, true)];
    assert_eq!(exported(&out), all);
    assert_eq!(findings(&scratch), [stands(1, "open", 0)]);
    // A day before, it takes the place of the first, and the second is open again.
    arrives(4, "2026-03-04T10:30:00");
    let now: Vec<_> = exported(&out).into_iter().filter(|row| !all.contains(row)).collect();
    let more = [sent("1", "suppressed", 1, true), sent("2", "open", 2, true), sent("4", "open", 0, false)];
    assert_eq!(now, more);
}

#[test]
fn any_order_of_arrival_ends_with_the_same_findings() {
    // The third comes within a day of the first; an hour of a month before is late for any window.
    let days = [
        "2026-03-05T10:05:00",
        "2026-03-05T12:00:00",
        "2026-03-06T09:00:00",
        "2026-03-06T11:00:00",
        "2026-02-01T11:00:00",
    ];
    let event = |n: usize| event(n as u32 + 1, days[n]);
    let mut pictures = Vec::new();
    for order in [vec![0, 1, 2, 3, 4], vec![4, 3, 2, 1, 0], vec![2, 0, 4, 1, 3], vec![3, 1, 0, 4, 2]] {
        let scratch = scratch(24, "");
        for (n, part) in order.iter().enumerate() {
            ingest(&scratch, &scratch.file(&format!("{n}.ndjson"), event(*part)));
        }
        let open: Vec<String> = findings(&scratch)
            .into_iter()
            .filter(|(_, status, _)| status == "open")
            .map(|(event, ..)| event)
            .collect();
        assert_eq!(open, ["5", "1", "4"], "{order:?}");
        pictures.push(scratch.ok(&[
            "sql",
            "--format",
            "csv",
            "select key, status, says, grade, events from findings order by key",
        ]));
    }
    assert!(pictures.iter().all(|p| *p == pictures[0]), "{pictures:#?}");
}

#[test]
fn one_that_fails_stops_no_other_and_is_said() {
    let scratch = scratch(0, "[detections.rules.outside_any_job]\nseverity = \"critical\"\n");
    let broken = OUTSIDE
        .replace("SUPPRESS", "0")
        .replace("actor_name <> $allowed", "cast(action as bigint) = 1 and actor_name <> $allowed");
    scratch.file("own/broken.sql", broken);
    let events = scratch.file("events.ndjson", event(1, "2026-03-05T10:05:00"));
    let ran = output(&scratch, &["ingest", "--format", "json", events.to_str().unwrap()]);
    let says = String::from_utf8_lossy(&ran.stderr);
    assert!(
        says.contains("failed to run the detection `broken`") && says.contains("Git.RepositoryCreated"),
        "{says}"
    );
    assert_eq!(findings(&scratch), [stands(1, "open", 0)]);
    assert_eq!(scratch.sql("select severity from findings")[0]["severity"], "critical");
    let list = ok(&scratch, &["detections"]);
    assert!(list.contains("failed 1 times, and is run again: broken"), "{list}");

    // Mended, it runs over what it missed.
    scratch.file("own/broken.sql", OUTSIDE.replace("SUPPRESS", "0"));
    let more = scratch.file("more.ndjson", event(2, "2026-03-07T10:05:00"));
    ingest(&scratch, &more);
    assert_eq!(scratch.count("select count(*) from findings where detection = 'broken'"), 2);
}

#[test]
fn what_the_settings_name_must_be_there() {
    for (more, says) in [
        ("[detections.rules.outside_any_jop]\nenabled = false\n", "did you mean `outside_any_job`?"),
        ("[detections.rules.outside_any_job.params]\nalowed = \"x\"\n", "did you mean `allowed`?"),
        ("[detections.rules.outside_any_job]\nseverity = \"huge\"\n", "low, medium, high, critical"),
        ("[detections.rules.outside_any_job]\nsevrity = \"low\"\n", "sevrity"),
    ] {
        let scratch = scratch(0, more);
        let output = scratch.run(&["--config", "agentrail.toml", "detections"]);
        assert!(!output.status.success());
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains(says), "{told}");
    }
    let scratch = scratch(0, "[detections.rules.outside_any_job]\nenabled = false\n");
    assert!(!ok(&scratch, &["detections"]).contains("outside_any_job"));
    assert!(ok(&scratch, &["detections", "outside_any_job"]).contains("switched off"));
}

#[test]
fn the_list_says_what_is_watched_and_what_is_not() {
    let scratch = scratch(0, "");
    scratch.file("agentrail.toml", "[detections]\nfolder = \"own\"\n");
    let list = ok(&scratch, &["detections"]);
    for says in [
        "Library.AgentPoolDeleted",
        "pool_created_and_deleted",
        "T1578.002",
        "CICD-SEC-7",
        "any action\n",
        "Silent: ",
        "does not audit",
    ] {
        assert!(list.contains(says), "{says} is not in\n{list}");
    }
    let whole = ok(&scratch, &["detections", "pool_created_and_deleted"]);
    assert!(whole.contains("false positives") && whole.contains("$from"), "{whole}");
    let json: serde_json::Value =
        serde_json::from_str(&ok(&scratch, &["detections", "--format", "json"])).unwrap();
    assert!(json["silent"].as_array().is_some_and(|silent| !silent.is_empty()));
}

#[test]
fn a_service_runs_them_over_what_comes_in() {
    let scratch = scratch(0, "");
    let config = scratch.path("agentrail.toml");
    let settings = [("AGENTRAIL_CONFIG", config.to_str().unwrap()), ("AGENTRAIL_DETECTIONS__EVERY", "1")];
    let service = Service::start(&scratch, &settings);
    let (status, body) =
        service.request("POST", "/services/collector", &[], event(1, "2026-03-05T10:05:00").as_bytes());
    assert!(status < 300, "{status} {body}");
    for _ in 0..400 {
        if !findings(&scratch).is_empty() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
    assert_eq!(findings(&scratch), [stands(1, "open", 0)]);
    // The work is the service's: another process leaves it alone.
    let output = scratch.run(&["--config", "agentrail.toml", "detect", "--since", "2026-03-01"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("another process has this work"));
}
