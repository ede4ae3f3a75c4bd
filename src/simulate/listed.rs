//! What is listed and recorded of the pools, runs and jobs of every other kind.

use serde_json::{Value as Json, json};

use super::guid;
use super::others::{FLEETING, HOSTED, OtherJob, Place, SCALE_SET, TARGETS};
use super::present::list;
use super::variety::ADDRESSES;
use super::world::{Builder, ORGANIZATION, POOLS, project};
use crate::model::{Ticks, Time};

/// How long a machine of the scale set is there before its job, and after.
const BEFORE: Ticks = Ticks::seconds(36);
const AFTER: Ticks = Ticks::seconds(15);

impl Place {
    pub fn is_there(&self, at: Time) -> bool {
        self.from.is_none_or(|from| from <= at) && self.until.is_none_or(|until| at < until)
    }

    fn pool(&self) -> Json {
        let mut pool = json!({
            "id": self.id, "name": self.name, "isHosted": self.id == HOSTED, "isLegacy": false, "size": self.agents,
            "poolType": if self.id == TARGETS { "deployment" } else { "automation" },
            "options": if self.id == SCALE_SET { "elasticPool" } else { "none" },
        });
        if let Some(from) = self.from {
            pool["createdOn"] = json!(from.to_string());
        }
        pool
    }
}

impl Builder {
    /// The pools of every other kind that are there, but for those of deployment groups.
    pub(super) fn places_at(&self, at: Time) -> Vec<Json> {
        let there = |place: &Place| place.id != TARGETS && place.is_there(at);
        self.places().into_iter().filter(there).map(|place| place.pool()).collect()
    }

    pub(super) fn is_place(&self, pool: i64, at: Time) -> bool {
        self.places().iter().any(|place| place.id == pool && place.is_there(at))
    }

    /// The requests of a pool that did not end before a moment, as of another.
    pub(super) fn others_since(&self, pool: i64, from: Time, at: Time) -> Vec<(Time, i64, Json)> {
        let since =
            self.others.iter().filter(|job| job.pool == pool && job.queued <= at && job.finished > from);
        since.map(|job| (job.queued, job.request, self.other_request(job, at))).collect()
    }

    /// Who is in a pool, besides those that the plan counts.
    pub(super) fn others_in(&self, pool: i64, at: Time) -> Vec<Json> {
        let staying = self.staying(pool).into_iter().filter(|_| at >= self.at(3600));
        let passing = self.machines_of_jobs(at).filter(|job| job.pool == pool).map(|job| job.agent.clone());
        let record = |(id, name): (i64, String)| {
            let machine = if pool == HOSTED { format!("fv-az{id}") } else { format!("vm-{name}") };
            let mut agent = json!({
                "id": id, "name": name, "version": "4.248.0", "osDescription": "Linux 6.8.0-azure", "enabled": true,
                "status": "online", "provisioningState": "Provisioned", "maxParallelism": 1,
                "createdOn": self.at(3000).to_string(),
                "systemCapabilities": {"Agent.Name": name, "Agent.ComputerName": machine, "Agent.OS": "Linux"},
            });
            if pool != HOSTED {
                agent["authorization"] = json!({
                    "clientId": format!("7b000000-0000-4000-8000-{id:012x}"),
                    "publicKey": {"exponent": "AQAB", "modulus": format!("key-of-{id}")},
                });
            }
            agent
        };
        staying.chain(passing).map(record).collect()
    }

    fn machines_of_jobs(&self, at: Time) -> impl Iterator<Item = &OtherJob> {
        let is_there = move |job: &&OtherJob| job.queued - BEFORE <= at && at < job.finished + AFTER;
        self.others.iter().filter(|job| job.pool == SCALE_SET).filter(is_there)
    }

