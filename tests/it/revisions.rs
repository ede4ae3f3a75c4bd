//! Evidence that comes after its event: the verdict changes in the open, and only where it can.

use crate::lake::Scratch;

const ORG: &str = "5b000000-0000-4000-8000-0000000000c0";
const SHOP: &str = "5b000000-0000-4000-8000-000000000001";

pub fn event(n: u32, at: &str) -> String {
    format!(
        r#"{{"Id":"a1000000-0000-4000-8000-00000000000{n}","ActionId":"Git.RepositoryCreated","Timestamp":"2026-03-05T{at}Z","ScopeId":"{ORG}","ScopeDisplayName":"contoso (Organization)","ProjectId":"{SHOP}","ProjectName":"shop","ActorUserId":"5a000000-0000-4000-8000-000000000001","ActorDisplayName":"shop Build Service (contoso)","AuthenticationMechanism":"SessionToken_Unscoped","Data":{{}}}}"#
    )
}

pub fn pools() -> String {
    r#"{"url":"https://dev.azure.com/contoso/_apis/distributedtask/pools","observed":"2026-03-05T23:00:00Z","status":200,"body":{"value":[{"id":11,"name":"linux","isHosted":false,"poolType":"automation"}]}}"#.to_owned()
}

/// A listing of the pool's jobs: the last one of yesterday, by which it speaks for the day, and one at ten.
pub fn jobs() -> String {
    let job = |request: u32, day: u32, agent: &str| {
        format!(
            r#"{{"requestId":{request},"assignTime":"2026-03-0{day}T10:00:00Z","receiveTime":"2026-03-0{day}T10:00:00Z","finishTime":"2026-03-0{day}T10:10:00Z","result":"succeeded","hostId":"{ORG}","scopeId":"{SHOP}","planType":"Build","planId":"3d000000-0000-4000-8000-00000000000{request}","jobId":"7f000000-0000-4000-8000-000000000001","poolId":11,"owner":{{"id":{request},"name":"n.{request}"}},"reservedAgent":{{"id":{request},"name":"{agent}"}}}}"#
        )
    };
    format!(
        r#"{{"url":"https://dev.azure.com/contoso/_apis/distributedtask/pools/11/jobrequests","observed":"2026-03-05T23:00:00Z","status":200,"body":{{"value":[{},{}]}}}}"#,
        job(1, 4, "yesterday"),
        job(2, 5, "builder")
    )
}

fn verdicts(scratch: &Scratch) -> Vec<(String, String, i64, bool)> {
    scratch
        .sql("select executor, coalesce(agent_name, grade) as who, revision, provisional from actions order by event_id")
        .iter()
        .map(|row| {
            let text = |name: &str| row[name].as_str().unwrap().to_owned();
            (text("executor"), text("who"), row["revision"].as_i64().unwrap(), row["provisional"].as_bool().unwrap())
        })
        .collect()
}

