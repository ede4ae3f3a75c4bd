//! A day in the life of an organisation: agents, runs, jobs, people, and what was heard of them.

use serde_json::{Value as Json, json};

use super::audit::{Actor, SimEvent};
use crate::model::{Ticks, Time};

/// How large the organisation is.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Runs during the day; each has a build job and a deployment job.
    pub runs: usize,
    /// Agents in each of the two self-hosted pools.
    pub agents: usize,
    /// First moment of the day, RFC 3339.
    pub day: &'static str,
}

impl Plan {
    /// What the demo shows.
    pub fn demo() -> Plan {
        Plan { runs: 40, agents: 4, day: "2026-03-05T00:00:00Z" }
    }
}

/// One organisation and everything Azure DevOps would say of its day.
pub struct World {
    events: Vec<SimEvent>,
    /// Lines of recorded REST traffic.
    captures: Vec<String>,
    /// Bodies of service hooks.
    hooks: Vec<String>,
    highlight: String,
}

const ORGANIZATION: (&str, &str) = ("5b000000-0000-4000-8000-0000000000c0", "contoso");
const PROJECTS: [(&str, &str); 2] =
    [("5b000000-0000-4000-8000-000000000001", "shop"), ("5b000000-0000-4000-8000-000000000002", "payments")];
const POOLS: [(i64, &str); 2] = [(11, "linux-build"), (12, "azure-deploy")];
const DEPLOYER: &str = "7d000000-0000-4000-8000-0000000000d1";
const REGISTRAR: &str = "7d000000-0000-4000-8000-0000000000d2";
const PAT: &str = "9e000000-0000-4000-8000-0000000000e1";
const CONNECTION: &str = "6c000000-0000-4000-8000-0000000000f1";

struct Job {
    request: i64,
    run: usize,
    pool: usize,
    agent: usize,
    stage: &'static str,
    name: &'static str,
    queued: Time,
    received: Time,
    finished: Time,
}

/// A small generator of numbers that only depend on their seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides.max(1)
    }
}

impl World {
    /// Builds the same world for the same plan.
    pub fn build(plan: &Plan) -> World {
        let day = Time::parse(plan.day).unwrap_or_default();
        let mut builder =
            Builder { plan: plan.clone(), day, dice: Dice(7), events: Vec::new(), jobs: Vec::new() };
        builder.registrations();
        builder.schedule();
        let highlight = builder.work();
        builder.people();
        let captures = builder.captures();
        let hooks = builder.hooks();
        let mut events = builder.events;
        events.sort_by_key(|e| e.occurred);
        World { events, captures, hooks, highlight }
    }

    /// All audit events, oldest first.
    pub fn events(&self) -> &[SimEvent] {
        &self.events
    }

    /// Recorded REST traffic: a JSON line for each answer.
    pub fn captures(&self) -> &[String] {
        &self.captures
    }

    /// Service hooks, oldest first.
    pub fn hooks(&self) -> &[String] {
        &self.hooks
    }

    /// Id of the action that shows best what a trace is.
    pub fn highlight(&self) -> &str {
        &self.highlight
    }
}

struct Builder {
    plan: Plan,
    day: Time,
    dice: Dice,
    events: Vec<SimEvent>,
    jobs: Vec<Job>,
}

impl Builder {
    fn at(&self, seconds: i64) -> Time {
        self.day + Ticks::seconds(seconds) + Ticks(1_234_567)
    }

    fn agent_name(&self, pool: usize, agent: usize) -> String {
        format!("{}-{:02}", POOLS[pool].1, agent + 1)
    }

    fn agent_id(&self, pool: usize, agent: usize) -> i64 {
        (pool as i64 + 1) * 100 + agent as i64
    }

