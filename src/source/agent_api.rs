//! Agents, pools, jobs and identities from the REST API, while they are there to be seen.
//!
//! Azure DevOps shows only the present: who an agent was while a job ran must be seen then. So what
//! changes fast is looked at often (the jobs of a pool), what changes slowly seldom, all within one
//! budget of calls, and none waits for another. Each answer goes to the pipeline as a capture line, from
//! which coverage is drawn as well; one that says the same as the last is repeated only now and then, to
//! prove the silence.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value as Json;
use tokio::sync::mpsc;

use super::listing::Seen;
use super::rest::{Answer, Client, RestError, Service};
use super::{Payload, escape, hand_over, heard};
use crate::model::{RecordHash, Ticks, Time};

/// How often each kind is looked at.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Jobs of a pool: shorter than the shortest job.
    pub jobs_every: Ticks,
    /// Pools, agents, scale-set machines.
    pub agents_every: Ticks,
    /// Deployment targets, service connections, Graph subjects, tokens.
    pub rest_every: Ticks,
}

/// An unchanged answer is handed over again after so long, as proof that it was looked at.
const REPEAT: Ticks = Ticks::seconds(60);
/// But not a list of requests: a line of its own says for which time it speaks.
const REPEAT_OF_JOBS: Ticks = Ticks::seconds(60 * 60);
/// Between two looks at memberships: one call for each group.
const MEMBERSHIPS: Ticks = Ticks::seconds(4 * 60 * 60);
/// Before the next look when one broke off, twice as long each time.
const AFTER_A_FAULT: Ticks = Ticks::seconds(5);
/// Rounds in which a run's timeline may fail before it is given up.
const TRIES_OF_A_RUN: u32 = 5;
/// Job requests asked for at a time, once all were seen.
const NEWEST: usize = 100;

/// Looks at an organisation until `stopped` ends.
pub async fn collect(
    settings: &Settings,
    client: Arc<Client>,
    organization: &str,
    intake: mpsc::Sender<Payload>,
    stopped: impl Future<Output = ()>,
) -> Result<(), RestError> {
    let look = Look {
        client: &client,
        organization,
        partition: format!("agent_api/{organization}"),
        intake: &intake,
        state: Mutex::default(),
    };
    let rounds = async {
        tokio::try_join!(
            look.repeat(Round::Agents, settings.agents_every),
            look.repeat(Round::Jobs, settings.jobs_every),
            look.repeat(Round::Runs, settings.jobs_every),
            look.repeat(Round::Rest, settings.rest_every),
        )
    };
    tokio::select! {
        () = stopped => Ok(()),
        ended = rounds => ended.map(drop),
    }
}

/// What is looked at together.
#[derive(Debug, Clone, Copy)]
enum Round {
    Agents,
    Jobs,
    Runs,
    Rest,
}

struct Look<'c> {
    client: &'c Client,
    organization: &'c str,
    partition: String,
    intake: &'c mpsc::Sender<Payload>,
    state: Mutex<State>,
}

/// What is remembered between two rounds.
#[derive(Default)]
struct State {
    /// Ids of pools, whether Azure runs their machines, and what their lists showed.
    pools: BTreeMap<i64, (bool, Seen)>,
    /// By address, what was handed over last, when, and for how long that need not be repeated.
    sent: BTreeMap<String, (RecordHash, Time, Ticks)>,
    /// Runs of which a job finished since their timeline was fetched, by build id: project, and tries that failed.
    finished: BTreeMap<i64, (String, u32)>,
    /// Requests seen finished, so that each leads to its timeline once.
    timelines: BTreeSet<i64>,
    /// When the members of groups were last listed.
    memberships: Option<Time>,
    /// Pools whose requests may not be read, so that each is said once.
    closed: BTreeSet<i64>,
}

/// All pages of a list.
struct List {
    items: Vec<Json>,
    /// Whether it was handed over: not when it says what the last one said a moment ago.
    is_news: bool,
}

/// The first of the parts of a round that failed; the others go on.
#[derive(Default)]
struct Faults(Option<RestError>);

impl Faults {
    fn note<T>(&mut self, done: Result<T, RestError>) -> Result<Option<T>, RestError> {
        match done {
            Ok(value) => Ok(Some(value)),
            // Without a pipeline or a sign-in nothing else goes well either.
            Err(error @ (RestError::Pipeline { .. } | RestError::Record { .. })) => Err(error),
            Err(error @ (RestError::Credential(_) | RestError::Refused { .. })) => Err(error),
            Err(error) => {
                tracing::debug!(%error, "a part of a round was not seen; the others go on");
                self.0.get_or_insert(error);
                Ok(None)
            }
        }
    }