#[test]
fn late_evidence_revises_and_the_past_stays() {
    let scratch = Scratch::new();
    let events = [event(1, "10:05:00"), event(2, "12:00:00")].join("\n");
    scratch.ingest(&scratch.file("events.ndjson", events));
    let unknown = ("unknown".to_owned(), "none".to_owned(), 0, true);
    assert_eq!(verdicts(&scratch), [unknown.clone(), unknown.clone()]);
    let before = scratch.sql("select max(known) as t from lake.events")[0]["t"].as_str().unwrap().to_owned();

    // The jobs alone name a candidate; that no other pool ran anything comes with the list of pools.
    let account = scratch.ingest(&scratch.file("jobs.ndjson", jobs()));
    assert_eq!(account["revised"], 1, "{account}");
    assert_eq!(verdicts(&scratch)[0].0, "agent");
    let trace = || scratch.ok(&["trace", "a1000000-0000-4000-8000-000000000001"]);
    assert!(trace().contains("blind      lists of pools were never heard"), "{}", trace());
    let account = scratch.ingest(&scratch.file("pools.ndjson", pools()));
    assert_eq!(account["revised"], 2, "{account}");
    assert_eq!(
        verdicts(&scratch),
        [
            ("agent".to_owned(), "builder".to_owned(), 2, false),
            ("client".to_owned(), "not_agent".to_owned(), 1, false)
        ]
    );

    assert!(!trace().contains("blind "), "{}", trace());
    let was = trace().lines().filter(|line| line.starts_with("  was ")).count();
    assert_eq!(was, 2, "{}", trace());

    // The same again changes nothing, nor does deciding everything again.
    let again = scratch.file("again.ndjson", [pools(), jobs()].join("\n"));
    assert_eq!(scratch.ingest(&again)["revised"], 0);
    let all = scratch.ok(&["reattribute", "--since", "2026-03-01", "--format", "json"]);
    let all: serde_json::Value = serde_json::from_str(&all).unwrap();
    assert_eq!((all["looked_at"].as_u64(), all["changed"].as_u64()), (Some(2), Some(0)), "{all}");

    // What was believed before is still there to be asked for, and each revision says why.
    let then = scratch.sql(&format!("select distinct executor from actions_as_known('{before}')"));
    assert_eq!((then.len(), then[0]["executor"].as_str()), (1, Some("unknown")));
    let rows = scratch.sql("select revision, old_executor, old_grade, executor, why from lake.revisions order by event_id, revision");
    assert_eq!(rows.len(), 3);
    assert_eq!(
        (rows[0]["old_executor"].as_str(), rows[0]["executor"].as_str()),
        (Some("unknown"), Some("agent"))
    );
    assert!(rows.iter().all(|r| !r["why"].as_str().unwrap().is_empty()));
}

#[test]
fn a_run_that_may_have_been_at_something_leaves_it_open_until_its_timeline_is_read() {
    let capture = |path: &str, body: &str| {
        format!(
            r#"{{"url":"https://dev.azure.com/contoso/{SHOP}/_apis/build/builds/9{path}","observed":"2026-03-05T11:30:00Z","status":200,"body":{body}}}"#
        )
    };
    let run = capture(
        "",
        r#"{"id":9,"buildNumber":"n.9","status":"completed","result":"succeeded","queueTime":"2026-03-05T09:00:00Z","startTime":"2026-03-05T09:00:00Z","finishTime":"2026-03-05T11:00:00Z"}"#,
    );
    // Its first job began after the event: only the beginning of the run says that the timeline speaks of it.
    let timeline = capture(
        "/timeline",
        r#"{"records":[{"id":"7f000000-0000-4000-8000-000000000009","parentId":null,"type":"Job","name":"Gate","workerName":null,"state":"completed","startTime":"2026-03-05T10:30:00Z","finishTime":"2026-03-05T10:50:00Z"}]}"#,
    );
    // One that went on for days is of none of the days around the event.
    let long = run.replace("05T09:00:00Z\",\"f", "01T09:00:00Z\",\"f").replace("05T11", "09T11");
    let sure = ("agent".to_owned(), "builder".to_owned(), false);
    let open = ("unknown".to_owned(), "narrowed".to_owned(), true);
    let base = [event(1, "10:05:00"), jobs(), pools()].join("\n");
    for (steps, after) in [
        ([&base, &run, &timeline], [&sure, &open, &sure]),
        ([&run, &base, &timeline], [&open, &open, &sure]),
        ([&base, &timeline, &run], [&sure, &sure, &sure]),
        ([&base, &long, &timeline], [&sure, &open, &sure]),
        ([&long, &base, &timeline], [&open, &open, &sure]),
    ] {
        let scratch = Scratch::new();
        for (n, (step, after)) in steps.into_iter().zip(after).enumerate() {
            scratch.ingest(&scratch.file(&format!("{n}.ndjson"), step));
            if scratch.count("select count(*) from actions") > 0 {
                let (executor, who, _, provisional) = verdicts(&scratch).remove(0);
                assert_eq!(&(executor, who, provisional), after, "step {n}");
            }
        }
    }
}

