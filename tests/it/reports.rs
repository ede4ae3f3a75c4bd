//! Every report of the catalogue: it returns what its header says, answers a case, and is silent
//! where there is nothing to say.

use agentrail::query::Catalogue;

use crate::lake::{Scratch, audit_record};

/// For each report the parameters with which the demo's organisation has an answer.
const ANSWERS: [(&str, &[&str]); 25] = [
    ("agent_actions", &["agent=linux-build-01"]),
    ("identity_actions", &["identity=deployer"]),
    ("several_candidates", &[]),
    ("pipelines_by_agent", &[]),
    ("agents_by_pat", &[]),
    ("pool_utilisation", &[]),
    ("unattributed", &[]),
    ("grades", &[]),
    ("agents_replaced", &[]),
    ("service_connection_use", &[]),
    ("build_identity_alarms", &[]),
    ("identity_reach", &[]),
    ("runs_on_agent", &["agent=linux-build-01"]),
    ("credentials", &[]),
    ("blind_windows", &[]),
    ("agent_utilisation", &[]),
    ("pat_dependence", &[]),
    ("blast_radius", &["who=linux-build-01"]),
    ("unused_grants", &["days=0"]),
    ("agent_drift", &[]),
    ("migration_progress", &[]),
    ("deployment_chain", &[]),
    ("identity_tasks", &[]),
    ("inventory_contradictions", &[]),
    ("reach_changes", &[]),
];

/// An agent seen twice, the second time with another key on another machine.
fn replaced() -> String {
    let seen = |at: &str, key: &str, machine: &str| {
        format!(
            concat!(
                r#"{{"url":"https://dev.azure.com/contoso/_apis/distributedtask/pools/11/agents","observed":"{at}","status":200,"#,
                r#""body":{{"count":1,"value":[{{"id":7,"name":"swapped","version":"4.1","osDescription":"Linux","maxParallelism":1,"#,
                r#""authorization":{{"clientId":"7b000000-0000-4000-8000-000000000007","publicKey":{{"exponent":"AQAB","modulus":"{key}"}}}},"#,
                r#""systemCapabilities":{{"Agent.ComputerName":"{machine}"}}}}]}}}}"#
            ),
            at = at,
            key = key,
            machine = machine
        )
    };
    format!("{}\n{}\n", seen("2026-03-05T02:00:00Z", "a", "vm1"), seen("2026-03-05T09:00:00Z", "b", "vm2"))
}

/// A token used where it cannot be said which machine used it, and two jobs at the same time.
fn unclear() -> String {
    let job = |n: u32| {
        format!(
            concat!(
                r#"{{"requestId":{n},"assignTime":"2026-03-05T23:00:00Z","receiveTime":"2026-03-05T23:00:00Z","finishTime":"2026-03-05T23:10:00Z","#,
                r#""result":"succeeded","hostId":"5b000000-0000-4000-8000-0000000000c0","scopeId":"5b000000-0000-4000-8000-000000001001","#,
                r#""planType":"Build","planId":"3d000000-0000-4000-8000-00000000000{n}","jobId":"7f000000-0000-4000-8000-000000000001","poolId":11,"#,
                r#""owner":{{"id":{n},"name":"n"}},"reservedAgent":{{"id":{n},"name":"agent-{n}"}}}}"#
            ),
            n = n
        )
    };
    let event = |n: u32, actor: &str, auth: &str| {
        format!(
            concat!(
                r#"{{"Id":"a2000000-0000-4000-8000-00000000000{n}","ActionId":"Git.X","Timestamp":"2026-03-05T23:05:00Z","#,
                r#""ScopeId":"5b000000-0000-4000-8000-0000000000c0","ScopeDisplayName":"contoso (Organization)","#,
                r#""ProjectId":"5b000000-0000-4000-8000-000000001001","ProjectName":"shop","ActorUserId":"5a000000-0000-4000-8000-000000000001","#,
                r#""ActorDisplayName":"{actor}","AuthenticationMechanism":"{auth}","UserAgent":"git/2","Data":{{}}}}"#
            ),
            n = n,
            actor = actor,
            auth = auth
        )
    };
    [
        job(1),
        job(2),
        event(1, "shop Build Service (contoso)", "SessionToken_Unscoped"),
        event(2, "Ada", "PAT_Unscoped authorizationId: 9e000000-0000-4000-8000-0000000000e1"),
    ]
    .join("\n")
}

