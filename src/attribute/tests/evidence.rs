//! What records say of browsers, runs, tokens, sign-ins and machines, and until when.

use super::*;

fn says(verdict: &Verdict, what: &str) -> bool {
    verdict.evidence.iter().any(|e| e.says.contains(what))
}

#[test]
fn a_script_that_calls_itself_mozilla_is_no_browser() {
    let by = |user_agent: &str| {
        let text = event("X.Y", "person", "10:05:00", "{}")
            .replace("AAD_Cookie", "UserAuthToken")
            .replace("Mozilla/5.0", user_agent);
        verdict(&[&running()[..], &[text]].concat()).executor
    };
    let (firefox, chrome) = ("Mozilla/5.0 (X11; Linux x86_64)", "Mozilla/5.0 (Windows NT 10.0; Win64; x64)");
    assert_eq!([by(firefox), by(chrome)], [Executor::Human; 2]);
    for script in [
        "Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.19041.1",
        "Mozilla/5.0 (Linux; Ubuntu 22.04.4 LTS; en-US) PowerShell/7.5.0",
        "Mozilla/5.0 (Linux; Linux 6.5.0-1025-azure #26~22.04.1-Ubuntu SMP Thu Jul 11 22:33:04 UTC 20",
    ] {
        assert_eq!(by(script), Executor::Unknown, "{script}");
    }
}

