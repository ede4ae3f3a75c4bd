//! Hard cases of tracing, each told as a story, with the whole text an investigator reads.

use crate::lake::Scratch;

const ORG: &str = "5b000000-0000-4000-8000-0000000000c0";
const SHOP: &str = "5b000000-0000-4000-8000-000000000001";
const EVENT: &str = "a1000000-0000-4000-8000-000000000001";

/// An audit record of 10:05 by the build identity of the project shop, from an address.
fn by_build_identity(ip: &str) -> String {
    format!(
        r#"{{"Id":"{EVENT}","ActionId":"Git.RepositoryCreated","Timestamp":"2026-03-05T10:05:00Z","ScopeId":"{ORG}","ScopeDisplayName":"contoso (Organization)","ProjectId":"{SHOP}","ProjectName":"shop","ActorUserId":"5a000000-0000-4000-8000-000000000001","ActorDisplayName":"shop Build Service (contoso)","AuthenticationMechanism":"SessionToken_Unscoped","IpAddress":"{ip}","Data":{{}}}}"#
    )
}

/// A job of the pool linux, on an agent from 10:00 to 10:10; its run has the number of its request.
fn job(request: u32, agent: &str) -> String {
    format!(
        r#"{{"requestId":{request},"assignTime":"2026-03-05T10:00:00Z","receiveTime":"2026-03-05T10:00:00Z","finishTime":"2026-03-05T10:10:00Z","result":"succeeded","hostId":"{ORG}","scopeId":"{SHOP}","planType":"Build","planId":"3d000000-0000-4000-8000-00000000000{request}","jobId":"7f000000-0000-4000-8000-000000000001","jobName":"Compile","poolId":11,"definition":{{"id":30,"name":"ci"}},"owner":{{"id":{request},"name":"n.{request}"}},"reservedAgent":{{"id":{request},"name":"{agent}"}}}}"#
    )
}

/// A page of the REST interface, as it was fetched at the end of the day.
fn page(path: &str, items: &[String]) -> String {
    format!(
        r#"{{"url":"https://dev.azure.com/contoso/_apis/distributedtask/{path}","observed":"2026-03-05T23:00:00Z","status":200,"body":{{"value":[{}]}}}}"#,
        items.join(",")
    )
}

