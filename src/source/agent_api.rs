//! Agents, pools, jobs and identities from the REST API, while they are there to be seen.
//!
//! Azure DevOps shows only the present: who an agent was while a job ran must be seen then. So what
//! changes fast is looked at often (the jobs of a pool), what changes slowly seldom, all within one
//! budget of calls. Each answer goes to the pipeline as a capture line, from which coverage is drawn
//! as well; one that says the same as the last is repeated only now and then, to prove the silence.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use tokio::sync::mpsc;

use super::rest::{Answer, Client, RestError, Service};
use super::{Payload, escape};
use crate::model::RecordHash;

/// How often each kind is looked at.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Jobs of a pool: shorter than the shortest job.
    pub jobs_every: Duration,
    /// Pools, agents, scale-set machines.
    pub agents_every: Duration,
    /// Deployment targets, service connections, Graph subjects, tokens.
    pub rest_every: Duration,
}

/// An unchanged answer is handed over again after so long, as proof that it was looked at.
const REPEAT: Duration = Duration::from_secs(60);
/// Between two looks at memberships: one call for each group.
const MEMBERSHIPS: Duration = Duration::from_secs(4 * 60 * 60);
/// Before the next look when one broke off.
const AFTER_A_FAULT: Duration = Duration::from_secs(5);
/// Between two looks at jobs, so that one round does not hold up the next.
const TIMELINES_A_ROUND: usize = 50;
/// Rounds in which a run's timeline may fail before it is given up.
const TRIES_OF_A_RUN: u32 = 5;

/// Looks at an organisation until `stopped` ends.
pub async fn collect(
    settings: &Settings,
    client: Arc<Client>,
    organization: &str,
    intake: mpsc::Sender<Payload>,
    stopped: impl Future<Output = ()>,
) -> Result<(), RestError> {
    tokio::pin!(stopped);
    let mut rounds = Rounds {
        client: &client,
        organization,
        partition: format!("agent_api/{organization}"),
        intake: &intake,
        pools: BTreeMap::new(),
        sent: BTreeMap::new(),
        finished: BTreeMap::new(),
        timelines: BTreeSet::new(),
        memberships: None,
    };
    let start = Instant::now();
    let (mut jobs, mut agents, mut rest) = (start, start, start);
    let mut pause = Duration::ZERO;
    loop {
        let now = Instant::now();
        let round = async {
            if now >= agents {
                rounds.agents().await?;
                agents = Instant::now() + settings.agents_every;
            }
            if now >= jobs {
                jobs = now + settings.jobs_every;
                rounds.jobs().await?;
                rounds.runs().await?;
            }
            if now >= rest {
                rounds.rest().await?;
                rest = Instant::now() + settings.rest_every;
            }
            Ok::<_, RestError>(())
        };
        tokio::select! {
            () = &mut stopped => return Ok(()),
            done = round => match done {
                Ok(()) => {}
                Err(error @ RestError::Pipeline { .. }) => return Err(error),
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        organization,
                        "agents and jobs were not seen; the next look tries again"
                    );
                    pause = AFTER_A_FAULT;
                }
            },
        }
        let next = jobs.min(agents).min(rest).max(Instant::now() + std::mem::take(&mut pause));
        tokio::select! {
            () = &mut stopped => return Ok(()),
            () = tokio::time::sleep_until(next.into()) => {}
        }
    }
}

/// What is remembered between two rounds.
struct Rounds<'c> {
    client: &'c Client,
    organization: &'c str,
    partition: String,
    intake: &'c mpsc::Sender<Payload>,
    /// Ids of pools, and whether Azure runs their machines.
    pools: BTreeMap<i64, bool>,
    /// By address, what was handed over last, and when.
    sent: BTreeMap<String, (RecordHash, Instant)>,
    /// Runs of which a job finished since their timeline was fetched, by build id: project, and tries that failed.
    finished: BTreeMap<i64, (String, u32)>,
    /// Requests seen finished, so that each leads to its timeline once.
    timelines: BTreeSet<i64>,
    /// When the members of groups were last listed.
    memberships: Option<Instant>,
}

