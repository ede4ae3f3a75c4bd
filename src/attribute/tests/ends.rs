//! Jobs of which no record tells the end, and requests that more than one agent had.

use super::*;

/// What a list of some requests showed at a moment.
fn seen(at: &str, job: &str) -> String {
    capture(
        "distributedtask/pools/11/jobrequests?agentId=1",
        at,
        &format!(r#"{{"count":1,"value":[{job}]}}"#),
    )
}

/// The requests that were open in the whole list of a moment, which speaks for the time since `from`.
fn listed(from: &str, at: &str, open: &str) -> String {
    format!(
        r#"{{"heard":"jobs","organization":"contoso","poolId":11,"from":"2026-03-05T{from}Z","until":"2026-03-05T{at}Z","open":[{open}]}}"#
    )
}

/// What is said of the build identity's deed at a moment.
fn at(time: &str, facts: &[String]) -> (Executor, Grade, Option<i64>, bool) {
    let v = verdict(&[&[pools()], facts, &[event("X.Y", "build", time, "{}")]].concat());
    (v.executor, v.grade, v.agent.and_then(|agent| agent.id), v.provisional)
}

const CLIENT: (Executor, Grade, Option<i64>, bool) = (Executor::Client, Grade::NotAgent, None, false);

fn sole(agent: i64) -> (Executor, Grade, Option<i64>, bool) {
    (Executor::Agent, Grade::Sole, Some(agent), false)
}

fn unsure(provisional: bool) -> (Executor, Grade, Option<i64>, bool) {
    (Executor::Unknown, Grade::Narrowed, None, provisional)
}

#[test]
fn a_request_that_left_the_lists_runs_no_longer() {
    let facts = [
        seen("10:01:00", &job(1, 7, 1, "10:00:00", None)),
        listed("09:00:00", "10:20:00", "1"),
        listed("10:20:00", "10:40:00", ""),
        listed("10:40:00", "11:00:00", "9"),
    ];
    assert_eq!(at("10:10:00", &facts), sole(1));
    assert_eq!(at("10:30:00", &facts), unsure(true));
    assert_eq!(at("10:50:00", &facts), CLIENT);
}

#[test]
fn lists_that_lost_a_request_may_lack_others() {
    let facts = |from: &str| {
        let elsewhere = job(1, 7, 1, "10:00:00", None).replace(SHOP, &SHOP.replace("01", "09"));
        let own = job(2, 8, 2, "10:00:00", Some("11:00:00"));
        let lists = [listed("09:00:00", "10:20:00", "1,2"), listed(from, "10:40:00", "2")];
        let more = [seen("10:01:00", &elsewhere), seen("11:01:00", &own), listed("10:40:00", "11:10:00", "")];
        [&lists[..], &more].concat()
    };
    assert_eq!(at("10:10:00", &facts("10:20:00")), sole(2));
    // The list claims that nothing is missing since the one before, and request 1 is.
    let v = at("10:30:00", &facts("10:20:00"));
    assert_eq!((v.1, v.2, v.3), (Grade::Narrowed, None, true));
    assert_eq!(at("10:50:00", &facts("10:20:00")), sole(2));
    // This one claims the last minutes only: the other was over before.
    assert_eq!(at("10:38:00", &facts("10:35:00")), sole(2));
}

#[test]
fn an_agent_is_done_with_a_request_when_it_takes_the_next() {
    let facts = [
        heard(),
        listed("09:00:00", "10:25:00", "1"),
        seen("10:01:00", &job(1, 7, 1, "10:00:00", None)),
        job(2, 8, 1, "10:30:00", Some("10:35:00")),
    ];
    assert_eq!((at("10:20:00", &facts), at("10:28:00", &facts)), (sole(1), unsure(true)));
    assert_eq!(at("10:40:00", &facts), CLIENT);
    // Another agent says nothing of this one.
    let facts = [&facts[..3], &[job(2, 8, 2, "10:30:00", Some("10:35:00"))]].concat();
    assert_eq!(at("10:40:00", &facts), sole(1));
}

#[test]
fn no_job_outlives_its_run() {
    let run = r#"{"id":7,"buildNumber":"n.7","status":"completed","finishTime":"2026-03-05T10:30:00Z","definition":{"id":30,"name":"ci"}}"#;
    let run = capture("build/builds/7", "11:00:00", run);
    let list = listed("09:00:00", "10:25:00", "1");
    let facts = [heard(), list, seen("10:01:00", &job(1, 7, 1, "10:00:00", None)), run];
    assert_eq!((at("10:20:00", &facts), at("10:40:00", &facts)), (sole(1), CLIENT));
}

#[test]
fn a_timeline_tells_the_end_of_what_began_with_its_record() {
    let told = |start: &str, end: &str| {
        let record = format!(
            r#"{{"records":[{{"id":"7f000000-0000-4000-8000-000000000001","parentId":null,"type":"Job","name":"Compile","workerName":"agent-1","state":"completed","startTime":"2026-03-05T{start}Z","finishTime":"2026-03-05T{end}Z"}}]}}"#
        );
        capture("build/builds/7/timeline", "11:00:00", &record)
    };
    let open = seen("10:01:00", &job(1, 7, 1, "10:00:00", None));
    let with = |told: String| [heard(), open.clone(), told];
    let own = with(told("10:00:05", "10:30:00"));
    assert_eq!((at("10:20:00", &own), at("10:40:00", &own)), (sole(1), CLIENT));
    // A later attempt has the same id: by its end this one was over, but maybe long before.
    let later = with(told("10:20:00", "10:30:00"));
    assert_eq!((at("10:25:00", &later), at("10:40:00", &later)), (unsure(true), CLIENT));
}

#[test]
fn an_agent_may_have_left_a_request_before_its_lock_expired() {
    let lost = job(1, 7, 1, "10:00:00", Some("10:30:00")).replace("succeeded", "abandoned");
    let facts = [heard(), lost];
    assert_eq!(at("10:10:00", &facts), sole(1));
    assert_eq!(at("10:25:00", &facts), unsure(false));
    assert_eq!(at("10:31:00", &facts), CLIENT);
    // A result without an end: it was over when that was seen.
    let open = job(1, 7, 1, "10:00:00", None);
    let lost = open.replace(r#""hostId""#, r#""result":"abandoned","hostId""#);
    let lists = [listed("09:00:00", "10:02:00", "1"), listed("10:02:00", "11:00:00", "")];
    let facts = [&lists[..], &[seen("10:01:00", &open), seen("10:20:00", &lost)]].concat();
    assert_eq!((at("10:01:30", &facts), at("10:15:00", &facts)), (sole(1), unsure(true)));
    assert_eq!(at("10:30:00", &facts), CLIENT);
}

#[test]
fn a_request_given_to_another_agent_remembers_the_first() {
    let first = job(1, 7, 1, "10:00:00", None);
    let second = job(1, 7, 2, "10:20:00", Some("10:30:00"));
    let facts = [heard(), listed("09:00:00", "10:15:00", "1"), seen("10:01:00", &first), second];
    assert_eq!((at("10:10:00", &facts), at("10:25:00", &facts)), (sole(1), sole(2)));
    assert_eq!(at("10:40:00", &facts), CLIENT);
    let named = |data: &str| {
        let v = verdict(&[&[pools()], &facts[..], &[event("X.Y", "service", "10:31:00", data)]].concat());
        (v.grade, v.candidates.len(), v.agent.and_then(|agent| agent.id))
    };
    assert_eq!(named(r#"{"RequestId":1}"#), (Grade::Run, 2, None));
    let timed = r#"{"RequestId":1,"StartTime":"2026-03-05T10:21:00Z","FinishTime":"2026-03-05T10:29:00Z"}"#;
    assert_eq!(named(timed), (Grade::Exact, 1, Some(2)));
}

#[test]
fn a_request_that_was_only_assigned_may_have_gone_to_another_agent() {
    let named = |facts: &[String]| {
        let v = verdict(&[facts, &[event("X.Y", "service", "10:31:00", r#"{"RequestId":1}"#)]].concat());
        (v.grade, v.candidates.len(), v.agent.and_then(|agent| agent.id))
    };
    let assigned = seen("10:01:00", &job(1, 7, 1, "10:00:00", None).replace("receiveTime", "x"));
    assert_eq!(named(std::slice::from_ref(&assigned)), (Grade::Run, 1, None));
    assert_eq!(named(&[seen("10:02:00", &job(1, 7, 1, "10:00:00", None))]), (Grade::Exact, 1, Some(1)));
    let record = r#"{"records":[{"id":"7f000000-0000-4000-8000-000000000001","parentId":null,"type":"Job","name":"Compile","workerName":"agent-2","state":"completed","startTime":"2026-03-05T10:05:00Z","finishTime":"2026-03-05T10:30:00Z"}]}"#;
    let told = capture("build/builds/7/timeline", "11:00:00", record);
    assert_eq!(named(&[assigned, told]), (Grade::Run, 2, None));
}

#[test]
fn a_hook_is_no_timeline() {
    let hook = |state: &str| {
        format!(
            r#"{{"id":"8a000000-0000-4000-8000-00000000000{}","eventType":"ms.vss-pipelines.job-state-changed-event","publisherId":"pipelines","createdDate":"2026-03-05T10:10:05Z","resource":{{"job":{{"id":"7f000000-0000-4000-8000-000000000001","name":"Compile","state":"{state}","startTime":"2026-03-05T10:00:00Z","finishTime":"2026-03-05T10:10:00Z"}},"run":{{"id":7,"name":"n.7"}},"pipeline":{{"id":30,"name":"ci"}}}},"resourceContainers":{{"collection":{{"id":"{ORG}"}}}}}}"#,
            state.len() % 10
        )
    };
    let used = event(
        "Library.ServiceConnectionExecuted",
        "service",
        "10:10:02",
        r#"{"OwnerId":7,"PlanType":"Build","ConnectionId":"c","StartTime":"2026-03-05T10:01:00Z","FinishTime":"2026-03-05T10:09:00Z"}"#,
    );
    let with = |event: String| {
        verdict(&[pools(), heard(), job(1, 7, 1, "10:00:00", Some("10:10:00")), hook("completed"), event])
    };
    // A job without an agent may have run beside it.
    let v = with(used);
    assert_eq!((v.grade, v.agent), (Grade::Run, None));
    let v = with(event("X.Y", "build", "10:05:00", "{}"));
    assert!(!v.evidence.iter().any(|e| e.says.contains("timeline")), "{:?}", v.evidence);
    assert!(v.evidence.iter().any(|e| e.says.contains("service hook")), "{:?}", v.evidence);
}

#[test]
fn of_two_jobs_that_one_agent_had_one_after_the_other_the_agent_is_sure() {
    let two = |agent: i64| {
        let jobs =
            [job(1, 7, 1, "10:00:00", Some("10:05:01")), job(2, 8, agent, "10:05:03", Some("10:09:00"))];
        verdict(&[&[pools(), heard()], &jobs[..], &[event("X.Y", "build", "10:05:02", "{}")]].concat())
    };
    let v = two(1);
    assert_eq!((v.grade, v.agent.and_then(|a| a.id), v.job, v.run), (Grade::Sole, Some(1), None, None));
    assert!(v.missing.iter().any(|m| m.contains("one after the other")), "{:?}", v.missing);
    let v = two(2);
    assert_eq!((v.grade, v.agent, v.candidates.len()), (Grade::Narrowed, None, 2));
}

/// A run of which only its list tells, as it was seen.
fn build(run: i64, from: &str, until: Option<&str>, seen: &str) -> String {
    let until = until.map_or_else(String::new, |at| {
        format!(r#","finishTime":"2026-03-05T{at}Z","result":"succeeded","status":"completed""#)
    });
    let body = format!(
        r#"{{"id":{run},"buildNumber":"n.{run}","queueTime":"2026-03-05T{from}Z","startTime":"2026-03-05T{from}Z"{until},"definition":{{"id":31,"name":"cd"}},"project":{{"id":"{SHOP}"}}}}"#
    );
    capture(&format!("build/builds/{run}"), seen, &body)
}

#[test]
fn a_run_whose_jobs_did_not_run_may_have_been_at_something_on_the_server() {
    let asked = |more: &[String], at: &str| {
        let asked = event("X.Y", "build", at, "{}");
        let v = verdict(&[&running()[..], more, std::slice::from_ref(&asked)].concat());
        let turned: Vec<String> = more.iter().rev().cloned().chain(running()).chain([asked]).collect();
        assert_eq!(verdict(&turned).grade, v.grade, "in another order");
        (v.grade, v.provisional, v.missing.iter().any(|m| m.contains("what run 9 was at then")))
    };
    let (sure, open) = ((Grade::Sole, false, false), (Grade::Narrowed, true, true));
    let run = build(9, "09:00:00", Some("11:00:00"), "11:00:05");
    assert_eq!(asked(std::slice::from_ref(&run), "10:05:00"), open);
    // Before and after it, no job ran either.
    assert_eq!(asked(&[build(9, "09:00:00", Some("10:02:00"), "11:00:05")], "10:05:00"), sure);
    assert_eq!(asked(&[build(9, "10:06:00", Some("11:00:00"), "11:00:05")], "10:05:00"), sure);
    // One that was seen under way may be so for long: what is seen so again is no news.
    assert_eq!(asked(&[build(9, "09:00:00", None, "10:02:00")], "10:05:00"), open);
    let then = |run: String| run.replace("2026-03-05T09:00:00", "2026-03-04T09:00:00");
    assert_eq!(asked(&[then(build(9, "09:00:00", None, "10:02:00"))], "10:05:00"), sure);
    // What waited when it was seen need not have waited on.
    let waits = format!(
        r#"{{"value":[{{"requestId":5,"queueTime":"2026-03-05T09:30:00Z","hostId":"{ORG}","scopeId":"{SHOP}","planType":"Build","jobId":"7f000000-0000-4000-8000-000000000001","poolId":11,"owner":{{"id":9,"name":"n.9"}}}}]}}"#
    );
    let waits = capture("distributedtask/pools/11/jobrequests", "09:35:00", &waits);
    assert_eq!(asked(&[run.clone(), waits], "10:05:00"), open);
    // Jobs of it before and after do not say what it was at between them, unless one waited for an agent.
    let before = job(2, 9, 2, "09:10:00", Some("09:20:00"));
    let before = before.replace("05T00:00:00", "05T09:10:00");
    let after = job(3, 9, 2, "10:30:00", Some("10:40:00"));
    let later = after.replace("05T00:00:00", "05T10:29:00");
    assert_eq!(asked(&[run.clone(), before.clone(), later], "10:05:00"), open);
    let waits = after.replace("05T00:00:00", "05T10:01:00");
    assert_eq!(asked(&[run.clone(), before.clone(), waits], "10:05:00"), sure);
    // Its timeline tells, once it was read after that moment, and so does who read those of all runs.
    let record = r#"{"records":[{"id":"7f000000-0000-4000-8000-000000000001","parentId":null,"type":"Job","name":"Compile","workerName":"agent-2","state":"completed","startTime":"2026-03-05T09:10:00Z","finishTime":"2026-03-05T09:20:00Z"}]}"#;
    let timeline = |at: &str| {
        capture(&format!("{SHOP}/_apis/build/builds/9/timeline"), at, record).replace("_apis/5b", "5b")
    };
    assert_eq!(asked(&[run.clone(), before.clone(), timeline("11:00:00")], "10:05:00"), sure);
    assert_eq!(asked(&[run.clone(), before.clone(), timeline("09:30:00")], "10:05:00"), open);
    // As it stood before it is no news, and was read all the same.
    let twice = [run.clone(), before.clone(), timeline("09:30:00"), timeline("11:00:00")];
    assert_eq!(asked(&twice, "10:05:00"), sure);
    let server = |attempt: u8| {
        let body =
            record.replace(r#""workerName":"agent-2""#, &format!(r#""attempt":{attempt},"workerName":null"#));
        capture(&format!("{SHOP}/_apis/build/builds/9/timeline"), "11:00:00", &body).replace("_apis/5b", "5b")
    };
    assert_eq!(asked(&[run.clone(), server(1)], "10:05:00"), sure);
    assert_eq!(asked(&[run.clone(), server(2)], "10:05:00"), open, "its first attempt is not told");
    let read = |until: &str| {
        format!(
            r#"{{"heard":"runs","organization":"contoso","from":"2026-03-05T08:00:00Z","until":"2026-03-05T{until}Z"}}"#
        )
    };
    assert_eq!(asked(&[run.clone(), read("10:10:00")], "10:05:00"), sure);
    assert_eq!(asked(&[run.clone(), read("10:05:00")], "10:05:00"), open);
    // Without any job it is not said that the identity was used outside one.
    let v = verdict(&[pools(), heard(), run, event("X.Y", "build", "10:05:00", "{}")]);
    assert_eq!((v.executor, v.grade), (Executor::Unknown, Grade::None));
}

#[test]
fn a_job_without_an_agent_has_a_token_as_well() {
    let record = r#"{"records":[{"id":"7f000000-0000-4000-8000-000000000009","parentId":null,"type":"Job","name":"Call","workerName":null,"state":"completed","startTime":"2026-03-05T10:00:00Z","finishTime":"2026-03-05T10:20:00Z"}]}"#;
    let bare = capture(&format!("{SHOP}/_apis/build/builds/9/timeline"), "11:00:00", record)
        .replace("_apis/5b", "5b");
    let told = |facts: &[String], time: &str| {
        let v = verdict(&[&[pools(), heard()], facts, &[event("X.Y", "build", time, "{}")]].concat());
        (v.executor, v.grade, v.agent.is_some())
    };
    let with = [bare, job(1, 7, 1, "10:00:00", Some("10:10:00"))];
    assert_eq!(told(&with, "10:05:00"), (Executor::Unknown, Grade::Narrowed, false));
    assert_eq!(told(&with[..1], "10:05:00"), (Executor::Unknown, Grade::None, false));
    assert_eq!(told(&with, "10:30:00"), (Executor::Client, Grade::NotAgent, false));
}
