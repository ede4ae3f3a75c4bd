//! The life of agents, as the lists of their pool and the audit log tell it.

use serde_json::Value as Json;

use crate::lake::Scratch;

/// A list of pool 11 at a time of the day, with these agents by id.
fn list(at: &str, ids: &[u32]) -> String {
    let agents: Vec<String> = ids
        .iter()
        .map(|id| format!(r#"{{"id":{id},"name":"builder-{id}","version":"4.1.0","enabled":true,"status":"online","systemCapabilities":{{"Agent.ComputerName":"vm-{id}"}}}}"#))
        .collect();
    format!(
        r#"{{"url":"https://dev.azure.com/contoso/_apis/distributedtask/pools/11/agents?includeCapabilities=true","observed":"2026-03-05T{at}Z","status":200,"body":{{"count":{},"value":[{}]}}}}"#,
        ids.len(),
        agents.join(",")
    )
}

/// From when until when each version of an agent held.
fn spans(scratch: &Scratch, id: u32) -> Vec<(String, String)> {
    let sql = format!("select \"from\", until from agents where agent_id = {id} order by 1");
    let text = |value: &Json| value.as_str().unwrap_or("open").replace("2026-03-05T", "");
    scratch.sql(&sql).iter().map(|row| (text(&row["from"]), text(&row["until"]))).collect()
}

fn span(from: &str, until: &str) -> (String, String) {
    (from.to_owned(), until.to_owned())
}

#[test]
fn an_agent_seen_for_a_minute_has_its_span_and_one_that_returns_has_two() {
    let scratch = Scratch::new();
    let lists = [("10:00:00", &[1, 2][..]), ("10:01:00", &[1, 2]), ("10:02:00", &[1]), ("10:03:00", &[1])];
    // The program is started anew for each list.
    for (nth, (at, ids)) in lists.iter().enumerate() {
        scratch.ingest(&scratch.file(&format!("{nth}.ndjson"), list(at, ids)));
    }
    assert_eq!(spans(&scratch, 2), [span("10:00:00Z", "10:02:00Z")]);
    assert_eq!(spans(&scratch, 1), [span("10:00:00Z", "open")]);
    // Lists in one delivery; the agent comes again, and a part of a list says nothing of the others.
    let part = list("11:06:00", &[1]).replace("includeCapabilities=true", "agentName=builder-1");
    let more = [list("11:05:00", &[1, 2]), part, list("11:07:00", &[1, 2])].join("\n");
    scratch.ingest(&scratch.file("more.ndjson", more));
    assert_eq!(spans(&scratch, 2), [span("10:00:00Z", "10:02:00Z"), span("11:05:00Z", "open")]);
    assert_eq!(spans(&scratch, 1), [span("10:00:00Z", "open")]);
    // The audit log knows it to the second.
    let deleted = r#"{"Id":"a1000000-0000-4000-8000-000000000009","ActionId":"Library.AgentDeleted","Timestamp":"2026-03-05T11:07:30Z","ScopeId":"5b000000-0000-4000-8000-0000000000c0","ScopeDisplayName":"contoso (Organization)","ActorUserId":"5a000000-0000-4000-8000-000000000001","Data":{"AgentId":2,"AgentName":"builder-2","AgentPoolId":11}}"#;
    scratch.ingest(&scratch.file("deleted.ndjson", deleted));
    scratch.ingest(&scratch.file("last.ndjson", list("11:08:00", &[1])));
    assert_eq!(spans(&scratch, 2), [span("10:00:00Z", "10:02:00Z"), span("11:05:00Z", "11:07:30Z")]);
    assert_eq!(scratch.sql("select * from agents_now").len(), 2);
}

#[test]
fn a_deployment_group_and_its_pool_tell_of_one_agent() {
    let scratch = Scratch::new();
    let target = |at: &str| {
        format!(
            r#"{{"url":"https://dev.azure.com/contoso/shop/_apis/distributedtask/deploymentgroups/3/targets","observed":"2026-03-05T{at}Z","status":200,"body":{{"count":1,"value":[{{"id":1,"agent":{{"_links":{{"self":{{"href":"https://dev.azure.com/contoso/_apis/distributedtask/pools/11/agents/1"}}}},"id":1,"name":"builder-1","version":"4.1.0","enabled":true,"status":"online"}}}}]}}}}"#
        )
    };
    let lines = [target("10:00:00"), list("10:00:00", &[1]), target("10:01:00"), list("10:01:00", &[1])];
    scratch.ingest(&scratch.file("both.ndjson", lines.join("\n")));
    assert_eq!(spans(&scratch, 1), [span("10:00:00Z", "open")]);
    let rows = scratch.sql("select machine, deployment_group_id from agents_now");
    assert_eq!((rows.len(), &rows[0]["machine"]), (1, &Json::from("vm-1")));
    assert_eq!(scratch.sql("select deployment_group_id as g from agents")[0]["g"], 3);
    // One word of each form was kept.
    assert_eq!(scratch.sql("select * from lake.agents").len(), 2);
}
