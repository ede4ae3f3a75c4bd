//! Cases of the whole decoder.

use super::*;

fn delivery() -> Delivery<'static> {
    Delivery {
        observed: Time::parse("2026-03-06T00:00:00Z").unwrap(),
        url: None,
        organization: None,
        limits: Limits::default(),
    }
}

fn rest(n: u32) -> String {
    format!(
        r#"{{"id":"2517000000000000000;00000064-0000-8888-8000-000000000000;A0000000-0000-4000-8000-{n:012x}","correlationId":"c","activityId":"7a000000-0000-4000-8000-0000000000aa","actorCUID":"a718550e-4777-4058-8298-bff88d0cb524","actorUserId":"d6a98b6c-6932-485c-a986-aea9fc981df0","actorClientId":"00000000-0000-0000-0000-000000000000","timestamp":"2026-03-05T14:05:02.1460838+00:00","scopeType":"organization","scopeDisplayName":"fabrikam (Organization)","scopeId":"73638cd5-0dda-4128-9fd6-48c","actionId":"X.New","data":{{"pipelineId":"18"}},"category":"modify","actorDisplayName":"N","extra":[1]}}"#
    )
}

fn counts(decoded: &Decoded<'_>) -> (usize, usize, usize) {
    (decoded.events.len(), decoded.facts.len(), decoded.rejects.len())
}

fn read(body: &str) -> (usize, usize, usize) {
    counts(&decode(body.as_bytes(), &delivery()))
}

