//! Cases of the whole engine, told as records.

mod ends;
mod evidence;
mod scope;

use super::*;
use crate::decode::{Delivery, Limits, decode};
use crate::model::{Executor, Grade, Time};

/// An engine that has read these lines, and the verdict on the last audit event among them.
fn verdict(lines: &[String]) -> Verdict {
    let mut engine = Engine::new(Tolerance::default());
    let delivery = Delivery {
        observed: Time::parse("2026-03-06T00:00:00Z").unwrap(),
        url: None,
        organization: None,
        limits: Limits::default(),
    };
    let body = lines.join("\n");
    let decoded = decode(body.as_bytes(), &delivery);
    assert!(decoded.rejects.is_empty(), "{:?}", decoded.rejects);
    decoded.facts.iter().for_each(|f| engine.learn(f));
    decoded.events.iter().for_each(|e| engine.learn_event(e));
    let verdicts: Vec<Verdict> = decoded.events.iter().map(|e| engine.decide(e)).collect();
    let last = verdicts.last().unwrap().clone();
    // The same facts the other way round give the same answer.
    let mut other = Engine::new(Tolerance::default());
    decoded.facts.iter().rev().for_each(|f| other.learn(f));
    decoded.events.iter().rev().for_each(|e| other.learn_event(e));
    let again = other.decide(decoded.events.last().unwrap());
    assert_eq!((&again.grade, &again.executor, &again.agent), (&last.grade, &last.executor, &last.agent));
    last
}

const ORG: &str = "5b000000-0000-4000-8000-0000000000c0";
const SHOP: &str = "5b000000-0000-4000-8000-000000000001";

