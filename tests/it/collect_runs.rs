//! Runs that no pool tells the whole of, lists that may not be read, and what is not asked for again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentrail::model::{Ticks, Time};
use agentrail::source::clock::{Clock as _, System};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value as Json, json};

use crate::lake::{Scratch, Service};

const PROJECT: &str = "6b000000-0000-4000-8000-000000000001";
const PIPELINE: &str = "contoso/6b000000-0000-4000-8000-000000000001/_apis/build/builds";

/// An organisation with one pool: run 20 has a job there and a gate after it, run 21 is all on the server.
struct Stage {
    began: Time,
    /// Whether both runs have ended.
    is_over: AtomicBool,
    asked: Mutex<Vec<String>>,
}

impl Stage {
    fn at(&self, second: i64) -> String {
        (self.began + Ticks::seconds(second)).to_string()
    }

    fn request(&self, request: i64, run: i64, ended: i64) -> Json {
        json!({
            "requestId": request, "planType": "Build", "planId": format!("7a000000-0000-4000-8000-{run:012}"),
            "jobId": format!("7f000000-0000-4000-8000-{request:012}"), "scopeId": PROJECT, "poolId": 10,
            "owner": {"id": run, "name": run.to_string()}, "queueTime": self.at(ended - 9), "assignTime": self.at(ended - 8),
            "receiveTime": self.at(ended - 8), "finishTime": self.at(ended), "result": "succeeded",
            "reservedAgent": {"id": 1, "name": "lin-1", "version": "4.1"},
        })
    }

    fn build(&self, run: i64) -> Json {
        let mut build = json!({
            "id": run, "buildNumber": run.to_string(), "status": "inProgress", "queueTime": self.at(-20),
            "startTime": self.at(-20), "definition": {"id": 3, "name": "ci"},
        });
        if self.is_over.load(Ordering::Relaxed) {
            build["status"] = json!("completed");
            build["result"] = json!("succeeded");
            // Long enough ago that no difference between clocks makes it news again.
            build["finishTime"] = json!(self.at(-100));
        }
        build
    }

    /// A gate, or whatever else runs on the server, once the runs are over.
    fn timeline(&self, run: i64) -> Json {
        let job = |name: &str, worker: Option<&str>| {
            json!({
                "id": format!("7f000000-0000-4000-8000-{:012}", run * 10 + name.len() as i64), "parentId": null, "type": "Job",
                "name": name, "startTime": self.at(-8), "finishTime": self.at(-1), "state": "completed",
                "result": "succeeded", "workerName": worker, "attempt": 1,
            })
        };
        let mut records = Vec::new();
        if run == 20 {
            records.push(job("build", Some("lin-1")));
        }
        if self.is_over.load(Ordering::Relaxed) {
            records.push(job("gate", None));
        }
        json!({"id": "7a000000-0000-4000-8000-000000000020", "records": records})
    }

    fn answer(&self, path: &str, query: &str) -> Response {
        self.asked.lock().unwrap().push(format!("{path}?{query}"));
        let list =
            |items: Vec<Json>| axum::Json(json!({"count": items.len(), "value": items})).into_response();
        let builds = path.strip_prefix(&format!("/{PIPELINE}/"));
        match path.trim_start_matches("/contoso/_apis/") {
            "projects" => list(vec![json!({"id": PROJECT, "name": "web"})]),
            "distributedtask/pools" if query.contains("deployment") => {
                axum::http::StatusCode::FORBIDDEN.into_response()
            }
            "distributedtask/pools" => list(vec![json!({"id": 10, "name": "linux", "isHosted": false})]),
            "distributedtask/pools/10/agents" => {
                list(vec![json!({"id": 1, "name": "lin-1", "version": "4.1"})])
            }
            // A history of two pages.
            "distributedtask/pools/10/jobrequests" if query.contains("continuationToken") => {
                list(vec![self.request(1, 18, -4000)])
            }
            "distributedtask/pools/10/jobrequests" => {
                let page = list(vec![self.request(3, 20, -200), self.request(2, 19, -2000)]);
                ([("x-ms-continuationtoken", "more")], page).into_response()
            }
            _ if path.ends_with("/_apis/build/builds") => {
                let asks_ended = query.contains("statusFilter=completed");
                assert_eq!(asks_ended, query.contains("minTime="));
                let is_over = self.is_over.load(Ordering::Relaxed);
                list(if asks_ended == is_over { vec![self.build(20), self.build(21)] } else { Vec::new() })
            }
            _ => match builds.map(|run| run.split_once('/').unwrap_or((run, ""))) {
                Some((run @ ("20" | "21"), "")) => {
                    axum::Json(self.build(run.parse().unwrap())).into_response()
                }
                // As of a build that waits.
                Some(("21", "timeline")) if !self.is_over.load(Ordering::Relaxed) => {
                    axum::http::StatusCode::NO_CONTENT.into_response()
                }
                Some((run @ ("20" | "21"), _)) => {
                    axum::Json(self.timeline(run.parse().unwrap())).into_response()
                }
                _ => axum::http::StatusCode::NOT_FOUND.into_response(),
            },
        }
    }

