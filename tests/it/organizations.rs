//! Reports and traces of agents that come, move and go, of two organisations that number alike.

use crate::lake::Scratch;

const CONTOSO: &str = "5b000000-0000-4000-8000-0000000000c0";
const NORTHWIND: &str = "5b000000-0000-4000-8000-0000000000d0";
const SHOP: &str = "5b000000-0000-4000-8000-000000001001";
const TOKEN: &str = "9e000000-0000-4000-8000-0000000000e1";

/// A list of the REST interface as it was fetched at a time.
fn list(organization: &str, path: &str, at: &str, items: &[String]) -> String {
    format!(
        r#"{{"url":"https://dev.azure.com/{organization}/_apis/distributedtask/{path}","observed":"2026-03-{at}Z","status":200,"body":{{"count":{},"value":[{}]}}}}"#,
        items.len(),
        items.join(",")
    )
}

fn pool(organization: &str, id: u32, name: &str) -> String {
    let pool = format!(r#"{{"id":{id},"name":"{name}","isHosted":false,"poolType":"automation"}}"#);
    list(organization, "pools", "05T01:00:00", &[pool])
}

/// A job of run `n` on agent `n`; without an end it runs.
fn job(host: &str, n: u32, agent: &str, from: &str, until: Option<&str>) -> String {
    let end = until.map_or_else(String::new, |until| {
        format!(r#","finishTime":"2026-03-05T{until}Z","result":"succeeded""#)
    });
    format!(
        r#"{{"requestId":{n},"queueTime":"2026-03-05T{from}Z","assignTime":"2026-03-05T{from}Z","receiveTime":"2026-03-05T{from}Z"{end},"hostId":"{host}","scopeId":"{SHOP}","planType":"Build","planId":"3d000000-0000-4000-8000-00000000000{n}","jobId":"7f000000-0000-4000-8000-00000000000{n}","poolId":11,"definition":{{"id":30,"name":"ci"}},"owner":{{"id":{n},"name":"n.{n}"}},"reservedAgent":{{"id":{n},"name":"{agent}"}}}}"#
    )
}

fn agent(id: u32, name: &str, key: &str, machine: &str) -> String {
    format!(
        r#"{{"id":{id},"name":"{name}","version":"4.1","maxParallelism":1,"authorization":{{"publicKey":{{"exponent":"AQAB","modulus":"{key}"}}}},"systemCapabilities":{{"Agent.ComputerName":"{machine}"}}}}"#
    )
}

/// An audit record of contoso by Ada, with a token where `how` says so.
fn record(n: u32, action: &str, at: &str, how: &str, data: &str) -> String {
    format!(
        r#"{{"Id":"a6000000-0000-4000-8000-{n:012}","ActionId":"{action}","Timestamp":"2026-03-{at}Z","ScopeId":"{CONTOSO}","ScopeDisplayName":"contoso (Organization)","ActorUserId":"5a000000-0000-4000-8000-000000000001","ActorDisplayName":"Ada","AuthenticationMechanism":"{how}","UserAgent":"VSServices/19","Data":{{{data}}}}}"#
    )
}

fn csv(scratch: &Scratch, name: &str, params: &[&str]) -> String {
    let params = params.iter().flat_map(|param| ["--param", param]);
    scratch.ok(&["report", name, "--format", "csv"].into_iter().chain(params).collect::<Vec<_>>())
}

fn has(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|own| own.starts_with(line)), "{line} is not in\n{text}");
    }
}

