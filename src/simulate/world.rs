//! A day in the life of an organisation: agents, runs, jobs, people, and what was heard of them.

use serde_json::{Value as Json, json};

use super::actors::{application, build_service, person, service, token};
use super::audit::{Actor, SimEvent};
use super::guid;
use super::others::{OtherJob, OtherRun};
use crate::model::{Date, Ticks, Time};

/// How large the organisation is.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Runs in all, spread over the days; each has a build job and a deployment job.
    pub runs: usize,
    /// Agents in each of the two self-hosted pools.
    pub agents: usize,
    pub projects: usize,
    /// Actions of a build job of which the log names only the build identity.
    pub actions: usize,
    pub days: usize,
    /// Worlds of different seeds differ in when things happen and who does them.
    pub seed: u64,
    /// Whether the jobs of a pool are not heard of on some days.
    pub outages: bool,
    /// Whether there are attackers, and things that are hard to tell apart.
    pub trouble: bool,
    /// Whether some deployments take ten seconds.
    pub hasty: bool,
    /// Whether there are pools and runs of every other kind, and mishaps of all sorts.
    pub varied: bool,
    /// First moment of the first day.
    pub day: Time,
}

impl Plan {
    /// What the demo shows: a day with an attack.
    pub fn demo() -> Plan {
        Plan { trouble: true, ..Plan::quiet() }
    }

    /// A day on which nothing goes wrong.
    pub fn quiet() -> Plan {
        Plan {
            runs: 40,
            agents: 4,
            projects: 2,
            actions: 1,
            days: 1,
            seed: 7,
            outages: false,
            trouble: false,
            hasty: false,
            varied: false,
            day: Date::from_civil(2026, 3, 5).unwrap_or_default().start(),
        }
    }
}

/// One organisation and everything Azure DevOps would say of its day.
pub struct World {
    pub(super) own: Builder,
    /// Lines of recorded REST traffic.
    captures: Vec<String>,
    /// Bodies of service hooks.
    hooks: Vec<String>,
    highlight: String,
}

pub(super) const ORGANIZATION: (&str, &str) = ("5b000000-0000-4000-8000-0000000000c0", "contoso");
pub(super) const POOLS: [(i64, &str); 2] = [(11, "linux-build"), (12, "azure-deploy")];
pub(super) const DEPLOYER: &str = "7d000000-0000-4000-8000-0000000000d1";
pub(super) const REGISTRAR: &str = "7d000000-0000-4000-8000-0000000000d2";
pub(super) const PAT: &str = "9e000000-0000-4000-8000-0000000000e1";
pub(super) const CONNECTION: &str = "6c000000-0000-4000-8000-0000000000f1";

/// Id and name of a project.
pub(super) fn project(index: usize) -> (String, String) {
    let name =
        ["shop", "payments"].get(index).map_or_else(|| format!("project-{index:02}"), |n| (*n).to_owned());
    (format!("5b000000-0000-4000-8000-{:012x}", 0x1001 + index), name)
}

#[derive(Clone)]
pub(super) struct Job {
    pub request: i64,
    pub run: usize,
    pub pool: usize,
    pub agent: usize,
    pub stage: &'static str,
    pub name: &'static str,
    pub queued: Time,
    pub received: Time,
    pub finished: Time,
}

/// What a record about an agent says of it.
pub(super) fn agent_data(id: i64, name: &str, pool: (i64, &str)) -> Json {
    json!({"AgentId": id, "AgentName": name, "AgentPoolId": pool.0, "AgentPoolName": pool.1})
}

/// A small generator of numbers that only depend on their seed.
pub(super) struct Dice(u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides.max(1)
    }
}

impl World {
    /// Builds the same world for the same plan.
    pub fn build(plan: &Plan) -> World {
        let mut builder = Builder {
            plan: plan.clone(),
            dice: Dice(plan.seed),
            events: Vec::new(),
            jobs: Vec::new(),
            other_runs: Vec::new(),
            others: Vec::new(),
            forged: Vec::new(),
        };
        builder.registrations();
        builder.schedule();
        let highlight = builder.work();
        builder.people();
        builder.trouble();
        builder.variety();
        let captures = builder.captures();
        let hooks = builder.hooks();
        builder.events.sort_by_key(|e| e.occurred);
        World { own: builder, captures, hooks, highlight }
    }

