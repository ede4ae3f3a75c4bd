//! Evidence that comes after its event: the verdict changes in the open, and only where it can.

use crate::lake::Scratch;

const ORG: &str = "5b000000-0000-4000-8000-0000000000c0";
const SHOP: &str = "5b000000-0000-4000-8000-000000000001";

fn event(n: u32, at: &str) -> String {
    format!(
        r#"{{"Id":"a1000000-0000-4000-8000-00000000000{n}","ActionId":"Git.RepositoryCreated","Timestamp":"2026-03-05T{at}Z","ScopeId":"{ORG}","ScopeDisplayName":"contoso (Organization)","ProjectId":"{SHOP}","ProjectName":"shop","ActorUserId":"5a000000-0000-4000-8000-000000000001","ActorDisplayName":"shop Build Service (contoso)","AuthenticationMechanism":"SessionToken_Unscoped","Data":{{}}}}"#
    )
}

fn pools() -> String {
    r#"{"url":"https://dev.azure.com/contoso/_apis/distributedtask/pools","observed":"2026-03-05T23:00:00Z","status":200,"body":{"value":[{"id":11,"name":"linux","isHosted":false,"poolType":"automation"}]}}"#.to_owned()
}

/// A listing of the pool's jobs: the last one of yesterday, by which it speaks for the day, and one at ten.
fn jobs() -> String {
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
    let account = scratch.ingest(&scratch.file("pools.ndjson", pools()));
    assert_eq!(account["revised"], 2, "{account}");
    assert_eq!(
        verdicts(&scratch),
        [
            ("agent".to_owned(), "builder".to_owned(), 2, false),
            ("client".to_owned(), "not_agent".to_owned(), 1, false)
        ]
    );

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
