//! What the organisation's REST API shows at a moment: the present, and what it remembers of the past.

use serde_json::{Value as Json, json};

use super::actors::person;
use super::guid;
use super::others::TARGETS;
use super::world::{Builder, CONNECTION, DEPLOYER, Job, ORGANIZATION, PAT, POOLS, REGISTRAR, project};
use crate::model::{Ticks, Time};

/// Finished requests are listed for so long.
const REMEMBERED: Ticks = Ticks::days(7);

pub(super) fn list(items: Vec<Json>) -> Json {
    json!({"count": items.len(), "value": items})
}

impl Builder {
    pub(super) fn pools(&self, at: Time) -> Json {
        let pools = POOLS.iter().map(|(id, name)| {
            json!({"id": id, "name": name, "isHosted": false, "poolType": "automation", "size": self.plan.agents, "isLegacy": false})
        });
        list(pools.chain(self.places_at(at)).collect())
    }

    pub(super) fn deployment_pools(&self) -> Json {
        list(vec![
            json!({"id": TARGETS, "name": "shelf", "isHosted": false, "poolType": "deployment", "size": 1}),
        ])
    }

    /// Who is in a pool, with the request that each runs and the one it ran last.
    pub(super) fn agents(&self, pool: usize, at: Time) -> Json {
        let there = (0..self.plan.agents).filter(|agent| self.registered(pool, *agent) <= at);
        let regular = there.map(|agent| {
            let mut record = self.agent(pool, agent, at);
            let own = || {
                let id = self.agent_id(pool, agent, at);
                let own = move |job: &&Job| {
                    (job.pool, job.agent) == (pool, agent) && self.agent_id(pool, agent, job.received) == id
                };
                self.jobs.iter().filter(|job| job.received <= at).filter(own)
            };
            if let Some(job) = own().rfind(|job| job.finished > at) {
                record["assignedRequest"] = self.held(job, at);
            }
            if let Some(job) = own().filter(|job| job.finished <= at).max_by_key(|job| job.finished) {
                record["lastCompletedRequest"] = self.held(job, at);
            }
            record
        });
        let machines = self.machines(pool, at).into_iter().map(|(run, since)| {
            json!({
                "id": machine(run).0, "name": machine(run).1, "version": "4.248.0", "osDescription": "Linux 6.8.0-azure",
                "enabled": true, "status": "online", "provisioningState": "Provisioned", "maxParallelism": 1,
                "createdOn": since.to_string(), "systemCapabilities": {"Agent.ComputerName": machine(run).1, "Agent.OS": "Linux"},
            })
        });
        list(regular.chain(machines).chain(self.others_in(POOLS[pool].0, at)).collect())
    }

    /// Machines of the scale set that are there: the run they came for, and since when.
    fn machines(&self, pool: usize, at: Time) -> Vec<(usize, Time)> {
        let runs = (0..self.plan.runs).filter(|run| pool == 1 && self.is_troubled(*run));
        let stays = runs.filter_map(|run| {
            let since = self.jobs_of_run(run).first()?.queued + Ticks::seconds(5);
            (since <= at && at < since + Ticks::seconds(35)).then_some((run, since))
        });
        stays.collect()
    }

    pub(super) fn nodes(&self, pool: usize, at: Time) -> Json {
        let nodes = self.machines(pool, at).into_iter().map(|(run, since)| {
            json!({
                "id": run, "poolId": POOLS[pool].0, "name": machine(run).1, "agentId": machine(run).0, "computeId": run.to_string(),
                "requestId": null, "agentState": "online", "computeState": "healthy", "state": "idle", "desiredState": "none",
                "stateChangedOn": since.to_string(),
            })
        });
        list(nodes.collect())
    }

    pub(super) fn elastic_pools(&self) -> Json {
        let (id, name) = POOLS[1];
        list(vec![json!({
            "poolId": id, "azureId": format!("/subscriptions/1/resourceGroups/ci/providers/Microsoft.Compute/virtualMachineScaleSets/{name}"),
            "recycleAfterEachUse": true, "maxCapacity": 9, "desiredIdle": 1, "osType": "linux", "state": "online",
        })].into_iter().chain(self.other_elastic_pools()).collect())
    }

