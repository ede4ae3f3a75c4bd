//! Each shape, of a simulated organisation and of hostile records, read as its receivers read it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Read as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::{Map, Value, json};

use crate::lake::Scratch;
use crate::readers::python;

const SHAPES: [&str; 9] = ["plain", "hec", "sentinel", "ecs", "cef", "leef", "otlp", "ocsf", "ocsf19"];

/// What separates, quotes, ends or says something else in some format.
const HOSTILE: [&str; 20] = [
    "a|b",
    "key=value",
    "back\\slash\\",
    "line\nend\r\ntwo",
    "tab\tkey=b",
    "quo\"te'",
    "nul\0nul",
    "rtl\u{202e}mark\u{200f}",
    "\u{1f600}\u{1f468}\u{200d}\u{1f469}",
    "\u{2028}line\u{2029}",
    "a\\=b\\|c\\n",
    "$json",
    "CEF:0|x|y|z|1|2|3|",
    "cs1=evil cs1Label=x",
    "' or 1=1 --",
    "{\"a\":1}",
    "\u{1b}[31m\u{85}\u{9f}",
    "  blanks  ",
    "",
    "\u{feff}${jndi:ldap://x}",
];

/// Members of an audit record that are text of somebody else.
const MEMBERS: [&str; 16] = [
    "ActionId",
    "Area",
    "Category",
    "ScopeDisplayName",
    "ProjectId",
    "ProjectName",
    "ActorUserId",
    "ActorCUID",
    "ActorClientId",
    "ActorDisplayName",
    "ActorUPN",
    "AuthenticationMechanism",
    "IpAddress",
    "UserAgent",
    "CorrelationId",
    "Details",
];

const ADDRESSES: [&str; 16] = [
    "999.1.1.1",
    "01.2.3.4",
    "1.2.3.4.",
    "1.2.3.4:80",
    "1.2.3.4\n",
    "::1",
    "::",
    "2001:DB8::A",
    "2001:db8:0:0:0:0:0:1",
    "1:2:3:4:5:6:7:8:",
    "1:2:3:4:5:6:7:8:9",
    "1::2::3",
    ":::",
    "12345::1",
    "fe80::1%eth0",
    "::ffff:1.2.3.4",
];

fn audit(n: &mut u32, changes: Value) -> String {
    *n += 1;
    let mut record = json!({
        "Id": format!("a1000000-0000-4000-8000-{n:012}"),
        "CorrelationId": format!("a2000000-0000-4000-8000-{n:012}"),
        "ActionId": "Library.VariableGroupModified", "Area": "Library", "Category": "modify",
        "Timestamp": "2026-03-05T10:05:00Z",
        "ScopeId": "5b000000-0000-4000-8000-0000000000c0", "ScopeDisplayName": "contoso (Organization)",
        "ProjectId": "5b000000-0000-4000-8000-000000000001", "ProjectName": "shop",
        "ActorUserId": "5a000000-0000-4000-8000-000000000001", "ActorDisplayName": "Ada", "ActorUPN": "ada@contoso.example",
        "AuthenticationMechanism": "AAD_Cookie", "IpAddress": "192.0.2.1", "UserAgent": "Mozilla/5.0",
        "Details": "it was modified", "Data": {"X": 1},
    });
    if let (Some(own), Value::Object(changes)) = (record.as_object_mut(), changes) {
        own.extend(changes);
    }
    record.to_string() + "\n"
}