fn pools() -> String {
    page("pools", &[r#"{"id":11,"name":"linux","isHosted":false,"poolType":"automation"}"#.to_owned()])
}

fn jobs(all: &[String]) -> String {
    page("pools/11/jobrequests", all)
}

/// That the jobs of the pool were heard over the whole day.
fn heard() -> String {
    r#"{"heard":"jobs","organization":"contoso","poolId":11,"from":"2026-03-04T00:00:00Z","until":"2026-03-05T23:00:00Z"}"#.to_owned()
}

/// That the operator gives an agent an address.
fn inventory(agent: &str, address: &str) -> String {
    format!(r#"{{"inventory":{{"organization":"contoso","agent":"{agent}","addresses":["{address}"]}}}}"#)
}

/// What `trace` says of the event once these deliveries came, one after the other. Times at which
/// something was known or decided, and the starts of record hashes, depend on the run: they are `*`.
fn trace(deliveries: &[&str]) -> String {
    let scratch = Scratch::new();
    for (n, text) in deliveries.iter().enumerate() {
        scratch.ingest(&scratch.file(&format!("{n}.ndjson"), text));
    }
    let json: serde_json::Value =
        serde_json::from_str(&scratch.ok(&["trace", EVENT, "--format", "json"])).unwrap();
    let text = scratch.ok(&["trace", EVENT]);
    // Both forms carry the same.
    let action = &json["actions"][0];
    for (list, member) in [("candidates", "why"), ("evidence", "says"), ("history", "why")] {
        for item in action[list].as_array().unwrap() {
            assert!(text.contains(item[member].as_str().unwrap()), "{list}: {item}\n{text}");
        }
    }
    for missing in action["missing"].as_array().unwrap() {
        assert!(text.contains(missing.as_str().unwrap()), "{missing}\n{text}");
    }
    text.lines().map(|line| steady(line) + "\n").collect()
}

fn steady(line: &str) -> String {
    let cut = |line: &str, from: &str, to: &str| match line.split_once(from) {
        Some((head, rest)) => {
            let tail = rest.find(to).map_or("", |at| &rest[at..]);
            format!("{head}{from}*{tail}")
        }
        None => line.to_owned(),
    };
    let line = cut(line, ", record ", ", known");
    let line = cut(&line, ", known ", "]");
    if line.starts_with("  was ") { cut(&line, " until ", ": ") } else { line }
}

/// That a story reads as the file of its name says.
fn reads(got: &str, name: &str) {
    let file = format!("{}/tests/it/hard_cases/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(got, expected, "\n--- {name} reads\n{got}");
}

/// Two jobs of the project ran side by side under one build identity.
#[test]
fn hard_parallel_jobs() {
    let both = jobs(&[job(1, "builder-1"), job(2, "builder-2")]);
    reads(&trace(&[&pools(), &heard(), &both, &by_build_identity("10.1.2.3")]), "parallel_jobs");
}

/// The record came first; the request of the job that did it came with a later listing.
#[test]
fn hard_late_job_request() {
    reads(
        &trace(&[&pools(), &heard(), &by_build_identity("10.1.2.3"), &jobs(&[job(1, "builder-1")])]),
        "late_job_request",
    );
}

/// The pool's list of agents as it was fetched at a time of that day: one, with its key and machine.
fn agents(at: &str, key: &str, machine: &str) -> String {
    format!(
        r#"{{"url":"https://dev.azure.com/contoso/_apis/distributedtask/pools/11/agents","observed":"2026-03-05T{at}Z","status":200,"body":{{"value":[{{"id":1,"name":"builder-1","version":"4.1.0","enabled":true,"status":"online","createdOn":"2026-03-05T{at}Z","authorization":{{"clientId":"9c000000-0000-4000-8000-000000000001","publicKey":{{"exponent":"AQAB","modulus":"{key}"}}}},"systemCapabilities":{{"Agent.ComputerName":"{machine}","Agent.OS":"Linux"}}}}]}}}}"#
    )
}

/// The agent of the job was configured anew on another machine an hour before, under its id and name.
#[test]
fn hard_replaced_agent() {
    let (before, after) = (agents("08:00:00", "b25l", "vm-one"), agents("09:00:00", "dHdv", "kali"));
    let one = jobs(&[job(1, "builder-1")]);
    reads(
        &trace(&[&pools(), &heard(), &before, &after, &one, &by_build_identity("10.1.2.3")]),
        "replaced_agent",
    );
}

/// One job is known, and nobody listened to the pool at that time: another may have run.
#[test]
fn hard_blind_window() {
    reads(&trace(&[&job(1, "builder-1"), &by_build_identity("10.1.2.3")]), "blind_window");
}

/// While its job ran, the job's token was used from an address that the inventory does not give its
/// agent; the inventory was told last, and in the other order it ends the same.
#[test]
fn hard_token_used_from_outside() {
    let (own, one) = (inventory("builder-*", "10.1.0.0/16"), jobs(&[job(1, "builder-1")]));
    let (pools, heard, event) = (pools(), heard(), by_build_identity("203.0.113.9"));
    let late = trace(&[&pools, &heard, &one, &event, &own]);
    reads(&late, "token_used_from_outside");
    let early = trace(&[&own, &pools, &heard, &one, &event]);
    // How the verdict came about differs, and the evidence may stand in the order of its coming.
    let lines = |text: &str| {
        let mut lines: Vec<String> =
            text.lines().filter(|l| !l.starts_with("  was ")).map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(lines(&late), lines(&early));
}

const CONNECTION: &str = "7d000000-0000-4000-8000-0000000000d1";
const ADA: &str = "5a000000-0000-4000-8000-0000000000aa";

/// The record of 10:05 with other members in place of these.
fn with(record: &str, members: &[(&str, serde_json::Value)]) -> String {
    let mut json: serde_json::Value = serde_json::from_str(record).unwrap();
    for (name, value) in members {
        json[*name] = value.clone();
    }
    json.to_string()
}

/// The record of 10:05 by Ada, from an address.
fn by_ada(ip: &str) -> String {
    let name = "Ada Lovelace";
    with(&by_build_identity(ip), &[("ActorUserId", ADA.into()), ("ActorDisplayName", name.into())])
}

/// A managed identity that the inventory gives to all agents of a scale set acted; two of them had a job.
#[test]
fn hard_shared_managed_identity() {
    let own = format!(
        r#"{{"inventory":{{"organization":"contoso","agent":"builder-*","identity":"{CONNECTION}","identity_name":"deployer","resource":"/subscriptions/1/resourceGroups/ci/providers/Microsoft.Compute/virtualMachineScaleSets/deploy"}}}}"#
    );
    let sign_in = format!(
        r#"{{"category":"ManagedIdentitySignInLogs","time":"2026-03-05T09:30:00Z","properties":{{"id":"51000000-0000-4000-8000-000000000001","createdDateTime":"2026-03-05T09:30:00Z","appId":"{CONNECTION}","servicePrincipalId":"7d000000-0000-4000-8000-0000000000d2","servicePrincipalName":"deployer","resourceId":"499b84ac-1321-427f-aa17-267ca6975798","resourceDisplayName":"Azure DevOps"}}}}"#
    );
    let event = with(
        &by_build_identity("10.1.2.3"),
        &[
            ("ActorClientId", CONNECTION.into()),
            ("ActorUserId", "5a000000-0000-4000-8000-0000000000d1".into()),
            ("ActorDisplayName", "deployer".into()),
            ("AuthenticationMechanism", "ServicePrincipal".into()),
        ],
    );
    let both = jobs(&[job(1, "builder-1"), job(2, "builder-2"), job(3, "other-1")]);
    reads(&trace(&[&own, &pools(), &heard(), &both, &sign_in, &event]), "shared_managed_identity");
}

/// A machine of a scale set did it, and was gone before the record came.
#[test]
fn hard_deleted_scale_set_machine() {
    let listing = |at: &str, all: &[String]| page("pools/11/agents", all).replace("2026-03-05T23:00:00Z", at);
    let agent = r#"{"id":1,"name":"deploy-0001","version":"4.1.0","enabled":true,"status":"online","createdOn":"2026-03-05T09:58:00Z","authorization":{"clientId":"9c000000-0000-4000-8000-000000000001","publicKey":{"exponent":"AQAB","modulus":"b25l"}},"systemCapabilities":{"Agent.ComputerName":"deploy000001","Agent.OS":"Linux"}}"#;
    let node = page(
        "elasticpools/11/nodes",
        &[r#"{"id":1,"poolId":11,"name":"deploy_1","state":"assigned","desiredState":"idle","agentState":"assigned","computeState":"healthy","stateChangedOn":"2026-03-05T10:00:00Z","computeId":"/subscriptions/1/resourceGroups/ci/providers/Microsoft.Compute/virtualMachineScaleSets/deploy/virtualMachines/1","agentId":1,"requestId":1}"#.to_owned()],
    )
    .replace("2026-03-05T23:00:00Z", "2026-03-05T10:02:00Z");
    let there = listing("2026-03-05T10:02:00Z", &[agent.to_owned()]);
    let gone = listing("2026-03-06T03:00:00Z", &[]);
    let one = jobs(&[job(1, "deploy-0001")]);
    let event = by_build_identity("10.1.2.3");
    reads(&trace(&[&pools(), &heard(), &there, &node, &one, &gone, &event]), "deleted_scale_set_machine");
}

/// A person's token was used when no job of the organisation ran.
#[test]
fn hard_token_of_a_person_outside_any_job() {
    let token = "8e000000-0000-4000-8000-000000000001";
    let made = with(
        &by_ada("198.51.100.7"),
        &[
            ("Id", "a1000000-0000-4000-8000-000000000002".into()),
            ("ActionId", "Token.PatCreateEvent".into()),
            ("Timestamp", "2026-03-01T09:00:00Z".into()),
            ("ActorUPN", "ada@contoso.com".into()),
            ("AuthenticationMechanism", "AAD_Cookie".into()),
            (
                "Data",
                serde_json::json!({"AuthorizationId": token, "DisplayName": "ci scripts", "Scopes": ["vso.code_write"], "OwnerName": "Ada Lovelace"}),
            ),
        ],
    );
    let event = with(
        &by_ada("203.0.113.9"),
        &[
            ("ActorUPN", "ada@contoso.com".into()),
            ("AuthenticationMechanism", format!("PAT authorizationId: {token}").into()),
            ("UserAgent", "git/2.43.0".into()),
        ],
    );
    let earlier = jobs(&[job(1, "builder-1").replace("T10:", "T08:")]);
    reads(&trace(&[&pools(), &heard(), &earlier, &made, &event]), "token_of_a_person_outside_any_job");
}

/// The identity of the whole collection acted on a project that is not the one of the pipeline.
#[test]
fn hard_collection_identity_in_another_project() {
    let vault = "5b000000-0000-4000-8000-000000000002";
    let of_shop = with(
        &by_ada("10.9.9.9"),
        &[
            ("Id", "a1000000-0000-4000-8000-000000000002".into()),
            ("Timestamp", "2026-03-05T07:00:00Z".into()),
            ("AuthenticationMechanism", "AAD_Cookie".into()),
        ],
    );
    let event = with(
        &by_build_identity("10.1.2.3"),
        &[
            ("ProjectId", vault.into()),
            ("ProjectName", "vault".into()),
            ("ActorUserId", "5a000000-0000-4000-8000-000000000009".into()),
            ("ActorDisplayName", "Project Collection Build Service (contoso)".into()),
        ],
    );
    let one = jobs(&[job(1, "builder-1")]);
    reads(&trace(&[&pools(), &heard(), &one, &of_shop, &event]), "collection_identity_in_another_project");
}

/// Ada asked for a run, and approved its deployment.
#[test]
fn hard_approval_by_the_runner() {
    let run = format!(
        r#"{{"url":"https://dev.azure.com/contoso/shop/_apis/build/builds","observed":"2026-03-05T23:00:00Z","status":200,"body":{{"value":[{{"id":1,"buildNumber":"n.1","definition":{{"id":30,"name":"ci"}},"status":"completed","result":"succeeded","queueTime":"2026-03-05T09:59:00Z","startTime":"2026-03-05T10:00:00Z","finishTime":"2026-03-05T10:10:00Z","requestedFor":{{"id":"{ADA}","displayName":"Ada Lovelace"}},"requestedBy":{{"id":"{ADA}","displayName":"Ada Lovelace"}},"project":{{"id":"{SHOP}","name":"shop"}}}}]}}}}"#
    );
    let approval = format!(
        r#"{{"id":"c2000000-0000-4000-8000-000000000001","eventType":"ms.vss-pipelinechecks-events.approval-completed","publisherId":"pipelines","resource":{{"approval":{{"id":"c2000000-0000-4000-8000-000000000002","steps":[{{"assignedApprover":{{"id":"5a000000-0000-4000-8000-0000000000bb","displayName":"release managers"}},"actualApprover":{{"id":"{ADA}","displayName":"Ada Lovelace"}},"status":"approved"}}],"status":"approved"}},"projectId":"{SHOP}","run":{{"id":1,"name":"n.1"}},"stageName":"Production"}},"resourceContainers":{{"collection":{{"id":"{ORG}"}},"project":{{"id":"{SHOP}"}}}},"createdDate":"2026-03-05T10:02:00Z"}}"#
    );
    let event = with(
        &by_build_identity("10.1.2.3"),
        &[
            ("ActionId", "Pipelines.DeploymentJobCompleted".into()),
            ("ActorUserId", "5a000000-0000-4000-8000-0000000000cc".into()),
            ("ActorDisplayName", "Azure DevOps Service".into()),
            (
                "Data",
                serde_json::json!({"PipelineId": 30, "RunName": "n.1", "StageName": "Production", "JobName": "Compile", "EnvironmentName": "production", "StartTime": "2026-03-05T10:02:30Z", "FinishTime": "2026-03-05T10:05:00Z"}),
            ),
        ],
    );
    let one = jobs(&[job(1, "builder-1")]);
    reads(&trace(&[&pools(), &heard(), &one, &run, &approval, &event]), "approval_by_the_runner");
}

/// An agent was removed, and another one was registered under its name on another machine.
#[test]
fn hard_name_added_again() {
    let first = agents("08:00:00", "b25l", "vm-one");
    let second = agents("09:00:00", "dHdv", "vm-two").replace(r#""id":1,"#, r#""id":2,"#);
    let one = jobs(&[job(2, "builder-1")]);
    reads(
        &trace(&[&pools(), &heard(), &first, &second, &one, &by_build_identity("10.1.2.3")]),
        "name_added_again",
    );
}