#[test]
fn every_report_returns_what_it_says_answers_and_can_be_silent() {
    let full = Scratch::new();
    full.ok(&["demo", "--keep", full.lake().to_str().unwrap()]);
    full.ingest(&full.file("replaced.ndjson", replaced()));
    full.ingest(&full.file("unclear.ndjson", unclear()));
    full.ingest(&full.file("inventory.toml", INVENTORY));
    // A4: the spans in which versions of one agent held never overlap.
    let overlaps = "select count(*) from agents a join agents b on a.agent_id = b.agent_id and a.pool_id = b.pool_id \
        and a.key < b.key and a.\"from\" < coalesce(b.until, timestamp '2199-01-01') and b.\"from\" < coalesce(a.until, timestamp '2199-01-01')";
    assert_eq!(full.count(overlaps), 0);
    assert_eq!(full.count("select count(*) from agents where name = 'swapped'"), 2);
    let bare = Scratch::new();
    bare.ingest(&bare.file("one.json", audit_record(1)));
    // Every view can be planned on its own, though a statement plans only those it names.
    for view in Catalogue::embedded().views().iter().filter(|view| view.params.is_empty()) {
        bare.ok(&["sql", &format!("select * from {} limit 0", view.name)]);
    }
    // Who approved, and whether that was who asked for it.
    let chain = full.ok(&["report", "deployment_chain", "--format", "csv"]);
    for (run, approval) in
        [(1, "Ada Byron,true,Ada Byron,"), (5, "Grace Hopper,false,Ada Byron,"), (2, ",false,Ada Byron,")]
    {
        let own = format!(",20260305.{run},");
        assert!(chain.lines().any(|l| l.contains(&own) && l.contains(approval)), "{own}{approval}\n{chain}");
    }

    let mut names: Vec<&str> = Catalogue::embedded().reports().iter().map(|r| r.name.as_str()).collect();
    let mut cases: Vec<&str> = ANSWERS.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    cases.sort_unstable();
    assert_eq!(names, cases);
    for report in Catalogue::embedded().reports() {
        let (name, given) = ANSWERS.iter().find(|(name, _)| *name == report.name).unwrap();
        let mut arguments = vec!["report", name, "--format", "csv"];
        arguments.extend(given.iter().flat_map(|p| ["--param", p]));
        let answer = full.ok(&arguments);
        assert_eq!(answer.lines().next(), Some(report.returns.join(",").as_str()), "{name}");
        assert!(answer.lines().count() > 1, "{name} has no answer");
        // Nothing happened before 1999, and of no agent in a lake of one browser's action.
        let dated = report.params.iter().any(|(param, _)| param == "since");
        if dated {
            arguments.extend([
                "--param",
                "since=1990-01-01T00:00:00Z",
                "--param",
                "until=1999-01-01T00:00:00Z",
            ]);
        }
        let silent = if dated { full.ok(&arguments) } else { bare.ok(&arguments) };
        assert_eq!(silent.lines().count(), 1, "{name} says {silent}");
    }
}

/// What an operator would state of the demo's organisation, as of before the attack.
const INVENTORY: &str = r#"
# Which machines bear which identity.
[[inventory]]
organization = "contoso"
agent = "azure-deploy-*"
identity = "7D000000-0000-4000-8000-0000000000D1"
identity_name = "deployer"
resource = "/subscriptions/1/virtualMachineScaleSets/deploy"
addresses = ["198.51.100.0/24"]
from = 2026-03-01

[[inventory]]
organization = "contoso"
agent = "linux-build-04"
machine = "vm-linux-*"
addresses = ["10.0.0.0/8"]
"#;