    pub(super) fn other_nodes(&self, at: Time) -> Vec<Json> {
        let node = |job: &OtherJob| {
            let busy = job.received <= at && at < job.finished;
            json!({
                "id": job.agent.0 - 2_000_000, "poolId": SCALE_SET, "name": job.agent.1, "agentId": job.agent.0,
                "computeId": (job.agent.0 % 4096).to_string(), "requestId": if busy { json!(job.request) } else { Json::Null },
                "agentState": "online", "computeState": "healthy", "state": if busy { "assigned" } else { "idle" },
                "desiredState": "none", "stateChangedOn": job.received.min(at).to_string(),
            })
        };
        self.machines_of_jobs(at).map(node).collect()
    }

    pub(super) fn other_elastic_pools(&self) -> Vec<Json> {
        let set = json!({
            "poolId": SCALE_SET, "azureId": "/subscriptions/1/resourceGroups/ci/providers/Microsoft.Compute/virtualMachineScaleSets/scale-set",
            "recycleAfterEachUse": true, "maxCapacity": 9, "desiredIdle": 0, "osType": "linux", "state": "online",
        });
        if self.plan.varied { vec![set] } else { Vec::new() }
    }

    /// The machines of the deployment group.
    pub(super) fn other_targets(&self) -> Vec<Json> {
        let target = |(id, agent): (i64, Json)| json!({"id": id, "tags": ["web"], "agent": agent});
        // The id of a target is not always that of its agent.
        (5..).zip(self.others_in(TARGETS, self.at(3600))).map(target).collect()
    }

    /// The run of a number, among those of every other kind.
    pub(super) fn other_run(&self, release: bool, id: i64) -> Option<usize> {
        self.other_runs.iter().position(|run| run.release == release && run.id == id)
    }

    /// What was recorded of all that.
    pub(super) fn other_captures(&self) -> Vec<String> {
        let mut out = Vec::new();
        if !self.plan.varied {
            return out;
        }
        let pools = "_apis/distributedtask/pools";
        let deployment: Vec<Json> =
            self.places().iter().filter(|place| place.id == TARGETS).map(Place::pool).collect();
        out.push(self.capture(self.at(7250), &format!("{pools}?poolType=deployment"), list(deployment)));
        let groups = format!("{}/_apis/distributedtask/deploymentgroups", project(0).0);
        out.push(self.capture(self.at(7260), &groups, self.deployment_groups(0)));
        out.push(self.capture(self.at(7270), &format!("{groups}/1/targets"), list(self.other_targets())));
        let elastic = "_apis/distributedtask/elasticpools";
        out.push(self.capture(self.at(7280), elastic, list(self.other_elastic_pools())));
        for day in 0..self.plan.days {
            self.day_of_places(day, &mut out);
        }
        for (nth, job) in self.others.iter().enumerate() {
            // Only who looks in the middle sees a machine of the scale set, or the agent that had a job first.
            let middle = job.queued + Ticks((job.received.0 - job.queued.0) / 2);
            if job.before.is_some() || job.is_abandoned() && nth % 2 == 0 {
                out.push(self.glance(job.pool, middle));
            }
            if job.pool == SCALE_SET && nth % 3 > 0 {
                let at = job.received + Ticks::seconds(1);
                let path = format!("{elastic}/{SCALE_SET}/nodes");
                out.push(self.capture(at, &path, list(self.other_nodes(at))));
                let path = format!("{pools}/{SCALE_SET}/agents?includeCapabilities=true");
                out.push(self.capture(at, &path, list(self.others_in(SCALE_SET, at))));
            }
        }
        for run in 0..self.other_runs.len() {
            out.extend(self.other_run_captures(run));
        }
        out.extend(self.inventory());
        out
    }

