//! What goes wrong and what is attacked: a stolen token, an agent replaced in place, names used again,
//! identities and addresses that many share.

use serde_json::{Value as Json, json};

use super::actors::{application, build_service, person, service, thief, token};
use super::guid;
use super::present::{job_id, machine, plan_id};
use super::reach::{membership, permissions};
use super::world::{Builder, CONNECTION, DEPLOYER, Job, POOLS, REGISTRAR, agent_data, project};
use crate::model::{Ticks, Time};

/// When an agent is replaced, and another deleted and added again: noon of the first day.
const NOON: i64 = 43_200;
/// Added to the id of the agent that was added again.
const AGAIN: i64 = 50_000;

impl Builder {
    /// Whether a machine of the attacker is this agent of the first pool by then.
    pub(super) fn is_replaced(&self, pool: usize, agent: usize, at: Time) -> bool {
        self.plan.trouble && pool == 0 && agent + 1 == self.plan.agents && at >= self.at(NOON)
    }

    fn is_again(&self, pool: usize, agent: usize, at: Time) -> bool {
        self.plan.trouble && self.plan.agents > 2 && (pool, agent) == (0, 1) && at >= self.at(NOON)
    }

    pub(super) fn agent_id(&self, pool: usize, agent: usize, at: Time) -> i64 {
        let again = if self.is_again(pool, agent, at) { AGAIN } else { 0 };
        (pool as i64 + 1) * 100_000 + agent as i64 + again
    }

    /// Runs around which more happens than in others.
    pub(super) fn is_troubled(&self, run: usize) -> bool {
        self.plan.trouble && run % 8 == 3
    }

    /// Tells of the attack, and of what is hard to tell apart.
    pub(super) fn trouble(&mut self) {
        if !self.plan.trouble {
            return;
        }
        self.attack();
        for run in (0..self.plan.runs).filter(|run| run % 8 == 3) {
            let [build, deploy] = self.jobs_of_run(run) else { continue };
            let (build, deploy) = (build.clone(), deploy.clone());
            self.by_ids(&build);
            for (job, tenths) in [(&build, 3), (&build, 1), (&deploy, 1), (&deploy, 9)] {
                self.by_correlation(job, tenths);
            }
            self.by_application(&deploy);
            self.by_token(&build);
            self.by_others(&build);
        }
        for day in 0..self.plan.days as i64 {
            self.persistence(day);
        }
    }

    /// A token stolen from its owner registers another machine in place of an agent, and makes a
    /// pipeline that runs there and is gone afterwards, as nord-stream does.
    fn attack(&mut self) {
        let last = self.plan.agents.saturating_sub(1);
        let (pool_id, pool_name) = POOLS[0];
        let registers =
            |actor: super::audit::Actor| super::audit::Actor { user_agent: token().user_agent, ..actor };
        let mut agents = vec![(last, "Library.AgentAdded", registers(thief()))];
        if self.plan.agents > 2 {
            agents.push((1, "Library.AgentDeleted", person()));
            agents.push((1, "Library.AgentAdded", token()));
        }
        for (nth, (agent, action, actor)) in agents.into_iter().enumerate() {
            let at = self.at(NOON) + Ticks::seconds(nth as i64);
            let id = self.agent_id(0, agent, if action.ends_with("Deleted") { self.plan.day } else { at });
            let name = self.agent_name(0, agent);
            let data = agent_data(id, &name, (pool_id, pool_name));
            let (did, category) = if action.ends_with("Deleted") { ("Deleted", 2) } else { ("Added", 3) };
            let details = format!("{did} agent {name} in the pool {pool_name}");
            self.event(at, action, category, actor, None, data, details, None);
        }
        for (after, action, category, did) in [
            (-300, "Pipelines.PipelineCreated", 3, "created"),
            (900, "Pipelines.PipelineDeleted", 2, "deleted"),
        ] {
            let data = json!({"PipelineId": 99, "PipelineName": "healthcheck"});
            let details = format!("Pipeline healthcheck was {did}");
            self.event(self.at(NOON + after), action, category, thief(), Some(0), data, details, None);
        }
    }

    /// What ADOKit does to stay: keys, membership, permissions, each night with the stolen token.
    fn persistence(&mut self, day: i64) {
        for (nth, (action, category, details, data)) in [
            ("Token.SshCreateEvent", 3, "SSH key was created", json!({})),
            (
                "Group.UpdateGroupMembership.Add",
                1,
                "Ada Byron was added to Project Collection Administrators",
                membership(),
            ),
            ("Security.ModifyPermission", 1, "3 permissions were modified", permissions()),
            ("AuditLog.AccessLog", 4, "Accessed the audit log", json!({})),
        ]
        .into_iter()
        .enumerate()
        {
            let at = self.at(day * 86_400 + 7_200 + nth as i64 * 40);
            self.event(at, action, category, thief(), None, data, details.to_owned(), None);
        }
    }

    /// Records that name the job itself.
    fn by_ids(&mut self, job: &Job) {
        let (at, truth) = (job.finished + Ticks::seconds(1), self.agent_name(job.pool, job.agent));
        let data = json!({"PlanId": plan_id(job.run), "JobId": job_id(job), "PlanType": "Build", "JobName": job.name});
        let project = self.project_of(job.run);
        let details = format!("Deployment job {} completed", job.name);
        self.event(
            at,
            "Pipelines.DeploymentJobCompleted",
            5,
            service(),
            Some(project),
            data,
            details,
            Some(truth),
        );
    }

