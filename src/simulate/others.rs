//! Pools, runs and jobs of every other kind: where and when each ran, in truth and as it is told.

use serde_json::{Value as Json, json};

use super::actors::person;
use super::guid;
use super::world::{Builder, ORGANIZATION, POOLS, project};
use crate::model::{Ticks, Time};

/// The pool behind a deployment group; lists of pools leave it out unless it is asked for.
pub(super) const TARGETS: i64 = 13;
pub(super) const SCALE_SET: i64 = 14;
pub(super) const HOSTED: i64 = 15;
/// Made one afternoon, and there since.
pub(super) const BURST: i64 = 16;
/// There from the beginning, and deleted the same afternoon.
pub(super) const OLD: i64 = 17;
/// Made and deleted again between two looks at the list of pools.
pub(super) const FLEETING: i64 = 18;
/// The spare agents of the first regular pool are its own by their ids.
const SPARE: i64 = 190_000;

/// A pool beside the two regular ones.
pub(super) struct Place {
    pub id: i64,
    pub name: &'static str,
    /// How many agents stay in it.
    pub agents: usize,
    pub from: Option<Time>,
    pub until: Option<Time>,
}

/// A run beside the regular ones: a build or a release.
#[derive(Clone)]
pub(super) struct OtherRun {
    pub release: bool,
    pub id: i64,
    pub name: String,
    pub home: usize,
    pub pipeline: (i64, String),
    /// When a job of it without an agent ran, which no pool lists: beside its other jobs or after them.
    pub agentless: Option<(Time, Time)>,
    /// When its timeline was recorded; `None` where nobody asked.
    pub looked: Option<Time>,
    /// Whether a hook told of its end.
    pub told: bool,
}

/// One request for an agent.
#[derive(Clone)]
pub(super) struct OtherJob {
    pub request: i64,
    /// Index of its run.
    pub run: usize,
    pub pool: i64,
    pub agent: (i64, String),
    /// The agent that had the request first, and when that one took it up, if it did.
    pub before: Option<((i64, String), Option<Time>)>,
    pub stage: &'static str,
    pub name: &'static str,
    pub attempt: i64,
    pub image: Option<&'static str>,
    pub queued: Time,
    pub assigned: Time,
    pub received: Time,
    pub finished: Time,
    pub result: &'static str,
}

impl OtherJob {
    /// The same job has the same id in every run of its pipeline, and in every attempt.
    pub fn job_id(&self) -> String {
        let word = self.stage.bytes().chain(self.name.bytes());
        guid(11, word.fold(0usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte))))
    }

    pub fn is_abandoned(&self) -> bool {
        self.result == "abandoned"
    }
}

impl Builder {
    /// The pools of every other kind, those that come and go with their times.
    pub(super) fn places(&self) -> Vec<Place> {
        if !self.plan.varied {
            return Vec::new();
        }
        let afternoon = |second: i64| Some(self.at(86_400 * i64::from(self.plan.days > 1) + second));
        let place = |id, name, agents| Place { id, name, agents, from: None, until: None };
        vec![
            place(TARGETS, "shelf", 3),
            place(SCALE_SET, "scale-set", 0),
            place(HOSTED, "Azure Pipelines", 40),
            Place { from: afternoon(46_800), ..place(BURST, "burst", 8) },
            Place { until: afternoon(57_600), ..place(OLD, "old-build", 4) },
            Place { from: afternoon(48_000), until: afternoon(72_000), ..place(FLEETING, "fleeting", 4) },
        ]
    }

    /// The agents that stay in a pool, besides those that the plan counts.
    pub(super) fn staying(&self, pool: i64) -> Vec<(i64, String)> {
        let count = self.places().iter().find(|place| place.id == pool).map_or(0, |place| place.agents);
        match pool {
            _ if !self.plan.varied => Vec::new(),
            11 => (0..8).map(|n| (SPARE + n, format!("{}-s{}", POOLS[0].1, n + 1))).collect(),
            HOSTED => (0..count as i64).map(|n| (40 + n, format!("Azure Pipelines {}", n + 2))).collect(),
            _ => {
                let name = self.places().iter().find(|place| place.id == pool).map_or("", |place| place.name);
                (0..count as i64).map(|n| (pool * 100 + n, format!("{name}-{:02}", n + 1))).collect()
            }
        }
    }