/// A job request of the pool 11: its agent is `agent-{agent}`.
fn job(request: i64, run: i64, agent: i64, received: &str, finished: Option<&str>) -> String {
    let finished = finished
        .map_or_else(String::new, |f| format!(r#","finishTime":"2026-03-05T{f}Z","result":"succeeded""#));
    format!(
        r#"{{"requestId":{request},"queueTime":"2026-03-05T00:00:00Z","assignTime":"2026-03-05T{received}Z","receiveTime":"2026-03-05T{received}Z"{finished},"hostId":"{ORG}","scopeId":"{SHOP}","planType":"Build","planId":"3d000000-0000-4000-8000-{run:012x}","jobId":"7f000000-0000-4000-8000-000000000001","poolId":11,"definition":{{"id":30,"name":"ci"}},"owner":{{"id":{run},"name":"n.{run}"}},"orchestrationId":"p.Build.Compile","reservedAgent":{{"id":{agent},"name":"agent-{agent}"}}}}"#
    )
}

fn capture(path: &str, at: &str, body: &str) -> String {
    format!(
        r#"{{"url":"https://dev.azure.com/contoso/_apis/{path}","observed":"2026-03-05T{at}Z","status":200,"body":{body}}}"#
    )
}

/// An audit record of another id.
fn other(number: u8, text: &str) -> String {
    text.replace(
        "a1000000-0000-4000-8000-000000000001",
        &format!("a1000000-0000-4000-8000-0000000000{number:02x}"),
    )
}

/// One job of the only pool, which was heard.
fn running() -> [String; 3] {
    [pools(), heard(), job(1, 7, 1, "10:00:00", Some("10:10:00"))]
}

fn pools() -> String {
    r#"{"url":"https://dev.azure.com/contoso/_apis/distributedtask/pools","observed":"2026-03-05T23:00:00Z","status":200,"body":{"value":[{"id":11,"name":"linux","isHosted":false,"poolType":"automation"}]}}"#.to_owned()
}

/// That the jobs of the pool 11 were heard over the whole day.
fn heard() -> String {
    r#"{"heard":"jobs","organization":"contoso","poolId":11,"from":"2026-03-04T00:00:00Z","until":"2026-03-05T23:00:00Z"}"#.to_owned()
}

fn event(action: &str, actor: &str, at: &str, data: &str) -> String {
    let (name, id, client, auth, agent) = match actor {
        "build" => (
            "shop Build Service (contoso)",
            "5a000000-0000-4000-8000-000000000001",
            "",
            "SessionToken_Unscoped",
            "VSServices/1",
        ),
        "service" => (
            "Azure DevOps Service",
            "00000002-0000-8888-8000-000000000000",
            "",
            "S2S_ServicePrincipal",
            "VSServices/1 (TfsJobAgent.exe)",
        ),
        "app" => {
            ("deployer", "", "7d000000-0000-4000-8000-0000000000d1", "AADServicePrincipal", "VSServices/1")
        }
        "pat" => (
            "Ada",
            "e0729319-5632-68c1-9625-b53fe559bc01",
            "",
            "PAT_Unscoped authorizationId: 9e000000-0000-4000-8000-0000000000e1",
            "git/2",
        ),
        _ => ("Ada", "e0729319-5632-68c1-9625-b53fe559bc01", "", "AAD_Cookie", "Mozilla/5.0"),
    };
    format!(
        r#"{{"Id":"a1000000-0000-4000-8000-000000000001","ActionId":"{action}","Timestamp":"2026-03-05T{at}Z","ScopeId":"{ORG}","ScopeDisplayName":"contoso (Organization)","ProjectId":"{SHOP}","ProjectName":"shop","ActorUserId":"{id}","ActorClientId":"{client}","ActorDisplayName":"{name}","AuthenticationMechanism":"{auth}","UserAgent":"{agent}","Data":{data}}}"#
    )
}

#[test]
fn one_running_job_is_sole_only_once_every_pool_was_heard() {
    let lines = vec![job(1, 7, 1, "10:00:00", Some("10:10:00")), event("X.Y", "build", "10:05:00", "{}")];
    let deaf = verdict(&lines);
    assert_eq!((deaf.grade, deaf.provisional), (Grade::Narrowed, true));
    assert!(!deaf.missing.is_empty());
    let sure = verdict(&[pools(), heard(), lines[0].clone(), lines[1].clone()]);
    assert_eq!((sure.grade, sure.executor, sure.provisional), (Grade::Sole, Executor::Agent, false));
    assert_eq!(sure.agent.unwrap().name.as_deref(), Some("agent-1"));
    assert!(sure.evidence.len() >= 2);
}

#[test]
fn a_pool_that_never_ran_anything_keeps_no_verdict_from_being_sure() {
    let listed = |body: &str| {
        let pools = pools()
            .replace(r#"}]}}"#, r#"},{"id":12,"name":"idle","isHosted":false,"poolType":"automation"}]}}"#);
        let idle = format!(
            r#"{{"url":"https://dev.azure.com/contoso/_apis/distributedtask/pools/12/jobrequests","observed":"2026-03-05T10:09:00Z","status":200,"body":{body}}}"#
        );
        let job = job(1, 7, 1, "10:00:00", Some("10:10:00"));
        verdict(&[pools, heard(), job, idle, event("X.Y", "build", "10:05:00", "{}")]).grade
    };
    assert_eq!(listed(r#"{"count":0,"value":[]}"#), Grade::Sole);
    // What is no list, or not all of one, says nothing of what it lacks.
    for body in ["null", "{}", r#""""#, r#"{"value":[7]}"#] {
        assert_eq!(listed(body), Grade::Narrowed, "{body}");
    }
}

/// That the inventory gives the agents of a pattern an address.
fn stated(agent: &str, address: &str) -> String {
    format!(r#"{{"inventory":{{"organization":"contoso","agent":"{agent}","addresses":["{address}"]}}}}"#)
}

#[test]
fn a_job_token_from_an_address_that_is_not_the_agents_is_a_hint_only() {
    let from = |data: &str, ip: &str| {
        let text = event("X.Y", "build", "10:05:00", data);
        text.replace(r#""Data":"#, &format!(r#""IpAddress":"{ip}","Data":"#))
    };
    let told = |inventory: &[String], event: String| {
        let facts = [pools(), heard(), job(1, 7, 1, "10:00:00", Some("10:10:00"))];
        verdict(&[inventory, &facts, &[event]].concat())
    };
    let own = stated("agent-*", "10.1.0.0/16");
    for data in ["{}", r#"{"RequestId":1}"#, r#"{"OwnerId":7,"PlanType":"Build"}"#] {
        let v = told(std::slice::from_ref(&own), from(data, "203.0.113.9"));
        assert_eq!((v.executor, v.grade), (Executor::Unknown, Grade::Corroborated), "{data}");
        assert_eq!((v.candidates.len(), v.agent), (1, None), "{data}");
        assert!(v.missing.iter().any(|m| m.contains("203.0.113.9")), "{:?}", v.missing);
        assert!(v.evidence.iter().any(|e| e.says.contains("is none of them")), "{:?}", v.evidence);
    }
    // The agent's own address, one that another statement gives it, and no statement change nothing.
    for (inventory, ip) in [
        (vec![own.clone()], "10.1.2.3"),
        (vec![own.clone(), stated("agent-1", "203.0.113.9")], "203.0.113.9"),
        (vec![stated("other", "10.1.0.0/16")], "203.0.113.9"),
        (vec![own], "no address"),
        (vec![], "203.0.113.9"),
    ] {
        let v = told(&inventory, from("{}", ip));
        assert_eq!((v.executor, v.grade), (Executor::Agent, Grade::Sole), "{ip}");
    }
}

#[test]
fn an_address_that_none_of_the_running_agents_has_leaves_hints_only() {
    let told = |pattern: &str| {
        let event = event("X.Y", "build", "10:05:00", "{}")
            .replace(r#""Data":"#, r#""IpAddress":"203.0.113.9","Data":"#);
        let jobs = [1, 2].map(|n| job(n, 6 + n, n, "10:00:00", Some("10:10:00")));
        let [one, two] = jobs;
        verdict(&[stated(pattern, "10.1.0.0/16"), pools(), heard(), one, two, event])
    };
    let all = told("agent-*");
    assert_eq!((all.executor, all.grade), (Executor::Unknown, Grade::Corroborated));
    // The other one may be at that address.
    let one = told("agent-1");
    assert_eq!((one.executor, one.grade, one.candidates.len()), (Executor::Agent, Grade::Narrowed, 2));
}

#[test]
fn a_person_who_is_called_like_a_build_identity_is_a_person() {
    let text = event("X.Y", "build", "10:05:00", "{}")
        .replace(r#""Data":"#, r#""ActorUPN":"eve@contoso.com","Data":"#);
    assert!(text.contains("Build Service ("), "{text}");
    let v = verdict(&[pools(), heard(), job(1, 7, 1, "10:00:00", Some("10:10:00")), text]);
    assert!(v.executor != Executor::Agent && v.agent.is_none(), "{v:?}");
}

#[test]
fn two_running_jobs_are_never_one() {
    let jobs = [job(1, 7, 1, "10:00:00", Some("10:10:00")), job(2, 8, 2, "10:04:00", Some("10:06:00"))];
    let v = verdict(&[
        pools(),
        heard(),
        jobs[0].clone(),
        jobs[1].clone(),
        event("X.Y", "build", "10:05:00", "{}"),
    ]);
    assert_eq!((v.grade, v.candidates.len(), v.agent), (Grade::Narrowed, 2, None));
    // A job that ended within the clocks' tolerance still counts.
    let late = job(2, 8, 2, "10:04:00", Some("10:04:57"));
    let v = verdict(&[pools(), heard(), jobs[0].clone(), late, event("X.Y", "build", "10:05:00", "{}")]);
    assert_eq!(v.candidates.len(), 2);
}

#[test]
fn a_job_of_many_days_still_runs_on_its_last() {
    let long = job(1, 7, 1, "10:00:00", Some("10:10:00"))
        .replace("\"2026-03-05T10:00:00Z\"", "\"2026-02-27T10:00:00Z\"");
    let v = verdict(&[pools(), heard(), long, event("X.Y", "build", "10:05:00", "{}")]);
    assert_eq!((v.grade, v.agent.and_then(|a| a.id)), (Grade::Sole, Some(1)));
}

#[test]
fn a_build_identity_without_a_job_is_an_alarm() {
    let v = verdict(&[
        pools(),
        heard(),
        job(1, 7, 1, "10:00:00", Some("10:10:00")),
        event("X.Y", "build", "11:05:00", "{}"),
    ]);
    assert_eq!((v.executor, v.grade, v.raised_by), (Executor::Client, Grade::NotAgent, Executor::Agent));
    let v = verdict(&[job(1, 7, 1, "10:00:00", Some("10:10:00")), event("X.Y", "build", "11:05:00", "{}")]);
    assert_eq!((v.executor, v.provisional, v.blind), (Executor::Unknown, true, true));
}

#[test]
fn a_request_id_is_exact() {
    let v = verdict(&[
        job(1, 7, 1, "10:00:00", Some("10:10:00")),
        event("X.Y", "service", "10:11:00", r#"{"RequestId":"1"}"#),
    ]);
    assert_eq!((v.grade, v.executor, v.raised_by), (Grade::Exact, Executor::Agent, Executor::Service));
    assert_eq!(v.run.unwrap().id, Some(7));
}

#[test]
fn a_run_id_lists_its_jobs_in_the_id_space_of_its_plan() {
    let jobs = [job(1, 7, 1, "10:00:00", Some("10:10:00")), job(2, 7, 2, "10:00:00", Some("10:10:00"))];
    let data = |kind: &str| format!(r#"{{"OwnerId":7,"PlanType":"{kind}","ConnectionId":"c"}}"#);
    let used = |kind: &str| event("Library.ServiceConnectionExecuted", "service", "10:05:00", &data(kind));
    let v = verdict(&[pools(), heard(), jobs[0].clone(), jobs[1].clone(), used("Build")]);
    assert_eq!((v.grade, v.candidates.len()), (Grade::Run, 2));
    let v = verdict(&[pools(), heard(), jobs[0].clone(), jobs[1].clone(), used("Release")]);
    assert_eq!((v.grade, v.executor, v.provisional), (Grade::None, Executor::Unknown, true));
}

#[test]
fn names_lead_to_a_job_but_are_never_exact() {
    let data = r#"{"PipelineId":30,"RunName":"n.7","StageName":"Build","JobName":"Compile","StartTime":"2026-03-05T10:00:00Z","FinishTime":"2026-03-05T10:10:00Z"}"#;
    let done = event("Pipelines.DeploymentJobCompleted", "service", "10:10:02", data);
    let v = verdict(&[pools(), heard(), job(1, 7, 1, "10:00:00", Some("10:10:00")), done.clone()]);
    assert_eq!((v.grade, v.executor), (Grade::Sole, Executor::Agent));
    // There may be a run of the same name in a pool that was not heard.
    let v = verdict(&[job(1, 7, 1, "10:00:00", Some("10:10:00")), done.clone()]);
    assert_eq!((v.grade, v.provisional, v.agent, v.run), (Grade::Narrowed, true, None, None));
    let v = verdict(&[pools(), heard(), job(1, 7, 1, "08:00:00", Some("08:10:00")), done.clone()]);
    assert_eq!((v.grade, v.candidates.len()), (Grade::None, 0));
    assert!(v.missing.iter().any(|m| m.contains("is known that ran then")), "{:?}", v.missing);
    // What people read in place of the identifier: with all pools heard, one of the run's jobs it was.
    let shown = data.replace("Compile", "Compile the sources").replace(r#""Build""#, r#""Building""#);
    let shown = event("Pipelines.DeploymentJobCompleted", "service", "10:10:02", &shown);
    let other = job(2, 7, 2, "10:01:00", Some("10:12:00"))
        .replace("7f000000-0000-4000-8000-000000000001", "7f000000-0000-4000-8000-000000000002");
    let jobs = [job(1, 7, 1, "10:00:00", Some("10:10:00")), other];
    let v = verdict(&[pools(), heard(), jobs[0].clone(), jobs[1].clone(), shown.clone()]);
    assert_eq!((v.grade, v.executor, v.agent.is_none()), (Grade::Run, Executor::Unknown, true));
    assert_eq!(v.candidates.len(), 2);
    let v = verdict(&[jobs[0].clone(), jobs[1].clone(), shown]);
    assert_eq!((v.grade, v.provisional), (Grade::None, true));
    assert!(v.missing.iter().any(|m| m.contains("which job of run n.7")), "{:?}", v.missing);
}

#[test]
fn people_services_and_registrations_are_no_agents() {
    let data = r#"{"AgentId":1,"AgentName":"agent-1","AgentPoolId":11}"#;
    for (action, actor, executor) in [
        ("Pipelines.PipelineModified", "person", Executor::Human),
        ("CheckSuite.Completed", "service", Executor::Service),
        ("Project.CreateCompleted", "service", Executor::Service),
        ("Library.AgentAdded", "pat", Executor::Human),
        ("Library.AgentAdded", "app", Executor::Client),
    ] {
        let v =
            verdict(&[job(1, 7, 1, "10:00:00", Some("10:10:00")), event(action, actor, "10:05:00", data)]);
        assert_eq!((v.executor, v.grade), (executor, Grade::NotAgent), "{action} by {actor}");
    }
}

#[test]
fn a_token_is_outside_any_job_only_when_none_ran() {
    let v = verdict(&[pools(), heard(), event("Git.X", "pat", "10:05:00", "{}")]);
    assert_eq!((v.executor, v.grade), (Executor::Client, Grade::NotAgent));
    let v = verdict(&[
        pools(),
        heard(),
        job(1, 7, 1, "10:00:00", Some("10:10:00")),
        event("Git.X", "pat", "10:05:00", "{}"),
    ]);
    assert_eq!((v.executor, v.grade), (Executor::Unknown, Grade::None));
    assert!(v.identities.iter().any(|i| i.kind == "pat" && i.role == "credential"));
}

#[test]
fn a_token_leads_to_its_making_and_an_address_to_a_hint() {
    let made = event("Token.PatCreateEvent", "person", "08:00:00", r#"{"AuthorizationId":"9E000000-0000-4000-8000-0000000000E1","DisplayName":"build-farm","OwnerName":"Ada","Scopes":"vso.code"}"#)
        .replace("a1000000-0000-4000-8000-000000000001", "a1000000-0000-4000-8000-000000000002");
    let added = event(
        "Library.AgentAdded",
        "pat",
        "09:00:00",
        r#"{"AgentId":1,"AgentName":"agent-1","AgentPoolId":11}"#,
    )
    .replace("a1000000-0000-4000-8000-000000000001", "a1000000-0000-4000-8000-000000000003")
    .replace("\"UserAgent\"", "\"IpAddress\":\"203.0.113.9\",\"UserAgent\"");
    let used = event("Git.X", "pat", "10:05:00", "{}")
        .replace("\"UserAgent\"", "\"IpAddress\":\"203.0.113.9\",\"UserAgent\"");
    let busy = [
        pools(),
        heard(),
        job(1, 7, 1, "10:00:00", Some("10:10:00")),
        made.clone(),
        added.clone(),
        used.clone(),
    ];
    let v = verdict(&busy);
    assert_eq!((v.executor, v.grade), (Executor::Unknown, Grade::Corroborated));
    assert_eq!(v.candidates.iter().map(|c| c.agent_id).collect::<Vec<_>>(), [Some(1)]);
    let says: Vec<&str> = v.evidence.iter().filter(|e| e.kind == "token").map(|e| e.says.as_str()).collect();
    assert!(says.iter().any(|s| s.contains("build-farm of Ada, for vso.code")), "{says:?}");
    // The same address proves nothing where no job ran: the token was used outside any.
    let quiet = verdict(&[pools(), heard(), made, added, used]);
    assert_eq!((quiet.executor, quiet.candidates.len()), (Executor::Client, 0));
}

#[test]
fn a_sign_in_is_cited_and_its_absence_told() {
    let at = |time: &str| {
        format!(
            r#"{{"time":"2026-03-05T{time}Z","category":"ManagedIdentitySignInLogs","tenantId":"t","properties":{{"id":"b01b1726-0147-425e-a7f7-21f252050400","createdDateTime":"2026-03-05T{time}Z","appId":"7d000000-0000-4000-8000-0000000000d1","ipAddress":""}}}}"#
        )
    };
    let v = verdict(&[at("06:00:00"), event("X.Y", "app", "10:05:00", "{}")]);
    assert!(v.evidence.iter().any(|e| e.kind == "sign_in"));
    let v = verdict(&[at("11:00:00"), event("X.Y", "app", "10:05:00", "{}")]);
    assert!(v.missing.iter().any(|m| m.contains("sign-in")), "{:?}", v.missing);
}

#[test]
fn what_is_held_is_counted_whoever_told_it() {
    let mut engine = Engine::new(Tolerance::default());
    let delivery = Delivery {
        observed: Time::parse("2026-03-06T00:00:00Z").unwrap(),
        url: None,
        organization: None,
        limits: Limits::default(),
    };
    let mut learn = |line: String| {
        decode(line.as_bytes(), &delivery).facts.iter().for_each(|fact| engine.learn(fact));
        engine.held()
    };
    // Entra's are of a tenant, and of no organisation.
    for n in 0..50 {
        let held = learn(format!(
            r#"{{"time":"2026-03-05T06:00:{n:02}Z","category":"ManagedIdentitySignInLogs","tenantId":"t","properties":{{"id":"b01b1726-0147-425e-a7f7-21f2520504{n:02}","createdDateTime":"2026-03-05T06:00:{n:02}Z","appId":"7d000000-0000-4000-8000-0000000000d1","ipAddress":""}}}}"#
        ));
        assert!(held > n, "{held} held of {n}");
    }
}

#[test]
fn another_organisation_is_never_evidence() {
    let elsewhere =
        job(1, 7, 1, "10:00:00", Some("10:10:00")).replace(ORG, "5b000000-0000-4000-8000-0000000000ff");
    let v = verdict(&[elsewhere, event("X.Y", "service", "10:11:00", r#"{"RequestId":1}"#)]);
    assert!(v.agent.is_none());
}

#[test]
fn the_simulated_truth_is_never_contradicted() {
    let world = crate::simulate::World::build(&crate::simulate::Plan {
        runs: 400,
        agents: 6,
        ..crate::simulate::Plan::quiet()
    });
    let mut engine = Engine::new(Tolerance::default());
    let delivery = Delivery {
        observed: Time::parse("2026-03-07T00:00:00Z").unwrap(),
        url: None,
        organization: None,
        limits: Limits::default(),
    };
    let captures = world.captures().join("\n");
    decode(captures.as_bytes(), &delivery).facts.iter().for_each(|f| engine.learn(f));
    let (mut sure, mut all) = (0, 0);
    for truth in world.events() {
        let mut raw = Vec::new();
        truth.write(crate::simulate::Spelling::EventGrid, &mut raw);
        let decoded = decode(&raw, &delivery);
        engine.learn_event(&decoded.events[0]);
        let verdict = engine.decide(&decoded.events[0]);
        all += usize::from(truth.truth.is_some());
        if matches!(verdict.grade, Grade::Exact | Grade::Sole) {
            assert_eq!(verdict.agent.and_then(|a| a.name), truth.truth, "{}", truth.id);
            sure += 1;
        } else if let Some(agent) = &truth.truth {
            assert_eq!(verdict.executor, Executor::Agent, "{}", truth.id);
            assert!(verdict.candidates.iter().any(|c| c.agent_name.as_ref() == Some(agent)), "{}", truth.id);
        }
    }
    assert!(all > 1000 && sure * 4 > all, "{sure} of {all}");
}

/// The invariants of the design, each under its name, over worlds of many seeds. A2 (every event
/// leaves once), A4 (spans of a key never overlap) and A6 (memory is bounded by the window) are
/// properties of the whole program: tests/it/invariants.rs holds them.
mod invariants {
    use super::*;
    use crate::decode::Decoded;
    use crate::model::RecordHash;
    use crate::simulate::{Plan, Spelling, World};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    struct Case {
        facts: String,
        events: String,
        truth: Vec<Option<String>>,
    }

    fn case(seed: u64) -> Case {
        let world = World::build(&Plan {
            runs: 24,
            agents: 3,
            days: 2,
            outages: seed.is_multiple_of(2),
            varied: true,
            seed,
            ..Plan::quiet()
        });
        let mut events = Vec::new();
        for event in world.events() {
            event.write(Spelling::EventGrid, &mut events);
            events.push(b'\n');
        }
        Case {
            facts: [world.captures(), world.hooks()].concat().join("\n"),
            events: String::from_utf8(events).unwrap(),
            truth: world.events().iter().map(|e| e.truth.clone()).collect(),
        }
    }

    fn read(text: &str) -> Decoded<'_> {
        let observed = Time::parse("2026-03-08T00:00:00Z").unwrap();
        decode(
            text.as_bytes(),
            &Delivery { observed, url: None, organization: None, limits: Limits::default() },
        )
    }

    /// Learns everything, each list in an order of its own, and decides.
    fn fold(facts: &Decoded<'_>, events: &Decoded<'_>, order: &[usize]) -> Vec<Verdict> {
        let mut engine = Engine::new(Tolerance::default());
        let place = |i: usize, n: usize| (order[i % order.len()].wrapping_mul(7919) % n.max(1)) ^ i;
        let mut turns: Vec<usize> = (0..facts.facts.len() + events.events.len()).collect();
        turns.sort_by_key(|i| place(*i, 1 << 20));
        for turn in turns {
            match facts.facts.get(turn) {
                Some(fact) => engine.learn(fact),
                None => engine.learn_event(&events.events[turn - facts.facts.len()]),
            }
        }
        events.events.iter().map(|event| engine.decide(event)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn a1_any_interleaving_gives_the_same_final_verdicts(seed in 0u64..1000, order in proptest::collection::vec(0usize..10_000, 5..40)) {
            let case = case(seed);
            let (facts, events) = (read(&case.facts), read(&case.events));
            let straight = fold(&facts, &events, &[0]);
            let other = fold(&facts, &events, &order);
            for ((a, b), event) in straight.iter().zip(&other).zip(&events.events) {
                prop_assert_eq!(a.digest(), b.digest(), "{}\n{:#?}\n{:#?}", event.id, a, b);
            }
        }

        #[test]
        fn a3_no_verdict_uses_what_was_not_known(seed in 0u64..1000, share in 1usize..10) {
            let case = case(seed);
            let (facts, events) = (read(&case.facts), read(&case.events));
            let mut engine = Engine::new(Tolerance::default());
            let learnt = facts.facts.len() * share / 10;
            facts.facts[..learnt].iter().for_each(|fact| engine.learn(fact));
            let mut known: BTreeSet<RecordHash> = facts.facts[..learnt].iter().map(|f| f.hash).collect();
            for event in &events.events {
                engine.learn_event(event);
                known.insert(event.hash);
                for evidence in engine.decide(event).evidence {
                    prop_assert!(known.contains(&evidence.record), "{:?}", evidence);
                }
            }
        }

        #[test]
        fn a5_every_verdict_carries_its_evidence(seed in 0u64..1000) {
            let case = case(seed);
            let (facts, events) = (read(&case.facts), read(&case.events));
            for verdict in fold(&facts, &events, &[0]) {
                prop_assert!(!verdict.evidence.is_empty() || !verdict.missing.is_empty(), "{:?}", verdict);
                prop_assert!(!verdict.provisional || !verdict.missing.is_empty(), "{:?}", verdict);
                prop_assert_eq!(verdict.agent.is_some(), verdict.executor == Executor::Agent && verdict.job.is_some());
            }
        }

        #[test]
        fn a7_exact_and_sole_are_never_wrong(seed in 0u64..1000) {
            let case = case(seed);
            let (facts, events) = (read(&case.facts), read(&case.events));
            let verdicts = fold(&facts, &events, &[0]);
            let mut sure = 0;
            for (verdict, truth) in verdicts.into_iter().zip(&case.truth) {
                if matches!(verdict.grade, Grade::Exact | Grade::Sole) {
                    prop_assert_eq!(&verdict.agent.and_then(|a| a.name), truth);
                    sure += 1;
                }
            }
            prop_assert!(sure > 10, "{}", sure);
        }
    }
}