#[test]
fn a_run_of_which_no_job_is_known_was_at_work_however_it_ended() {
    let with = |state: &str, time: &str| {
        let run = format!(
            r#"{{"id":9,"buildNumber":"n.9","startTime":"2026-03-05T10:00:00Z",{state},"definition":{{"id":31,"name":"cd"}},"project":{{"id":"{SHOP}","name":"shop"}}}}"#
        );
        let run = capture("build/builds/9", "10:30:00", &run);
        let v = verdict(&[&running()[..], &[run, event("X.Y", "build", time, "{}")]].concat());
        (v.executor, v.grade)
    };
    let ended = |result: &str| {
        format!(r#""status":"completed","result":"{result}","finishTime":"2026-03-05T10:20:00Z""#)
    };
    for result in ["succeeded", "failed", "canceled"] {
        let open = (Executor::Unknown, Grade::Narrowed);
        assert_eq!(with(&ended(result), "10:05:00"), open, "{result}");
        assert_eq!(with(&ended(result), "10:15:00"), (Executor::Unknown, Grade::None), "{result}");
        assert_eq!(with(&ended(result), "10:25:00"), (Executor::Client, Grade::NotAgent), "{result}");
    }
    let under_way = r#""status":"inProgress""#;
    assert_eq!(with(under_way, "10:25:00"), (Executor::Unknown, Grade::None));
}

#[test]
fn a_service_that_names_a_job_long_after_it_writes_about_it() {
    let told = |action: &str, time: &str| {
        let v = verdict(&[&running()[..], &[event(action, "service", time, r#"{"RequestId":1}"#)]].concat());
        (v.executor, v.grade)
    };
    assert_eq!(told("X.Y", "10:05:00"), (Executor::Agent, Grade::Exact));
    assert_eq!(told("X.Y", "10:10:30"), (Executor::Agent, Grade::Exact));
    for time in ["09:00:00", "15:00:00"] {
        assert_eq!(told("X.Y", time), (Executor::Service, Grade::NotAgent), "{time}");
    }
    assert_eq!(told("Library.ServiceConnectionExecuted", "15:00:00"), (Executor::Agent, Grade::Exact));
}

#[test]
fn an_agent_that_connected_before_its_job_is_as_it_was_seen_after() {
    let listed = |at: &str, machine: &str, changed: &str| {
        let agent = format!(
            r#"{{"id":1,"name":"agent-1","version":"4","osDescription":"Linux","status":"online","statusChangedOn":"2026-03-05T{changed}Z","systemCapabilities":{{"Agent.ComputerName":"{machine}"}}}}"#
        );
        let body = format!(r#"{{"count":1,"value":[{agent}]}}"#);
        capture("distributedtask/pools/11/agents", at, &body)
    };
    let on = |changed: &str| {
        let lists = [listed("09:00:00", "vm", "08:00:00"), listed("10:20:00", "kali", changed)];
        let v = verdict(&[&running()[..], &lists, &[event("X.Y", "build", "10:05:00", "{}")]].concat());
        assert!(says(&v, "vm") || says(&v, "kali"), "{:?}", v.evidence);
        v.agent.unwrap().machine.unwrap()
    };
    assert_eq!([on("09:58:00"), on("10:15:00"), on("08:30:00")], ["kali", "vm", "vm"]);
}

#[test]
fn a_token_is_told_of_as_it_was_then() {
    let data = |scopes: &str| {
        format!(
            r#"{{"AuthorizationId":"9e000000-0000-4000-8000-0000000000e1","DisplayName":"farm","OwnerName":"Ada","Scopes":"{scopes}"}}"#
        )
    };
    let history = [
        other(2, &event("Token.PatCreateEvent", "person", "08:00:00", &data("vso.code"))),
        other(3, &event("Token.PatUpdateEvent", "person", "12:00:00", &data("app_token"))),
        other(4, &event("Token.PatRevokeEvent", "person", "14:00:00", &data(""))),
    ];
    let at = |time: &str| {
        let v = verdict(&[&running()[..], &history, &[event("Git.X", "pat", time, "{}")]].concat());
        assert!(says(&v, "there since 2026-03-05T08:00:00Z"), "{:?}", v.evidence);
        (says(&v, "vso.code"), says(&v, "app_token"), says(&v, "revoked at 2026-03-05T14:00:00Z"))
    };
    assert_eq!(at("10:05:00"), (true, false, false));
    assert_eq!(at("13:00:00"), (false, true, false));
    assert_eq!(at("15:00:00"), (false, true, true));
}

#[test]
fn a_sign_in_that_failed_or_was_for_another_resource_gave_no_token() {
    let at = |time: &str, more: &str| {
        format!(
            r#"{{"time":"2026-03-05T{time}Z","category":"ManagedIdentitySignInLogs","tenantId":"t","properties":{{"id":"b01b1726-0147-425e-a7f7-{:0>12}","createdDateTime":"2026-03-05T{time}Z","appId":"7d000000-0000-4000-8000-0000000000d1","ipAddress":""{more}}}}}"#,
            time.replace(':', "")
        )
    };
    let cited = |sign_ins: &[String]| {
        let v = verdict(&[sign_ins, &[event("X.Y", "app", "10:05:00", "{}")]].concat());
        v.evidence.iter().find(|e| e.kind == "sign_in").map(|e| e.says.clone()).unwrap_or_default()
    };
    let own = at("06:00:00", r#","resourceId":"499b84ac-1321-427f-aa17-267ca6975798""#);
    let vault = at("07:00:00", r#","resourceId":"cfa8b339-82a2-471a-a3c9-0fc0be7a4093""#);
    let failed = at("08:00:00", r#","status":{"errorCode":7000215}"#);
    assert!(cited(&[own, vault.clone(), failed.clone()]).contains("06:00:00"));
    assert_eq!(cited(&[vault, failed]), "");
}

#[test]
fn a_machine_of_a_scale_set_is_the_one_of_its_time() {
    let node = |at: &str, machine: &str| {
        let node = format!(
            r#"{{"poolId":11,"id":1,"name":"{machine}","state":"idle","agentId":1,"computeId":"{machine}","computeState":"healthy"}}"#
        );
        capture("distributedtask/elasticpools/11/nodes", at, &format!(r#"{{"count":1,"value":[{node}]}}"#))
    };
    let nodes = [node("09:00:00", "vmss_42"), node("12:00:00", "vmss_57")];
    let on = |time: &str| {
        let jobs = [job(2, 8, 1, "13:00:00", Some("13:10:00"))];
        let lines = [&running()[..], &jobs, &nodes, &[event("X.Y", "build", time, "{}")]].concat();
        verdict(&lines).agent.unwrap().machine.unwrap()
    };
    assert_eq!([on("10:05:00"), on("13:05:00")], ["vmss_42", "vmss_57"]);
}
