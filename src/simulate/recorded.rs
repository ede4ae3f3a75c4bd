//! What a collector of the REST API would have recorded, and the service hooks that were sent.

use serde_json::{Value as Json, json};

use super::actors::person;
use super::guid;
use super::world::{Builder, CONNECTION, DEPLOYER, Job, ORGANIZATION, PAT, POOLS, REGISTRAR, project};
use crate::model::{Ticks, Time};

impl Builder {
    pub(super) fn capture(&self, observed: Time, path: &str, body: Json) -> String {
        let url = format!("https://dev.azure.com/{}/{path}", ORGANIZATION.1);
        json!({"url": url, "observed": observed.to_string(), "status": 200, "body": body}).to_string()
    }

    /// What a collector of the REST API would have recorded.
    pub(super) fn captures(&self) -> Vec<String> {
        let mut out = Vec::new();
        let list = |items: Vec<Json>| json!({"count": items.len(), "value": items});
        for hour in (0..=2 * self.plan.days as i64).map(|half| half * 12) {
            let pools = POOLS.iter().map(|(id, name)| {
                json!({"id": id, "name": name, "isHosted": false, "poolType": "automation", "size": self.plan.agents, "isLegacy": false})
            });
            out.push(self.capture(
                self.at(hour * 3600),
                "_apis/distributedtask/pools",
                list(pools.collect()),
            ));
        }
        for (pool, (pool_id, _)) in POOLS.iter().enumerate() {
            let agents = (0..self.plan.agents).map(|agent| self.agent(pool, agent, self.plan.day)).collect();
            let path = format!("_apis/distributedtask/pools/{pool_id}/agents?includeCapabilities=true");
            out.push(self.capture(self.at(7200), &path, list(agents)));
            for (day, hour) in self.listings(pool) {
                let until = self.at(day as i64 * 86_400 + hour * 3600);
                let mut jobs = vec![self.last_before(day, pool)];
                let of_day = self.jobs_of(day).iter().filter(|j| j.pool == pool && j.queued < until);
                jobs.extend(of_day.map(|j| self.request(j, until)));
                let path = format!("_apis/distributedtask/pools/{pool_id}/jobrequests");
                out.push(self.capture(until, &path, list(jobs)));
            }
        }
        for run in 0..self.plan.runs {
            let records = self.jobs_of_run(run).iter().map(|j| {
                json!({
                    "id": job_id(j), "parentId": job_id(j).replace("7f", "7e"), "type": "Job", "name": j.name, "identifier": format!("{}.{}", j.stage, j.name),
                    "startTime": j.received.to_string(), "finishTime": j.finished.to_string(), "state": "completed", "result": "succeeded",
                    "workerName": self.agent_name(j.pool, j.agent), "attempt": 1, "order": 1,
                })
            });
            let (project_id, _) = project(self.project_of(run));
            let path = format!("{project_id}/_apis/build/builds/{}/timeline", Self::run_id(run));
            let records: Vec<Json> = records.collect();
            let at = self.at((self.day_of(run) as i64 + 1) * 86_400);
            out.push(self.capture(at, &path, json!({"id": plan_id(run), "records": records})));
        }
        let endpoint = json!({
            "id": CONNECTION, "name": "azure-production", "type": "azurerm", "url": "https://management.azure.com/", "isShared": false,
            "data": {"subscriptionId": "12345678-1234-1234-1234-123456789012"}, "createdBy": {"id": person().id},
            "authorization": {"scheme": "WorkloadIdentityFederation", "parameters": {"servicePrincipalId": DEPLOYER}},
        });
        out.push(self.capture(
            self.at(7300),
            &format!("{}/_apis/serviceendpoint/endpoints", project(0).0),
            list(vec![endpoint]),
        ));
        let principals = [("deployer", DEPLOYER), ("agent-registrar", REGISTRAR)].map(|(name, client)| {
            json!({
                "subjectKind": "servicePrincipal", "applicationId": client, "displayName": name, "origin": "aad",
                "originId": client.replace("7d", "7c"), "principalName": client, "domain": "62e2ee3f-dbd4-48d8-9b85-4a3000000000",
                "descriptor": format!("aadsp.{name}"),
            })
        });
        out.push(self.capture(self.at(7400), "_apis/graph/serviceprincipals", list(principals.to_vec())));
        let pat = json!({
            "displayName": "build-farm", "scope": "vso.agentpools_manage", "authorizationId": PAT, "token": null,
            "validFrom": self.at(0).to_string(), "validTo": self.at(7_776_000).to_string(),
        });
        out.push(self.capture(
            self.at(7500),
            "_apis/tokens/pats",
            json!({"continuationToken": "", "patTokens": [pat]}),
        ));
        out.extend(self.trouble_captures());
        out
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

    pub(super) fn request(&self, job: &Job, until: Time) -> Json {
        let finished = job.finished <= until;
        let received = job.received <= until;
        let home = self.project_of(job.run);
        let (project_id, project_name) = project(home);
        let mut out = json!({
            "requestId": job.request, "queueTime": job.queued.to_string(), "hostId": ORGANIZATION.0, "scopeId": project_id,
            "serviceOwner": "00025394-6065-48ca-87d9-7f5672854ef7", "planType": "Build", "planId": plan_id(job.run),
            "jobId": job_id(job), "poolId": POOLS[job.pool].0, "definition": {"id": 30 + home, "name": format!("{project_name}-ci")},
            "owner": {"id": Self::run_id(job.run), "name": self.run_name(job.run)},
            "orchestrationId": format!("{}.{}.{}", plan_id(job.run), job.stage, job.name), "priority": 0,
        });
        if received {
            out["assignTime"] = json!(job.queued.to_string());
            out["receiveTime"] = json!(job.received.to_string());
            out["reservedAgent"] = json!({
                "id": self.agent_id(job.pool, job.agent, job.received), "name": self.agent_name(job.pool, job.agent), "version": "4.248.0",
                "osDescription": "Linux 6.8.0-azure", "enabled": true, "status": "online",
            });
        }
        if finished {
            out["finishTime"] = json!(job.finished.to_string());
            out["result"] = json!("succeeded");
        }
        out
    }

    /// When the job requests of a pool were listed: day, and hour of the day. Over weeks, once a day.
    fn listings(&self, pool: usize) -> Vec<(usize, i64)> {
        let hours: &[i64] = if self.plan.days == 1 { &[2, 8, 12, 16, 20, 24] } else { &[24] };
        let heard = |day: &usize| !(self.plan.outages && (day * 7 + pool).is_multiple_of(5));
        (0..self.plan.days).filter(heard).flat_map(|day| hours.iter().map(move |hour| (day, *hour))).collect()
    }

    /// The last job before a day, by which a pool's list speaks for the night.
    fn last_before(&self, day: usize, pool: usize) -> Json {
        let at = self.at(day as i64 * 86_400);
        let last = day.checked_sub(1).and_then(|d| self.jobs_of(d).iter().rev().find(|j| j.pool == pool));
        if let Some(job) = last {
            return self.request(job, at);
        }
        let start = self.plan.day - Ticks::seconds(4000);
        let job = Job {
            request: 4990 + pool as i64,
            run: 9_000_000,
            pool,
            agent: 0,
            stage: "Build",
            name: "Nightly",
            queued: start,
            received: start + Ticks::seconds(5),
            finished: start + Ticks::seconds(400),
        };
        self.request(&job, at)
    }

    pub(super) fn hooks(&self) -> Vec<String> {
        (0..self.plan.runs)
            .filter_map(|run| {
                let jobs = self.jobs_of_run(run);
                let (first, last) = (jobs.first()?, jobs.last()?);
                let home = self.project_of(run);
                let (project_id, project_name) = project(home);
                Some(
                    json!({
                        "id": guid(4, run), "eventType": "build.complete", "publisherId": "tfs",
                        "resource": {
                            "id": Self::run_id(run), "buildNumber": self.run_name(run), "status": "completed", "result": "succeeded",
                            "queueTime": first.queued.to_string(), "startTime": first.received.to_string(), "finishTime": last.finished.to_string(),
                            "definition": {"id": 30 + home, "name": format!("{project_name}-ci")},
                            "plans": [{"planId": plan_id(run)}], "requestedFor": {"displayName": person().name, "id": person().id},
                            "reason": "individualCI", "sourceBranch": "refs/heads/main",
                        },
                        "resourceVersion": "2.0",
                        "resourceContainers": {
                            "collection": {"id": ORGANIZATION.0, "baseUrl": format!("https://dev.azure.com/{}/", ORGANIZATION.1)},
                            "project": {"id": project_id},
                        },
                        "createdDate": last.finished.to_string(),
                    })
                    .to_string(),
                )
            })
            .collect()
    }
}

pub(super) fn plan_id(run: usize) -> String {
    guid(3, run)
}

pub(super) fn job_id(job: &Job) -> String {
    // The same job has the same id in every run of its pipeline.
    format!("7f000000-0000-4000-8000-{:012x}", job.pool)
}
