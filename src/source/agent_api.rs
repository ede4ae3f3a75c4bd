//! Agents, pools, jobs and identities from the REST API, while they are there to be seen.
//!
//! Azure DevOps shows only the present: who an agent was while a job ran must be seen then. So what
//! changes fast is looked at often (the jobs of a pool), what changes slowly seldom, all within one
//! budget of calls, and none waits for another. Each answer goes to the pipeline as a capture line, from
//! which coverage is drawn as well; one that says the same as the last is repeated only now and then, to
//! prove the silence.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value as Json;
use tokio::sync::mpsc;

use super::listing::Seen;
use super::look::{Faults, How, Look, Pool, REPEAT};
use super::rest::{Client, RestError, Service};
use super::{Payload, escape, heard};
use crate::model::{Ticks, Time};

/// How often each kind is looked at.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Jobs of a pool: shorter than the shortest job.
    pub jobs_every: Ticks,
    /// Pools, agents, scale-set machines, and which runs there are.
    pub agents_every: Ticks,
    /// Deployment targets, service connections, Graph subjects, tokens.
    pub rest_every: Ticks,
}

/// A list of requests is handed over again after so long: a line of its own says for which time it speaks.
const REPEAT_OF_JOBS: Ticks = Ticks::seconds(60 * 60);
/// Between two looks at memberships: one call for each group.
const MEMBERSHIPS: Ticks = Ticks::seconds(4 * 60 * 60);
/// Before the next look when one broke off, twice as long each time.
const AFTER_A_FAULT: Ticks = Ticks::seconds(5);
/// Job requests asked for at a time, once all were seen.
const NEWEST: usize = 100;
/// Looks in a row that take too long before it is said that the calls are too few.
const SLOW: u32 = 3;
/// The lists of pools. Those behind deployment groups run jobs as well, and are listed only when asked for.
const POOLS: [(&str, &str); 2] =
    [("the pools", ""), ("the pools of deployment groups", "?poolType=deployment")];

