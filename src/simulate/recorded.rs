//! What a collector of the REST API would have recorded, and the service hooks that were sent.

use serde_json::{Value as Json, json};

use super::guid;
use super::present::list;
use super::world::{Builder, ORGANIZATION, POOLS, project};
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
            out.push(self.capture(self.at(hour * 3600), "_apis/distributedtask/pools", self.pools()));
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
        last.map_or_else(|| self.request(&self.nightly(pool), at), |job| self.request(job, at))
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
            .collect()
    }
}