    fn end(self) -> Result<(), RestError> {
        self.0.map_or(Ok(()), Err)
    }
}

impl Look<'_> {
    /// Looks again and again; ends when what is seen cannot be handed over.
    async fn repeat(&self, round: Round, every: Ticks) -> Result<(), RestError> {
        let mut faults = 0u32;
        loop {
            let began = self.now();
            let done = match round {
                Round::Agents => self.agents().await,
                Round::Jobs => self.jobs().await,
                Round::Runs => self.runs().await,
                Round::Rest => self.rest().await,
            };
            let pause = match done {
                Ok(()) => {
                    faults = 0;
                    Ticks(every.0 - (self.now().0 - began.0).clamp(0, every.0))
                }
                Err(error @ RestError::Pipeline { .. }) => return Err(error),
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        organization = self.organization,
                        "not all of {round:?} was seen; the next look tries again"
                    );
                    faults += 1;
                    Ticks(AFTER_A_FAULT.0 << (faults - 1).min(16)).min(every)
                }
            };
            self.client.clock.sleep(pause).await;
        }
    }

    fn now(&self) -> Time {
        self.client.clock.now()
    }

    /// Whether a moment is so long ago; one that lies ahead is, as the clock was set back since.
    fn is_past(&self, at: Time, length: Ticks) -> bool {
        let since = self.now().0 - at.0;
        since < 0 || since >= length.0
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pools(&self) -> Vec<i64> {
        self.state().pools.keys().copied().collect()
    }

    /// Pools first, then who is in them.
    async fn agents(&self) -> Result<(), RestError> {
        let mut faults = Faults::default();
        // Those behind deployment groups run jobs as well, and are listed only when asked for.
        let mut listed = Vec::new();
        for kind in ["", "?poolType=deployment"] {
            let list = self.list(Service::Core, &format!("_apis/distributedtask/pools{kind}")).await;
            listed.push(faults.note(list)?.map(|list| list.items));
        }
        if let Some(listed) = listed.into_iter().collect::<Option<Vec<_>>>() {
            let mut state = self.state();
            let mut known = std::mem::take(&mut state.pools);
            for pool in listed.into_iter().flatten() {
                let Some(id) = pool["id"].as_i64() else { continue };
                let (_, seen) = known.remove(&id).unwrap_or_default();
                state.pools.insert(id, (pool["isHosted"].as_bool().unwrap_or(false), seen));
            }
        }
        let own: Vec<i64> =
            self.state().pools.iter().filter(|(_, (hosted, _))| !hosted).map(|(id, _)| *id).collect();
        for pool in own {
            let path = format!(
                "_apis/distributedtask/pools/{pool}/agents?includeCapabilities=true&includeAssignedRequest=true&includeLastCompletedRequest=true"
            );
            faults.note(self.may(Service::Core, &path).await)?;
        }
        let elastic = faults.note(self.may(Service::Core, "_apis/distributedtask/elasticpools").await)?;
        for id in elastic.unwrap_or_default().iter().filter_map(|pool| pool["poolId"].as_i64()) {
            let path = format!("_apis/distributedtask/elasticpools/{id}/nodes");
            faults.note(self.may(Service::Core, &path).await)?;
        }
        faults.end()
    }

    /// What every pool runs and ran last.
    async fn jobs(&self) -> Result<(), RestError> {
        let mut faults = Faults::default();
        for pool in self.pools() {
            faults.note(self.jobs_of(pool).await)?;
        }
        let mut state = self.state();
        // Request ids rise: those of long ago are not listed any more.
        while state.timelines.len() > 100_000 {
            state.timelines.pop_first();
        }
        // An older answer holds nothing back any more; of runs there would be ever more.
        state.sent.retain(|_, (_, at, repeat)| !self.is_past(*at, *repeat));
        drop(state);
        faults.end()
    }

    /// The newest requests of a pool, or all when it is not known that those lack nothing.
    async fn jobs_of(&self, pool: i64) -> Result<(), RestError> {
        let path = format!("_apis/distributedtask/pools/{pool}/jobrequests");
        loop {
            let all = self.state().pools.get(&pool).is_none_or(|(_, seen)| seen.needs_all());
            let limit = if all { String::new() } else { format!("?$top={NEWEST}") };
            let asked = self.now();
            let list = self.pages(Service::Core, &format!("{path}{limit}"), REPEAT_OF_JOBS).await;
            let list = match list {
                // Not ours to see, or gone since it was listed.
                Err(error) if is_absent(&error) => {
                    self.closed(pool, &error);
                    return Ok(());
                }
                other => other?,
            };
            self.state().closed.remove(&pool);
            let is_whole = all || list.items.len() < NEWEST;
            let (span, open) = {
                let mut state = self.state();
                state.finished(&list.items);
                let Some((_, seen)) = state.pools.get_mut(&pool) else { return Ok(()) };
                seen.take(&list.items, is_whole, asked);
                (seen.unsaid(), seen.open())
            };
            if let Some((from, until)) = span
                && (list.is_news || self.is_past(from, REPEAT))
            {
                let line = heard("jobs", self.organization, Some((pool, &open)), from, until);
                self.client.record(&line).await?;
                self.hand_over(line).await?;
                if let Some((_, seen)) = self.state().pools.get_mut(&pool) {
                    seen.said();
                }
            }
            if is_whole || span.is_some() {
                return Ok(());
            }
        }
    }

    /// Says once that a pool keeps verdicts open.
    fn closed(&self, pool: i64, error: &RestError) {
        if self.state().closed.insert(pool) {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                organization = self.organization,
                pool,
                "the job requests of a pool may not be read, so other jobs may have run wherever only one is known; give the identity that collects the role Reader on the pool"
            );
        }
    }

    /// Timelines of runs of which a job finished: they know a job's name and attempt.
    async fn runs(&self) -> Result<(), RestError> {
        // The newest first: the others are likelier to be known already.
        let runs: Vec<i64> = self.state().finished.keys().rev().copied().collect();
        for run in runs {
            let Some((project, tries)) = self.state().finished.remove(&run) else { continue };
            match self.run(run, &project).await {
                Ok(()) => {}
                Err(error @ RestError::Pipeline { .. }) => return Err(error),
                // Its jobs are not listed as news again, so the run must not be forgotten; nor may one
                // that never answers hold up all others.
                Err(error) if tries < TRIES_OF_A_RUN => {
                    tracing::debug!(%error, run, "a run is asked for again in the next round");
                    self.state().finished.entry(run).or_insert((project, tries + 1));
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, run, "a run's timeline was given up");
                }
            }
        }
        Ok(())
    }

    async fn run(&self, run: i64, project: &str) -> Result<(), RestError> {
        self.may(Service::Core, &format!("{project}/_apis/build/builds/{run}/timeline")).await?;
        self.may(Service::Core, &format!("{project}/_apis/build/builds/{run}")).await?;
        Ok(())
    }

    /// What changes seldom: projects with their targets and connections, and who there is.
    async fn rest(&self) -> Result<(), RestError> {
        let mut faults = Faults::default();
        let projects = faults.note(self.may(Service::Core, "_apis/projects?$top=1000").await)?;
        for project in projects.unwrap_or_default() {
            if let Some(project) = project["id"].as_str() {
                self.project(project, &mut faults).await?;
            }
        }
        faults.note(self.may(Service::Core, "_apis/distributedtask/agentclouds").await)?;
        for pool in self.pools() {
            let scope = "_apis/securityroles/scopes/distributedtask.agentpoolrole/roleassignments/resources";
            faults.note(self.may(Service::Core, &format!("{scope}/{pool}")).await)?;
        }
        for kind in ["users", "serviceprincipals"] {
            let path = format!("_apis/graph/{kind}?api-version=7.2-preview.1");
            faults.note(self.may(Service::Graph, &path).await)?;
        }
        let groups = self.may(Service::Graph, "_apis/graph/groups?api-version=7.2-preview.1").await;
        let groups = faults.note(groups)?.unwrap_or_default();
        let looked = self.state().memberships;
        if looked.is_none_or(|at| self.is_past(at, MEMBERSHIPS)) {
            let mut missed = Faults::default();
            // Down from every group: that names each membership once, nested groups as well.
            for group in groups.iter().filter_map(|g| g["descriptor"].as_str()) {
                let path = format!(
                    "_apis/graph/memberships/{}?direction=Down&api-version=7.2-preview.1",
                    escape(group)
                );
                missed.note(self.may(Service::Graph, &path).await)?;
            }
            // Audit records name a group by its storage key, which of a group of Entra nothing else says.
            let foreign = groups.iter().filter(|g| g["origin"] != "vsts");
            for group in foreign.filter_map(|g| g["descriptor"].as_str()) {
                let path = format!("_apis/graph/storagekeys/{}?api-version=7.2-preview.1", escape(group));
                missed.note(self.may(Service::Graph, &path).await)?;
            }
            match missed.0 {
                None => self.state().memberships = Some(self.now()),
                Some(error) => drop(faults.note(Err::<(), _>(error))?),
            }
        }
        faults.note(self.may(Service::Graph, "_apis/tokens/pats?api-version=7.2-preview.1").await)?;
        faults.end()
    }

    async fn project(&self, project: &str, faults: &mut Faults) -> Result<(), RestError> {
        let groups = format!("{project}/_apis/distributedtask/deploymentgroups");
        let listed = faults.note(self.may(Service::Core, &groups).await)?.unwrap_or_default();
        for id in listed.iter().filter_map(|group| group["id"].as_i64()) {
            let path =
                format!("{groups}/{id}/targets?$expand=capabilities,assignedRequest,lastCompletedRequest");
            faults.note(self.may(Service::Core, &path).await)?;
        }
        faults.note(self.may(Service::Core, &format!("{project}/_apis/distributedtask/queues")).await)?;
        let endpoints = format!("{project}/_apis/serviceendpoint/endpoints");
        let listed = faults.note(self.may(Service::Core, &endpoints).await)?.unwrap_or_default();
        for id in listed.iter().filter_map(|endpoint| endpoint["id"].as_str()) {
            let path = format!("{project}/_apis/serviceendpoint/{id}/executionhistory?top=100");
            faults.note(self.may(Service::Core, &path).await)?;
            let path = format!(
                "{project}/_apis/pipelines/pipelinepermissions/endpoint/{id}?api-version=7.2-preview.1"
            );
            faults.note(self.may(Service::Core, &path).await)?;
        }
        Ok(())
    }

    /// A list that the identity may lack the permission for, or the organisation the feature.
    async fn may(&self, service: Service, path: &str) -> Result<Vec<Json>, RestError> {
        match self.list(service, path).await {
            Err(error) if is_absent(&error) => {
                tracing::debug!(%error, "not to be had here");
                Ok(Vec::new())
            }
            other => Ok(other?.items),
        }
    }

    async fn list(&self, service: Service, path: &str) -> Result<List, RestError> {
        self.pages(service, path, REPEAT).await
    }

    /// All pages of a list, handed over.
    async fn pages(&self, service: Service, path: &str, repeat: Ticks) -> Result<List, RestError> {
        let base = self.client.url(service, self.organization, path);
        let mut url = base.clone();
        let mut list = List { items: Vec::new(), is_news: false };
        loop {
            let answer = self.client.get(&url).await?;
            list.is_news |= self.send(&url, &answer, repeat).await?;
            // Kept as it came; but what cannot be read is not an empty list.
            let body: Json = serde_json::from_slice(&answer.body)
                .map_err(|e| RestError::Body { url: url.clone(), says: e.to_string() })?;
            for name in ["value", "patTokens"] {
                list.items.extend(body[name].as_array().into_iter().flatten().cloned());
            }
            let token = answer.continuation.or_else(|| body["continuationToken"].as_str().map(str::to_owned));
            let Some(token) = token.filter(|t| !t.is_empty()) else { return Ok(list) };
            let between = if base.contains('?') { '&' } else { '?' };
            let next = format!("{base}{between}continuationToken={}", escape(&token));
            if next == url {
                return Ok(list);
            }
            url = next;
        }
    }

    /// Hands an answer over, unless it says what the last one said a moment ago; says whether it did.
    async fn send(&self, url: &str, answer: &Answer, repeat: Ticks) -> Result<bool, RestError> {
        let hash = RecordHash::of(&answer.body);
        let last = self.state().sent.get(url).copied();
        if last.is_some_and(|(last, at, repeat)| last == hash && !self.is_past(at, repeat)) {
            return Ok(false);
        }
        self.hand_over(answer.line.clone()).await?;
        self.state().sent.insert(url.to_owned(), (hash, self.now(), repeat));
        Ok(true)
    }

    async fn hand_over(&self, line: bytes::Bytes) -> Result<(), RestError> {
        hand_over(&*self.client.clock, self.intake, line, &self.partition, None).await
    }
}

impl State {
    /// Notes the runs of requests that are listed as finished for the first time.
    fn finished(&mut self, jobs: &[Json]) {
        for job in jobs {
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
}

/// Whether the identity may not see it, or the organisation does not have it.
fn is_absent(error: &RestError) -> bool {
    matches!(error, RestError::Refused { status: 403, .. } | RestError::Status { status: 400 | 404, .. })
}
