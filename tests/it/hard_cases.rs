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

fn reads(got: &str, expected: &str) {
    assert_eq!(got, expected, "\n--- it reads\n{got}");
}

/// Two jobs of the project ran side by side under one build identity.
#[test]
fn hard_parallel_jobs() {
    let both = jobs(&[job(1, "builder-1"), job(2, "builder-2")]);
    reads(&trace(&[&pools(), &heard(), &both, &by_build_identity("10.1.2.3")]), PARALLEL);
}

/// The record came first; the request of the job that did it came with a later listing.
#[test]
fn hard_late_job_request() {
    reads(&trace(&[&pools(), &heard(), &by_build_identity("10.1.2.3"), &jobs(&[job(1, "builder-1")])]), LATE);
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
    reads(&trace(&[&pools(), &heard(), &before, &after, &one, &by_build_identity("10.1.2.3")]), REPLACED);
}

/// One job is known, and nobody listened to the pool at that time: another may have run.
#[test]
fn hard_blind_window() {
    reads(&trace(&[&job(1, "builder-1"), &by_build_identity("10.1.2.3")]), BLIND);
}

/// While its job ran, the job's token was used from an address that the inventory does not give its
/// agent; the inventory was told last, and in the other order it ends the same.
#[test]
fn hard_token_used_from_outside() {
    let (own, one) = (inventory("builder-*", "10.1.0.0/16"), jobs(&[job(1, "builder-1")]));
    let (pools, heard, event) = (pools(), heard(), by_build_identity("203.0.113.9"));
    let late = trace(&[&pools, &heard, &one, &event, &own]);
    reads(&late, STOLEN);
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

const PARALLEL: &str = "\
\x20 action     Git.RepositoryCreated  2026-03-05T10:05:00Z  a1000000-0000-4000-8000-000000000001
  project    contoso / shop
  executor   agent (narrowed)
  sure       one of 2 candidates, none excluded
  raised by  a build identity, shop Build Service (contoso), SessionToken_Unscoped, from 10.1.2.3
  identity   actor: shop Build Service (contoso), project_build_service, 5a000000-0000-4000-8000-000000000001
  candidate  builder-1, pool 11, run 1: it was running at that moment in the scope of the build identity
  candidate  builder-2, pool 11, run 2: it was running at that moment in the scope of the build identity
  evidence   the actor is a build identity, which all jobs of its scope share [build_identity, record *, known *]
  evidence   job request 1 ran on builder-1 from 2026-03-05T10:00:00.0000000Z and ended 2026-03-05T10:10:00.0000000Z [build_identity, record *, known *]
  evidence   job request 2 ran on builder-2 from 2026-03-05T10:00:00.0000000Z and ended 2026-03-05T10:10:00.0000000Z [build_identity, record *, known *]
";
const LATE: &str = "\
\x20 action     Git.RepositoryCreated  2026-03-05T10:05:00Z  a1000000-0000-4000-8000-000000000001
  project    contoso / shop
  executor   agent (sole)
  sure       every other candidate is excluded, and all pools were heard
  raised by  a build identity, shop Build Service (contoso), SessionToken_Unscoped, from 10.1.2.3
  job        Compile, request 1, 2026-03-05T10:00:00Z to 2026-03-05T10:10:00Z
  run        build 1, n.1
  pipeline   ci, definition 30
  agent      builder-1, id 1
  pool       linux, id 11
  identity   actor: shop Build Service (contoso), project_build_service, 5a000000-0000-4000-8000-000000000001
  candidate  builder-1, pool 11, run 1: it was running at that moment in the scope of the build identity
  evidence   the actor is a build identity, which all jobs of its scope share [build_identity, record *, known *]
  evidence   job request 1 ran on builder-1 from 2026-03-05T10:00:00.0000000Z and ended 2026-03-05T10:10:00.0000000Z [build_identity, record *, known *]
  evidence   job request 1 was given to builder-1 [build_identity, record *, known *]
  was        client, not_agent until *: what ran or was used at that moment was reported
  missing    no record of who registered the agent
";
const BLIND: &str = "\
\x20 action     Git.RepositoryCreated  2026-03-05T10:05:00Z  a1000000-0000-4000-8000-000000000001
  blind      lists of pools were never heard
  project    contoso / shop
  executor   agent (narrowed, provisional, within a blind window)
  sure       one candidate is known, and others are not excluded
  raised by  a build identity, shop Build Service (contoso), SessionToken_Unscoped, from 10.1.2.3
  run        build 1
  pipeline   definition 30
  identity   actor: shop Build Service (contoso), project_build_service, 5a000000-0000-4000-8000-000000000001
  candidate  builder-1, pool 11, run 1: it was running at that moment in the scope of the build identity
  evidence   the actor is a build identity, which all jobs of its scope share [build_identity, record *, known *]
  evidence   job request 1 ran on builder-1 from 2026-03-05T10:00:00.0000000Z and ended 2026-03-05T10:10:00.0000000Z [build_identity, record *, known *]
  missing    the list of pools was not heard, so other agents may have been at work
";
const STOLEN: &str = "\
\x20 action     Git.RepositoryCreated  2026-03-05T10:05:00Z  a1000000-0000-4000-8000-000000000001
  project    contoso / shop
  executor   unknown (corroborated)
  sure       hints only: no candidate is proven
  raised by  a build identity, shop Build Service (contoso), SessionToken_Unscoped, from 203.0.113.9
  identity   actor: shop Build Service (contoso), project_build_service, 5a000000-0000-4000-8000-000000000001
  candidate  builder-1, pool 11, run 1: it was running at that moment in the scope of the build identity
  evidence   the actor is a build identity, which all jobs of its scope share [build_identity, record *, known *]
  evidence   job request 1 ran on builder-1 from 2026-03-05T10:00:00.0000000Z and ended 2026-03-05T10:10:00.0000000Z [build_identity, record *, known *]
  evidence   the inventory gives builder-1 addresses, and 203.0.113.9 is none of them [build_identity, record *, known *]
  was        agent, builder-1, sole until *: what ran or was used at that moment was reported
  missing    why it came from 203.0.113.9, which the inventory does not give the agent: the token of the job was used outside it, or the inventory lacks an address of builder-1
";
const REPLACED: &str = "\
\x20 action     Git.RepositoryCreated  2026-03-05T10:05:00Z  a1000000-0000-4000-8000-000000000001
  project    contoso / shop
  executor   agent (sole)
  sure       every other candidate is excluded, and all pools were heard
  raised by  a build identity, shop Build Service (contoso), SessionToken_Unscoped, from 10.1.2.3
  job        Compile, request 1, 2026-03-05T10:00:00Z to 2026-03-05T10:10:00Z
  run        build 1, n.1
  pipeline   ci, definition 30
  agent      builder-1, id 1, version 4.1.0
  pool       linux, id 11
  machine    kali
  identity   actor: shop Build Service (contoso), project_build_service, 5a000000-0000-4000-8000-000000000001
  identity   listener: builder-1, listener, 9c000000-0000-4000-8000-000000000001
  identity   machine: kali, host, kali
  candidate  builder-1, pool 11, run 1: it was running at that moment in the scope of the build identity
  evidence   the actor is a build identity, which all jobs of its scope share [build_identity, record *, known *]
  evidence   job request 1 ran on builder-1 from 2026-03-05T10:00:00.0000000Z and ended 2026-03-05T10:10:00.0000000Z [build_identity, record *, known *]
  evidence   agent builder-1 was seen on kali [build_identity, record *, known *]
  evidence   the agent was replaced: it was on vm-one with another key before [build_identity, record *, known *]
  evidence   job request 1 was given to builder-1 [build_identity, record *, known *]
  missing    no record of who registered the agent
";
