//! What else there is: hosted and passing machines, releases, jobs run again, lost or given to others,
//! identities that act elsewhere, and tokens in the wrong hands.

use serde_json::{Value as Json, json};

use super::actors::{application, build_service, collection_service, person, service, token};
use super::audit::Actor;
use super::others::{BURST, FLEETING, HOSTED, OLD, OtherJob, SCALE_SET, TARGETS};
use super::world::{Builder, CONNECTION, POOLS, REGISTRAR, agent_data, project};
use crate::model::{Ticks, Time};

/// Kinds of what happens, one after the other.
const KINDS: usize = 15;
/// A lock is renewed every minute and holds for so long.
const LOCK: i64 = 600;
/// Where a stolen token is used from.
const OUTSIDE: &str = "192.0.2.66";

/// The address from which the jobs of a pool act.
fn address(pool: i64) -> &'static str {
    match pool {
        TARGETS => "198.51.100.40",
        SCALE_SET => "198.51.100.70",
        HOSTED => "20.55.0.9",
        _ => "198.51.100.20",
    }
}

/// What the operator states: from which addresses the agents of each pool come.
pub(super) const ADDRESSES: [(&str, &str); 8] = [
    (POOLS[0].1, "198.51.100.16/28"),
    (POOLS[1].1, "198.51.100.16/28"),
    ("shelf", "198.51.100.40"),
    ("scale-set", "198.51.100.64/26"),
    ("Azure Pipelines", "20.55.0.0/16"),
    ("burst", "198.51.100.16/28"),
    ("old-build", "198.51.100.16/28"),
    ("fleeting", "198.51.100.16/28"),
];

impl Builder {
    /// Lets everything else happen.
    pub(super) fn variety(&mut self) {
        if !self.plan.varied {
            return;
        }
        self.welcome();
        let a_day = (self.runs_a_day() / 4).max(KINDS) as i64;
        for day in 0..self.plan.days as i64 {
            for nth in 0..a_day {
                // Half of it among the regular runs, half of it in the evening, when there are none.
                let (start, step) = match nth % 2 {
                    0 => (25_200 + 36_000 * nth / a_day, 36_000 * 2 / a_day),
                    _ => (64_800 + 18_000 * nth / a_day, 18_000 * 2 / a_day),
                };
                let late = self.dice.roll(60) as i64;
                let start = self.at(day * 86_400 + start + late);
                let length = 70 + self.dice.roll((step / 2).clamp(1, 500) as u64) as i64;
                let kind = (nth + day + nth / KINDS as i64) as usize + self.plan.seed as usize;
                let home = self.dice.roll(self.plan.projects as u64) as usize;
                self.happens(kind % KINDS, home, start, length);
            }
            self.endless(day);
            self.passing_by(day);
        }
        self.blur();
        self.forge();
    }

    /// Jobs in pools that come and go, while nothing regular runs.
    fn passing_by(&mut self, day: i64) {
        for (second, pool) in [
            (49_000, FLEETING),
            (63_100, FLEETING),
            (63_700, BURST),
            (64_300, FLEETING),
            (50_000, OLD),
            (54_000, OLD),
        ] {
            let at = self.at(day * 86_400 + second);
            let there = self.places().iter().any(|place| place.id == pool && place.is_there(at));
            if there {
                self.single(0, pool, "passing", at, 240);
            }
        }
    }

    fn happens(&mut self, kind: usize, home: usize, at: Time, length: i64) -> Option<()> {
        match kind {
            0 => self.matrix(home, at, length),
            1 => self.single(home, SCALE_SET, "image", at, length),
            2 => self.release(home, at, length, 1),
            3 => self.release(home, at, length, 2),
            4 => self.again(home, at, length),
            5 => self.twin(home, at, length),
            6 => self.elsewhere(home, at, length),
            7 => self.abandoned(home, at, length),
            8 => self.reassigned(home, at, length),
            9 => self.stolen(home, at, length),
            10 => self.agentless(home, at, length, true),
            11 => self.agentless(home, at, length, false),
            12 => self.single(home, self.passing(at), "nightly", at, length),
            13 => self.unread(home, at, length),
            _ => self.at_the_edges(home, at, length),
        }
    }