    fn day_of_places(&self, day: usize, out: &mut Vec<String>) {
        let (start, noon) = (self.at(day as i64 * 86_400), self.at(day as i64 * 86_400 + 43_200));
        let midnight = self.at((day as i64 + 1) * 86_400);
        for place in self.places() {
            let path = |what: &str| format!("_apis/distributedtask/pools/{}/{what}", place.id);
            // Nobody looks at a list of pools while this one is there.
            if place.id == FLEETING || place.from.is_some_and(|from| from > midnight) {
                continue;
            }
            if place.is_there(noon) {
                let agents = list(self.others_in(place.id, noon));
                out.push(self.capture(noon, &path("agents?includeCapabilities=true"), agents));
            }
            // A pool is looked at last before it goes.
            let at = place.until.map_or(midnight, |until| midnight.min(until - Ticks::seconds(60)));
            // The scale set and the targets are not heard of when the second regular pool is not.
            let is_deaf = matches!(place.id, TARGETS | SCALE_SET) && self.is_deaf(day, 1);
            if at > start && !is_deaf {
                out.push(self.place_listing(place.id, start, at));
            }
        }
    }

    /// The requests of a pool of a day, from the last one that ended before: so the list speaks for the night.
    fn place_listing(&self, pool: i64, start: Time, at: Time) -> String {
        let before = self.others.iter().filter(|job| job.pool == pool && job.finished <= start);
        let last = before.map(|job| job.finished).max();
        let from = last.map_or(start, |last| last - Ticks(1));
        let jobs = self.others_since(pool, from, at).into_iter().map(|(_, _, job)| job).collect();
        self.capture(at, &format!("_apis/distributedtask/pools/{pool}/jobrequests"), list(jobs))
    }

    /// A look at the first regular pool in the middle of a day.
    fn glance(&self, pool: i64, at: Time) -> String {
        let from = at - Ticks::seconds(3600);
        let regular = self.jobs.iter().filter(|job| POOLS[job.pool].0 == pool);
        let regular = regular.filter(|job| job.queued <= at && job.finished > from);
        let regular = regular.map(|job| self.request(job, at));
        let others = self.others_since(pool, from, at).into_iter().map(|(_, _, job)| job);
        let path = format!("_apis/distributedtask/pools/{pool}/jobrequests");
        self.capture(at, &path, list(regular.chain(others).collect()))
    }

    fn other_run_captures(&self, run: usize) -> Vec<String> {
        let own = &self.other_runs[run];
        let mut out = Vec::new();
        if let Some(at) = own.looked {
            let path = format!("{}/_apis/build/builds/{}/timeline", project(own.home).0, own.id);
            out.push(self.capture(at, &path, self.other_timeline(run, at)));
        }
        if let (true, Some(ended)) = (own.release, self.other_end(run)) {
            let path = format!("{}/_apis/release/releases/{}", project(own.home).0, own.id);
            let body = self.other_build(run, ended).unwrap_or_default();
            let line = self.capture(ended, &path, body);
            out.push(line.replacen("//dev.azure.com", "//vsrm.dev.azure.com", 1));
        }
        out
    }

    /// The operator's word on where agents are.
    fn inventory(&self) -> impl Iterator<Item = String> {
        ADDRESSES.into_iter().map(|(pool, addresses)| {
            json!({"inventory": {"organization": ORGANIZATION.1, "pool": pool, "agent": "*", "addresses": [addresses]}}).to_string()
        })
    }

    /// Hooks that told of the end of a run.
    pub(super) fn other_hooks(&self) -> impl Iterator<Item = String> {
        let told = (0..self.other_runs.len()).filter(|run| self.other_runs[*run].told);
        told.filter_map(|run| {
            let ended = self.other_end(run)?;
            let body = json!({
                "id": guid(9, run), "eventType": "build.complete", "publisherId": "tfs", "resource": self.other_build(run, ended)?,
                "resourceVersion": "2.0",
                "resourceContainers": {
                    "collection": {"id": ORGANIZATION.0, "baseUrl": format!("https://dev.azure.com/{}/", ORGANIZATION.1)},
                    "project": {"id": project(self.other_runs[run].home).0},
                },
                "createdDate": ended.to_string(),
            });
            Some(body.to_string())
        })
    }
}