    /// The requests of a pool, the newest first, at most `top` of them.
    pub(super) fn requests(&self, pool: usize, at: Time, top: usize) -> Json {
        let nightly = self.nightly(pool);
        let jobs = std::iter::once(&nightly).chain(&self.jobs);
        let listed = |job: &&Job| job.pool == pool && job.queued <= at && job.finished + REMEMBERED > at;
        let jobs: Vec<&Job> = jobs.filter(listed).collect();
        let regular = jobs.into_iter().map(|job| (job.queued, job.request, self.request(job, at)));
        let others = self.others_since(POOLS[pool].0, at - REMEMBERED, at);
        newest(regular.chain(others).collect(), top)
    }

    /// The requests of a pool of another kind.
    pub(super) fn requests_of_place(&self, pool: i64, at: Time, top: usize) -> Json {
        newest(self.others_since(pool, at - REMEMBERED, at), top)
    }

    /// The jobs of a run that have begun.
    pub(super) fn timeline(&self, run: usize, at: Time) -> Json {
        let records = self.jobs_of_run(run).iter().filter(|job| job.received <= at).map(|job| {
            let id = job_id(job);
            let mut record = json!({
                "id": id, "parentId": id.replace("7f", "7e"), "type": "Job", "name": job.name, "identifier": format!("{}.{}", job.stage, job.name),
                "startTime": job.received.to_string(), "workerName": self.agent_name(job.pool, job.agent), "attempt": 1, "order": 1,
            });
            if job.finished <= at {
                record["finishTime"] = json!(job.finished.to_string());
                record["result"] = json!("succeeded");
            }
            record["state"] = json!(if job.finished <= at { "completed" } else { "inProgress" });
            record
        });
        json!({"id": plan_id(run), "records": records.collect::<Vec<_>>()})
    }

    /// A run as the build service has it; also what its hook says.
    pub(super) fn build(&self, run: usize, at: Time) -> Option<Json> {
        let jobs = self.jobs_of_run(run);
        let (first, last) = (jobs.first()?, jobs.last()?);
        let home = self.project_of(run);
        let mut build = json!({
            "id": Self::run_id(run), "buildNumber": self.run_name(run), "status": "inProgress",
            "queueTime": first.queued.to_string(), "startTime": first.received.to_string(),
            "definition": {"id": 30 + home, "name": format!("{}-ci", project(home).1)},
            "plans": [{"planId": plan_id(run)}], "requestedFor": {"displayName": person().name, "id": person().id},
            "reason": "individualCI", "sourceBranch": "refs/heads/main",
        });
        if last.finished <= at {
            build["status"] = json!("completed");
            build["result"] = json!("succeeded");
            build["finishTime"] = json!(last.finished.to_string());
        }
        (first.queued <= at).then_some(build)
    }

    /// The builds of a project that ended since a moment, or those under way.
    pub(super) fn builds(&self, home: usize, at: Time, ended: bool, since: Option<Time>) -> Json {
        let regular = (0..self.plan.runs).filter(|run| self.project_of(*run) == home);
        let others = self.other_runs.iter().enumerate().filter(|(_, run)| !run.release && run.home == home);
        let builds = regular.filter_map(|run| self.build(run, at));
        let builds = builds.chain(others.filter_map(|(run, _)| self.other_build(run, at)));
        let is_asked = |build: &Json| {
            let finished = build["finishTime"].as_str().and_then(Time::parse);
            finished.is_some() == ended && since.is_none_or(|since| finished >= Some(since))
        };
        list(builds.filter(is_asked).collect())
    }

    pub(super) fn projects(&self) -> Json {
        let projects = (0..self.plan.projects).map(|index| {
            let (id, name) = project(index);
            json!({"id": id, "name": name, "state": "wellFormed"})
        });
        list(projects.collect())
    }

    pub(super) fn queues(&self, home: usize) -> Json {
        let places = self.places();
        let others = places.iter().map(|place| (place.id, place.name));
        let queues = POOLS.into_iter().chain(others).enumerate().map(|(nth, (id, name))| {
            json!({"id": 100 * home + nth, "name": name, "projectId": project(home).0, "pool": {"id": id, "name": name}})
        });
        list(queues.collect())
    }