/// A robot in a group within a group that holds the other as well, a role, permissions, and what became of
/// them. Group events have storage keys where Graph has descriptors: the robot's is in its own, a group says it.
const REACH: [&str; 10] = [
    r#"{"url":"https://vssps.dev.azure.com/contoso/_apis/graph/groups","observed":"2026-03-05T09:00:00Z","status":200,"body":{"value":[{"subjectKind":"group","displayName":"Inner","origin":"vsts","originId":"5e000000-0000-4000-8000-00000000000a","descriptor":"vssgp.inner"},{"subjectKind":"group","displayName":"Outer","origin":"vsts","originId":"5e000000-0000-4000-8000-00000000000b","descriptor":"vssgp.outer"},{"subjectKind":"servicePrincipal","displayName":"robot","origin":"aad","originId":"7c000000-0000-4000-8000-000000000001","applicationId":"7d000000-0000-4000-8000-000000000001","descriptor":"aadsp.N2UwMDAwMDAtMDAwMC03MDAwLTgwMDAtMDAwMDAwMDAwMGQx"}]}}"#,
    r#"{"url":"https://vssps.dev.azure.com/contoso/_apis/graph/memberships/vssgp.inner?direction=Down","observed":"2026-03-05T10:00:00Z","status":200,"body":{"value":[{"containerDescriptor":"vssgp.inner","memberDescriptor":"aadsp.N2UwMDAwMDAtMDAwMC03MDAwLTgwMDAtMDAwMDAwMDAwMGQx"},{"containerDescriptor":"vssgp.inner","memberDescriptor":"vssgp.outer"}]}}"#,
    r#"{"url":"https://vssps.dev.azure.com/contoso/_apis/graph/memberships/vssgp.outer?direction=Down","observed":"2026-03-05T10:00:00Z","status":200,"body":{"value":[{"containerDescriptor":"vssgp.outer","memberDescriptor":"vssgp.inner"}]}}"#,
    r#"{"url":"https://dev.azure.com/contoso/_apis/securityroles/scopes/distributedtask.agentpoolrole/roleassignments/resources/11","observed":"2026-03-05T10:00:00Z","status":200,"body":{"value":[{"identity":{"id":"5E000000-0000-4000-8000-00000000000B","displayName":"Outer"},"role":{"name":"Administrator"},"access":"assigned"}]}}"#,
    r#"{"Id":"a4000000-0000-4000-8000-000000000001","ActionId":"Group.UpdateGroupMembership.Add","Timestamp":"2026-03-05T08:01:00Z","ScopeDisplayName":"contoso (Organization)","ScopeId":"5b000000-0000-4000-8000-0000000000c0","ActorUserId":"5a000000-0000-4000-8000-000000000001","ActorDisplayName":"Ada","Data":{"Updates":[{"GroupId":"5E000000-0000-4000-8000-00000000000A","MemberId":"7E000000-0000-6000-8000-0000000000D1","Active":"True"},{"memberid":"5A000000-0000-4000-8000-00000000000C","groupid":"5e000000-0000-4000-8000-00000000000a","active":true}]}}"#,
    r#"{"Id":"a4000000-0000-4000-8000-000000000002","ActionId":"Group.UpdateGroupMembership.Remove","Timestamp":"2026-03-05T23:02:00Z","ScopeDisplayName":"contoso (Organization)","ScopeId":"5b000000-0000-4000-8000-0000000000c0","ActorUserId":"5a000000-0000-4000-8000-000000000001","ActorDisplayName":"Ada","Data":{"Updates":[{"GroupId":"5e000000-0000-4000-8000-00000000000a","MemberId":"5a000000-0000-4000-8000-00000000000c","Active":"False"}]}}"#,
    r#"{"Id":"a4000000-0000-4000-8000-000000000003","ActionId":"Pipelines.ResourceAuthorizedForPipeline","Timestamp":"2026-03-05T23:03:00Z","ScopeDisplayName":"contoso (Organization)","ScopeId":"5b000000-0000-4000-8000-0000000000c0","ActorUserId":"5a000000-0000-4000-8000-000000000001","ActorDisplayName":"Ada","Data":{"ResourceType":"endpoint","ResourceId":"7D000000-0000-4000-8000-00000000000E","PipelineId":"18"}}"#,
    r#"{"Id":"a4000000-0000-4000-8000-000000000004","ActionId":"Security.ModifyPermission","Timestamp":"2026-03-05T11:00:00Z","ScopeDisplayName":"contoso (Organization)","ScopeId":"5b000000-0000-4000-8000-0000000000c0","ActorUserId":"5a000000-0000-4000-8000-000000000001","ActorDisplayName":"Ada","Data":{"namespacename":"Build","Token":"t1","Permissions":[{"subjectDescriptor":"vssgp.outer","changedPermission":"Queue builds","permissionModifiedTo":"Allow"},{"SubjectDescriptor":"vssgp.outer","ChangedPermission":"Delete builds","PermissionModifiedTo":"Deny"},{"SubjectDescriptor":"vssgp.inner","ChangedPermission":"Queue builds","PermissionModifiedTo":"Allow"}]}}"#,
    r#"{"Id":"a4000000-0000-4000-8000-000000000005","ActionId":"Security.ResetPermission","Timestamp":"2026-03-05T12:00:00Z","ScopeDisplayName":"contoso (Organization)","ScopeId":"5b000000-0000-4000-8000-0000000000c0","ActorUserId":"5a000000-0000-4000-8000-000000000001","ActorDisplayName":"Ada","Data":{"NamespaceName":"Build","SubjectDescriptor":"vssgp.outer"}}"#,
    r#"{"url":"https://dev.azure.com/contoso/5b000000-0000-4000-8000-000000001001/_apis/serviceendpoint/endpoints","observed":"2026-03-05T10:00:00Z","status":200,"body":{"value":[{"id":"7D000000-0000-4000-8000-00000000000E","name":"production","type":"azurerm","authorization":{"scheme":"ServicePrincipal","parameters":{"servicePrincipalId":"7d000000-0000-4000-8000-000000000001"}}}]}}"#,
];

