//! What a collector of the REST API would have recorded, and the service hooks that were sent.

use serde_json::{Value as Json, json};

use super::guid;
use super::present::list;
use super::world::{Builder, Job, ORGANIZATION, POOLS, project};
use crate::model::Time;

impl Builder {
    pub(super) fn capture(&self, observed: Time, path: &str, body: Json) -> String {
        let url = format!("https://dev.azure.com/{}/{path}", ORGANIZATION.1);
        json!({"url": url, "observed": observed.to_string(), "status": 200, "body": body}).to_string()
    }

    /// What a collector of the REST API would have recorded.
    pub(super) fn captures(&self) -> Vec<String> {
        let mut out = Vec::new();
        for hour in (0..=2 * self.plan.days as i64).map(|half| half * 12) {
            out.push(self.capture(
                self.at(hour * 3600),
                "_apis/distributedtask/pools",
                self.pools(self.at(hour * 3600)),
            ));
        }
        for (pool, (pool_id, _)) in POOLS.iter().enumerate() {
            let regular = (0..self.plan.agents).map(|agent| self.agent(pool, agent, self.plan.day));
            let agents = regular.chain(self.others_in(*pool_id, self.at(7200))).collect();
            let path = format!("_apis/distributedtask/pools/{pool_id}/agents?includeCapabilities=true");
            out.push(self.capture(self.at(7200), &path, list(agents)));
            for (day, hour) in self.listings(pool) {
                let until = self.at(day as i64 * 86_400 + hour * 3600);
                let last = self.last_before(day, pool);
                let mut jobs = vec![self.request(&last, self.at(day as i64 * 86_400))];
                let of_day = self.jobs_of(day).iter().filter(|j| j.pool == pool && j.queued < until);
                jobs.extend(of_day.map(|j| self.request(j, until)));
                jobs.extend(
                    self.others_since(*pool_id, last.finished, until).into_iter().map(|(_, _, job)| job),
                );
                let path = format!("_apis/distributedtask/pools/{pool_id}/jobrequests");
                out.push(self.capture(until, &path, list(jobs)));
            }
        }
        for run in 0..self.plan.runs {
            let (project_id, _) = project(self.project_of(run));
            let path = format!("{project_id}/_apis/build/builds/{}/timeline", Self::run_id(run));
            let at = self.at((self.day_of(run) as i64 + 1) * 86_400);
            out.push(self.capture(at, &path, self.timeline(run, at)));
        }
        for (second, path, body) in [
            (7300, format!("{}/_apis/serviceendpoint/endpoints", project(0).0), self.endpoints(0)),
            (7400, "_apis/graph/serviceprincipals".to_owned(), self.service_principals()),
            (7500, "_apis/tokens/pats".to_owned(), self.tokens()),
        ] {
            out.push(self.capture(self.at(second), &path, body));
        }
        out.extend(self.reach_captures());
        out.extend(self.trouble_captures());
        out.extend(self.other_captures());
        out
    }

    /// When the job requests of a pool were listed: day, and hour of the day. Over weeks, once a day.
    fn listings(&self, pool: usize) -> Vec<(usize, i64)> {
        let hours: &[i64] = if self.plan.days == 1 { &[2, 8, 12, 16, 20, 24] } else { &[24] };
        let days = (0..self.plan.days).filter(|day| !self.is_deaf(*day, pool));
        days.flat_map(|day| hours.iter().map(move |hour| (day, *hour))).collect()
    }

    /// Whether the job requests of a regular pool are not heard of on a day.
    pub(super) fn is_deaf(&self, day: usize, pool: usize) -> bool {
        self.plan.outages && (day * 7 + pool).is_multiple_of(5)
    }

    /// The last job before a day, by which a pool's list speaks for the night.
    fn last_before(&self, day: usize, pool: usize) -> Job {
        let last = day
            .checked_sub(1)
            .and_then(|d| self.jobs_of(d).iter().filter(|j| j.pool == pool).max_by_key(|j| j.finished));
        last.cloned().unwrap_or_else(|| self.nightly(pool))
    }

    pub(super) fn hooks(&self) -> Vec<String> {
        (0..self.plan.runs)
            .filter_map(|run| {
                let last = self.jobs_of_run(run).last()?;
                let finished = last.finished;
                let approval = run.is_multiple_of(4).then(|| self.approval(run, last.queued));
                let body = json!({
                    "id": guid(4, run), "eventType": "build.complete", "publisherId": "tfs",
                    "resource": self.build(run, finished)?,
                    "resourceVersion": "2.0",
                    "resourceContainers": {
                        "collection": {"id": ORGANIZATION.0, "baseUrl": format!("https://dev.azure.com/{}/", ORGANIZATION.1)},
                        "project": {"id": project(self.project_of(run)).0},
                    },
                    "createdDate": finished.to_string(),
                });
                Some(approval.into_iter().chain([body.to_string()]))
            })
            .flatten()
            .chain(self.other_hooks())
            .collect()
    }
}