    /// One group of one machine, in the first project.
    pub(super) fn deployment_groups(&self, home: usize) -> Json {
        let (id, name) = project(home);
        let group = json!({
            "id": 1, "name": "shelf", "machineCount": 1, "project": {"id": id, "name": name}, "pool": {"id": TARGETS, "name": "shelf"},
        });
        list(if home == 0 { vec![group] } else { Vec::new() })
    }

    /// All that the machine of the group has ever run.
    pub(super) fn requests_of_targets(&self, at: Time) -> Json {
        let mut request = self.request(&self.nightly(0), at);
        request["requestId"] = json!(4992);
        request["poolId"] = json!(TARGETS);
        request["reservedAgent"] = json!({"id": 5, "name": "shelf-01", "version": "4.248.0"});
        list(vec![request])
    }

    pub(super) fn targets(&self) -> Json {
        let targets = self.other_targets();
        let one = || vec![json!({"id": 5, "tags": ["web"], "agent": self.target()})];
        list(if targets.is_empty() { one() } else { targets })
    }

    pub(super) fn target(&self) -> Json {
        let href = format!(
            "https://dev.azure.com/{}/_apis/distributedtask/pools/{TARGETS}/agents/5",
            ORGANIZATION.1
        );
        json!({
            "_links": {"self": {"href": href}}, "id": 5, "name": "shelf-01", "version": "4.248.0", "osDescription": "Linux 6.8.0-azure",
            "enabled": true, "status": "online", "maxParallelism": 1, "createdOn": self.at(0).to_string(),
        })
    }

    pub(super) fn endpoints(&self, home: usize) -> Json {
        let endpoint = json!({
            "id": CONNECTION, "name": "azure-production", "type": "azurerm", "url": "https://management.azure.com/", "isShared": false,
            "data": {"subscriptionId": "12345678-1234-1234-1234-123456789012"}, "createdBy": {"id": person().id},
            "authorization": {"scheme": "WorkloadIdentityFederation", "parameters": {"servicePrincipalId": DEPLOYER}},
        });
        list(if home == 0 { vec![endpoint] } else { Vec::new() })
    }

    /// The uses of the connection that had ended, the newest first.
    pub(super) fn uses(&self, at: Time) -> Json {
        let deployed = self.jobs.iter().filter(|job| job.pool == 1 && job.finished <= at);
        let mut jobs: Vec<&Job> = deployed.collect();
        jobs.sort_by_key(|job| std::cmp::Reverse(job.finished));
        list(jobs.into_iter().take(100).map(|job| self.usage(job)).collect())
    }

    /// A run's use of the connection, while its deployment ran.
    pub(super) fn usage(&self, deploy: &Job) -> Json {
        let (run, home) = (deploy.run, self.project_of(deploy.run));
        json!({"endpointId": CONNECTION, "data": {
            "id": run, "planType": "Build", "result": "succeeded",
            "definition": {"id": 30 + home, "name": format!("{}-ci", project(home).1)},
            "owner": {"id": Self::run_id(run), "name": self.run_name(run)},
            "startTime": deploy.received.to_string(), "finishTime": deploy.finished.to_string(),
        }})
    }

    pub(super) fn service_principals(&self) -> Json {
        let principals = [("deployer", DEPLOYER), ("agent-registrar", REGISTRAR)].map(|(name, client)| {
            json!({
                "subjectKind": "servicePrincipal", "applicationId": client, "displayName": name, "origin": "aad",
                "originId": client.replace("7d", "7c"), "principalName": client, "domain": "62e2ee3f-dbd4-48d8-9b85-4a3000000000",
                "descriptor": super::reach::principal(client),
            })
        });
        list(principals.to_vec())
    }

    pub(super) fn tokens(&self) -> Json {
        let pat = json!({
            "displayName": "build-farm", "scope": "vso.agentpools_manage", "authorizationId": PAT, "token": null,
            "validFrom": self.at(0).to_string(), "validTo": self.at(7_776_000).to_string(),
        });
        json!({"continuationToken": "", "patTokens": [pat]})
    }