/// Audit records with each of these texts in each member, in all, and in the members of Data that shapes read.
fn hostile() -> String {
    let mut out = String::new();
    let mut n = 0;
    let long = "x".repeat(70_000);
    for text in HOSTILE.into_iter().chain([long.as_str()]) {
        for member in MEMBERS {
            out += &audit(&mut n, json!({ member: text }));
        }
        let all: Map<String, Value> = MEMBERS.iter().map(|m| ((*m).to_owned(), text.into())).collect();
        out += &audit(&mut n, Value::Object(all));
        out += &audit(&mut n, json!({ "Data": { text: text, "Result": text } }));
        out += &audit(&mut n, json!({ "Data": text }));
        let names =
            json!({ "GroupId": text, "GroupName": text, "MemberId": text, "MemberDisplayName": text });
        out += &audit(&mut n, json!({ "ActionId": "Group.UpdateGroupMembership.Add", "Data": names }));
        let update = json!({ "Updates": [{ "GroupId": text, "MemberId": text, "Active": text }] });
        out += &audit(&mut n, json!({ "ActionId": "Group.UpdateGroupMembership", "Data": update }));
        // The name of an agent reaches what is exported by way of a job.
        let request = json!({ "PlanType": "Build", "RequestId": 900_000 + n });
        out += &audit(&mut n, json!({ "ActionId": "Library.ServiceConnectionExecuted", "Data": request }));
    }
    for address in ADDRESSES {
        out += &audit(&mut n, json!({ "IpAddress": address }));
    }
    for member in MEMBERS.into_iter().chain(["Data"]) {
        for other in [Value::Null, json!(123), json!({"a": 1}), json!(["x"]), json!(true)] {
            out += &audit(&mut n, json!({ member: other }));
        }
    }
    let groups = [
        "CreateGroups",
        "UpdateGroups.Delete",
        "UpdateGroups.Modify",
        "UpdateGroupMembership.Remove",
        "Other",
    ];
    for (group, category) in groups.into_iter().flat_map(|g| ["create", "access", "execute"].map(|c| (g, c)))
    {
        let named = json!({ "GroupId": "5E000000-0000-4000-8000-00000000000A", "GroupName": "admins" });
        let changes = json!({ "ActionId": format!("Group.{group}"), "Category": category, "Data": named });
        out += &audit(&mut n, changes);
    }
    for result in ["Failed", "Succeeded", "Canceled"] {
        out += &audit(&mut n, json!({ "Data": { "Result": result } }));
    }
    out
}

/// The jobs that the records above name, on agents and a pool with such names.
fn jobs() -> String {
    let page = |path: &str, items: Vec<Value>| {
        let url = format!("https://dev.azure.com/contoso/_apis/distributedtask/{path}");
        json!({ "url": url, "observed": "2026-03-05T23:00:00Z", "status": 200, "body": { "value": items } })
            .to_string()
            + "\n"
    };
    let mut n = 0;
    let requests = hostile();
    let requests = requests.lines().filter_map(|line| {
        let record: Value = serde_json::from_str(line).ok()?;
        record["Data"]["RequestId"].as_i64()
    });
    let of = |(request, name): (i64, &str)| {
        n += 1;
        json!({
            "requestId": request, "assignTime": "2026-03-05T10:00:00Z", "receiveTime": "2026-03-05T10:00:00Z",
            "finishTime": "2026-03-05T10:10:00Z", "result": "succeeded", "hostId": "5b000000-0000-4000-8000-0000000000c0",
            "scopeId": "5b000000-0000-4000-8000-000000000001", "planType": "Build",
            "planId": format!("3d000000-0000-4000-8000-{n:012}"), "jobId": format!("7f000000-0000-4000-8000-{n:012}"),
            "jobName": name, "poolId": 999, "definition": { "id": 30, "name": name }, "owner": { "id": n, "name": name },
            "reservedAgent": { "id": 990_000 + n, "name": name, "version": name },
        })
    };
    let requests = requests.zip(HOSTILE).map(of).collect();
    let pool = json!({ "id": 999, "name": HOSTILE.join(""), "isHosted": false, "poolType": "automation" });
    page("pools", vec![pool]) + &page("pools/999/jobrequests", requests)
}

/// A receiver of syslog over TCP: what came, without its header, line by line.
fn listen() -> (u16, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let came = Arc::new(Mutex::new(String::new()));
    let own = came.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut bytes) = (stream.unwrap(), Vec::new());
            stream.read_to_end(&mut bytes).unwrap();
            let mut rest = std::str::from_utf8(&bytes).unwrap();
            // Octets are counted: what a message holds never ends it.
            while let Some((count, more)) = rest.split_once(' ') {
                let (message, after) = more.split_at(count.parse().unwrap());
                writeln!(own.lock().unwrap(), "{}", message.splitn(8, ' ').nth(7).unwrap()).unwrap();
                rest = after;
            }
        }
    });
    (port, came)
}