#[test]
fn any_order_of_arrival_ends_with_the_same_verdicts() {
    let parts = [event(1, "10:05:00"), jobs(), pools(), event(2, "12:00:00")];
    let mut pictures = Vec::new();
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 2, 0, 3], [2, 0, 3, 1]] {
        let scratch = Scratch::new();
        for part in order {
            scratch.ingest(&scratch.file(&format!("{part}.ndjson"), &parts[part]));
        }
        // All but when things were known, and how often the verdict was revised.
        let sql = "select event_id, executor, raised_by, grade, agent_name, job_id, run_id, missing, blind, provisional, \
            array_length(candidates) as candidates, array_length(evidence) as evidence from actions order by event_id";
        pictures.push(scratch.ok(&["sql", "--format", "csv", sql]));
    }
    assert!(pictures.iter().all(|p| *p == pictures[0]), "{pictures:#?}");
}

#[test]
fn events_of_a_csv_export_are_decided_again_too() {
    let scratch = Scratch::new();
    let csv = format!(
        "Id,CorrelationId,ActorUserId,ActorDisplayName,Timestamp,ScopeDisplayName,ScopeId,ProjectId,ProjectName,ActionId,Data,Category\r\n\
         2517;s;a1000000-0000-4000-8000-000000000001,c,5a000000-0000-4000-8000-000000000001,shop Build Service (contoso),2026-03-05T10:05:00.1460838Z,contoso (Organization),{ORG},{SHOP},shop,Git.X,{{}},Create\r\n"
    );
    scratch.ingest(&scratch.file("export.csv", csv));
    let account = scratch.ingest(&scratch.file("rest.ndjson", [pools(), jobs()].join("\n")));
    assert_eq!(account["revised"], 1, "{account}");
    assert_eq!(verdicts(&scratch)[0].1, "builder");
}

#[test]
fn two_organisations_never_share_a_run_an_agent_or_a_trace() {
    let scratch = Scratch::new();
    // The same request, run, job and agent ids in another organisation, as they happen to be.
    let elsewhere = |text: &str| {
        text.replace(ORG, "5b000000-0000-4000-8000-0000000000ff")
            .replace("contoso", "fabrikam")
            .replace("builder", "stranger")
    };
    let events = [event(1, "10:05:00"), elsewhere(&event(2, "10:05:00"))].join("\n");
    scratch.ingest(&scratch.file("events.ndjson", events));
    scratch.ingest(
        &scratch.file("facts.ndjson", [pools(), jobs(), elsewhere(&pools()), elsewhere(&jobs())].join("\n")),
    );
    let who: Vec<String> = verdicts(&scratch).into_iter().map(|v| v.1).collect();
    assert_eq!(who, ["builder", "stranger"]);
    assert_eq!(scratch.count("select count(*) from jobs where run_id = 2"), 2);
    let trace = scratch.ok(&["trace", "a1000000-0000-4000-8000-000000000002", "--format", "json"]);
    let trace: serde_json::Value = serde_json::from_str(&trace).unwrap();
    assert_eq!(trace["actions"][0]["job"]["agent_name"], "stranger");
    assert_eq!(
        scratch.count(
            "select count(*) from pools where organization_id is not null and organization is not null"
        ),
        2
    );
}