    #[expect(clippy::too_many_arguments, reason = "an event has so many parts")]
    fn event(
        &mut self,
        occurred: Time,
        action: &'static str,
        category: usize,
        actor: Actor,
        project: Option<usize>,
        data: Json,
        details: String,
        truth: Option<String>,
    ) -> String {
        let number = self.events.len() + 1;
        let id = format!("a1000000-0000-4000-8000-{number:012x}");
        self.events.push(SimEvent {
            id: id.clone(),
            occurred,
            action,
            truth,
            area: action.split('.').next().unwrap_or(action),
            category,
            actor,
            project: project.map(|p| (PROJECTS[p].0.to_owned(), PROJECTS[p].1.to_owned())),
            organization: (ORGANIZATION.0.to_owned(), ORGANIZATION.1.to_owned()),
            correlation: id.clone(),
            data,
            details,
        });
        id
    }

    /// Agents come into their pools: the builders by a person's token, the deployers by a service principal.
    fn registrations(&mut self) {
        for (pool, (pool_id, pool_name)) in POOLS.into_iter().enumerate() {
            for agent in 0..self.plan.agents {
                let name = self.agent_name(pool, agent);
                let actor = if pool == 0 { token() } else { application("agent-registrar", REGISTRAR) };
                let at = self.at(1800 + (pool * 600 + agent * 60) as i64);
                let details = format!("Added agent {name} to the pool {pool_name}");
                let data = json!({"AgentId": self.agent_id(pool, agent), "AgentName": name, "AgentPoolId": pool_id, "AgentPoolName": pool_name});
                self.event(at, "Library.AgentAdded", 3, actor, None, data, details, None);
            }
        }
    }

    /// Runs start through the day; some overlap, some do not.
    fn schedule(&mut self) {
        let step = 36_000 / self.plan.runs.max(1) as i64;
        for run in 0..self.plan.runs {
            let start = 25_200 + run as i64 * step + self.dice.roll(60) as i64;
            let build = 120 + self.dice.roll(step as u64 / 2 + 200) as i64;
            let deploy = 60 + self.dice.roll(240) as i64;
            for (pool, stage, name, from, length) in
                [(0, "Build", "Compile", start, build), (1, "Deploy", "Rollout", start + build + 20, deploy)]
            {
                let job = Job {
                    request: 5000 + self.jobs.len() as i64,
                    run,
                    pool,
                    agent: run % self.plan.agents.max(1),
                    stage,
                    name,
                    queued: self.at(from),
                    received: self.at(from + 5),
                    finished: self.at(from + 5 + length),
                };
                self.jobs.push(job);
            }
        }
    }

    fn run_id(run: usize) -> i64 {
        700 + run as i64
    }

    fn run_name(&self, run: usize) -> String {
        format!("20260305.{}", run + 1)
    }

    /// What the jobs did, as the audit log tells it. Returns the id of the best one to show.
    fn work(&mut self) -> String {
        let mut highlight = String::new();
        for index in 0..self.jobs.len() {
            let Job { run, pool, agent, stage, name, received, finished, .. } = self.jobs[index];
            let project = run % 2;
            let truth = Some(self.agent_name(pool, agent));
            let (run_id, run_name) = (Self::run_id(run), self.run_name(run));
            let pipeline = 30 + project as i64;
            let halfway = received + Ticks((finished.0 - received.0) / 2);
            if pool == 0 {
                let data =
                    json!({"VariableGroupId": 4, "VariableGroupName": "release-flags", "Type": "Vsts"});
                let details = "Variable group release-flags was modified".to_owned();
                let id = self.event(
                    halfway,
                    "Library.VariableGroupModified",
                    1,
                    build_service(project),
                    Some(project),
                    data,
                    details,
                    truth,
                );
                // The one action with a single job around it shows the most.
                let others = self
                    .jobs
                    .iter()
                    .filter(|j| j.run % 2 == project && j.received <= halfway && halfway <= j.finished);
                if highlight.is_empty() && others.count() == 1 {
                    highlight = id;
                }
            } else {
                let data = json!({
                    "ConnectionId": CONNECTION, "ConnectionName": "azure-production", "ConnectionType": "azurerm", "PlanType": "Build",
                    "DefinitionId": pipeline, "OwnerId": run_id.to_string(), "StartTime": received.to_string(),
                    "FinishTime": finished.to_string(), "Result": "Succeeded",
                });
                let details = format!("Service connection azure-production was executed by run {run_name}");
                let at = finished + Ticks::seconds(2);
                self.event(
                    at,
                    "Library.ServiceConnectionExecuted",
                    5,
                    service(),
                    Some(project),
                    data,
                    details,
                    truth.clone(),
                );
                let data = json!({
                    "PipelineId": pipeline, "PipelineName": format!("{}-ci", PROJECTS[project].1), "RunName": run_name, "StageName": stage,
                    "JobName": name, "EnvironmentName": "production", "DeploymentResult": "Succeeded", "PlanType": "Build",
                    "StartTime": received.to_string(), "FinishTime": finished.to_string(),
                });
                let details = format!("Deployment job {name} of run {run_name} completed");
                let at = finished + Ticks::seconds(3);
                self.event(
                    at,
                    "Pipelines.DeploymentJobCompleted",
                    5,
                    service(),
                    Some(project),
                    data,
                    details,
                    truth,
                );
            }
        }
        highlight
    }