impl Rounds<'_> {
    /// Pools first, then who is in them.
    async fn agents(&mut self) -> Result<(), RestError> {
        for pool in self.list(Service::Core, "_apis/distributedtask/pools").await? {
            if let Some(id) = pool["id"].as_i64() {
                self.pools.insert(id, pool["isHosted"].as_bool().unwrap_or(false));
            }
        }
        let own: Vec<i64> = self.pools.iter().filter(|(_, hosted)| !**hosted).map(|(id, _)| *id).collect();
        for pool in own {
            let path = format!(
                "_apis/distributedtask/pools/{pool}/agents?includeCapabilities=true&includeAssignedRequest=true&includeLastCompletedRequest=true"
            );
            self.may(Service::Core, &path).await?;
        }
        for pool in self.may(Service::Core, "_apis/distributedtask/elasticpools").await? {
            if let Some(id) = pool["poolId"].as_i64() {
                self.may(Service::Core, &format!("_apis/distributedtask/elasticpools/{id}/nodes")).await?;
            }
        }
        Ok(())
    }

    /// What every pool runs and ran last.
    async fn jobs(&mut self) -> Result<(), RestError> {
        for pool in self.pools.keys().copied().collect::<Vec<_>>() {
            let path = format!("_apis/distributedtask/pools/{pool}/jobrequests");
            for job in self.may(Service::Core, &path).await? {
                let (Some(request), true) = (job["requestId"].as_i64(), job["finishTime"].is_string()) else {
                    continue;
                };
                let build = job["planType"].as_str().is_some_and(|t| t.eq_ignore_ascii_case("build"));
                if let (true, Some(run), Some(project)) =
                    (build, job["owner"]["id"].as_i64(), job["scopeId"].as_str())
                    && self.timelines.insert(request)
                {
                    self.finished.insert(run, (project.to_owned(), 0));
                }
            }
        }
        // Request ids rise: those of long ago are not listed any more.
        while self.timelines.len() > 100_000 {
            self.timelines.pop_first();
        }
        // An older answer holds nothing back any more; of runs there would be ever more.
        self.sent.retain(|_, (_, at)| at.elapsed() < REPEAT);
        Ok(())
    }

    /// Timelines of runs of which a job finished: they know a job's name and attempt.
    async fn runs(&mut self) -> Result<(), RestError> {
        for _ in 0..TIMELINES_A_ROUND {
            let Some((run, (project, tries))) = self.finished.pop_last() else { break };
            match self.run(run, &project).await {
                Ok(()) => {}
                Err(error @ RestError::Pipeline { .. }) => return Err(error),
                // Its jobs are not listed as news again, so the run must not be forgotten; nor may one
                // that never answers hold up all others.
                Err(error) if tries < TRIES_OF_A_RUN => {
                    tracing::debug!(%error, run, "a run is asked for again in the next round");
                    self.finished.insert(run, (project, tries + 1));
                    break;
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, run, "a run's timeline was given up");
                }
            }
        }
        Ok(())
    }

    async fn run(&mut self, run: i64, project: &str) -> Result<(), RestError> {
        self.may(Service::Core, &format!("{project}/_apis/build/builds/{run}/timeline")).await?;
        self.may(Service::Core, &format!("{project}/_apis/build/builds/{run}")).await?;
        Ok(())
    }

    /// What changes seldom: projects with their targets and connections, and who there is.
    async fn rest(&mut self) -> Result<(), RestError> {
        for project in self.may(Service::Core, "_apis/projects?$top=1000").await? {
            let Some(project) = project["id"].as_str().map(str::to_owned) else { continue };
            for group in
                self.may(Service::Core, &format!("{project}/_apis/distributedtask/deploymentgroups")).await?
            {
                if let Some(id) = group["id"].as_i64() {
                    let path = format!(
                        "{project}/_apis/distributedtask/deploymentgroups/{id}/targets?$expand=capabilities,assignedRequest,lastCompletedRequest"
                    );
                    self.may(Service::Core, &path).await?;
                }
            }
            self.may(Service::Core, &format!("{project}/_apis/distributedtask/queues")).await?;
            for endpoint in
                self.may(Service::Core, &format!("{project}/_apis/serviceendpoint/endpoints")).await?
            {
                if let Some(id) = endpoint["id"].as_str() {
                    let path = format!("{project}/_apis/serviceendpoint/{id}/executionhistory?top=100");
                    self.may(Service::Core, &path).await?;
                }
            }
        }
        self.may(Service::Core, "_apis/distributedtask/agentclouds").await?;
        for pool in self.pools.keys().copied().collect::<Vec<_>>() {
            let scope = "_apis/securityroles/scopes/distributedtask.agentpoolrole/roleassignments/resources";
            self.may(Service::Core, &format!("{scope}/{pool}")).await?;
        }
        for kind in ["users", "serviceprincipals"] {
            self.may(Service::Graph, &format!("_apis/graph/{kind}?api-version=7.2-preview.1")).await?;
        }
        let groups = self.may(Service::Graph, "_apis/graph/groups?api-version=7.2-preview.1").await?;
        if self.memberships.is_none_or(|at| at.elapsed() >= MEMBERSHIPS) {
            // Down from every group: that names each membership once, nested groups as well.
            for group in groups.iter().filter_map(|g| g["descriptor"].as_str()) {
                let path = format!(
                    "_apis/graph/memberships/{}?direction=Down&api-version=7.2-preview.1",
                    escape(group)
                );
                self.may(Service::Graph, &path).await?;
            }
            self.memberships = Some(Instant::now());
        }
        self.may(Service::Graph, "_apis/tokens/pats?api-version=7.2-preview.1").await?;
        Ok(())
    }

    /// A list that the identity may lack the permission for, or the organisation the feature.
    async fn may(&mut self, service: Service, path: &str) -> Result<Vec<Json>, RestError> {
        match self.list(service, path).await {
            Err(
                RestError::Refused { url, status: status @ 403 }
                | RestError::Status { url, status: status @ (400 | 404) },
            ) => {
                tracing::debug!(url, status, "not to be had here");
                Ok(Vec::new())
            }
            other => other,
        }
    }

    /// All pages of a list, handed over; returns its items.
    async fn list(&mut self, service: Service, path: &str) -> Result<Vec<Json>, RestError> {
        let base = self.client.url(service, self.organization, path);
        let (mut url, mut items) = (base.clone(), Vec::new());
        loop {
            let answer = self.client.get(&url).await?;
            let body: Json = serde_json::from_slice(&answer.body).unwrap_or_default();
            self.send(&url, &answer).await?;
            for name in ["value", "patTokens"] {
                items.extend(body[name].as_array().into_iter().flatten().cloned());
            }
            let token = answer.continuation.or_else(|| body["continuationToken"].as_str().map(str::to_owned));
            let Some(token) = token.filter(|t| !t.is_empty()) else { return Ok(items) };
            let between = if base.contains('?') { '&' } else { '?' };
            let next = format!("{base}{between}continuationToken={}", escape(&token));
            if next == url {
                return Ok(items);
            }
            url = next;
        }
    }

    /// Hands an answer over, unless it says what the last one said a moment ago.
    async fn send(&mut self, url: &str, answer: &Answer) -> Result<(), RestError> {
        let hash = RecordHash::of(&answer.body);
        if let Some((last, at)) = self.sent.get(url)
            && *last == hash
            && at.elapsed() < REPEAT
        {
            return Ok(());
        }
        super::hand_over(self.intake, answer.line.clone(), &self.partition, None).await?;
        self.sent.insert(url.to_owned(), (hash, Instant::now()));
        Ok(())
    }
}