/// Looks at an organisation until `stopped` ends; what was known before comes from `positions`.
pub async fn collect<P: Fn(&str) -> Option<String>>(
    settings: &Settings,
    client: Arc<Client>,
    organization: &str,
    intake: mpsc::Sender<Payload>,
    positions: &P,
    stopped: impl Future<Output = ()>,
) -> Result<(), RestError> {
    let look = Look::new(&client, organization, &intake, settings.agents_every, positions);
    let rounds = async {
        tokio::try_join!(
            look.repeat(Round::Agents, settings.agents_every),
            look.repeat(Round::Jobs, settings.jobs_every),
            look.repeat(Round::Builds, settings.agents_every),
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
    Builds,
    Runs,
    Rest,
}

impl Round {
    /// In the words of the log.
    fn name(self) -> &'static str {
        match self {
            Round::Agents => "the agents",
            Round::Jobs => "the jobs of the pools",
            Round::Builds => "the lists of builds",
            Round::Runs => "the runs",
            Round::Rest => "the projects, connections and identities",
        }
    }
}

impl Look<'_> {
    /// Looks again and again; ends when what is seen cannot be handed over.
    async fn repeat(&self, round: Round, every: Ticks) -> Result<(), RestError> {
        let (mut faults, mut slow) = (0u32, 0u32);
        let (what, organization) = (round.name(), self.organization);
        loop {
            let began = self.now();
            let done = match round {
                Round::Agents => self.agents().await,
                Round::Jobs => self.jobs().await,
                Round::Builds => self.builds().await,
                Round::Runs => self.runs().await,
                Round::Rest => self.rest().await,
            };
            let took = self.now().0 - began.0;
            let pause = match done {
                Ok(()) => {
                    if std::mem::take(&mut faults) > 0 {
                        tracing::info!(organization, "{what} are seen again");
                    }
                    slow =
                        if slow >= SLOW || took <= every.0.saturating_mul(3) / 2 { slow } else { slow + 1 };
                    if slow == SLOW && matches!(round, Round::Jobs) {
                        slow += 1;
                        let (took, wanted) = (took / Ticks::seconds(1).0, every.0 / Ticks::seconds(1).0);
                        tracing::warn!(
                            organization,
                            "a look at {what} takes {took} seconds, and `azure_devops.jobs_every` is {wanted}: shorter jobs may not be seen while they run; if the service answers in time, raise `azure_devops.requests_per_minute`"
                        );
                    }
                    Ticks(every.0 - took.clamp(0, every.0))
                }
                Err(error @ RestError::Pipeline { .. }) => return Err(error),
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        organization,
                        "not all of {what} was seen; the next look tries again"
                    );
                    faults += 1;
                    Ticks(AFTER_A_FAULT.0 << (faults - 1).min(16)).min(every)
                }
            };
            self.client.clock.sleep(pause).await;
        }
    }

    /// Pools first, then who is in them.
    async fn agents(&self) -> Result<(), RestError> {
        let mut faults = Faults::default();
        for (kind, (what, query)) in POOLS.into_iter().enumerate() {
            let path = format!("_apis/distributedtask/pools{query}");
            let remedy = "no agent and no job of pools that are in no other list is seen; give the identity that collects the role Reader on them";
            let list = self.unless_dark(what, remedy, self.list(Service::Core, &path).await);
            // Those of a list that is not to be had stay as they are.
            if let Some(pools) = faults.note(list)?.flatten() {
                self.listed(kind, &pools.items);
            }
        }
        for pool in self.pools(|pool| !pool.is_hosted) {
            let path = format!(
                "_apis/distributedtask/pools/{pool}/agents?includeCapabilities=true&includeAssignedRequest=true&includeLastCompletedRequest=true"
            );
            let asked = self.now();
            let list = self.list(Service::Core, &path).await;
            let remedy = "who its agents are and were is not known; give the identity that collects the role Reader on the pool";
            let list = self.unless_dark(&format!("the agents of pool {pool}"), remedy, list);
            if faults.note(list)?.flatten().is_some() {
                faults.note(self.agents_heard(pool, asked).await)?;
            }
        }
        let elastic = faults.note(self.may(Service::Core, "_apis/distributedtask/elasticpools").await)?;
        for id in elastic.unwrap_or_default().iter().filter_map(|pool| pool["poolId"].as_i64()) {
            let path = format!("_apis/distributedtask/elasticpools/{id}/nodes");
            faults.note(self.may(Service::Core, &path).await)?;
        }
        faults.end()
    }

    /// Takes a list of pools of a kind.
    fn listed(&self, kind: usize, pools: &[Json]) {
        let mut state = self.state();
        let there: BTreeSet<i64> = pools.iter().filter_map(|pool| pool["id"].as_i64()).collect();
        state.pools.retain(|id, pool| pool.kind != kind || there.contains(id));
        for pool in pools {
            let Some(id) = pool["id"].as_i64() else { continue };
            let before = state.restored.remove(&id);
            let known = state.pools.entry(id).or_insert_with(|| {
                let seen = before.as_ref().and_then(Seen::restored).unwrap_or_default();
                Pool { known: seen.complete(), seen, kind, is_hosted: false }
            });
            known.kind = kind;
            known.is_hosted = pool["isHosted"].as_bool().unwrap_or(false);
        }
    }

    /// Says that the agents of a pool were heard since the last look, when that was lately.
    async fn agents_heard(&self, pool: i64, asked: Time) -> Result<(), RestError> {
        let last = self.state().agents.insert(pool, asked);
        let lately = |last: &Time| (0..=self.agents_every.0.saturating_mul(2)).contains(&(asked.0 - last.0));
        let Some(last) = last.filter(lately) else { return Ok(()) };
        self.say(heard("agents", self.organization, Some(pool), last, asked)).await
    }

    /// What every pool runs and ran last.
    async fn jobs(&self) -> Result<(), RestError> {
        let mut faults = Faults::default();
        for pool in self.pools(|_| true) {
            faults.note(self.jobs_of(pool).await)?;
        }
        // An older answer holds nothing back any more; of runs there would be ever more.
        self.state().sent.retain(|_, (_, at, repeat)| !self.is_past(*at, *repeat));
        faults.note(self.save().await)?;
        faults.end()
    }

    /// The newest requests of a pool, or all when it is not known that those lack nothing.
    async fn jobs_of(&self, pool: i64) -> Result<(), RestError> {
        let path = format!("_apis/distributedtask/pools/{pool}/jobrequests");
        let what = format!("the job requests of pool {pool}");
        loop {
            let all = self.state().pools.get(&pool).is_none_or(|pool| pool.seen.needs_all());
            let limit = if all { String::new() } else { format!("?$top={NEWEST}") };
            let asked = self.now();
            // What was known before is known: the pages of years need not be turned at each look.
            let is_enough = |jobs: &[Json]| {
                !all && self.state().pools.get(&pool).is_some_and(|pool| pool.seen.is_enough(jobs))
            };
            let how = How { repeat: REPEAT_OF_JOBS, is_enough: &is_enough, keeps_empty: true };
            let list = self.pages(Service::Core, &format!("{path}{limit}"), how).await;
            // Not ours to see, or gone since it was listed.
            let remedy = "other jobs may have run wherever only one is known; give the identity that collects the role Reader on the pool";
            let Some(list) = self.unless_dark(&what, remedy, list)? else { return Ok(()) };
            let is_whole = all || list.is_end && (list.pages > 1 || list.items.len() < NEWEST);
            let (span, open) = {
                let mut state = self.state();
                let known = state.pools.get(&pool).and_then(|pool| pool.known);
                state.runs.requests(&list.items, known, asked);
                let Some(Pool { seen, .. }) = state.pools.get_mut(&pool) else { return Ok(()) };
                seen.take(&list.items, is_whole, asked);
                (seen.unsaid(), seen.open())
            };
            if let Some((from, until)) = span
                && (list.is_news || self.is_past(from, REPEAT))
            {
                let mut line = heard("jobs", self.organization, Some(pool), from, until);
                line["open"] = open.into();
                self.say(line).await?;
                if let Some(pool) = self.state().pools.get_mut(&pool) {
                    pool.seen.said();
                }
            }
            if is_whole || span.is_some() {
                return Ok(());
            }
        }
    }

    /// What changes seldom: projects with their targets and connections, and who there is.
    async fn rest(&self) -> Result<(), RestError> {
        let mut faults = Faults::default();
        for project in faults.note(self.projects().await)?.unwrap_or_default() {
            self.project(&project, &mut faults).await?;
        }
        faults.note(self.may(Service::Core, "_apis/distributedtask/agentclouds").await)?;
        for pool in self.pools(|_| true) {
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
            match missed.end() {
                Ok(()) => self.state().memberships = Some(self.now()),
                Err(error) => drop(faults.note(Err::<(), _>(error))?),
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
}