    /// People, services and a credential where it should not be.
    fn people(&mut self) {
        for (i, (action, details)) in [
            ("Pipelines.PipelineModified", "Pipeline shop-ci was modified"),
            ("Security.ModifyPermission", "3 permissions were modified"),
            ("Library.ServiceConnectionModified", "Service connection azure-production was modified"),
            ("Token.PatCreateEvent", "Personal access token build-farm was created"),
        ]
        .into_iter()
        .enumerate()
        {
            let data = json!({"PipelineId": "30", "AuthorizationId": if i == 3 { PAT } else { "" }});
            self.event(
                self.at(30_000 + i as i64 * 500),
                action,
                1,
                person(),
                Some(0),
                data,
                details.to_owned(),
                None,
            );
        }
        for run in 0..self.plan.runs / 4 {
            let data = json!({"CheckSuiteId": format!("8f000000-0000-4000-8000-{run:012x}"), "RunName": self.run_name(run), "StageName": "Deploy"});
            let at = self.at(26_000 + run as i64 * 4 * 36_000 / self.plan.runs.max(1) as i64);
            self.event(
                at,
                "CheckSuite.Completed",
                5,
                service(),
                Some(run % 2),
                data,
                "Checks completed".to_owned(),
                None,
            );
        }
        let data = json!({"RepoId": "6c000000-0000-4000-8000-000000000009", "RepoName": "web"});
        let details = "Repository web was deleted".to_owned();
        self.event(
            self.at(10_800),
            "Git.RepositoryDeleted",
            2,
            build_service(0),
            Some(0),
            data,
            details,
            None,
        );
        let data = json!({"Namespace": "Git Repositories"});
        let details = "Accessed the audit log".to_owned();
        self.event(
            self.at(70_000),
            "AuditLog.AccessLog",
            4,
            application("deployer", DEPLOYER),
            None,
            data,
            details,
            None,
        );
    }

    fn capture(&self, observed: Time, path: &str, body: Json) -> String {
        let url = format!("https://dev.azure.com/{}/{path}", ORGANIZATION.1);
        json!({"url": url, "observed": observed.to_string(), "status": 200, "body": body}).to_string()
    }