/// All files below a folder, one after the other.
fn gathered(folder: &Path) -> String {
    let mut all = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        all += &if path.is_dir() { gathered(&path) } else { std::fs::read_to_string(&path).unwrap() };
    }
    all
}

#[test]
fn each_shape_is_what_its_receivers_understand() {
    let Some(python) = python() else { return };
    let scratch = Scratch::new();
    let (cef, cefs) = listen();
    let (leef, leefs) = listen();
    let mut settings = String::new();
    for (shape, what) in SHAPES.into_iter().flat_map(|shape| ["events", "findings"].map(|what| (shape, what)))
    {
        let folder = scratch.path(&format!("out/{shape}_{what}"));
        let (name, folder) = (format!("{shape}_{what}"), folder.display());
        writeln!(
            settings,
            "[[export.destinations]]\nname = \"{name}\"\nkind = \"file\"\nurl = \"{folder}\"\nwhat = [\"{what}\"]\nshape = \"{shape}\""
        )
        .unwrap();
    }
    for (body, port) in [("cef", cef), ("leef", leef)] {
        writeln!(
            settings,
            "[[export.destinations]]\nname = \"{body}\"\nkind = \"syslog\"\nurl = \"127.0.0.1:{port}\"\nbody = \"{body}\""
        )
        .unwrap();
    }
    let settings = scratch.file("agentrail.toml", settings);
    let export = ["export", "run", "--once", "--config", settings.to_str().unwrap()];

    // First the audit log alone, later what decides about it: so verdicts are sent that change.
    let simulated = scratch.path("simulated");
    let of_simulated = |name: &str| simulated.join(name);
    scratch.ok(&[
        "simulate",
        "--seed",
        "11",
        "--days",
        "1",
        "--events-per-day",
        "300",
        "--out",
        simulated.to_str().unwrap(),
    ]);
    scratch.ingest(&of_simulated("audit.ndjson"));
    scratch.ingest(&of_simulated("forged.ndjson"));
    scratch.ingest(&scratch.file("hostile.ndjson", hostile()));
    scratch.ok(&export);
    scratch.ingest(&of_simulated("facts.ndjson"));
    scratch.ingest(&of_simulated("hooks.ndjson"));
    scratch.ingest(&scratch.file("jobs.ndjson", jobs()));
    scratch.ok(&export);

    for (shape, what) in
        SHAPES.into_iter().flat_map(|shape| [("events", ""), ("findings", "_finding")].map(|w| (shape, w)))
    {
        let text = gathered(&scratch.path(&format!("out/{shape}_{}", what.0)));
        scratch.file(&format!("bodies/{shape}{}.ndjson", what.1), text);
    }
    scratch.file("bodies/cef.txt", cefs.lock().unwrap().as_bytes());
    scratch.file("bodies/leef.txt", leefs.lock().unwrap().as_bytes());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peer/shapes.py");
    let out = Command::new(python).arg(script).arg(scratch.path("bodies")).output().unwrap();
    let (says, fails) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{says}\n{fails}");

    let exported = std::fs::read_to_string(scratch.path("bodies/plain.ndjson")).unwrap();
    let rows: Vec<Value> = exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids: BTreeSet<&str> = rows.iter().filter_map(|row| row["event_id"].as_str()).collect();
    assert_eq!(i64::try_from(ids.len()).unwrap(), scratch.count("select count(*) from actions"), "{says}");
    let updates = rows.iter().filter(|row| row["updated"] == true).count();
    assert!(updates > 50, "{updates} updates\n{says}");
    // Hostile names of agents came with verdicts, and whole.
    let names: Vec<&str> = rows.iter().filter_map(|row| row["agent_name"].as_str()).collect();
    assert!(names.contains(&HOSTILE[0]) && names.contains(&HOSTILE[3]), "{says}");
}