#[test]
fn reach_is_through_nested_groups_and_ends_when_it_is_taken_whatever_comes_first() {
    for order in [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [8, 5, 7, 4, 9, 6, 3, 1, 2, 0]] {
        let scratch = Scratch::new();
        for n in order.into_iter().chain([4]) {
            scratch.ingest(&scratch.file(&format!("{n}.ndjson"), REACH[n]));
        }
        let held = scratch.ok(&["report", "identity_reach", "--format", "csv"]);
        let robot = "contoso,itself,robot,";
        let has = |line: &str| assert!(held.contains(line), "{line} is not in\n{held}");
        // By an event before any listing, and in one span with what the listing says.
        has(&format!("{robot}membership,Inner,,,2026-03-05T08:01:00Z,,"));
        has(&format!("{robot}membership,Outer,,Inner,2026-03-05T10:00:00Z,,"));
        has(&format!("{robot}pool_role,pool 11,Administrator,Inner > Outer,2026-03-05T10:00:00Z,,"));
        // A listing names its members otherwise: one of whom nothing else is known is not said to be missing.
        has(
            "contoso,itself,5a000000-0000-4000-8000-00000000000c,membership,Inner,,,2026-03-05T08:01:00Z,2026-03-05T23:02:00Z,Ada,",
        );
        has("pipeline 18,permission,endpoint production,,,2026-03-05T23:03:00Z,,Ada,");
        // Whoever may use a connection acts as whom it signs in as, within the time of both.
        has(
            "contoso,itself,pipeline 18,pool_role,pool 11,Administrator,production as robot > Inner > Outer,2026-03-05T23:03:00Z,,",
        );
        has(&format!(
            "{robot}access,Build t1,Queue builds,Inner > Outer,2026-03-05T11:00:00Z,2026-03-05T12:00:00Z,Ada,"
        ));
        has(&format!("{robot}access,Build t1,Queue builds,Inner,2026-03-05T11:00:00Z,,Ada,"));
        assert!(!held.contains("Delete builds"), "{held}");
        // By the name of the thing as well as of its holder, and at a moment at which it was not held yet.
        let then =
            ["--param", "who=7d000000-0000-4000-8000-000000000001", "--param", "until=2026-03-05T09:00:00Z"];
        let then = scratch.ok(&[&["report", "identity_reach", "--format", "csv"], &then[..]].concat());
        assert!(then.contains(",membership,Inner,") && !then.contains("pool_role"), "{then}");
        let changes = scratch.ok(&["report", "reach_changes", "--format", "csv"]);
        for line in [
            "23:02:00Z,contoso,membership,5a000000-0000-4000-8000-00000000000c,Inner,,removed,Ada,",
            "12:00:00Z,contoso,access,Outer,Build,,reset,Ada,",
            "11:00:00Z,contoso,access,Outer,Build t1,Delete builds,deny,Ada,",
            "08:01:00Z,contoso,membership,robot,Inner,,added,Ada,",
        ] {
            assert!(changes.contains(line), "{line} is not in\n{changes}");
        }
    }
}