    /// Two records of one call, of which only one names the job.
    fn by_correlation(&mut self, job: &Job, tenths: i64) {
        let at = job.received + Ticks((job.finished.0 - job.received.0) / 10 * tenths);
        let truth = Some(self.agent_name(job.pool, job.agent));
        let project = self.project_of(job.run);
        let data = json!({"VariableGroupId": 4, "VariableGroupName": "release-flags", "Type": "Vsts"});
        let details = "Variable group release-flags was modified".to_owned();
        let actor = build_service(project);
        let first = self.event(
            at,
            "Library.VariableGroupModified",
            1,
            actor,
            Some(project),
            data,
            details,
            truth.clone(),
        );
        let data = json!({"ConnectionId": CONNECTION, "PlanType": "Build", "RequestId": job.request});
        let details = "Service connection azure-production was executed".to_owned();
        let action = "Library.ServiceConnectionExecuted";
        self.event(at + Ticks::seconds(1), action, 5, service(), Some(project), data, details, truth);
        if let Some(event) = self.events.last_mut() {
            event.correlation = first;
        }
    }

    /// The application of a service connection at work for the run that uses it.
    fn by_application(&mut self, job: &Job) {
        let at = job.received + Ticks((job.finished.0 - job.received.0) / 2);
        let truth = Some(self.agent_name(job.pool, job.agent));
        let project = Some(self.project_of(job.run));
        let data = json!({"RepoId": "6c000000-0000-4000-8000-000000000009", "RepoName": "web"});
        let details = "Policy was bypassed".to_owned();
        let actor = application("deployer", DEPLOYER);
        self.event(at, "Git.RefUpdatePoliciesBypassed", 5, actor, project, data, details, truth);
    }

    /// A person's token in a script of a job, behind the address that its owner's agents share.
    fn by_token(&mut self, job: &Job) {
        let at = job.received + Ticks((job.finished.0 - job.received.0) / 4);
        let truth = Some(self.agent_name(job.pool, job.agent));
        let project = Some(self.project_of(job.run));
        let details = "Repository web was renamed".to_owned();
        let actor = token();
        self.event(
            at,
            "Git.RepositoryRenamed",
            1,
            actor,
            project,
            json!({"RepoName": "web"}),
            details,
            truth,
        );
    }

    /// A person, the service itself, and a machine of a scale set that comes and goes.
    fn by_others(&mut self, job: &Job) {
        let (at, project) = (job.queued, Some(self.project_of(job.run)));
        let retained = "Run was retained".to_owned();
        self.event(at, "Pipelines.RunRetained", 1, person(), project, json!({}), retained, None);
        let updated = "Extension was updated".to_owned();
        self.event(
            at + Ticks::seconds(3),
            "Extension.VersionUpdated",
            1,
            service(),
            None,
            json!({}),
            updated,
            None,
        );
        let (pool_id, pool_name) = POOLS[1];
        for (after, action, did, category) in
            [(5, "Library.AgentAdded", "Added", 3), (40, "Library.AgentDeleted", "Deleted", 2)]
        {
            let (id, name) = machine(job.run);
            let data = agent_data(id, &name, (pool_id, pool_name));
            let details = format!("{did} agent {name} in the pool {pool_name}");
            let actor = application("agent-registrar", REGISTRAR);
            self.event(at + Ticks::seconds(after), action, category, actor, None, data, details, None);
        }
    }

    /// What is recorded of it: the pool after noon, the uses of the connection, the tokens of Entra.
    pub(super) fn trouble_captures(&self) -> Vec<String> {
        let mut out = Vec::new();
        if !self.plan.trouble {
            return out;
        }
        let noon = self.at(NOON + 1800);
        // The listing has the request an agent ran last, in other words than the pool's own.
        let agents = (0..self.plan.agents).map(|agent| {
            let mut record = self.agent(0, agent, noon);
            let own = |job: &&Job| job.pool == 0 && job.agent == agent && job.finished < noon;
            if let Some(last) = self.jobs_of(0).iter().rev().find(own) {
                record["lastCompletedRequest"] = self.held(last, noon);
            }
            record
        });
        let agents: Vec<Json> = agents.chain(self.others_in(POOLS[0].0, noon)).collect();
        let path = format!("_apis/distributedtask/pools/{}/agents?includeCapabilities=true", POOLS[0].0);
        out.push(self.capture(noon, &path, json!({"count": agents.len(), "value": agents})));
        for run in (0..self.plan.runs).filter(|run| self.is_troubled(*run)) {
            let [_, deploy] = self.jobs_of_run(run) else { continue };
            let (project_id, _) = project(self.project_of(run));
            let usage = self.usage(deploy);
            let path = format!("{project_id}/_apis/serviceendpoint/{CONNECTION}/executionhistory");
            out.push(self.capture(deploy.finished, &path, json!({"count": 1, "value": [usage]})));
            let at = deploy.received - Ticks::seconds(30);
            let row = json!({
                "time": at.to_string(), "category": "ServicePrincipalSignInLogs", "resultType": "0",
                "tenantId": "62e2ee3f-dbd4-48d8-9b85-4a3000000000",
                "properties": {
                    "id": guid(6, run), "createdDateTime": at.to_string(), "appId": DEPLOYER, "ipAddress": "198.51.100.7",
                    "servicePrincipalId": DEPLOYER.replace("7d", "7c"), "servicePrincipalName": "deployer",
                    "resourceDisplayName": "Azure DevOps",
                },
            });
            out.push(row.to_string());
        }
        out
    }
}