    /// What a collector of the REST API would have recorded.
    fn captures(&self) -> Vec<String> {
        let mut out = Vec::new();
        let list = |items: Vec<Json>| json!({"count": items.len(), "value": items});
        for hour in [0, 12, 24] {
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
            let agents = (0..self.plan.agents).map(|agent| self.agent(pool, agent)).collect();
            let path = format!("_apis/distributedtask/pools/{pool_id}/agents?includeCapabilities=true");
            out.push(self.capture(self.at(7200), &path, list(agents)));
            for hour in [2, 8, 12, 16, 20, 24] {
                let until = self.at(hour * 3600);
                let mut jobs = vec![self.yesterday(pool)];
                jobs.extend(
                    self.jobs
                        .iter()
                        .filter(|j| j.pool == pool && j.queued < until)
                        .map(|j| self.request(j, until)),
                );
                let path = format!("_apis/distributedtask/pools/{pool_id}/jobrequests");
                out.push(self.capture(until, &path, list(jobs)));
            }
        }
        for run in 0..self.plan.runs {
            let records = self.jobs.iter().filter(|j| j.run == run).map(|j| {
                json!({
                    "id": job_id(j), "parentId": job_id(j).replace("7f", "7e"), "type": "Job", "name": j.name, "identifier": format!("{}.{}", j.stage, j.name),
                    "startTime": j.received.to_string(), "finishTime": j.finished.to_string(), "state": "completed", "result": "succeeded",
                    "workerName": self.agent_name(j.pool, j.agent), "attempt": 1, "order": 1,
                })
            });
            let path = format!("{}/_apis/build/builds/{}/timeline", PROJECTS[run % 2].0, Self::run_id(run));
            let records: Vec<Json> = records.collect();
            out.push(self.capture(self.at(86_400), &path, json!({"id": plan_id(run), "records": records})));
        }
        let endpoint = json!({
            "id": CONNECTION, "name": "azure-production", "type": "azurerm", "url": "https://management.azure.com/", "isShared": false,
            "data": {"subscriptionId": "12345678-1234-1234-1234-123456789012"}, "createdBy": {"id": person().id},
            "authorization": {"scheme": "WorkloadIdentityFederation", "parameters": {"servicePrincipalId": DEPLOYER}},
        });
        out.push(self.capture(
            self.at(7300),
            &format!("{}/_apis/serviceendpoint/endpoints", PROJECTS[0].0),
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
        out
    }

    fn agent(&self, pool: usize, agent: usize) -> Json {
        let id = self.agent_id(pool, agent);
        json!({
            "id": id, "name": self.agent_name(pool, agent), "version": "4.248.0", "osDescription": "Linux 6.8.0-azure",
            "enabled": true, "status": "online", "provisioningState": "Provisioned", "maxParallelism": 1,
            "createdOn": self.at(1800).to_string(),
            "authorization": {
                "clientId": format!("7b000000-0000-4000-8000-{id:012x}"),
                "publicKey": {"exponent": "AQAB", "modulus": format!("key-of-{id}")},
            },
            "systemCapabilities": {
                "Agent.Name": self.agent_name(pool, agent), "Agent.ComputerName": format!("vm-{}-{agent}", POOLS[pool].1),
                "Agent.OS": "Linux", "DB_PASSWORD": "never stored",
            },
        })
    }

    fn request(&self, job: &Job, until: Time) -> Json {
        let finished = job.finished <= until;
        let received = job.received <= until;
        let project = job.run % 2;
        let mut out = json!({
            "requestId": job.request, "queueTime": job.queued.to_string(), "hostId": ORGANIZATION.0, "scopeId": PROJECTS[project].0,
            "serviceOwner": "00025394-6065-48ca-87d9-7f5672854ef7", "planType": "Build", "planId": plan_id(job.run),
            "jobId": job_id(job), "poolId": POOLS[job.pool].0, "definition": {"id": 30 + project, "name": format!("{}-ci", PROJECTS[project].1)},
            "owner": {"id": Self::run_id(job.run), "name": self.run_name(job.run)},
            "orchestrationId": format!("{}.{}.{}", plan_id(job.run), job.stage, job.name), "priority": 0,
        });
        if received {
            out["assignTime"] = json!(job.queued.to_string());
            out["receiveTime"] = json!(job.received.to_string());
            out["reservedAgent"] = json!({
                "id": self.agent_id(job.pool, job.agent), "name": self.agent_name(job.pool, job.agent), "version": "4.248.0",
                "osDescription": "Linux 6.8.0-azure", "enabled": true, "status": "online",
            });
        }
        if finished {
            out["finishTime"] = json!(job.finished.to_string());
            out["result"] = json!("succeeded");
        }
        out
    }

    /// The last job of the day before, by which a pool's list speaks for the night.
    fn yesterday(&self, pool: usize) -> Json {
        let start = self.day - Ticks::seconds(4000);
        let job = Job {
            request: 4990 + pool as i64,
            run: 9_000,
            pool,
            agent: 0,
            stage: "Build",
            name: "Nightly",
            queued: start,
            received: start + Ticks::seconds(5),
            finished: start + Ticks::seconds(400),
        };
        self.request(&job, self.day)
    }

    fn hooks(&self) -> Vec<String> {
        (0..self.plan.runs)
            .filter_map(|run| {
                let jobs: Vec<&Job> = self.jobs.iter().filter(|j| j.run == run).collect();
                let (first, last) = (jobs.first()?, jobs.last()?);
                let project = run % 2;
                Some(
                    json!({
                        "id": format!("4a000000-0000-4000-8000-{run:012x}"), "eventType": "build.complete", "publisherId": "tfs",
                        "resource": {
                            "id": Self::run_id(run), "buildNumber": self.run_name(run), "status": "completed", "result": "succeeded",
                            "queueTime": first.queued.to_string(), "startTime": first.received.to_string(), "finishTime": last.finished.to_string(),
                            "definition": {"id": 30 + project, "name": format!("{}-ci", PROJECTS[project].1)},
                            "plans": [{"planId": plan_id(run)}], "requestedFor": {"displayName": person().name, "id": person().id},
                            "reason": "individualCI", "sourceBranch": "refs/heads/main",
                        },
                        "resourceVersion": "2.0",
                        "resourceContainers": {
                            "collection": {"id": ORGANIZATION.0, "baseUrl": format!("https://dev.azure.com/{}/", ORGANIZATION.1)},
                            "project": {"id": PROJECTS[project].0},
                        },
                        "createdDate": last.finished.to_string(),
                    })
                    .to_string(),
                )
            })
            .collect()
    }
}

fn plan_id(run: usize) -> String {
    format!("3d000000-0000-4000-8000-{run:012x}")
}

fn job_id(job: &Job) -> String {
    // The same job has the same id in every run of its pipeline.
    format!("7f000000-0000-4000-8000-{:012x}", job.pool)
}

fn person() -> Actor {
    Actor {
        name: "Ada Byron".to_owned(),
        upn: "ada@contoso.example".to_owned(),
        id: "e0729319-5632-68c1-9625-b53fe559bc01".to_owned(),
        auth: Some("AAD_Cookie".to_owned()),
        ip: Some("203.0.113.9".to_owned()),
        user_agent: "Mozilla/5.0 (X11; Linux x86_64)".to_owned(),
        ..Actor::default()
    }
}

fn token() -> Actor {
    Actor {
        auth: Some(format!("PAT_Unscoped authorizationId: {PAT}")),
        user_agent: "VSServices/16.255 (NetStandard; Linux 6.8.0-azure) VstsAgentCore-l".to_owned(),
        ..person()
    }
}

fn application(name: &str, client: &str) -> Actor {
    Actor {
        name: name.to_owned(),
        upn: name.to_owned(),
        client_id: client.to_owned(),
        auth: Some("AADServicePrincipal".to_owned()),
        ip: Some("198.51.100.7".to_owned()),
        user_agent: "VSServices/16.255 (NetStandard; Linux 6.8.0-azure)".to_owned(),
        ..Actor::default()
    }
}

fn service() -> Actor {
    Actor {
        name: "Azure DevOps Service".to_owned(),
        upn: "Azure DevOps Service".to_owned(),
        id: "00000002-0000-8888-8000-000000000000".to_owned(),
        auth: Some("S2S_ServicePrincipal".to_owned()),
        user_agent: "VSServices/19.255 (TfsJobAgent.exe) (Service=tfs)".to_owned(),
        ..Actor::default()
    }
}

fn build_service(project: usize) -> Actor {
    let (id, name) = PROJECTS[project];
    Actor {
        name: format!("{name} Build Service ({})", ORGANIZATION.1),
        upn: name.to_owned(),
        id: id.replace("5b", "5a"),
        auth: Some("SessionToken_Unscoped".to_owned()),
        ip: Some("198.51.100.20".to_owned()),
        user_agent: "VSServices/16.255 (NetStandard; Linux 6.8.0-azure)".to_owned(),
        ..Actor::default()
    }
}