    pub(super) fn agent(&self, pool: usize, agent: usize, at: Time) -> Json {
        let id = self.agent_id(pool, agent, at);
        let replaced = self.is_replaced(pool, agent, at);
        let key = if replaced { format!("key-of-{id}-now") } else { format!("key-of-{id}") };
        let machine = if replaced { "kali".to_owned() } else { format!("vm-{}-{agent}", POOLS[pool].1) };
        json!({
            "id": id, "name": self.agent_name(pool, agent), "version": "4.248.0", "osDescription": "Linux 6.8.0-azure",
            "enabled": true, "status": "online", "provisioningState": "Provisioned", "maxParallelism": 1,
            "createdOn": self.at(1800).to_string(),
            "authorization": {
                "clientId": format!("7b000000-0000-4000-8000-{id:012x}"),
                "publicKey": {"exponent": "AQAB", "modulus": key},
            },
            "systemCapabilities": {
                "Agent.Name": self.agent_name(pool, agent), "Agent.ComputerName": machine,
                "Agent.OS": "Linux", "DB_PASSWORD": "never stored",
            },
        })
    }

    pub(super) fn request(&self, job: &Job, at: Time) -> Json {
        let home = self.project_of(job.run);
        let (project_id, project_name) = project(home);
        let mut out = json!({
            "requestId": job.request, "queueTime": job.queued.to_string(), "hostId": ORGANIZATION.0, "scopeId": project_id,
            "serviceOwner": "00025394-6065-48ca-87d9-7f5672854ef7", "planType": "Build", "planId": plan_id(job.run),
            "jobId": job_id(job), "poolId": POOLS[job.pool].0, "definition": {"id": 30 + home, "name": format!("{project_name}-ci")},
            "owner": {"id": Self::run_id(job.run), "name": self.run_name(job.run)},
            "orchestrationId": format!("{}.{}.{}", plan_id(job.run), job.stage, job.name), "priority": 0,
        });
        if job.received <= at {
            out["assignTime"] = json!(job.queued.to_string());
            out["receiveTime"] = json!(job.received.to_string());
            out["reservedAgent"] = json!({
                "id": self.agent_id(job.pool, job.agent, job.received), "name": self.agent_name(job.pool, job.agent), "version": "4.248.0",
                "osDescription": "Linux 6.8.0-azure", "enabled": true, "status": "online",
            });
        }
        if job.finished <= at {
            out["finishTime"] = json!(job.finished.to_string());
            out["result"] = json!("succeeded");
        }
        out
    }

    /// A request as its agent's record has it, in other words than the pool's own.
    pub(super) fn held(&self, job: &Job, at: Time) -> Json {
        let mut request = self.request(job, at);
        request["lockedUntil"] = json!(job.finished.to_string());
        request
    }

    /// The last job before the first day, by which a pool's list speaks for the night.
    pub(super) fn nightly(&self, pool: usize) -> Job {
        let start = self.plan.day - Ticks::seconds(4000);
        Job {
            request: 4990 + pool as i64,
            run: 9_000_000,
            pool,
            agent: 0,
            stage: "Build",
            name: "Nightly",
            queued: start,
            received: start + Ticks::seconds(5),
            finished: start + Ticks::seconds(400),
        }
    }
}

/// The newest of requests, at most so many.
fn newest(mut requests: Vec<(Time, i64, Json)>, top: usize) -> Json {
    requests.sort_by_key(|(queued, request, _)| std::cmp::Reverse((*queued, *request)));
    list(requests.into_iter().take(top).map(|(_, _, request)| request).collect())
}

/// Id and name of the machine that the scale set has for a run.
pub(super) fn machine(run: usize) -> (i64, String) {
    (900_000 + run as i64, format!("scale-{run:05}"))
}

pub(super) fn plan_id(run: usize) -> String {
    guid(3, run)
}

pub(super) fn job_id(job: &Job) -> String {
    // The same job has the same id in every run of its pipeline.
    format!("7f000000-0000-4000-8000-{:012x}", job.pool)
}