    /// Agents and pools that come, and pools that go.
    fn welcome(&mut self) {
        for (id, name) in self.staying(POOLS[0].0) {
            self.added(self.at(3000 + id % 100), POOLS[0], (id, &name), token());
        }
        for place in self.places() {
            let pool = (place.id, place.name);
            let data = json!({"AgentPoolId": place.id, "AgentPoolName": place.name, "IsHosted": false, "IsLegacy": false});
            for (at, did, category) in [(place.from, "Created", 3), (place.until, "Deleted", 2)] {
                let Some(at) = at else { continue };
                let action =
                    if did == "Created" { "Library.AgentPoolCreated" } else { "Library.AgentPoolDeleted" };
                let details = format!("{did} agent pool {}", place.name);
                self.event(at, action, category, person(), None, data.clone(), details, None);
            }
            if place.id == HOSTED {
                continue;
            }
            for (nth, agent) in self.staying(place.id).iter().enumerate() {
                let since = place.from.unwrap_or(self.at(3200)) + Ticks::seconds(20 + nth as i64);
                let actor = application("agent-registrar", REGISTRAR);
                self.added(since, pool, (agent.0, &agent.1), actor);
            }
            // A request of the night before speaks for the night.
            if place.from.is_none() {
                let night = self.plan.day - Ticks::seconds(4000 - place.id);
                let run = self.new_run(place.id == TARGETS, 0, "night");
                self.new_job(run, place.id, ("Build", "Nightly"), night, 400);
            }
        }
    }

    fn added(&mut self, at: Time, pool: (i64, &str), agent: (i64, &str), actor: Actor) {
        let data = agent_data(agent.0, agent.1, pool);
        let details = format!("Added agent {} to the pool {}", agent.1, pool.1);
        self.event(at, "Library.AgentAdded", 3, actor, None, data, details, None);
    }

    /// A pool that comes or goes, where one is there at the time; else the hosted one.
    fn passing(&self, at: Time) -> i64 {
        let is_there = |id: &i64| {
            let slack = Ticks::seconds(900);
            self.places().iter().any(|place| {
                place.id == *id
                    && place.from.is_none_or(|from| from + slack < at)
                    && place.until.is_none_or(|until| at + slack < until)
            })
        };
        let turn = self.others.len() % 3;
        let mut pools = [FLEETING, OLD, BURST];
        pools.rotate_left(turn);
        pools.into_iter().find(is_there).unwrap_or(HOSTED)
    }

    /// The build identity of a job's project at work for it.
    fn acts(
        &mut self,
        job: &OtherJob,
        at: Time,
        actor: Actor,
        target: usize,
        action: &'static str,
    ) -> String {
        let run = &self.other_runs[job.run];
        let (release, id) = (run.release, run.id);
        let data = json!({"VariableGroupId": 9, "RepoName": "web", "Type": "Vsts"});
        let actor = Actor { ip: Some(address(job.pool).to_owned()), ..actor };
        let truth = Some(job.agent.1.clone());
        let details = format!("{action} of web");
        let event = self.event(at, action, 1, actor, Some(target), data, details, truth);
        self.is_of_run(release, id);
        event
    }

    /// In the middle of a job, its build identity.
    fn works(&mut self, job: &OtherJob) {
        let home = self.other_runs[job.run].home;
        let middle = job.received + Ticks((job.finished.0 - job.received.0) / 2);
        // A picture that ends in the identity's descriptor is on some records only.
        let mut actor = build_service(home);
        actor.image = (job.request % 3 == 0).then(|| super::reach::picture(&project(home).0));
        self.acts(job, middle, actor, home, "Library.VariableGroupModified");
    }

    /// That a run used the connection, as the service that keeps connections tells it.
    fn tells_use(&mut self, job: &OtherJob, after: i64, span: Option<(Time, Time)>, truth: Option<String>) {
        let run = self.other_runs[job.run].clone();
        let kind = if run.release { "Release" } else { "Build" };
        let mut data = json!({
            "ConnectionId": CONNECTION, "ConnectionName": "azure-production", "ConnectionType": "azurerm", "PlanType": kind,
            "DefinitionId": run.pipeline.0, "OwnerId": run.id.to_string(), "Result": "Succeeded",
        });
        if let Some((from, until)) = span {
            data["StartTime"] = json!(from.to_string());
            data["FinishTime"] = json!(until.to_string());
        }
        let at = span.map_or(job.finished, |(_, until)| until) + Ticks::seconds(after);
        let details = format!("Service connection azure-production was executed by {}", run.name);
        let action = "Library.ServiceConnectionExecuted";
        self.event(at, action, 5, service(), Some(run.home), data, details, truth);
        self.is_of_run(run.release, run.id);
    }