/// Pools and agents have the same numbers in every organisation; a job is at work in every hour it runs in.
#[test]
fn work_is_told_by_organisation_and_in_the_hours_that_it_took() {
    let scratch = Scratch::new();
    let requests = "pools/11/jobrequests";
    let lines = [
        pool("contoso", 11, "linux"),
        pool("northwind", 11, "other"),
        list(
            "contoso",
            requests,
            "05T14:30:00",
            &[
                job(CONTOSO, 1, "lin-1", "10:30:00", Some("12:15:00")),
                // Nothing tells the end of these two: one runs on, the other's agent took another job.
                job(CONTOSO, 2, "lin-2", "13:50:00", None),
                job(CONTOSO, 3, "lin-3", "07:10:00", None),
                job(CONTOSO, 4, "lin-3", "07:20:00", Some("07:30:00"))
                    .replace(r#"{"id":4,"name":"lin-3"}"#, r#"{"id":3,"name":"lin-3"}"#),
            ],
        ),
        list(
            "northwind",
            requests,
            "05T14:00:00",
            &[job(NORTHWIND, 1, "nw-1", "10:00:00", Some("10:20:00"))],
        ),
    ];
    scratch.ingest(&scratch.file("work.ndjson", lines.join("\n")));
    let pools = csv(&scratch, "pool_utilisation", &[]);
    has(
        &pools,
        &[
            "contoso,11,linux,2026-03-05T07:00:00Z,2,1,20.0,",
            "contoso,11,linux,2026-03-05T10:00:00Z,1,1,30.0,",
            "northwind,11,other,2026-03-05T10:00:00Z,1,1,20.0,",
            "contoso,11,linux,2026-03-05T11:00:00Z,0,1,60.0,",
            "contoso,11,linux,2026-03-05T12:00:00Z,0,1,15.0,",
            "contoso,11,linux,2026-03-05T13:00:00Z,1,1,10.0,",
            "contoso,11,linux,2026-03-05T14:00:00Z,0,1,30.0,",
        ],
    );
    assert_eq!(pools.lines().count(), 8, "{pools}");
    // Within the time that is asked for.
    let part =
        csv(&scratch, "pool_utilisation", &["since=2026-03-05T11:45:00Z", "until=2026-03-05T14:10:00Z"]);
    has(
        &part,
        &[
            "contoso,11,linux,2026-03-05T11:00:00Z,0,1,15.0,",
            "contoso,11,linux,2026-03-05T14:00:00Z,0,1,10.0,",
        ],
    );
    let agents = csv(&scratch, "agent_utilisation", &[]);
    has(
        &agents,
        &[
            "2026-03-05T00:00:00Z,contoso,11,lin-1,1,1,105.0,",
            "2026-03-05T00:00:00Z,contoso,11,lin-2,1,1,40.0,",
            "2026-03-05T00:00:00Z,northwind,11,nw-1,1,1,20.0,",
        ],
    );
    has(
        &csv(&scratch, "pipelines_by_agent", &[]),
        &["contoso,lin-1,11,ci,30,1,", "northwind,nw-1,11,ci,30,1,"],
    );
}

/// What the inventory states of many agents each of them has, and a name is a name.
#[test]
fn a_stated_pattern_reaches_every_agent_that_fits_and_no_other() {
    let client = "7d000000-0000-4000-8000-000000000001";
    let states = |agent: &str, identity: &str| {
        format!(r#"{{"inventory":{{"organization":"contoso","agent":"{agent}","identity":"{identity}"}}}}"#)
    };
    let graph = |path: &str, items: &str| {
        format!(
            r#"{{"url":"https://vssps.dev.azure.com/contoso/_apis/graph/{path}","observed":"2026-03-05T02:00:00Z","status":200,"body":{{"value":[{items}]}}}}"#
        )
    };
    let lines = [
        pool("contoso", 11, "linux"),
        list("contoso", "pools/11/agents", "05T02:00:00", &[
            agent(1, "lin-1", "a", "vm1"),
            agent(2, "ci_1", "b", "vm2"),
            agent(3, "ci-1", "c", "vm3"),
        ]),
        states("LIN-*", client),
        states("ci_1", "7d000000-0000-4000-8000-000000000002"),
        graph("serviceprincipals", &format!(r#"{{"subjectKind":"servicePrincipal","displayName":"mi-x","origin":"aad","originId":"7c000000-0000-4000-8000-000000000001","applicationId":"{client}","principalName":"7c000000-0000-4000-8000-000000000001","descriptor":"aadsp.QUJD"}}"#)),
        graph("memberships/vssgp.team?direction=Down", r#"{"containerDescriptor":"vssgp.team","memberDescriptor":"aadsp.QUJD"}"#),
        // The holder of a role has its storage key here, which nothing else gives, beside its name in Entra.
        r#"{"url":"https://dev.azure.com/contoso/_apis/securityroles/scopes/distributedtask.agentpoolrole/roleassignments/resources/11","observed":"2026-03-05T02:00:00Z","status":200,"body":{"value":[{"identity":{"id":"5E000000-0000-4000-8000-00000000000B","displayName":"mi-x","uniqueName":"7c000000-0000-4000-8000-000000000001"},"role":{"name":"Administrator"},"access":"assigned"}]}}"#.to_owned(),
        // Used once, by a record that gives the name of the pool only.
        record(1, "Library.AgentAdded", "05T03:00:00", "AADServicePrincipal", r#""AgentName":"lin-9","AgentPoolName":"linux""#)
            .replace("5a000000-0000-4000-8000-000000000001", "00000000-0000-0000-0000-000000000000")
            .replace(r#""ActorDisplayName":"Ada""#, &format!(r#""ActorDisplayName":"mi-x","ActorClientId":"{client}""#)),
    ];
    let scratch = Scratch::new();
    scratch.ingest(&scratch.file("stated.ndjson", lines.join("\n")));
    for (who, role) in [("lin-1", "stated"), (client, "itself"), ("mi-x", "itself")] {
        let reach = csv(&scratch, "identity_reach", &[&format!("who={who}")]);
        has(
            &reach,
            &[
                &format!("contoso,{role},mi-x,membership,vssgp.team,"),
                &format!(
                    "contoso,{role},mi-x,pool_role,pool linux,Administrator,,2026-03-05T02:00:00Z,,,2026-03-05T03:00:00Z"
                ),
            ],
        );
        assert_eq!(reach.lines().count(), 3, "{who}\n{reach}");
    }
    has(
        &csv(&scratch, "blast_radius", &["who=lin-1"]),
        &["contoso,stated,mi-x,pool_role,pool linux,Administrator,"],
    );
    let bearers = "select string_agg(who, ' ' order by who) as who from bears where role = 'stated' and who like '%-%' or role = 'stated' and who like '%\\_%'";
    assert_eq!(scratch.sql(bearers)[0]["who"], "ci_1 lin-1");
    // Nothing was held for a day yet.
    assert_eq!(csv(&scratch, "unused_grants", &["days=1"]).lines().count(), 1);
    assert_eq!(csv(&scratch, "unused_grants", &["days=0"]).lines().count(), 3);
}

/// Agents registered with a token: one deleted by a record of names and registered anew by an identity, one
/// replaced and then gone from the lists, one that moved to another pool; and one nobody knows the origin of.
fn lives() -> String {
    let added = |n: u32, at: &str, id: u32, name: &str, how: &str| {
        record(
            n,
            "Library.AgentAdded",
            at,
            how,
            &format!(r#""AgentId":{id},"AgentName":"{name}","AgentPoolId":11,"AgentPoolName":"linux""#),
        )
    };
    let token = format!("PAT_Unscoped authorizationId: {TOKEN}");
    let by_identity = added(3, "09T10:00:00", 4, "one", "AADServicePrincipal").replace(
        r#""ActorDisplayName":"Ada""#,
        r#""ActorDisplayName":"registrar","ActorClientId":"7d000000-0000-4000-8000-000000000009""#,
    );
    let [three, moves, old] =
        [agent(3, "three", "c", "vm3"), agent(5, "moves", "e", "vm5"), agent(9, "old", "f", "vm9")];
    let four = agent(4, "one", "d", "vm4");
    let (linux, other) = ("pools/11/agents", "pools/12/agents");
    let evil = agent(3, "three", "other", "evil");
    [
        pool("contoso", 11, "linux"),
        pool("contoso", 12, "other"),
        record(
            0,
            "Token.PatCreateEvent",
            "02T09:00:00",
            "",
            &format!(
                r#""AuthorizationId":"{TOKEN}","DisplayName":"nightly","OwnerName":"Ada","Scopes":"vso.code""#
            ),
        ),
        added(1, "02T10:00:00", 1, "one", &token),
        added(2, "02T10:01:00", 3, "three", &token),
        record(4, "Library.AgentDeleted", "09T09:00:00", "", r#""AgentName":"one","AgentPoolName":"linux""#),
        by_identity,
        list("contoso", linux, "18T10:00:00", &[three.clone(), four.clone(), moves.clone(), old.clone()]),
        list("contoso", linux, "18T10:10:00", &[three, four.clone(), moves.clone(), old.clone()]),
        list("contoso", linux, "18T10:20:00", &[evil.clone(), four.clone(), old.clone()]),
        list("contoso", other, "18T10:20:00", std::slice::from_ref(&moves)),
        list("contoso", linux, "18T10:30:00", &[evil, four.clone(), old.clone()]),
        record(
            5,
            "Library.AgentDeleted",
            "18T10:35:00",
            "",
            r#""AgentId":3,"AgentName":"three","AgentPoolId":11"#,
        ),
        list("contoso", linux, "18T10:40:00", &[four, old]),
        list("contoso", other, "18T10:40:00", &[moves]),
    ]
    .join("\n")
}

#[test]
fn agents_that_are_gone_or_moved_are_told_as_such() {
    let scratch = Scratch::new();
    scratch.ingest(&scratch.file("lives.ndjson", lives()));
    let now = scratch.sql("select concat_ws(' ', name, pool_name, cast(gone as varchar), deleted_by) as now from agents_now order by agent_id");
    let now: Vec<&str> = now.iter().map(|row| row["now"].as_str().unwrap()).collect();
    assert_eq!(now, ["three linux 2026-03-18T10:35:00Z Ada", "one linux", "moves other", "old linux"]);
    has(
        &csv(&scratch, "migration_progress", &[]),
        &[
            "contoso,2026-03-02T00:00:00Z,2,0,0,0.0",
            "contoso,2026-03-09T00:00:00Z,1,1,0,50.0",
            "contoso,2026-03-16T00:00:00Z,0,1,2,100.0",
        ],
    );
    let tokens = csv(&scratch, "agents_by_pat", &[]);
    has(&tokens, &["contoso,one,1,linux,pat,", "contoso,three,3,linux,pat,"]);
    for end in [",2026-03-09T09:00:00Z,Ada", ",2026-03-18T10:30:00Z,2026-03-18T10:35:00Z,Ada"] {
        assert!(tokens.lines().any(|line| line.ends_with(end)), "{end} is not in\n{tokens}");
    }
}

#[test]
fn a_trace_of_an_agents_name_has_its_versions_and_end_and_one_of_a_token_what_it_did() {
    let scratch = Scratch::new();
    let event = |n: u32, at: &str| {
        record(n, "Git.X", at, "SessionToken_Unscoped", "")
            .replace(r#""ActorDisplayName":"Ada""#, &format!(r#""ActorDisplayName":"shop Build Service (contoso)","ProjectId":"{SHOP}","ProjectName":"shop""#))
    };
    let ran = job(CONTOSO, 3, "three", "10:12:00", Some("10:34:00")).replace("03-05T", "03-18T");
    let lines =
        [lives(), list("contoso", "pools/11/jobrequests", "18T10:40:00", &[ran]), event(7, "18T10:15:00")];
    scratch.ingest(&scratch.file("lives.ndjson", lines.join("\n")));
    let agent = scratch.ok(&["trace", "three"]);
    let expected = [
        "  three, id 3, pool linux (11), machine evil, version 4.1",
        "    registered by Ada (pat) at 2026-03-02T10:01:00Z",
        "    from 2026-03-18T10:00:00Z to 2026-03-18T10:20:00Z: three, pool linux (11), on vm3, key ",
        "    from 2026-03-18T10:20:00Z to 2026-03-18T10:35:00Z: three, pool linux (11), on evil, key ",
        "    not there any more since 2026-03-18T10:35:00Z, deleted by Ada",
    ];
    has(&agent, &expected);
    assert!(agent.contains(": replaced, another machine, another key"), "{agent}");
    has(
        &agent,
        &[
            "actions that it can have done",
            "  Git.X  2026-03-18T10:15:00Z  a6000000-0000-4000-8000-000000000007: ",
        ],
    );
    // An action that only one agent is known for: its pool, machine and end.
    let action = scratch.ok(&["trace", "a6000000-0000-4000-8000-000000000007"]);
    let line = "  candidate  three, pool linux (11), run 3, on vm3, not listed any more since 2026-03-18T10:35:00Z: ";
    has(&action, &[line]);
    let token = scratch.ok(&["trace", TOKEN]);
    has(
        &token,
        &[
            "  nightly, of Ada, for vso.code",
            "    registered agent one, id 1 in pool linux at 2026-03-02T10:00:00Z",
            "    registered agent three, id 3 in pool linux at 2026-03-02T10:01:00Z",
            "  action     Library.AgentAdded  2026-03-02T10:01:00Z",
            "  action     Token.PatCreateEvent  2026-03-02T09:00:00Z",
        ],
    );
    let json: serde_json::Value =
        serde_json::from_str(&scratch.ok(&["trace", TOKEN, "--format", "json"])).unwrap();
    assert_eq!(
        (json["kind"].as_str(), json["tokens"][0]["name"].as_str()),
        (Some("credential"), Some("nightly"))
    );
}

/// Who approved was a job: the report names its agent, as the trace does, and the trace says that no person did.
#[test]
fn an_approval_by_a_job_names_its_agent() {
    let by = |n: u32, action: &str, at: &str, who: &str, data: &str| {
        record(n, action, at, "SessionToken_Unscoped", data).replace(
            r#""ActorDisplayName":"Ada""#,
            &format!(r#""ActorDisplayName":"{who}","ProjectId":"{SHOP}","ProjectName":"shop""#),
        )
    };
    let release = r#""ReleaseName":"Release-77","StageName":"prod","ApprovalResult":"Approved""#;
    let lines = [
        pool("contoso", 11, "linux").replace("05T01:00:00", "05T23:00:00"),
        r#"{"heard":"jobs","organization":"contoso","poolId":11,"from":"2026-03-04T00:00:00Z","until":"2026-03-05T23:00:00Z"}"#.to_owned(),
        list("contoso", "pools/11/jobrequests", "05T23:00:00", &[job(CONTOSO, 1, "lin-1", "10:00:00", Some("10:20:00"))]),
        by(1, "Release.ApprovalCompleted", "05T10:05:00", "shop Build Service (contoso)", release),
        by(2, "Release.DeploymentCompleted", "05T10:30:00", "Azure DevOps Service", release),
    ];
    let scratch = Scratch::new();
    scratch.ingest(&scratch.file("approved.ndjson", lines.join("\n")));
    let chain = csv(&scratch, "deployment_chain", &[]);
    assert!(chain.contains(",shop Build Service (contoso) on agent lin-1,"), "{chain}");
    let approval = scratch.ok(&["trace", "a6000000-0000-4000-8000-000000000001"]);
    has(&approval, &["  unusual    a job gave this approval, and no person"]);
    let deployment = scratch.ok(&["trace", "a6000000-0000-4000-8000-000000000002"]);
    let by = "by a job on agent lin-1 as shop Build Service (contoso), and no person";
    assert!(deployment.contains(by), "{deployment}");
}