    /// A new run of a kind, by which its pipeline is called.
    pub(super) fn new_run(&mut self, release: bool, home: usize, kind: &str) -> usize {
        let nth = self.other_runs.iter().filter(|run| run.release == release).count() as i64;
        let number = kind.bytes().fold(0i64, |sum, byte| (sum * 7 + i64::from(byte)) % 90);
        // Releases are numbered apart from builds, so that their numbers are those of builds, too.
        let (id, name) = match release {
            true => (Builder::run_id(0) + nth, format!("Release-{}", nth + 1)),
            false => (500_000 + nth, format!("20260305.{}", 100_000 + nth)),
        };
        self.other_runs.push(OtherRun {
            release,
            id,
            name,
            home,
            pipeline: (1000 + number + 100 * home as i64, format!("{}-{kind}", project(home).1)),
            agentless: None,
            looked: None,
            told: !release,
        });
        self.other_runs.len() - 1
    }

    /// A free agent of a pool; the scale set makes one for each job.
    pub(super) fn free(&self, pool: i64, from: Time, until: Time) -> Option<(i64, String)> {
        if pool == SCALE_SET {
            let nth = 0xa01 + self.others.iter().filter(|job| job.pool == pool).count() as i64;
            return Some((2_000_000 + nth, format!("scale-{nth:06x}")));
        }
        let pause = Ticks::seconds(20);
        let is_busy = |agent: i64| {
            let had = |job: &OtherJob| {
                let first = job.before.as_ref().is_some_and(|(before, _)| before.0 == agent);
                job.agent.0 == agent || first
            };
            let at_once = |job: &OtherJob| job.queued <= until + pause && from <= job.finished + pause;
            self.others.iter().rev().take(200).any(|job| had(job) && at_once(job))
        };
        self.staying(pool).into_iter().find(|(id, _)| !is_busy(*id))
    }

    /// A job of a run on a free agent of a pool, for so many seconds; `None` when none is free.
    pub(super) fn new_job(
        &mut self,
        run: usize,
        pool: i64,
        (stage, name): (&'static str, &'static str),
        received: Time,
        seconds: i64,
    ) -> Option<OtherJob> {
        let (queued, finished) = (received - Ticks::seconds(6), received + Ticks::seconds(seconds));
        let agent = self.free(pool, queued, finished)?;
        let image = (pool == HOSTED).then_some(["ubuntu-24.04", "windows-2025"][self.others.len() % 2]);
        let job = OtherJob {
            request: 100_000 + self.others.len() as i64,
            run,
            pool,
            agent,
            before: None,
            stage,
            name,
            attempt: 1,
            image,
            queued,
            assigned: received - Ticks::seconds(5),
            received,
            finished,
            result: "succeeded",
        };
        self.others.push(job.clone());
        let looked = self.midnight_after(finished);
        let run = &mut self.other_runs[run];
        run.looked = (!run.release).then_some(looked);
        Some(job)
    }

    pub(super) fn midnight_after(&self, at: Time) -> Time {
        let days = (at.0 - self.at(0).0).div_euclid(Ticks::days(1).0) + 1;
        self.at(days * 86_400)
    }

    pub(super) fn other_plan(&self, run: usize) -> String {
        guid(10, run)
    }