/// The verdicts without the times at which records were known, the records of events by their ids: of
/// two spellings of one event that is kept which came first.
fn picture(scratch: &Scratch) -> Vec<serde_json::Value> {
    let ids: std::collections::HashMap<String, String> = scratch
        .sql("select record_hash, event_id from lake.events")
        .iter()
        .map(|row| (row["record_hash"].as_str().unwrap().into(), row["event_id"].as_str().unwrap().into()))
        .collect();
    let known = "select record_hash from lake.facts union select record_hash from lake.events";
    let dangling = format!(
        "select count(*) as n from (select unnest(evidence) as e from actions) \
         where e['record'] is not null and e['record'] not in ({known})"
    );
    assert_eq!(scratch.count(&dangling), 0, "evidence is of records that were kept");
    let mut rows = scratch.sql(
        "select event_id, executor, raised_by, grade, agent_id, agent_name, agent_version, pool_id, pool_name, machine, \
           job_id, request_id, run_id, run_kind, attempt, pipeline_id, identities, candidates, missing, subjects, \
           blind, provisional, evidence from actions order by event_id",
    );
    for row in &mut rows {
        let evidence = row["evidence"].as_array_mut().unwrap();
        for item in evidence.iter_mut() {
            let item = item.as_object_mut().unwrap();
            item.remove("known");
            if let Some(id) = item["record"].as_str().and_then(|hash| ids.get(hash)) {
                item.insert("record".to_owned(), id.as_str().into());
            }
        }
        evidence.sort_by_key(ToString::to_string);
    }
    rows
}