    /// All audit events, oldest first.
    pub fn events(&self) -> &[SimEvent] {
        &self.own.events
    }

    /// Records that come after those whose id they bear, with another action or actor.
    pub fn forged(&self) -> &[SimEvent] {
        &self.own.forged
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

pub(super) struct Builder {
    pub plan: Plan,
    pub dice: Dice,
    pub events: Vec<SimEvent>,
    /// Two of each run, in the order of the runs.
    pub jobs: Vec<Job>,
    /// Runs of every other kind, and their jobs in the order in which they were requested.
    pub other_runs: Vec<OtherRun>,
    pub others: Vec<OtherJob>,
    pub forged: Vec<SimEvent>,
}

impl Builder {
    pub fn at(&self, seconds: i64) -> Time {
        self.plan.day + Ticks::seconds(seconds) + Ticks(1_234_567)
    }

    pub fn agent_name(&self, pool: usize, agent: usize) -> String {
        format!("{}-{:02}", POOLS[pool].1, agent + 1)
    }

    pub fn runs_a_day(&self) -> usize {
        self.plan.runs.div_ceil(self.plan.days.max(1)).max(1)
    }

    pub fn day_of(&self, run: usize) -> usize {
        run / self.runs_a_day()
    }

    pub fn project_of(&self, run: usize) -> usize {
        run % self.plan.projects.max(1)
    }

    pub fn jobs_of_run(&self, run: usize) -> &[Job] {
        self.jobs.get(run * 2..run * 2 + 2).unwrap_or_default()
    }

    pub fn jobs_of(&self, day: usize) -> &[Job] {
        let (from, until) = (day * self.runs_a_day() * 2, (day + 1) * self.runs_a_day() * 2);
        self.jobs.get(from.min(self.jobs.len())..until.min(self.jobs.len())).unwrap_or_default()
    }

    #[expect(clippy::too_many_arguments, reason = "an event has so many parts")]
    pub(super) fn event(
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
        let id = guid(1 + (self.plan.day.date().0 as u64) * 16, number);
        self.events.push(SimEvent {
            id: id.clone(),
            occurred,
            action,
            truth,
            run: None,
            area: action.split('.').next().unwrap_or(action),
            category,
            actor,
            project: project.map(self::project),
            organization: (ORGANIZATION.0.to_owned(), ORGANIZATION.1.to_owned()),
            correlation: id.clone(),
            data,
            details,
            lacks: &[],
        });
        id
    }

    /// Whose work the last event was.
    pub fn is_of_run(&mut self, release: bool, id: i64) {
        if let Some(event) = self.events.last_mut() {
            event.run = Some((release, id));
        }
    }

    pub fn registered(&self, pool: usize, agent: usize) -> Time {
        self.at(1800 + (pool * 600 + agent * 60) as i64)
    }

    /// Agents come into their pools: the builders by a person's token, the deployers by a service principal.
    fn registrations(&mut self) {
        for (pool, (pool_id, pool_name)) in POOLS.into_iter().enumerate() {
            for agent in 0..self.plan.agents {
                let name = self.agent_name(pool, agent);
                let actor = if pool == 0 { token() } else { application("agent-registrar", REGISTRAR) };
                let at = self.registered(pool, agent);
                let details = format!("Added agent {name} to the pool {pool_name}");
                let data = agent_data(self.agent_id(pool, agent, at), &name, (pool_id, pool_name));
                self.event(at, "Library.AgentAdded", 3, actor, None, data, details, None);
            }
        }
    }

    /// Runs start through the day; some overlap, some do not.
    fn schedule(&mut self) {
        let step = 36_000 / self.runs_a_day() as i64;
        for run in 0..self.plan.runs {
            let nth = (run % self.runs_a_day()) as i64;
            let start = self.day_of(run) as i64 * 86_400 + 25_200 + nth * step + self.dice.roll(60) as i64;
            let build = 120 + self.dice.roll(step as u64 / 2 + 200) as i64;
            let deploy = 60 + self.dice.roll(240) as i64;
            let deploy = if self.plan.hasty && run % 8 == 5 { 10 } else { deploy };
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

    pub fn run_id(run: usize) -> i64 {
        700 + run as i64
    }

    pub fn run_name(&self, run: usize) -> String {
        format!("20260305.{}", run + 1)
    }

    /// What the jobs did, as the audit log tells it. Returns the id of the best one to show.
    fn work(&mut self) -> String {
        let mut highlight = String::new();
        for index in 0..self.jobs.len() {
            let Job { run, pool, agent, stage, name, received, finished, .. } = self.jobs[index];
            let project = self.project_of(run);
            let (_, project_name) = self::project(project);
            let truth = Some(self.agent_name(pool, agent));
            let (run_id, run_name) = (Self::run_id(run), self.run_name(run));
            let pipeline = 30 + project as i64;
            if pool == 0 {
                for action in 1..=self.plan.actions {
                    let at = received
                        + Ticks((finished.0 - received.0) / (self.plan.actions as i64 + 1) * action as i64);
                    let data =
                        json!({"VariableGroupId": 4, "VariableGroupName": "release-flags", "Type": "Vsts"});
                    let details = "Variable group release-flags was modified".to_owned();
                    let id = self.event(
                        at,
                        "Library.VariableGroupModified",
                        1,
                        build_service(project),
                        Some(project),
                        data,
                        details,
                        truth.clone(),
                    );
                    self.is_of_run(false, run_id);
                    // An action with a single job around it shows the most, best on the attacker's machine.
                    let shows =
                        !self.plan.trouble || self.is_replaced(pool, agent, received - Ticks::seconds(1800));
                    let others = self.jobs.iter().filter(|j| {
                        self.project_of(j.run) == project && j.received <= at && at <= j.finished
                    });
                    if highlight.is_empty() && shows && others.count() == 1 {
                        highlight = id;
                    }
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
                self.is_of_run(false, run_id);
                let data = json!({
                    "PipelineId": pipeline, "PipelineName": format!("{project_name}-ci"), "RunName": run_name, "StageName": stage,
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
                self.is_of_run(false, run_id);
            }
        }
        highlight
    }

    /// People, services and a credential where it should not be.
    fn people(&mut self) {
        for (i, (action, details)) in [
            ("Pipelines.PipelineModified", "Pipeline shop-ci was modified"),
            ("Security.ResetPermission", "All permissions of shop Build Service (contoso) were reset"),
            ("Library.ServiceConnectionModified", "Service connection azure-production was modified"),
            ("Token.PatCreateEvent", "Personal access token build-farm was created"),
        ]
        .into_iter()
        .enumerate()
        {
            let data = match i {
                1 => super::reach::reset(),
                _ => json!({"PipelineId": "30", "AuthorizationId": if i == 3 { PAT } else { "" }}),
            };
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
        for run in (0..self.plan.runs / 4).map(|nth| nth * 4) {
            let data = json!({"CheckSuiteId": format!("8f000000-0000-4000-8000-{run:012x}"), "RunName": self.run_name(run), "StageName": "Deploy"});
            let Some(at) = self.jobs_of_run(run).last().map(|deploy| deploy.queued) else { continue };
            self.event(
                at,
                "CheckSuite.Completed",
                5,
                service(),
                Some(self.project_of(run)),
                data,
                "Checks completed".to_owned(),
                None,
            );
        }
        for day in 0..self.plan.days as i64 {
            self.night(day * 86_400);
        }
    }

    /// What should not happen: a build identity and a token at work while nobody is, and an application
    /// that reads the log.
    fn night(&mut self, day: i64) {
        let data = || json!({"RepoId": "6c000000-0000-4000-8000-000000000009", "RepoName": "web"});
        let details = "Repository web was deleted".to_owned();
        self.event(
            self.at(day + 10_800),
            "Git.RepositoryDeleted",
            2,
            build_service(0),
            Some(0),
            data(),
            details,
            None,
        );
        let details = "Repository web was created".to_owned();
        let actor = Actor { user_agent: "git/2.44".to_owned(), ip: Some("192.0.2.66".to_owned()), ..token() };
        self.event(self.at(day + 11_400), "Git.RepositoryCreated", 3, actor, Some(0), data(), details, None);
        let data = json!({"Namespace": "Git Repositories"});
        let details = "Accessed the audit log".to_owned();
        let actor = application("deployer", DEPLOYER);
        self.event(self.at(day + 70_000), "AuditLog.AccessLog", 4, actor, None, data, details, None);
    }
}