    fn used(&mut self, job: &OtherJob) {
        self.tells_use(job, 2, Some((job.received, job.finished)), Some(job.agent.1.clone()));
    }

    /// That a deployment job was completed, with more or less of what the record can say.
    fn deployed(&mut self, job: &OtherJob, after: i64, without: &[&str]) {
        let run = self.other_runs[job.run].clone();
        let mut data = json!({
            "PipelineId": run.pipeline.0, "PipelineName": run.pipeline.1, "RunName": run.name, "StageName": job.stage,
            "JobName": job.name, "EnvironmentName": "production", "DeploymentResult": "Succeeded", "PlanType": "Build",
            "StartTime": job.received.to_string(), "FinishTime": job.finished.to_string(),
        });
        if let Json::Object(members) = &mut data {
            members.retain(|name, _| !without.contains(&name.as_str()));
        }
        let details = format!("Deployment job {} of run {} completed", job.name, run.name);
        let (at, truth) = (job.finished + Ticks::seconds(after), Some(job.agent.1.clone()));
        let action = "Pipelines.DeploymentJobCompleted";
        self.event(at, action, 5, service(), Some(run.home), data, details, truth);
        self.is_of_run(false, run.id);
    }

    fn single(&mut self, home: usize, pool: i64, kind: &str, at: Time, length: i64) -> Option<()> {
        let run = self.new_run(false, home, kind);
        let job = self.new_job(run, pool, ("Build", "Compile"), at, length)?;
        if pool == SCALE_SET {
            let (set, agent) = ((SCALE_SET, "scale-set"), job.agent.clone());
            self.added(job.queued - Ticks::seconds(30), set, (agent.0, &agent.1), service());
            let data = agent_data(agent.0, &agent.1, set);
            let details = format!("Deleted agent {} in the pool scale-set", agent.1);
            let gone = job.finished + Ticks::seconds(15);
            self.event(gone, "Library.AgentDeleted", 2, service(), None, data, details, None);
        }
        self.works(&job);
        // Times are missing, and it comes late: all that is said is which run it was.
        match job.request % 3 {
            0 => self.tells_use(&job, 40, None, Some(job.agent.1.clone())),
            1 => self.deployed(&job, 2, &["StartTime", "FinishTime", "PipelineId"]),
            _ => self.used(&job),
        }
        Some(())
    }

    /// Several jobs of a run at once.
    fn matrix(&mut self, home: usize, at: Time, length: i64) -> Option<()> {
        let run = self.new_run(false, home, "matrix");
        let mut jobs = Vec::new();
        for (nth, name) in ["Test linux", "Test windows", "Test mac"].into_iter().enumerate() {
            jobs.push(self.new_job(
                run,
                HOSTED,
                ("Test", name),
                at + Ticks::seconds(nth as i64),
                length + 7,
            )?);
        }
        for job in &jobs {
            self.works(job);
        }
        self.used(&jobs[1]);
        self.deployed(&jobs[2], 3, &[]);
        Some(())
    }

    /// A classic release to one target of the group, or to two at once.
    fn release(&mut self, home: usize, at: Time, length: i64, targets: usize) -> Option<()> {
        let run = self.new_run(true, home, "release");
        let mut jobs = Vec::new();
        for nth in 0..targets as i64 {
            let at = at + Ticks::seconds(nth * 9);
            jobs.push(self.new_job(run, TARGETS, ("Production", "Deploy"), at, length)?);
        }
        let last = jobs[targets - 1].clone();
        jobs.iter().for_each(|job| self.works(job));
        self.used(&last);
        let own = self.other_runs[run].clone();
        let data = json!({
            "CallerProcedure": "Release.prc_OnDeploymentCompleted", "DeploymentResult": "Succeeded",
            "PipelineId": own.pipeline.0.to_string(), "PipelineName": own.pipeline.1, "ReleaseName": own.name,
            "RequesterId": "0000000D-0000-8888-8000-000000000000", "StageName": last.stage,
        });
        let details = format!("Deployment of release {} to Production was Succeeded", own.name);
        let (done, truth) = (last.finished + Ticks::seconds(2), Some(last.agent.1));
        self.event(done, "Release.DeploymentCompleted", 5, service(), Some(home), data, details, truth);
        self.is_of_run(true, own.id);
        // And a procedure of the server does what no job did.
        let data = json!({"CallerProcedure": "prc_UpdateGroupMembership", "Updates": []});
        let details = "1 member was removed".to_owned();
        let at = done + Ticks::seconds(30);
        self.event(at, "Group.UpdateGroupMembership.Remove", 2, service(), None, data, details, None);
        Some(())
    }