    /// A request as it stood at a moment.
    pub(super) fn other_request(&self, job: &OtherJob, at: Time) -> Json {
        let run = &self.other_runs[job.run];
        let plan = self.other_plan(job.run);
        let kind = if run.release { "Release" } else { "Build" };
        let mut out = json!({
            "requestId": job.request, "queueTime": job.queued.to_string(), "hostId": ORGANIZATION.0,
            "scopeId": project(run.home).0, "serviceOwner": "00025394-6065-48ca-87d9-7f5672854ef7", "planType": kind,
            "planId": plan, "jobId": job.job_id(), "poolId": job.pool,
            "definition": {"id": run.pipeline.0, "name": run.pipeline.1}, "owner": {"id": run.id, "name": run.name},
            "priority": 0,
        });
        if !run.release {
            out["orchestrationId"] = json!(format!("{plan}.{}.{}", job.stage, job.name.replace(' ', "_")));
        }
        if let Some(image) = job.image {
            out["agentSpecification"] = json!({"VMImage": image});
        }
        let (agent, assigned, received) = match &job.before {
            Some((agent, received)) if at < job.assigned => (agent, job.queued, *received),
            _ => (&job.agent, job.assigned, Some(job.received)),
        };
        if assigned <= at {
            out["assignTime"] = json!(assigned.to_string());
            out["reservedAgent"] = json!({
                "id": agent.0, "name": agent.1, "version": "4.248.0", "osDescription": "Linux 6.8.0-azure", "enabled": true,
                "status": "online",
            });
        }
        if let Some(received) = received.filter(|received| *received <= at) {
            out["receiveTime"] = json!(received.to_string());
        }
        if job.finished <= at {
            out["finishTime"] = json!(job.finished.to_string());
            out["result"] = json!(job.result);
        } else if assigned <= at {
            out["lockedUntil"] = json!((at + Ticks::seconds(600)).to_string());
        }
        out
    }

    /// The jobs of a run that have begun, and those without an agent. Of a job that was run again there
    /// is the last attempt.
    pub(super) fn other_timeline(&self, run: usize, at: Time) -> Json {
        let own = || self.others.iter().filter(|job| job.run == run && job.received <= at);
        let last =
            own().filter(|job| !own().any(|other| other.name == job.name && other.attempt > job.attempt));
        let record = |id: &str, (stage, name): (&str, &str), started: Time, ended: Time| {
            let mut record = json!({
                "id": id, "parentId": guid(12, run), "type": "Job", "name": name, "attempt": 1, "order": 1,
                "identifier": format!("{stage}.{}", name.replace(' ', "_")), "startTime": started.to_string(), "state": "inProgress",
            });
            if ended <= at {
                record["finishTime"] = json!(ended.to_string());
                record["state"] = json!("completed");
                record["result"] = json!("succeeded");
            }
            record
        };
        let mut records: Vec<Json> = last
            .map(|job| {
                let mut of_job = record(&job.job_id(), (job.stage, job.name), job.received, job.finished);
                of_job["workerName"] = json!(job.agent.1);
                of_job["attempt"] = json!(job.attempt);
                if job.finished <= at {
                    of_job["result"] = json!(job.result);
                }
                of_job
            })
            .collect();
        if let Some((from, until)) = self.other_runs[run].agentless.filter(|(from, _)| *from <= at) {
            let mut server = record(&guid(13, run), ("Deploy", "Notify"), from, until);
            server["workerName"] = Json::Null;
            records.push(server);
        }
        json!({"id": self.other_plan(run), "records": records})
    }

    /// When a run was over, if it had any job.
    pub(super) fn other_end(&self, run: usize) -> Option<Time> {
        let last = self.others.iter().filter(|job| job.run == run).map(|job| job.finished).max()?;
        Some(self.other_runs[run].agentless.map_or(last, |(_, until)| until.max(last)))
    }

    /// A run as its service has it; also what its hook says.
    pub(super) fn other_build(&self, run: usize, at: Time) -> Option<Json> {
        let jobs = || self.others.iter().filter(|job| job.run == run);
        let (queued, finished) = (jobs().map(|j| j.queued).min()?, self.other_end(run)?);
        let own = &self.other_runs[run];
        let definition = json!({"id": own.pipeline.0, "name": own.pipeline.1});
        let mut out = if own.release {
            json!({"id": own.id, "name": own.name, "status": "active", "createdOn": queued.to_string(), "releaseDefinition": definition})
        } else {
            json!({
                "id": own.id, "buildNumber": own.name, "status": "inProgress", "queueTime": queued.to_string(),
                "startTime": queued.to_string(), "definition": definition, "plans": [{"planId": self.other_plan(run)}],
                "requestedFor": {"displayName": person().name, "id": person().id}, "reason": "manual", "sourceBranch": "refs/heads/main",
            })
        };
        if finished <= at && !own.release {
            out["status"] = json!("completed");
            out["result"] = json!("succeeded");
            out["finishTime"] = json!(finished.to_string());
        }
        (queued <= at).then_some(out)
    }
}