/// A member and a role that later whole listings do not show; what is no whole listing ends nothing.
#[test]
fn a_membership_and_a_role_end_with_the_first_whole_listing_without_them() {
    let members = |at: &str, query: &str, who: &[&str]| {
        let who: Vec<String> = who
            .iter()
            .map(|m| format!(r#"{{"containerDescriptor":"vssgp.Team","memberDescriptor":"{m}"}}"#))
            .collect();
        format!(
            r#"{{"url":"https://vssps.dev.azure.com/contoso/_apis/graph/memberships/vssgp.Team{query}","observed":"2026-03-05T{at}Z","status":200,"body":{{"count":{},"value":[{}]}}}}"#,
            who.len(),
            who.join(",")
        )
    };
    let roles = |at: &str, role: &str| {
        format!(
            r#"{{"url":"https://dev.azure.com/contoso/_apis/securityroles/scopes/distributedtask.agentpoolrole/roleassignments/resources/11","observed":"2026-03-05T{at}Z","status":200,"body":{{"value":[{role}]}}}}"#
        )
    };
    let administrator = r#"{"identity":{"id":"5a000000-0000-4000-8000-000000000001","displayName":"Ada"},"role":{"name":"Administrator"}}"#;
    let down = "?direction=Down&api-version=7.2-preview.1";
    let lines = [
        members("10:00:00", down, &["aad.a", "aad.b"]),
        members("10:00:15", down, &["aad.b", "aad.a"]),
        // One group of a member, a list with a record that cannot be read, a part of a list: not all there is.
        members("10:30:00", "?direction=Up", &["aad.b"]),
        members("10:35:00", down, &["aad.b", "a/b"]),
        members("10:40:00", &format!("{down}&continuationToken=2"), &["aad.b"]),
        members("11:00:00", down, &["aad.b"]),
        members("12:00:00", down, &[]),
        members("13:00:00", down, &["aad.a"]),
        roles("10:00:00", administrator),
        roles("11:00:00", &administrator.replace("Administrator", "Reader")),
        roles("12:00:00", ""),
    ];
    for order in [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10], [10, 7, 6, 3, 5, 4, 2, 1, 0, 9, 8]] {
        let scratch = Scratch::new();
        for n in order.into_iter().chain([5]) {
            scratch.ingest(&scratch.file(&format!("{n}.ndjson"), &lines[n]));
        }
        let rows = scratch.sql(
            r#"select concat_ws(' ', holder_id, role, substr(cast("from" as varchar), 12, 5), substr(cast(until as varchar), 12, 5)) as span from grants where holder_id not like '%/%' order by kind, holder_id, "from", role"#,
        );
        let spans: Vec<_> = rows.iter().map(|row| row["span"].as_str().unwrap()).collect();
        let ada = "5a000000-0000-4000-8000-000000000001";
        assert_eq!(
            spans,
            [
                "aad.a 10:00 11:00",
                "aad.a 13:00",
                "aad.b 10:00 12:00",
                &format!("{ada} Administrator 10:00 11:00"),
                &format!("{ada} Reader 11:00 12:00"),
            ]
        );
    }
}

#[test]
fn the_inventory_is_cited_checked_and_contradicted() {
    let scratch = Scratch::new();
    scratch.ok(&["demo", "--keep", scratch.lake().to_str().unwrap()]);
    let traced = |filter: &str| {
        let sql = format!("select event_id from actions where {filter} order by occurred limit 1");
        scratch.ok(&["trace", scratch.sql(&sql)[0]["event_id"].as_str().unwrap()])
    };
    let deployed = "agent_name = 'azure-deploy-01' and grade = 'sole'";
    assert!(!traced(deployed).contains("inventory"));
    let sql = "select event_id from actions where agent_name = 'linux-build-04' and grade = 'sole' \
        and occurred < timestamp '2026-03-05T12:00:00' and actor_kind = 'project_build_service' order by occurred limit 1";
    let elsewhere = scratch.sql(sql)[0]["event_id"].as_str().unwrap().to_owned();
    let account = scratch.ingest(&scratch.file("inventory.toml", INVENTORY));
    assert_eq!((account["facts"].as_u64(), account["rejects"].as_u64()), (Some(2), Some(0)), "{account}");
    assert!(account["revised"].as_u64().unwrap() > 0, "{account}");
    let trace = traced(deployed);
    assert!(trace.contains("identity   machine: deployer, managed_identity"), "{trace}");
    assert!(trace.contains("the inventory gives the agent the identity deployer"), "{trace}");
    // An identity of which nothing else is known, at work while a job ran on a machine that bears it.
    let job = &scratch.sql("select cast(finished as varchar) as at, organization_id from jobs where agent_name = 'azure-deploy-01' and request_id is not null limit 1")[0];
    let event = format!(
        r#"{{"Id":"a3000000-0000-4000-8000-000000000001","ActionId":"Git.X","Timestamp":"{}","ScopeId":{},"ActorClientId":"7d000000-0000-4000-8000-0000000000ee","ActorDisplayName":"robot","Data":{{}}}}"#,
        job["at"].as_str().unwrap(),
        job["organization_id"]
    );
    let states = r#"{"inventory":{"agent":"azure-*-01","organization":"contoso","identity":"7d000000-0000-4000-8000-0000000000ee"}}"#;
    scratch.ingest(&scratch.file("robot.ndjson", [event.as_str(), states].join("\n")));
    let robot = traced("actor_name = 'robot'");
    assert!(
        robot.contains("candidate  azure-deploy-01")
            && robot.contains("the inventory gives its agent this identity"),
        "{robot}"
    );
    // What came from an address that the agent does not have is no longer said to be the agent's.
    let missing = scratch.ok(&["trace", &elsewhere]);
    assert!(
        missing.contains("why it came from 198.51.100.20, which the inventory does not give the agent"),
        "{missing}"
    );
    assert!(
        missing.contains("unknown (corroborated") && missing.contains("candidate  linux-build-04"),
        "{missing}"
    );
    let report = scratch.ok(&["report", "inventory_contradictions", "--format", "csv"]);
    assert!(report.contains("another machine,linux-build-04 on kali"), "{report}");

    // The same again, and the same as JSON, is no news; what is wrong is said.
    assert_eq!(scratch.ingest(&scratch.file("again.toml", INVENTORY))["revised"], 0);
    let json = r#"{"inventory":[{"organization":"contoso","agent":"linux-build-04","machine":"vm-linux-*","addresses":["10.0.0.0/8"]}]}"#;
    assert_eq!(scratch.ingest(&scratch.file("inventory.json", json))["tables"]["facts"]["added"], 0);
    let csv = "agent,identity,addresses,until\na-*,x,10.0.0.1;10.0.0.2,2026-05-01\nb,y,nowhere,\nc,,,\nd,z\n";
    let account = scratch.ingest(&scratch.file("inventory.csv", csv));
    assert_eq!((account["facts"].as_u64(), account["rejects"].as_u64()), (Some(1), Some(3)), "{account}");
    let says = scratch.sql("select says from rejects order by says");
    let says: Vec<&str> = says.iter().map(|row| row["says"].as_str().unwrap()).collect();
    assert!(says.iter().any(|s| s.contains("holds no address or network: nowhere")), "{says:?}");
    assert!(says.iter().any(|s| s.contains("names no `identity`, `resource` or `addresses`")), "{says:?}");
    assert!(
        says.iter().any(|s| s.contains("line 5 of the inventory has another number of fields")),
        "{says:?}"
    );
}

/// What may change of an agent under the same id, each in a row that says from what to what.
#[test]
fn drift_is_another_key_host_system_version_address_or_pipeline() {
    let listing = |at: &str, version: &str, system: &str, host: &str, key: &str| {
        format!(
            r#"{{"url":"https://dev.azure.com/contoso/_apis/distributedtask/pools/11/agents","observed":"2026-03-05T{at}Z","status":200,"body":{{"value":[{{"id":7,"name":"build-7","version":"{version}","osDescription":"{system}","maxParallelism":1,"authorization":{{"publicKey":{{"exponent":"AQAB","modulus":"{key}"}}}},"systemCapabilities":{{"Agent.ComputerName":"{host}"}}}}]}}}}"#
        )
    };
    let job = |n: u32, pipeline: u32| {
        format!(
            r#"{{"requestId":{n},"assignTime":"2026-03-05T1{n}:00:00Z","receiveTime":"2026-03-05T1{n}:00:00Z","finishTime":"2026-03-05T1{n}:10:00Z","result":"succeeded","hostId":"5b000000-0000-4000-8000-0000000000c0","scopeId":"5b000000-0000-4000-8000-000000001001","planType":"Build","planId":"3d000000-0000-4000-8000-00000000000{n}","jobId":"7f000000-0000-4000-8000-00000000000{n}","poolId":11,"definition":{{"id":{pipeline},"name":"pipeline-{pipeline}"}},"owner":{{"id":{n},"name":"n"}},"reservedAgent":{{"id":7,"name":"build-7"}}}}"#
        )
    };
    let event = |n: u32, ip: &str| {
        format!(
            r#"{{"Id":"a5000000-0000-4000-8000-00000000000{n}","ActionId":"Git.X","Timestamp":"2026-03-05T1{n}:05:00Z","ScopeId":"5b000000-0000-4000-8000-0000000000c0","ScopeDisplayName":"contoso (Organization)","ProjectId":"5b000000-0000-4000-8000-000000001001","ProjectName":"shop","ActorUserId":"5a000000-0000-4000-8000-000000000001","ActorDisplayName":"shop Build Service (contoso)","IpAddress":"{ip}","Data":{{"requestid":"{n}"}}}}"#
        )
    };
    let scratch = Scratch::new();
    let lines = [
        listing("10:00:00", "4.1", "Linux", "vm1", "a"),
        listing("12:30:00", "4.2", "Windows", "vm2", "b"),
        job(1, 30),
        job(2, 31),
        event(1, "192.0.2.1"),
        event(2, "192.0.2.2"),
        // What only one agent can have done: its pool was heard.
        r#"{"url":"https://dev.azure.com/contoso/_apis/distributedtask/pools","observed":"2026-03-05T23:00:00Z","status":200,"body":{"value":[{"id":11,"name":"linux","isHosted":false,"poolType":"automation"}]}}"#.to_owned(),
        r#"{"heard":"jobs","organization":"contoso","poolId":11,"from":"2026-03-05T00:00:00Z","until":"2026-03-05T23:00:00Z"}"#.to_owned(),
    ];
    scratch.ingest(&scratch.file("drift.ndjson", lines.join("\n")));
    let drift = scratch.ok(&["report", "agent_drift", "--format", "csv"]);
    for change in [
        "T12:30:00Z,contoso,11,7,build-7,machine,vm1,vm2",
        "T12:30:00Z,contoso,11,7,build-7,system,Linux,Windows",
        "T12:30:00Z,contoso,11,7,build-7,software,4.1,4.2",
        "T12:30:00Z,contoso,11,7,build-7,key,",
        "T12:05:00Z,contoso,11,7,build-7,address,192.0.2.1,192.0.2.2",
        ",11,7,build-7,pipeline,pipeline-30,pipeline-31",
    ] {
        assert!(drift.contains(change), "{change} is not in\n{drift}");
    }
    assert_eq!(drift.lines().count(), 7, "{drift}");
    // Its versions say so as well: another key is a machine put in its place.
    let versions = scratch.sql("select machine, event from agents order by \"from\"");
    assert_eq!(versions[0]["event"], serde_json::Value::Null, "{versions:?}");
    assert_eq!(
        (versions[1]["machine"].as_str(), versions[1]["event"].as_str()),
        (Some("vm2"), Some("replaced"))
    );
    // The members of what is stored as JSON, by name or path, in any letter case.
    let members = scratch.sql(
        "select json_member(data, 'no', 'RequestId') as request, json_member(raw, 'data.REQUESTID') as path, \
        json_member('{\"a\":[{\"B\":true}]}', 'A.0.b') as deep, json_member('[1', '0') as broken from lake.events order by occurred",
    );
    assert_eq!(members[0].to_string(), r#"{"broken":null,"deep":"true","path":"1","request":"1"}"#);
}

/// An agent replaced in place, put back, and gone: each version with its span, from listings alone.
#[test]
fn an_agent_that_changes_and_changes_back_has_every_version_with_its_span() {
    let listing = |at: &str, key: Option<&str>| {
        let agent = key.map(|key| {
            format!(
                r#"{{"id":7,"name":"build-7","version":"4.1","osDescription":"Linux","maxParallelism":1,"authorization":{{"publicKey":{{"exponent":"AQAB","modulus":"{key}"}}}}}}"#
            )
        });
        format!(
            r#"{{"url":"https://dev.azure.com/contoso/_apis/distributedtask/pools/44/agents","observed":"2026-03-05T{at}Z","status":200,"body":{{"value":[{}]}}}}"#,
            agent.unwrap_or_default()
        )
    };
    let lines = [
        listing("10:00:00", Some("first")),
        listing("10:00:15", Some("first")),
        listing("11:00:00", Some("first")),
        listing("12:00:00", Some("other")),
        listing("14:00:00", Some("first")),
        listing("14:30:00", None),
        listing("15:10:00", None).replace("2026-03-05T", "2026-03-06T"),
    ];
    // Whatever comes first, and twice.
    for order in [[0, 1, 2, 3, 4, 5, 6], [6, 4, 3, 2, 1, 0, 5]] {
        let scratch = Scratch::new();
        for n in order.into_iter().chain([3]) {
            scratch.ingest(&scratch.file(&format!("{n}.ndjson"), &lines[n]));
        }
        let rows = scratch.sql(
            r#"select substr(cast("from" as varchar), 12, 5) as since, substr(cast(until as varchar), 12, 5) as until, key_fingerprint from agents order by "from""#,
        );
        let spans: Vec<_> =
            rows.iter().map(|row| (row["since"].as_str().unwrap(), row["until"].as_str().unwrap())).collect();
        assert_eq!(spans, [("10:00", "12:00"), ("12:00", "14:00"), ("14:00", "14:30")]);
        assert_eq!(rows[0]["key_fingerprint"], rows[2]["key_fingerprint"]);
        assert_ne!(rows[0]["key_fingerprint"], rows[1]["key_fingerprint"]);
    }
}