    /// A job that failed and was run again: another request and agent, the same run and job id.
    fn again(&mut self, home: usize, at: Time, length: i64) -> Option<()> {
        let run = self.new_run(false, home, "flaky");
        let first = self.new_job(run, POOLS[0].0, ("Deploy", "Rollout"), at, length)?;
        let later = first.finished + Ticks::seconds(10 + length / 3);
        // Another agent than the first takes it.
        let next = self.free(POOLS[0].0, first.queued, later + Ticks::seconds(length))?;
        let mut second = self.new_job(run, POOLS[0].0, ("Deploy", "Rollout"), later, length)?;
        second.agent = next.clone();
        for job in &mut self.others {
            match job.request {
                request if request == first.request => job.result = "failed",
                request if request == second.request => (job.attempt, job.agent) = (2, next.clone()),
                _ => {}
            }
        }
        self.works(&first);
        self.works(&second);
        self.used(&second);
        // By ids alone, both attempts are meant.
        let data = json!({"PlanId": self.other_plan(run), "JobId": second.job_id(), "PlanType": "Build", "JobName": second.name});
        let details = "Deployment job Rollout completed";
        self.named(home, &second, "Pipelines.DeploymentJobCompleted", data, details);
        Some(())
    }

    /// A record of a build's job that names the job by its ids.
    fn named(&mut self, home: usize, job: &OtherJob, action: &'static str, data: Json, details: &str) {
        let (done, truth) = (job.finished + Ticks::seconds(1), Some(job.agent.1.clone()));
        self.event(done, action, 5, service(), Some(home), data, details.to_owned(), truth);
        self.is_of_run(false, self.other_runs[job.run].id);
    }

    /// A run that is called as a regular one, at the same time, of another pipeline.
    fn twin(&mut self, home: usize, at: Time, length: i64) -> Option<()> {
        let near = |job: &&super::world::Job| {
            job.pool == 1 && self.project_of(job.run) == home && job.received >= at - Ticks::seconds(600)
        };
        let named = self.jobs.iter().find(near).map(|job| self.run_name(job.run));
        let run = self.new_run(false, home, "twin");
        if let Some(name) = named {
            self.other_runs[run].name = name;
        }
        let job = self.new_job(run, HOSTED, ("Deploy", "Rollout"), at, length)?;
        self.works(&job);
        self.used(&job);
        let without: &[&str] = if job.request % 2 == 0 { &[] } else { &["PipelineId", "PipelineName"] };
        self.deployed(&job, 3, without);
        Some(())
    }

    /// The collection's build identity, and that of the project, at work on another project.
    fn elsewhere(&mut self, home: usize, at: Time, length: i64) -> Option<()> {
        let run = self.new_run(false, home, "across");
        let job = self.new_job(run, HOSTED, ("Build", "Publish"), at, length)?;
        let other = (home + 1) % self.plan.projects.max(1);
        let part = |tenths: i64| job.received + Ticks((job.finished.0 - job.received.0) / 10 * tenths);
        let mut actor = collection_service();
        self.acts(&job, part(3), actor.clone(), other, "Library.VariableGroupModified");
        actor.image = Some(super::reach::picture(super::world::ORGANIZATION.0));
        self.acts(&job, part(5), actor, other, "Library.VariableGroupModified");
        self.acts(&job, part(7), build_service(home), other, "Library.VariableGroupModified");
        Some(())
    }

    /// The machine is lost: the request ends when its lock does, and work ended before.
    fn abandoned(&mut self, home: usize, at: Time, length: i64) -> Option<()> {
        let run = self.new_run(false, home, "lost");
        let mut job = self.new_job(run, POOLS[0].0, ("Build", "Compile"), at, length)?;
        self.works(&job);
        job.finished = job.finished + Ticks::seconds(LOCK);
        job.result = "abandoned";
        if let Some(own) = self.others.last_mut() {
            (own.finished, own.result) = (job.finished, job.result);
        }
        // Its token is tried from elsewhere while the lock still holds.
        let mut thief = build_service(home);
        thief.ip = Some(OUTSIDE.to_owned());
        thief.user_agent = "curl/8.5".to_owned();
        let at = job.finished - Ticks::seconds(200);
        let details = "Variable group was deleted".to_owned();
        self.event(at, "Library.VariableGroupDeleted", 2, thief, Some(home), json!({}), details, None);
        Some(())
    }