/// A1: any interleaving of the same inputs ends with the same verdicts, to the last word of evidence.
#[test]
fn a1_a_shuffled_organisation_ends_with_the_same_verdicts() {
    let source = Scratch::new();
    let out = source.path("out");
    source.ok(&[
        "simulate",
        "--seed",
        "3",
        "--days",
        "2",
        "--events-per-day",
        "400",
        "--out",
        out.to_str().unwrap(),
    ]);
    let read = |part: &str| std::fs::read_to_string(out.join(format!("{part}.ndjson"))).unwrap();
    let lines: Vec<String> = ["facts", "hooks", "audit"]
        .iter()
        .flat_map(|p| read(p).lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let whole = Scratch::new();
    whole.ingest(&whole.file("all.ndjson", lines.join("\n")));
    let expected = picture(&whole);
    for shuffle in 0..2 {
        use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let mut order: Vec<&String> = lines.iter().collect();
        order.sort_by_key(|line| hasher.hash_one((shuffle, line)));
        let scratch = Scratch::new();
        for (part, lines) in order.chunks(order.len().div_ceil(4)).enumerate() {
            let text: Vec<&str> = lines.iter().map(|line| line.as_str()).collect();
            let file = scratch.file(&format!("{part}.ndjson"), text.join("\n"));
            let mut ingest = scratch.command(&["ingest", file.to_str().unwrap()]);
            if shuffle == 1 {
                // In small commits, each looked at on its own.
                ingest.env("AGENTRAIL_COMMIT__MAX_BYTES", "65536").env("AGENTRAIL_ATTRIBUTE__MAX_NEWS", "1");
            }
            assert!(ingest.output().unwrap().status.success());
        }
        let got = picture(&scratch);
        assert_eq!(got.len(), expected.len());
        for (got, expected) in got.iter().zip(&expected) {
            assert_eq!(got, expected, "shuffle {shuffle}");
        }
    }
}

#[test]
fn what_events_tell_about_each_other_counts_in_any_order() {
    let two_jobs =
        jobs().replace(r#""requestId":1,"#, r#""requestId":3,"#).replace("2026-03-04", "2026-03-05");
    let with = |n: u32, replacements: &[(&str, &str)]| {
        replacements.iter().fold(event(n, "10:05:00"), |text, (from, to)| {
            assert!(text.contains(from), "{from}");
            text.replace(from, to)
        })
    };
    let call = r#""CorrelationId":"c0000000-0000-4000-8000-000000000001","Data":{"#;
    let token = r#""AuthenticationMechanism":"PAT_Unscoped","IpAddress":"203.0.113.7","#;
    let session = r#""AuthenticationMechanism":"SessionToken_Unscoped","#;
    let person = ("shop Build Service (contoso)", "Ada");
    let cases = [
        // One record of a call says which job it was of.
        (
            with(1, &[(r#""Data":{"#, call)]),
            with(2, &[(r#""Data":{"#, &format!("{call}\"RequestId\":2"))]),
            "correlation",
        ),
        // The id of a project is known only from its own records.
        (
            with(1, &[("shop Build", "tools Build")]),
            with(2, &[(r#""ProjectName":"shop""#, r#""ProjectName":"tools""#), (session, ""), person]),
            "running at that moment",
        ),
        // An agent was registered from the address of a token's use.
        (
            with(1, &[(session, token), person]),
            event(2, "09:00:00")
                .replace(session, token)
                .replace("shop Build Service (contoso)", "Ada")
                .replace("Git.RepositoryCreated", "Library.AgentAdded")
                .replace(r#""Data":{"#, r#""Data":{"AgentId":77,"AgentName":"builder-77","AgentPoolId":11"#),
            "203.0.113.7",
        ),
    ];
    for (early, late, says) in cases {
        let mut pictures = Vec::new();
        for order in [
            [&two_jobs, &early, &late],
            [&two_jobs, &late, &early],
            [&late, &early, &two_jobs],
            [&early, &two_jobs, &late],
        ] {
            let scratch = Scratch::new();
            for (n, text) in order.into_iter().enumerate() {
                scratch.ingest(&scratch.file(&format!("{n}.ndjson"), text));
            }
            pictures.push(picture(&scratch));
        }
        // All at once, learnt and decided in one batch.
        let scratch = Scratch::new();
        let whole = [two_jobs.as_str(), late.as_str(), early.as_str()].join("\n");
        scratch.ingest(&scratch.file("whole.ndjson", whole));
        pictures.push(picture(&scratch));
        assert!(pictures.iter().all(|p| *p == pictures[0]), "{says}: {pictures:#?}");
        assert!(pictures[0][0].to_string().contains(says), "{says}: {}", pictures[0][0]);
    }
}

/// The inventory goes by machine, and which machine an agent is on comes with its listing: whom it names
/// and whom it excludes is the same whenever that comes.
#[test]
fn an_inventory_by_machine_counts_in_any_order_of_event_listing_and_statement() {
    let two_jobs =
        jobs().replace(r#""requestId":1,"#, r#""requestId":3,"#).replace("2026-03-04", "2026-03-05");
    let robot = event(1, "10:05:00").replace(
        r#""ActorUserId":"5a000000-0000-4000-8000-000000000001","ActorDisplayName":"shop Build Service (contoso)","#,
        r#""ActorClientId":"7d000000-0000-4000-8000-0000000000ee","ActorDisplayName":"robot","#,
    );
    let outside = event(2, "10:05:00").replace(r#""Data""#, r#""IpAddress":"203.0.113.9","Data""#);
    let events = [robot, outside].join("\n");
    assert!(events.contains("ActorClientId") && events.contains("IpAddress"));
    let listing = r#"{"url":"https://dev.azure.com/contoso/_apis/distributedtask/pools/11/agents","observed":"2026-03-05T23:00:00Z","status":200,"body":{"value":[{"id":2,"name":"builder","version":"4.252.0","osDescription":"Linux","maxParallelism":1,"systemCapabilities":{"Agent.ComputerName":"vm-7"}}]}}"#.to_owned();
    let inventory = r#"{"inventory":{"organization":"contoso","machine":"vm-*","identity":"7d000000-0000-4000-8000-0000000000ee","addresses":["10.0.0.0/8"]}}"#.to_owned();
    let parts = [events, two_jobs, listing, inventory];
    let mut pictures = Vec::new();
    for order in [[1, 2, 3, 0], [0, 1, 3, 2], [3, 0, 1, 2], [0, 3, 2, 1]] {
        let scratch = Scratch::new();
        for part in order {
            scratch.ingest(&scratch.file(&format!("{part}.ndjson"), &parts[part]));
        }
        pictures.push((order, picture(&scratch)));
    }
    let (_, first) = &pictures[0];
    assert!(first[0].to_string().contains("the inventory gives its agent this identity"), "{}", first[0]);
    assert!(first[1].to_string().contains("203.0.113.9 is none of them"), "{}", first[1]);
    for (order, picture) in &pictures {
        assert_eq!(picture, first, "{order:?}");
    }
}
