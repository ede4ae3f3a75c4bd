//! To which project a build identity belongs, which pools there were, which run a name means, which agent
//! an address or a version.

use super::*;

const STORE: &str = "5b000000-0000-4000-8000-000000000002";

#[test]
fn a_name_that_two_projects_had_names_neither() {
    // The one that is called otherwise now keeps its build identity, which may keep its name.
    let before = other(2, &event("X.Y", "person", "08:00:00", "{}")).replace(SHOP, STORE);
    let after = other(3, &event("X.Y", "person", "09:00:00", "{}"));
    let told = |more: &[String], last: String| {
        verdict(&[&running()[..], &[before.clone(), after.clone()], more, &[last]].concat())
    };
    let plain = event("X.Y", "build", "10:05:00", "{}");
    let v = told(&[], plain.clone());
    assert_eq!((v.grade, v.agent.is_some(), v.candidates.len()), (Grade::Narrowed, false, 1));
    assert!(v.missing.iter().any(|m| m.contains("2 projects that were called shop")), "{:?}", v.missing);
    // The descriptor of its picture says which, and so does Graph under its id.
    use base64::Engine as _;
    let descriptor = |project: &str| {
        let text = format!("{ORG}:Build:{project}");
        format!("svc.{}", base64::engine::general_purpose::STANDARD_NO_PAD.encode(text))
    };
    let pictured = |project: &str| {
        let url =
            format!("https://dev.azure.com/contoso/_apis/GraphProfile/MemberAvatars/{}", descriptor(project));
        plain.replace(r#""Data":"#, &format!(r#""ActorImageUrl":"{url}","Data":"#))
    };
    let graph = |project: &str| {
        format!(
            r#"{{"url":"https://vssps.dev.azure.com/contoso/_apis/graph/users","observed":"2026-03-05T07:00:00Z","status":200,"body":{{"value":[{{"subjectKind":"user","domain":"Build","principalName":"{project}","origin":"vsts","originId":"5a000000-0000-4000-8000-000000000001","displayName":"shop Build Service (contoso)","descriptor":"{}"}}]}}}}"#,
            descriptor(project)
        )
    };
    for (project, executor, grade) in
        [(SHOP, Executor::Agent, Grade::Sole), (STORE, Executor::Client, Grade::NotAgent)]
    {
        let v = told(&[], pictured(project));
        assert_eq!((v.executor, v.grade), (executor, grade), "{project} by picture");
        let v = told(&[graph(project)], plain.clone());
        assert_eq!((v.executor, v.grade), (executor, grade), "{project} by Graph");
    }
    // The collection's one, whatever it is called.
    let v = told(&[], pictured(ORG).replace("shop Build Service (contoso)", "builds"));
    assert_eq!((v.executor, v.grade), (Executor::Agent, Grade::Sole));
}

#[test]
fn who_is_in_a_browser_is_no_build_identity() {
    let text = event("X.Y", "build", "10:05:00", "{}").replace("SessionToken_Unscoped", "AAD_Cookie");
    let v = verdict(&[&running()[..], &[text]].concat());
    assert_eq!((v.executor, v.grade), (Executor::Human, Grade::NotAgent));
}

#[test]
fn a_pool_that_only_the_audit_log_names_may_have_run_another_job() {
    let pool = |action: &str, at: &str| {
        let data = r#"{"AgentPoolId":12,"AgentPoolName":"hidden","AgentId":5,"AgentName":"a"}"#;
        other(action.len() as u8, &event(action, "person", at, data))
    };
    let told = |more: &[String]| {
        let v = verdict(&[&running()[..], more, &[event("X.Y", "build", "10:05:00", "{}")]].concat());
        (v.grade, v.missing.iter().any(|m| m.contains("hidden (12)")))
    };
    for (action, at) in [("Library.AgentPoolCreated", "09:00:00"), ("Library.AgentAdded", "11:00:00")] {
        assert_eq!(told(&[pool(action, at)]), (Grade::Narrowed, true), "{action}");
    }
    let (created, deleted) = ("Library.AgentPoolCreated", "Library.AgentPoolDeleted");
    // Made later, or deleted before; deleted afterwards.
    assert_eq!(told(&[pool(created, "11:00:00")]), (Grade::Sole, false));
    assert_eq!(told(&[pool(created, "09:00:00"), pool(deleted, "10:00:00")]), (Grade::Sole, false));
    assert_eq!(told(&[pool(created, "09:00:00"), pool(deleted, "11:00:00")]), (Grade::Narrowed, true));
}

#[test]
fn a_pool_that_is_called_by_its_name_alone_is_one_of_these_or_may_have_run_another_job() {
    let said = |action: &str, at: &str, name: &str| {
        let data = format!(r#"{{"AgentPoolName":"{name}","AgentId":5,"AgentName":"a"}}"#);
        other(at.as_bytes()[1] ^ action.len() as u8, &event(action, "person", at, &data))
    };
    let told = |more: &[String]| {
        let asked = event("X.Y", "build", "10:05:00", "{}");
        let v = verdict(&[&running()[..], more, std::slice::from_ref(&asked)].concat());
        let turned: Vec<String> = more.iter().rev().cloned().chain(running()).chain([asked]).collect();
        assert_eq!(verdict(&turned).grade, v.grade, "in another order");
        let says = v.missing.iter().any(|m| m.contains("pool hidden (of which no list tells the id)"));
        (v.grade, says, v.provisional)
    };
    let (open, sure) = ((Grade::Narrowed, true, true), (Grade::Sole, false, false));
    let [added, created, deleted] = ["AgentAdded", "AgentPoolCreated", "AgentPoolDeleted"]
        .map(|what| move |at: &str, name: &str| said(&format!("Library.{what}"), at, name));
    for at in ["09:00:00", "11:00:00"] {
        assert_eq!(told(&[added(at, "hidden")]), open, "an agent added at {at}");
        assert_eq!(told(&[added(at, "Linux")]), sure, "of the pool that is known");
    }
    assert_eq!(told(&[created("09:00:00", "hidden")]), open);
    assert_eq!(told(&[created("11:00:00", "hidden")]), sure, "made later");
    // Deleted before, after, and made again.
    assert_eq!(told(&[added("08:00:00", "hidden"), deleted("09:00:00", "hidden")]), sure);
    assert_eq!(told(&[added("08:00:00", "hidden"), deleted("11:00:00", "hidden")]), open);
    let twice = [deleted("08:00:00", "hidden"), created("09:00:00", "hidden")];
    assert_eq!(told(&twice), open);
    // It was called so before: an agent of it is in a pool of the list.
    let seen = r#"{"url":"https://dev.azure.com/contoso/_apis/distributedtask/pools/11/agents","observed":"2026-03-05T22:00:00Z","status":200,"body":{"value":[{"id":5,"name":"a","version":"4","osDescription":"Linux"}]}}"#;
    assert_eq!(told(&[added("09:00:00", "hidden"), seen.to_owned()]), sure);
}

#[test]
fn a_pool_that_left_the_lists_need_not_be_heard() {
    let list = |at: &str, ids: &[i64]| {
        let all: Vec<String> =
            ids.iter().map(|id| format!(r#"{{"id":{id},"name":"p{id}","poolType":"automation"}}"#)).collect();
        format!(
            r#"{{"url":"https://dev.azure.com/contoso/_apis/distributedtask/pools","observed":"2026-03-05T{at}Z","status":200,"body":{{"count":{},"value":[{}]}}}}"#,
            ids.len(),
            all.join(",")
        )
    };
    let told = |lists: &[String]| {
        let [_, heard, job] = running();
        verdict(&[&[heard, job], lists, &[event("X.Y", "build", "10:05:00", "{}")]].concat()).grade
    };
    assert_eq!(told(&[list("08:00:00", &[11, 12]), list("11:00:00", &[11, 12])]), Grade::Narrowed);
    assert_eq!(
        told(&[list("08:00:00", &[11, 12]), list("09:00:00", &[11]), list("11:00:00", &[11])]),
        Grade::Sole
    );
    // Between the two lists it may have been there still, or already.
    assert_eq!(told(&[list("08:00:00", &[11, 12]), list("11:00:00", &[11])]), Grade::Narrowed);
    assert_eq!(told(&[list("08:00:00", &[11]), list("11:00:00", &[11, 12])]), Grade::Narrowed);
    // Not then.
    assert_eq!(
        told(&[list("08:00:00", &[11]), list("10:30:00", &[11]), list("11:00:00", &[11, 12])]),
        Grade::Sole
    );
}

#[test]
fn the_name_of_a_run_alone_does_not_choose_the_nearest() {
    let run = |request: i64, run: i64, pipeline: &str, from: &str, until: &str| {
        job(request, run, request, from, Some(until))
            .replace(&format!(r#""name":"n.{run}""#), r#""name":"n""#)
            .replace(r#""id":30,"name":"ci""#, &format!(r#""id":{},"name":"{pipeline}""#, 30 + request))
    };
    let jobs = [
        run(1, 7, "ci", "09:00:00", "09:10:00"),
        run(2, 8, "cd", "10:00:00", "10:10:00"),
        run(3, 9, "late", "10:30:00", "10:40:00"),
    ];
    let told = |data: &str| {
        let done = event("Pipelines.DeploymentJobCompleted", "service", "10:10:02", data);
        let v = verdict(&[&[pools(), heard()], &jobs[..], &[done]].concat());
        (v.grade, v.candidates.len())
    };
    assert_eq!(told(r#"{"RunName":"n","PlanType":"Build"}"#), (Grade::Narrowed, 2));
    // A job on the server has no request, and the record does not call it by a name.
    assert_eq!(told(r#"{"RunName":"n","PlanType":"Build","PipelineName":"CD"}"#), (Grade::Run, 1));
    let timed = r#"{"RunName":"n","StartTime":"2026-03-05T10:00:00Z","FinishTime":"2026-03-05T10:10:00Z"}"#;
    assert_eq!(told(timed), (Grade::Run, 1));
}

#[test]
fn a_number_without_its_plan_type_may_be_a_build_or_a_release() {
    let release = job(2, 7, 2, "10:00:00", Some("10:10:00")).replace("Build\"", "Release\"");
    let used = event(
        "Library.ServiceConnectionExecuted",
        "service",
        "10:05:00",
        r#"{"OwnerId":7,"ConnectionId":"c"}"#,
    );
    let told = |jobs: &[String]| {
        let v = verdict(&[&[pools(), heard()], jobs, std::slice::from_ref(&used)].concat());
        (v.grade, v.candidates.len())
    };
    let build = job(1, 7, 1, "10:00:00", Some("10:10:00"));
    assert_eq!(told(&[build.clone(), release]), (Grade::Narrowed, 2));
    assert_eq!(told(&[build]), (Grade::Narrowed, 1));
}

#[test]
fn a_run_may_have_had_more_jobs_in_a_pool_that_was_not_heard() {
    let jobs = [job(1, 7, 1, "10:00:00", Some("10:10:00")), job(2, 7, 2, "10:00:00", Some("10:10:00"))];
    let used = event(
        "Library.ServiceConnectionExecuted",
        "service",
        "10:05:00",
        r#"{"OwnerId":7,"PlanType":"Build","ConnectionId":"c"}"#,
    );
    let told = |facts: &[String]| {
        let v = verdict(&[facts, &jobs[..], std::slice::from_ref(&used)].concat());
        (v.grade, v.blind, v.provisional)
    };
    assert_eq!(told(&[pools(), heard()]), (Grade::Run, false, false));
    assert_eq!(told(&[pools()]), (Grade::Run, true, true));
}

#[test]
fn a_token_used_from_an_address_of_the_inventory_leads_to_the_agents_at_work_there() {
    let used = event("Git.X", "pat", "10:05:00", "{}")
        .replace(r#""UserAgent""#, r#""IpAddress":"203.0.113.9","UserAgent""#);
    let told = |pattern: &str| {
        let other = job(2, 8, 2, "10:00:00", Some("10:10:00"));
        let lines = [&running()[..], &[other, stated(pattern, "203.0.113.0/24"), used.clone()]].concat();
        let v = verdict(&lines);
        (v.grade, v.candidates.iter().filter_map(|c| c.agent_id).collect::<Vec<_>>())
    };
    assert_eq!(told("agent-1"), (Grade::Corroborated, vec![1]));
    assert_eq!(told("agent-*"), (Grade::Corroborated, vec![1, 2]));
    assert_eq!(told("other"), (Grade::None, vec![]));
}

#[test]
fn an_agent_that_was_replaced_while_its_job_ran_is_said_to_have_been() {
    let listed = |at: &str, machine: &str| {
        format!(
            r#"{{"url":"https://dev.azure.com/contoso/_apis/distributedtask/pools/11/agents","observed":"2026-03-05T{at}Z","status":200,"body":{{"count":1,"value":[{{"id":1,"name":"agent-1","version":"4","osDescription":"Linux","systemCapabilities":{{"Agent.ComputerName":"{machine}"}}}}]}}}}"#
        )
    };
    let told = |second: &str| {
        let lists = [listed("09:00:00", "vm"), listed(second, "kali")];
        let lines = [&running()[..], &lists, &[event("X.Y", "build", "10:05:00", "{}")]].concat();
        let v = verdict(&lines);
        assert_eq!(v.agent.unwrap().machine.as_deref(), Some("vm"));
        let says = |what: &str| v.evidence.iter().any(|e| e.says.contains(what));
        (says("it is on kali now"), says("after that, the agent was on kali"))
    };
    assert_eq!([told("10:03:00"), told("10:06:00")], [(true, false), (false, true)]);
}

#[test]
fn an_agent_that_a_timeline_names_is_the_one_that_bore_the_name_then() {
    let record = r#"{"records":[{"id":"7f000000-0000-4000-8000-000000000001","parentId":null,"type":"Job","name":"Compile","workerName":"agent-1","state":"completed","startTime":"2026-03-05T10:00:00Z","finishTime":"2026-03-05T10:10:00Z"}]}"#;
    let told = capture(&format!("{SHOP}/_apis/build/builds/7/timeline"), "11:00:00", record)
        .replace("/contoso/_apis/5b", "/contoso/5b");
    let listed = |at: &str, pool: i64, agents: &[(i64, &str)]| {
        let one = |(id, made): &(i64, &str)| {
            format!(
                r#"{{"id":{id},"name":"agent-1","version":"4","osDescription":"Linux","createdOn":"2026-03-05T{made}Z"}}"#
            )
        };
        let all: Vec<String> = agents.iter().map(one).collect();
        let body = format!(r#"{{"count":{},"value":[{}]}}"#, all.len(), all.join(","));
        capture(&format!("distributedtask/pools/{pool}/agents"), at, &body)
    };
    let in_pool = |ip: &str| {
        let inventory = r#"{"inventory":{"organization":"contoso","pool":"linux","agent":"*","addresses":["10.1.0.0/16"]}}"#;
        let event = event("X.Y", "build", "10:05:00", "{}")
            .replace(r#""Data":"#, &format!(r#""IpAddress":"{ip}","Data":"#));
        let list = listed("09:00:00", 11, &[(5, "08:00:00")]);
        verdict(&[pools(), told.clone(), inventory.to_owned(), list, event])
    };
    let v = in_pool("10.1.2.3");
    assert_eq!(
        (v.grade, v.candidates[0].agent_id, v.candidates[0].pool_id),
        (Grade::Narrowed, Some(5), Some(11))
    );
    // What is stated of its pool speaks of it.
    assert_eq!(in_pool("203.0.113.9").grade, Grade::Corroborated);

    let named = |lists: &[String]| {
        let event = event("X.Y", "build", "10:05:00", "{}");
        verdict(&[&[pools(), told.clone()], lists, &[event]].concat()).candidates[0].agent_id
    };
    // Registered anew under its name, before and after.
    let lists = [listed("08:30:00", 11, &[(5, "08:00:00")]), listed("09:30:00", 11, &[(6, "09:00:00")])];
    assert_eq!(named(&lists), Some(6));
    let lists = [listed("09:30:00", 11, &[(5, "08:00:00")]), listed("10:30:00", 11, &[(6, "10:20:00")])];
    assert_eq!(named(&lists), Some(5));
    // In a pool that was heard its request would be known: it was another of that name.
    let elsewhere = [heard(), event("X.Y", "build", "10:05:00", "{}")];
    let v = verdict(&[&[pools(), told.clone()], &lists[..], &elsewhere].concat());
    assert_eq!((v.candidates[0].agent_name.as_deref(), v.candidates[0].agent_id), (Some("agent-1"), None));
    // Two pools have one of the name.
    let lists = [listed("09:30:00", 11, &[(5, "08:00:00")]), listed("09:30:00", 12, &[(6, "08:00:00")])];
    assert_eq!(named(&lists), None);
}

#[test]
fn a_request_that_lacks_its_times_may_be_what_was_at_work() {
    let other = job(1, 7, 1, "10:00:00", Some("10:20:00"));
    let full = job(2, 8, 2, "09:59:40", Some("10:30:00"));
    let told = |second: &str| {
        let act = event("X.Y", "build", "10:15:00", "{}");
        let v = verdict(&[pools(), heard(), other.clone(), second.to_owned(), act]);
        (v.executor, v.grade, v.candidates.len())
    };
    let without = |names: &[&str]| {
        let mut text = full.clone();
        for name in names {
            let from = text.find(&format!("\"{name}\"")).unwrap();
            let end = from + text[from..].find(',').unwrap();
            text.replace_range(from..=end, "");
        }
        text
    };
    let both = (Executor::Agent, Grade::Narrowed, 2);
    assert_eq!(told(&full), both);
    assert_eq!(told(&without(&["assignTime", "receiveTime"])), both);
    assert_eq!(told(&without(&["assignTime", "receiveTime", "queueTime"])), both);
    // One that was taken back as soon as it was given did not run; one that was held may have.
    let canceled =
        |end: &str| without(&["receiveTime"]).replace("succeeded", "canceled").replace("10:30:00", end);
    assert_eq!(told(&canceled("10:30:00")), both);
    assert_eq!(told(&canceled("10:01:00")).2, 1);
    // An end before the beginning is no end of it.
    assert_eq!(
        told(
            &full.replace(
                "\"receiveTime\":\"2026-03-05T09:59:40Z\"",
                "\"receiveTime\":\"2026-03-05T11:00:00Z\""
            )
        ),
        both
    );
}

#[test]
fn a_name_that_is_an_identifier_alone_may_be_what_people_call_another_job() {
    let one = |request: i64, identifier: &str, name: &str| {
        let own = format!(r#"{name}"orchestrationId":"p.prod.{identifier}""#);
        let job = job(request, 7, request, "10:00:00", Some("10:10:00"));
        let job = job.replace(r#""orchestrationId":"p.Build.Compile""#, &own);
        job.replace(r#"-000000000001","poolId"#, &format!(r#"-0000000000a{request}","poolId"#))
    };
    let told = |jobs: [String; 2]| {
        let data = r#"{"RunName":"n.7","PlanType":"Build","StageName":"prod","JobName":"Deploy"}"#;
        let done = event("Pipelines.DeploymentJobCompleted", "service", "10:10:02", data);
        let v = verdict(&[&[pools(), heard()], &jobs[..], &[done]].concat());
        (v.grade, v.candidates.len())
    };
    assert_eq!(told([one(1, "deploy", ""), one(2, "other", "")]), (Grade::Run, 2));
    assert_eq!(told([one(1, "deploy", ""), one(2, "other", r#""jobName":"Other","#)]), (Grade::Sole, 1));
    assert_eq!(told([one(1, "x", r#""jobName":"Deploy","#), one(2, "deploy", "")]).0, Grade::Run);
}

#[test]
fn a_name_of_a_run_is_of_a_pipeline_and_a_number_of_a_project() {
    let own = job(1, 7, 1, "10:00:00", Some("10:10:00"));
    let told = |job: &str, data: &str| {
        let done = event("Pipelines.DeploymentJobCompleted", "service", "10:10:02", data);
        let v = verdict(&[pools(), heard(), job.to_owned(), done]);
        (v.grade, v.run.is_some(), v.candidates.len())
    };
    let named =
        r#"{"RunName":"n.7","PlanType":"Build","PipelineId":30,"StageName":"Build","JobName":"Compile"}"#;
    assert_eq!(told(&own, named), (Grade::Sole, true, 1));
    let without = own.replace(r#""definition":{"id":30,"name":"ci"},"#, "");
    assert_ne!(without, own);
    assert_eq!(told(&without, named), (Grade::Narrowed, false, 1));
    let numbered = |pipeline: i64| format!(r#"{{"OwnerId":7,"PlanType":"Build","DefinitionId":{pipeline}}}"#);
    assert_eq!(told(&own, &numbered(30)).0, Grade::Run);
    assert_eq!(told(&own, &numbered(99)).0, Grade::None);
    // Releases are numbered in each project.
    let release = own.replace(r#""planType":"Build""#, r#""planType":"Release""#);
    let released = numbered(30).replace("Build", "Release");
    assert_eq!(told(&release, &released).0, Grade::Run);
    let of_another =
        release.replace("5b000000-0000-4000-8000-000000000001", "5b000000-0000-4000-8000-000000000002");
    assert_eq!(told(&of_another, &released).0, Grade::None);
}

#[test]
fn a_job_on_the_server_that_was_tried_again_may_have_done_it_the_first_time() {
    let record = |attempt: i64, from: &str, until: &str, at: &str| {
        let body = format!(
            r#"{{"records":[{{"id":"7f000000-0000-4000-8000-00000000000a","type":"Job","name":"Gate","attempt":{attempt},"state":"completed","startTime":"2026-03-05T{from}Z","finishTime":"2026-03-05T{until}Z"}},{{"id":"7f000000-0000-4000-8000-000000000001","type":"Job","name":"Build","attempt":1,"workerName":"agent-1","state":"completed","startTime":"2026-03-05T10:00:00Z","finishTime":"2026-03-05T10:30:00Z"}}]}}"#
        );
        capture(&format!("{SHOP}/_apis/build/builds/7/timeline"), at, &body)
            .replace("/contoso/_apis/5b", "/contoso/5b")
    };
    let told = |records: &[String]| {
        let used = event(
            "Library.ServiceConnectionExecuted",
            "service",
            "10:06:30",
            r#"{"OwnerId":7,"PlanType":"Build","StartTime":"2026-03-05T10:05:00Z","FinishTime":"2026-03-05T10:06:00Z"}"#,
        );
        let facts = [pools(), heard(), job(1, 7, 1, "10:00:00", Some("10:30:00"))];
        verdict(&[&facts, records, &[used]].concat()).grade
    };
    let first = record(1, "10:05:00", "10:06:00", "10:31:00");
    let again = record(2, "10:40:00", "10:41:00", "11:00:00");
    assert_eq!(told(&[record(1, "10:20:00", "10:21:00", "10:31:00")]), Grade::Sole);
    assert_eq!(told(&[first, again.clone()]), Grade::Run);
    assert_eq!(told(&[again]), Grade::Run);
}