    /// An agent is given a job, and another does it in the end.
    fn reassigned(&mut self, home: usize, at: Time, length: i64) -> Option<()> {
        let run = self.new_run(false, home, "moved");
        let until = at + Ticks::seconds(2 * length + 60);
        let first = self.free(POOLS[0].0, at - Ticks::seconds(10), until)?;
        // Whether the first one took it up, or was gone by then.
        let taken = self.others.len().is_multiple_of(2).then_some(at);
        let name = self.others.len();
        let mut job = self.new_job(run, POOLS[0].0, ("Build", "Compile"), at, 2 * length + 60)?;
        job.before = Some((first.clone(), taken));
        // `new_job` gave it the first one, too, who is busy now.
        let next = self.free(POOLS[0].0, job.queued, job.finished)?;
        job.agent = next;
        job.assigned = at + Ticks::seconds(length);
        job.received = job.assigned + Ticks::seconds(5);
        self.others[name] = job.clone();
        if let Some(taken) = taken {
            let early = OtherJob { agent: first, ..job.clone() };
            self.acts(
                &early,
                taken + Ticks::seconds(length / 2),
                build_service(home),
                home,
                "Library.VariableGroupModified",
            );
        }
        self.works(&job);
        self.used(&job);
        let data = json!({"ConnectionId": CONNECTION, "PlanType": "Build", "RequestId": job.request});
        let details = "Service connection azure-production was executed";
        self.named(home, &job, "Library.ServiceConnectionExecuted", data, details);
        Some(())
    }

    /// The token of a job in other hands, while the job runs and after.
    fn stolen(&mut self, home: usize, at: Time, length: i64) -> Option<()> {
        let run = self.new_run(false, home, "leaky");
        let job = self.new_job(run, POOLS[0].0, ("Build", "Compile"), at, length)?;
        self.works(&job);
        for (at, action) in [
            (job.received + Ticks::seconds(length / 3), "Library.SecureFileDownloaded"),
            (job.finished + Ticks::seconds(200), "Git.RepositoryDeleted"),
        ] {
            let mut actor = build_service(home);
            actor.ip = Some(OUTSIDE.to_owned());
            actor.user_agent = "python-requests/2.32".to_owned();
            let details = "It was done with the token of a job".to_owned();
            self.event(at, action, 2, actor, Some(home), json!({"RepoName": "web"}), details, None);
        }
        Some(())
    }

    /// A job without an agent beside one that has one: the server used the connection, too. Of a
    /// release no timeline tells.
    fn agentless(&mut self, home: usize, at: Time, length: i64, release: bool) -> Option<()> {
        let run = self.new_run(release, home, "gated");
        let pool = if release { TARGETS } else { HOSTED };
        let job = self.new_job(run, pool, ("Deploy", "Rollout"), at, length)?;
        let span = (job.received + Ticks::seconds(10), job.received + Ticks::seconds(length / 2 + 10));
        self.other_runs[run].agentless = Some(span);
        self.works(&job);
        self.tells_use(&job, 2, Some(span), None);
        self.used(&job);
        if !release {
            // It is named after the job without an agent.
            let server = OtherJob { name: "Notify", received: span.0, finished: span.1, ..job };
            self.deployed(&server, 3, &[]);
            if let Some(event) = self.events.last_mut() {
                event.truth = None;
            }
        }
        Some(())
    }