#[test]
fn every_framing_gives_the_same_records() {
    let (a, b) = (rest(1), rest(2));
    for body in [
        format!("{a}\n{b}\n"),
        format!("{a}{b}"),
        format!("[{a},{b}]"),
        format!("\u{feff}[{a},\r\n{b}]"),
        format!(r#"{{"decoratedAuditLogEntries":[{a},{b}],"continuationToken":5,"hasMore":false}}"#),
        format!(r#"{{"value":{{"decoratedAuditLogEntries":[{a},{b}],"hasMore":false}}}}"#),
        format!(r#"{{"records":[{a},{b}]}}"#),
        format!(r#"{{"event":{a}}}{{"event":{b},"time":1}}"#),
        format!(r#"{{"event":{},"sourcetype":"x"}} {{"event":{b}}}"#, serde_json::Value::from(a.as_str())),
        format!(
            r#"[{{"id":"1","eventType":"AzureDevOpsAuditEvent","data":{a}}},{{"specversion":"1.0","type":"t","data":{b}}}]"#
        ),
        format!(
            r#"{{"url":"https://auditservice.dev.azure.com/f/_apis/audit/auditlog","observed":"2026-03-05T15:00:00Z","status":200,"body":{{"decoratedAuditLogEntries":[{a},{b}]}}}}"#
        ),
    ] {
        let decoded = decode(body.as_bytes(), &delivery());
        assert_eq!(counts(&decoded), (2, 0, 0), "{body}\n{:?}", decoded.rejects);
        assert_eq!(decoded.events[0].id, "a0000000-0000-4000-8000-000000000001");
        assert_eq!(decoded.events[1].hints.pipeline_id, Some(18));
        assert_eq!(decoded.events[0].hash, RecordHash::of(&decoded.events[0].raw));
    }
}

#[test]
fn a_broken_record_costs_only_itself() {
    let (a, b, c) = (rest(1), rest(2), rest(3));
    let cut = &b[..b.len() - 30];
    let bad = b.replacen("\"timestamp\":", "\"timestamp\" ", 1);
    for (body, events) in [
        (format!("{a}\n{cut}\n{c}\n"), 2),
        (format!("[{a},{bad},{c}]"), 2),
        (format!("{a}{bad}{c}"), 2),
        (format!(r#"{{"decoratedAuditLogEntries":[{a},{bad},{c}],"hasMore":false}}{c}"#), 3),
        (format!(r#"{{"value":{{"decoratedAuditLogEntries":[{a},{bad},{c}],"x":"]}}"}}}}"#), 2),
        (format!("{a}\n{cut}"), 1),
    ] {
        let decoded = decode(body.as_bytes(), &delivery());
        assert_eq!(
            (decoded.events.len(), decoded.rejects.len()),
            (events, 1),
            "{body}\n{:#?}",
            decoded.rejects
        );
        let reject = &decoded.rejects[0];
        assert!(body.as_bytes()[reject.position as usize..].starts_with(&reject.raw), "{reject:?}");
    }
}

#[test]
fn what_can_be_mended_is_an_event_with_its_own_bytes() {
    let broken = rest(1).replace("X.New", r"X.\New \ud800");
    let body = format!("{broken}\n{}", rest(2));
    let decoded = decode(body.as_bytes(), &delivery());
    assert_eq!(counts(&decoded), (2, 0, 0));
    assert_eq!(decoded.events[0].action, "X.\\New \u{fffd}");
    assert_eq!(decoded.events[0].raw, broken.as_bytes());
}

#[test]
fn a_record_that_holds_a_list_is_no_page() {
    for data in [r#"{"records":[]}"#, r#"{"value":[{"a":1},{"b":2}]}"#] {
        let odd = rest(2).replace(r#"{"pipelineId":"18"}"#, data).replace("\"N\"", r#""C:\dir\q""#);
        let body = format!("{}\n{odd}\n{}", rest(1), rest(3));
        let decoded = decode(body.as_bytes(), &delivery());
        assert_eq!(counts(&decoded), (3, 0, 0), "{data}: {:#?}", decoded.rejects);
        assert_eq!(decoded.events[1].raw, odd.as_bytes());
    }
}

#[test]
fn text_that_is_no_json_is_refused_whole() {
    let csv = "sep=;\nId;ActionId;Timestamp\n1;X.Y;2026-03-05\n";
    let decoded = decode(csv.as_bytes(), &delivery());
    assert_eq!(counts(&decoded), (0, 0, 1));
    assert_eq!(decoded.rejects[0].raw, csv.trim_end().as_bytes());
    let mixed = format!("{}\nsome words, and more\nof them\n{}\n", rest(1), rest(2));
    let decoded = decode(mixed.as_bytes(), &delivery());
    assert_eq!(counts(&decoded), (2, 0, 1), "{:#?}", decoded.rejects);
    assert_eq!(decoded.rejects[0].raw.as_ref(), b"some words, and more\nof them");
}

#[test]
fn a_capture_says_when_or_is_refused() {
    let line = |observed: &str, status: &str| {
        format!(
            r#"{{"url":"https://dev.azure.com/c/_apis/distributedtask/pools","observed":{observed},"status":{status},"body":{{"value":[]}}}}"#
        )
    };
    for (observed, status) in [
        ("\"yesterday\"", "200"),
        ("1772694118", "200"),
        ("\"2099-01-01T00:00:00Z\"", "200"),
        ("\"2026-03-05T00:00:00Z\"", "\"OK\""),
    ] {
        assert_eq!(read(&line(observed, status)), (0, 0, 1), "{observed} {status}");
    }
    assert_eq!(read(&line("\"2026-03-05T00:00:00Z\"", "\"200\"")).2, 0);
}

#[test]
fn bytes_that_are_no_text_cost_only_their_record() {
    let mut body = rest(1).into_bytes();
    body.push(b'\n');
    body.extend(
        rest(2).replace("X.New", "X.?").into_bytes().iter().map(|b| if *b == b'?' { 0xff } else { *b }),
    );
    body.push(b'\n');
    body.extend(rest(3).into_bytes());
    let decoded = decode(&body, &delivery());
    assert_eq!((decoded.events.len(), decoded.rejects.len()), (2, 1));
    assert_eq!(decoded.rejects[0].reason, Reason::Encoding);
}

#[test]
fn hostile_input_neither_panics_nor_takes_for_ever() {
    let deep = "[".repeat(200_000) + &"{\"a\":".repeat(100_000);
    for body in [
        "",
        " ",
        "null",
        "\u{0}",
        "{",
        "}",
        "[",
        "]",
        "{}",
        "[[[]]]",
        "\"",
        "{\"a\"",
        "{\"a\":}",
        "1e999",
        "{\"url\":1,\"body\":2,\"status\":3}",
        r#"{"event":{"event":{"event":{"event":{"event":{"event":{"event":{"event":{"event":{"event":1}}}}}}}}}}"#,
        r#"{"requestId":99999999999999999999,"planId":"p"}"#,
        r#"{"id":"x","actionId":"y","timestamp":"2026-03-05T14:05:02Z","ID":"z"}"#,
        &deep,
        &"{\"a\":\n".repeat(20_000),
        &"\u{feff}".repeat(100),
    ] {
        let decoded = decode(body.as_bytes(), &delivery());
        for event in &decoded.events {
            assert_eq!(event.hash, RecordHash::of(&event.raw));
        }
    }
    let big = rest(1).replace("\"N\"", &format!("\"{}\"", "x".repeat(2 << 20)));
    assert_eq!(read(&big), (1, 0, 0));
}

#[test]
fn lacking_records_say_what_they_lack() {
    let reason = |body: String| decode(body.as_bytes(), &delivery()).rejects.first().map(|r| r.reason);
    assert_eq!(reason(rest(1).replace("\"id\"", "\"no\"")), Some(Reason::NoId));
    assert_eq!(reason(rest(1).replace("2026-03-05T14", "2099-03-05T14")), Some(Reason::BadTime));
    assert_eq!(reason(rest(1).replace("\"timestamp\"", "\"when\"")), Some(Reason::BadTime));
    assert_eq!(reason(rest(1).replace("\"actionId\"", "\"a\"")), Some(Reason::NoAction));
    assert_eq!(reason(r#"{"some":1}"#.to_owned()), Some(Reason::UnknownShape));
}

#[test]
fn a_capture_line_gives_its_address_to_every_record() {
    let body = r#"{"url":"https://dev.azure.com/contoso/_apis/distributedtask/pools/44/agents","observed":"2026-03-05T14:00:00Z","status":200,"body":{"count":1,"value":[{"id":7,"name":"build-7","version":"4.1","osDescription":"Linux","maxParallelism":1,"systemCapabilities":{"Agent.ComputerName":"vm7","PASSWORD":"hush"},"status":"online"}]}}"#;
    let decoded = decode(body.as_bytes(), &delivery());
    assert_eq!(counts(&decoded), (0, 2, 0));
    let fact = &decoded.facts[0];
    assert_eq!(fact.kind, "agent");
    let crate::model::Body::Agent(agent) = &fact.body else { panic!("{fact:?}") };
    assert_eq!((agent.pool_id, agent.machine.as_deref()), (Some(44), Some("vm7")));
    assert_eq!(fact.organization.name.as_deref(), Some("contoso"));
    assert!(!String::from_utf8_lossy(&fact.raw).contains("hush"));
    assert_eq!(decoded.facts[1].kind, "heard.agents");

    // Invariant 4: what is stored reads as it read.
    for fact in &decoded.facts {
        let again = decode(&fact.raw, &Delivery { url: fact.url.as_deref(), ..delivery() });
        // All but when a listing had it.
        let key = fact.key.split('@').next().unwrap();
        assert_eq!((&again.facts[0].kind, again.facts[0].key.as_str()), (&fact.kind, key));
        assert_eq!(again.facts[0].body, fact.body);
    }
    assert!(fact.key.ends_with("@2026-03-05T14:00:00"), "{}", fact.key);
}

#[test]
fn a_list_of_requests_that_may_be_cut_does_not_say_that_its_pool_was_heard() {
    let heard = |query: &str, continuation: &str| {
        let body = format!(
            r#"{{"url":"https://dev.azure.com/contoso/_apis/distributedtask/pools/44/jobrequests{query}","observed":"2026-03-05T14:00:00Z","status":200,{continuation}"body":{{"count":1,"value":[{{"requestId":9,"planType":"Build","jobId":"7f000000-0000-4000-8000-000000000001","finishTime":"2026-03-05T13:59:00Z"}}]}}}}"#
        );
        let decoded = decode(body.as_bytes(), &delivery());
        assert_eq!(decoded.facts[0].kind, "job_request");
        decoded.facts.len() == 2
    };
    assert!(heard("", ""));
    assert!(heard("?$top=2", ""));
    assert!(!heard("?$top=1", ""));
    assert!(!heard("", r#""continuation":"9","#));
    assert!(!heard("?continuationToken=9", ""));
    assert!(!heard("?agentId=9", ""), "of an agent's requests nothing follows for the pool");
    let since = |query: &str| {
        let body = format!(
            r#"{{"url":"https://dev.azure.com/contoso/_apis/distributedtask/pools/44/jobrequests{query}","observed":"2026-03-05T14:00:00Z","status":200,"body":{{"count":0,"value":[]}}}}"#
        );
        let decoded = decode(body.as_bytes(), &delivery());
        let Some(crate::model::Body::Heard(heard)) = decoded.facts.last().map(|f| &f.body) else { panic!() };
        (heard.until.0 - heard.from.0) / crate::model::Ticks::seconds(60).0
    };
    assert_eq!((since(""), since("?completedRequestCount=0")), (60, 0), "minutes spoken for");
}

#[test]
fn an_answer_that_is_no_whole_json_lays_no_secret_open() {
    let good = r#"{"id":1,"name":"lin-0","version":"4.1","systemCapabilities":{"KEY":"s3cr3t"}}"#;
    let agent = r#"{"id":7,"name":"lin-1","version":"4.1","systemCapabilities":{"Agent.Name":"lin-1","KEY":"s3cr3t a}b","PATH":"C:\dir"},"assignedRequest":{"requestId":9,"planType":"Build","jobId":"7f000000-0000-4000-8000-000000000001"},"userCapabilities":{"u":"s3cr3t"}}"#;
    let body = format!(r#"{{"count":2,"value":[{good},{agent}]}}"#);
    let line = |body: &str| {
        format!(
            r#"{{"url":"https://dev.azure.com/contoso/_apis/distributedtask/pools/44/agents","observed":"2026-03-05T14:00:00Z","status":200,"body":{body}}}"#
        )
    };
    let text = |body: &str| line(&serde_json::Value::from(body).to_string());
    let check = |input: &str| {
        let decoded = decode(input.as_bytes(), &delivery());
        let kept = decoded.facts.iter().map(|f| &f.raw).chain(decoded.rejects.iter().map(|r| &r.raw));
        for raw in kept {
            assert!(!String::from_utf8_lossy(raw).contains("s3c"), "{}", String::from_utf8_lossy(raw));
        }
        decoded.facts.len()
    };
    for end in 1..body.len() {
        check(&body[..end]);
        check(&text(&body[..end]));
        check(&line(&body)[..line(&body).len() - end]);
        // The end of a file whose beginning is elsewhere: once the names of the members are there.
        check(&format!("{}\n{good}", &body[..end]));
    }
    for (input, facts) in [(text(&body), 3), (line(&body), 3), (body.clone(), 3)] {
        assert!(check(&input) >= facts, "{input}");
    }
    // Nor does one that is too long.
    let limits = Limits { record: 100, ..Limits::default() };
    let sound = body.replace(r"C:\dir", "");
    let decoded = decode(sound.as_bytes(), &Delivery { limits, ..delivery() });
    assert!(decoded.rejects.iter().any(|r| r.raw.len() > 100));
    for reject in &decoded.rejects {
        assert!(!String::from_utf8_lossy(&reject.raw).contains("s3c"));
    }
}

#[test]
fn a_request_inside_an_agents_record_is_a_record_of_its_own() {
    let body = r#"{"url":"https://dev.azure.com/contoso/_apis/distributedtask/pools/44/agents?includeAssignedRequest=true","observed":"2026-03-05T14:00:00Z","status":200,"body":{"count":1,"value":[{"id":7,"name":"build-7","version":"4.1","osDescription":"Linux","assignedRequest":{"requestId":9,"planType":"Build","jobId":"7f000000-0000-4000-8000-000000000001","assignTime":"2026-03-05T13:59:00Z","owner":{"id":3,"name":"3"}},"lastCompletedRequest":null}]}}"#;
    let decoded = decode(body.as_bytes(), &delivery());
    let kinds: Vec<&str> = decoded.facts.iter().map(|f| f.kind.as_ref()).collect();
    assert_eq!(kinds, ["agent", "job_request", "heard.agents"]);
    let fact = &decoded.facts[1];
    let again = decode(&fact.raw, &Delivery { url: fact.url.as_deref(), ..delivery() });
    assert_eq!((&again.facts[0].key, &again.facts[0].body), (&fact.key, &fact.body));
    let crate::model::Body::Job(job) = &fact.body else { panic!("{fact:?}") };
    assert_eq!(
        (job.request_id, job.agent_id, job.agent_name.as_deref()),
        (Some(9), Some(7), Some("build-7"))
    );
    assert_eq!((job.pool_id, job.run_id), (Some(44), Some(3)));
}

#[test]
fn what_names_another_record_is_not_taken_for_it() {
    use crate::model::Body;
    let one = |body: &str| {
        let decoded = decode(body.as_bytes(), &delivery());
        assert_eq!(counts(&decoded), (0, 1, 0), "{body}");
        (decoded.facts[0].kind.clone(), decoded.facts[0].body.clone())
    };
    // A single agent names its pool; that makes it no queue.
    let (kind, body) = one(
        r#"{"id":3,"name":"a","version":"4.1","osDescription":"Linux","pool":{"id":5,"name":"Default","poolType":"automation"}}"#,
    );
    let Body::Agent(agent) = body else { panic!("{kind}") };
    assert_eq!((kind.as_str(), agent.agent_id, agent.pool_id), ("agent", 3, Some(5)));
    // A deployment and an intervention have ids of their own; the run is the release they name.
    let release = r#""release":{"id":55,"name":"Release-2"},"releaseDefinition":{"id":38,"name":"web"}"#;
    for (extra, kind) in [
        (r#""deploymentStatus":"succeeded""#, "release_deployment"),
        (
            r#""status":"pending","taskInstanceId":"c6500104-7b44-4188-9e1c-8a0a0714152e""#,
            "manual_intervention",
        ),
    ] {
        let (seen, body) = one(&format!(r#"{{"id":79,{release},{extra}}}"#));
        let Body::Run(run) = body else { panic!("{seen}") };
        assert_eq!(seen, kind);
        assert_eq!(
            (run.run_id, run.run_kind.as_str(), run.pipeline_id, run.name.as_deref()),
            (Some(55), "release", Some(38), Some("Release-2"))
        );
    }
    let (_, body) = one(&format!(
        r#"{{"id":55,"name":"Release-2",{}}}"#,
        &release[release.find(",\"release").unwrap() + 1..]
    ));
    assert!(matches!(body, Body::Run(run) if run.run_id == Some(55)));
    // The portal's list of sign-ins, as Microsoft Graph answers it.
    let (kind, _) = one(
        r#"{"id":"b01b1726-0147-425e-a7f7-21f252050400","createdDateTime":"2026-03-05T18:48:33Z","userId":"d7cc485d-2c1b-422c-98fd-5ce52859a4a3","appId":"c44b4083-3bb0-49c1-b47d-974e53cbdf3c","clientAppUsed":"Browser","resourceDisplayName":"x"}"#,
    );
    assert_eq!(kind, "sign_in.user");
}

#[test]
fn memberships_roles_and_clouds_are_facts_of_their_own() {
    let keys = |path: &str, row: &str| {
        let line = format!(
            r#"{{"url":"https://dev.azure.com/contoso/_apis/{path}","observed":"2026-03-05T10:00:00Z","status":200,"body":{{"value":[{row}]}}}}"#
        );
        let decoded = decode(line.as_bytes(), &delivery());
        decoded.facts.iter().map(|f| (f.kind.clone(), f.key.clone())).next().unwrap_or_default()
    };
    let row = r#"{"containerDescriptor":"vssgp.g","memberDescriptor":"aadsp.m"}"#;
    let expected = "graph_membership/contoso/aadsp.m/vssgp.g";
    assert_eq!(keys("graph/memberships/vssgp.g?direction=Down", row).1, expected);
    assert_eq!(keys("graph/memberships/aadsp.m?direction=Up", row).1, expected);
    let roles = "securityroles/scopes/distributedtask.agentpoolrole/roleassignments/resources/44";
    let row = r#"{"identity":{"id":"D6A98B6C-6932-485C-A986-AEA9FC981DF0","displayName":"Ada"},"role":{"name":"Administrator"},"access":"assigned"}"#;
    let key = keys(roles, row).1;
    assert!(
        key.starts_with("pool_role/contoso/44/d6a98b6c-6932-485c-a986-aea9fc981df0/Administrator/"),
        "{key}"
    );
    let row = r#"{"id":"d6a98b6c-6932-485c-a986-aea9fc981df0","agentCloudId":3,"name":"own","acquireAgentEndpoint":"https://a.example","sharedSecret":"hush"}"#;
    assert!(!String::from_utf8_lossy(&decode(row.as_bytes(), &delivery()).facts[0].raw).contains("hush"));
    assert!(keys("distributedtask/agentclouds", row).1.starts_with("agent_cloud/contoso/3/"));
    // What lacks a member, or has it in another type, is kept but not taken for one.
    for (path, row) in [
        ("graph/memberships/x", r#"{"containerDescriptor":{},"memberDescriptor":"aadsp.m"}"#),
        ("graph/memberships/x", r#"{"containerDescriptor":"","memberDescriptor":"aadsp.m"}"#),
        (roles, r#"{"identity":"x","role":{"name":"Reader"}}"#),
        (roles, r#"{"identity":{"id":"x"},"role":[]}"#),
        ("distributedtask/agentclouds", r#"{"agentCloudId":{},"name":"own"}"#),
    ] {
        let (kind, _) = keys(path, row);
        assert!(!["graph_membership", "pool_role", "agent_cloud"].contains(&kind.as_str()), "{row}: {kind}");
    }
}

#[test]
fn a_csv_export_keeps_its_lines() {
    let body = "Id,CorrelationId,ActorUserId,Timestamp,ScopeDisplayName,ScopeId,ActionId,Data,Category\r\n\
        2517;s;A0000000-0000-4000-8000-000000000001,c,d6a98b6c-6932-485c-a986-aea9fc981df0,2026-03-05T14:05:02.1460838Z,fabrikam (Organization),73638cd5-0dda-4128-9fd6-48c,X.New,\"{\"\"PipelineId\"\":\"\"18\"\"}\",Modify\r\n\
        short,row\r\n";
    let decoded = decode(body.as_bytes(), &delivery());
    assert_eq!((decoded.events.len(), decoded.rejects.len()), (1, 1), "{decoded:?}");
    assert_eq!(decoded.events[0].data.as_deref(), Some(r#"{"PipelineId":"18"}"#));
    assert!(decoded.events[0].raw.starts_with(b"2517;s"));
    assert!(is_audit(body.as_bytes()));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]

    /// Whatever one byte of a batch turns into, its neighbours at a distance survive.
    #[test]
    fn a_flipped_byte_costs_at_most_its_own_record(at in 0usize..600, to in 0u8..=255, framing in 0usize..3) {
        let (a, b, c) = (rest(1), rest(2), rest(3));
        let mut middle = b.into_bytes();
        let at = at % middle.len();
        // A line break or a quote moves the bounds themselves, which the cases above look at.
        proptest::prop_assume!(!matches!(to, b'"' | b'\n' | b'{' | b'}' | b'\\') && !matches!(middle[at], b'"' | b'{' | b'}' | b'\\'));
        middle[at] = to;
        let (open, between, close): (&[u8], &[u8], &[u8]) =
            [(&b""[..], &b"\n"[..], &b"\n"[..]), (b"[", b",", b"]"), (b"{\"records\":[", b",", b"]}")][framing];
        let body = [open, a.as_bytes(), between, &middle, between, c.as_bytes(), close].concat();
        let decoded = decode(&body, &delivery());
        let ids: Vec<&str> = decoded.events.iter().map(|e| e.id.as_ref()).collect();
        proptest::prop_assert!(ids.contains(&"a0000000-0000-4000-8000-000000000001"));
        proptest::prop_assert!(ids.contains(&"a0000000-0000-4000-8000-000000000003"));
        proptest::prop_assert_eq!(decoded.events.len() + decoded.rejects.len() + decoded.facts.len(), 3, "{:#?}", decoded.rejects);
    }

    #[test]
    fn any_bytes_decode_without_a_panic(bytes in proptest::collection::vec(0u8..=255, 0..400)) {
        let _ = decode(&bytes, &delivery());
        let _ = cut(&bytes, true);
    }
}