    /// How often something was asked for.
    fn count(&self, what: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| asked.contains(what)).count()
    }
}

fn wait(what: &str, is_there: impl Fn() -> bool) {
    for _ in 0..120 {
        if is_there() {
            return;
        }
        std::thread::sleep(Duration::from_millis(250));
    }
    panic!("{what} did not come within 30 seconds");
}

fn start(scratch: &Scratch, endpoint: &str) -> Service {
    let set = [
        ("ORGANIZATIONS", "contoso"),
        ("ENDPOINT", endpoint),
        ("CREDENTIAL", "pat"),
        ("PAT", "token"),
        ("REQUESTS_PER_MINUTE", "6000"),
        ("AUDIT", "false"),
        ("JOBS_EVERY", "1"),
        ("AGENTS_EVERY", "1"),
    ];
    let set = set.map(|(name, value)| (format!("AGENTRAIL_AZURE_DEVOPS__{name}"), value));
    let set: Vec<(&str, &str)> = set.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    Service::start(scratch, &set)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_followed_to_its_end_and_then_left_alone() {
    let began = System.now();
    let stage = Arc::new(Stage { began, is_over: AtomicBool::new(false), asked: Mutex::default() });
    let own = stage.clone();
    let router = axum::Router::new().fallback(move |request: axum::extract::Request| {
        let own = own.clone();
        async move { own.answer(request.uri().path(), request.uri().query().unwrap_or_default()) }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let _task = tokio::spawn(async move { axum::serve(listener, router).await });
    tokio::task::spawn_blocking(move || {
        let scratch = Scratch::new();
        let service = start(&scratch, &endpoint);
        let timelines = |run: i64| stage.count(&format!("builds/{run}/timeline"));
        // Both are asked for again while they are under way: the job of one has ended long ago, the other
        // has none that a pool knows.
        wait("a second look at runs under way", || timelines(20) > 1 && timelines(21) > 1);
        // What is read of runs is said while they go on, though one has no timeline yet.
        let said = "select count(*) from coverage where source = 'runs'";
        wait("what was read of runs", || {
            scratch.lake().join("lake.json").exists() && scratch.count(said) > 0
        });
        stage.is_over.store(true, Ordering::Relaxed);
        wait("the gates", || {
            scratch.lake().join("lake.json").exists()
                && scratch.count("select count(*) from jobs where name = 'gate' and finished is not null")
                    == 2
        });
        assert_eq!(scratch.count("select count(*) from runs where run_id = 21 and result = 'succeeded'"), 1);
        // Once ended, they are left alone; so they are saved as known.
        std::thread::sleep(Duration::from_secs(12));
        let asked = (timelines(20), timelines(21), stage.count("builds/20?"));
        let heard = |what: &str| scratch.count(&format!("select count(*) from coverage where {what}"));
        // Pools of deployment groups may not be listed: the others are heard all the same.
        assert!(heard("source = 'jobs' and pool_id = 10") > 0 && heard("source = 'runs'") > 0);
        // A list of agents and the one after it speak for the time between them.
        assert!(heard("source = 'agents' and pool_id = 10 and until > \"from\"") > 0);
        // The pages of the past were turned once.
        assert_eq!(stage.count("continuationToken"), 1);
        assert!(service.stop().success());

        let (looks, service) = (stage.count("pools/10/jobrequests"), start(&scratch, &endpoint));
        wait("a look after the restart", || stage.count("pools/10/jobrequests") > looks + 3);
        assert!(service.stop().success());
        assert_eq!((timelines(20), timelines(21), stage.count("builds/20?")), asked);
        assert_eq!(stage.count("continuationToken"), 1);
    })
    .await
    .unwrap();
}