    /// A run that goes on on the server after its job, as only its timeline would tell, and nobody read that:
    /// its token is used while the job of another run is at work, from an address of Azure like that of hosted agents.
    fn unread(&mut self, home: usize, at: Time, length: i64) -> Option<()> {
        let run = self.new_run(false, home, "staged");
        let job = self.new_job(run, HOSTED, ("Build", "Compile"), at, length / 3)?;
        let (from, until) = (job.finished + Ticks::seconds(1), at + Ticks::seconds(length));
        (self.other_runs[run].agentless, self.other_runs[run].looked) = (Some((from, until)), None);
        let other = self.new_run(false, home, "beside");
        let beside = self.new_job(other, HOSTED, ("Build", "Compile"), from, length / 2)?;
        self.works(&job);
        self.works(&beside);
        let actor = Actor { ip: Some("20.55.3.7".to_owned()), ..build_service(home) };
        let details = "A gate on the server changed it with the token of its run".to_owned();
        let middle = from + Ticks::seconds(length / 4);
        self.event(
            middle,
            "Library.VariableGroupModified",
            1,
            actor,
            Some(home),
            json!({"VariableGroupId": 9}),
            details,
            None,
        );
        Some(())
    }

    /// Actions at the very edges of a job.
    fn at_the_edges(&mut self, home: usize, at: Time, length: i64) -> Option<()> {
        let run = self.new_run(false, home, "edges");
        let job = self.new_job(run, HOSTED, ("Build", "Compile"), at, length)?;
        let moment = Ticks::seconds(1);
        for (at, action) in [
            (job.received + moment, "Git.RefUpdatePoliciesBypassed"),
            (job.finished - moment, "Git.RefUpdatePoliciesBypassed"),
            (job.received + moment, "Policy.PolicyConfigModified"),
            (job.finished - moment, "Policy.PolicyConfigModified"),
        ] {
            self.acts(&job, at, build_service(home), home, action);
        }
        Some(())
    }

    /// Jobs over midnight, of which the end is not listed where the lists stop then.
    fn endless(&mut self, day: i64) -> Option<()> {
        for (nth, pool) in [POOLS[0].0, POOLS[0].0, SCALE_SET, SCALE_SET].into_iter().enumerate() {
            let home = nth % 2 % self.plan.projects.max(1);
            let at = self.at(day * 86_400 + 85_800 + 30 * nth as i64);
            let run = self.new_run(false, home, "late");
            let job = self.new_job(run, pool, ("Build", "Compile"), at, 2400)?;
            let own = &mut self.other_runs[run];
            // The timeline of one is recorded while it runs, of another after it ended.
            own.looked = [own.looked, own.looked.map(|at| at - Ticks::seconds(86_400)), None, None][nth];
            own.told = nth == 2;
            for after in [200, 1500] {
                let at = job.received + Ticks::seconds(after);
                self.acts(&job, at, build_service(home), home, "Library.VariableGroupModified");
            }
        }
        Some(())
    }

    /// Clocks that are off, and members that records lack.
    fn blur(&mut self) {
        const LACKS: [&[&str]; 5] = [
            &["userAgent"],
            &["projectName"],
            &["correlationId", "activityId"],
            &["ipAddress", "userAgent"],
            &["projectName", "authenticationMechanism", "actorCUID"],
        ];
        for (nth, event) in self.events.iter_mut().enumerate() {
            match event.area {
                "Git" => event.occurred = event.occurred - Ticks(39_000_000),
                "Policy" => event.occurred = event.occurred + Ticks(39_000_000),
                _ => {}
            }
            let build = event.actor.name.contains(" Build Service (") && event.truth.is_some();
            if build && nth % 9 == 4 && event.correlation == event.id {
                event.lacks = LACKS[nth / 9 % LACKS.len()];
            }
        }
    }

    /// Records with the id of another: an action that it was not, a registration by somebody else, a job
    /// it was not of.
    fn forge(&mut self) {
        let first = self.others.first().map_or(0, |job| job.request);
        let turns = self.events.iter().enumerate().filter(|(nth, _)| nth % 37 == 5);
        let forged = turns.map(|(nth, event)| {
            let mut forged = event.clone();
            match nth % 3 {
                0 => forged.actor = super::actors::thief(),
                1 => (forged.action, forged.area) = ("Git.RepositoryDeleted", "Git"),
                _ => forged.data = json!({"PlanType": "Build", "RequestId": first, "AgentId": 190_000, "AgentName": "kali"}),
            }
            if event.action == "Library.AgentAdded" {
                forged.actor = super::actors::thief();
                forged.data = agent_data(event.data["AgentId"].as_i64().unwrap_or(1), "kali", POOLS[0]);
            }
            // What has the same time, action and actor would be the same record.
            if (forged.action, &forged.actor.id) == (event.action, &event.actor.id) {
                forged.action = "Library.VariableGroupDeleted";
            }
            forged
        });
        self.forged = forged.collect();
    }
}
