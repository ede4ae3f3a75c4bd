//! The jobs of one organisation: by the ids that records name, by run, and by when they ran.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::coverage::Spans;
use super::ends::{Ends, Ran};
use super::job::{JobKnown, Timed, UNDER_WAY, is_release};
use super::newest::{Newest, Source, newest};
use super::occupancy::Occupancy;
use crate::model::{Job, Run, Ticks, Time};

#[derive(Default)]
pub(super) struct Jobs {
    #[expect(clippy::vec_box, reason = "a job is large: a list that grows would copy all of them")]
    all: Vec<Box<JobKnown>>,
    by_request: HashMap<i64, usize>,
    /// Where a request was given to one agent after another: the later ones.
    again: HashMap<i64, Vec<usize>>,
    /// Ends of requests in records that name no agent: they are of all who had the request.
    endings: HashMap<i64, Vec<(Job, Option<String>, Source)>>,
    /// Job ids repeat from run to run, so they only count together with their run.
    by_job: HashMap<(i64, String), Vec<usize>>,
    by_plan: HashMap<String, Vec<usize>>,
    by_run: HashMap<(bool, i64), Vec<usize>>,
    by_run_name: HashMap<String, Vec<usize>>,
    occupancy: Occupancy,
    /// Likewise of the jobs that run on the server, without an agent: no pool lists those.
    agentless: Occupancy,
    pub ends: Ends,
    projects: HashMap<String, u32>,
    /// Timeline records of jobs by run and job id.
    timelines: HashMap<(i64, String), Vec<Arc<Timed>>>,
    /// Job ids of the timeline of a run.
    timeline_of: HashMap<i64, BTreeSet<String>>,
    /// Jobs as timelines tell of them, by run, job id and attempt: they count where no request does.
    told: HashMap<(i64, String, Option<i64>), usize>,
    pub runs: Newest<(bool, i64), Run>,
    /// Runs that started, as what was at work where no job of theirs is known to have been.
    bare_runs: HashMap<(bool, i64), usize>,
    /// Until when the timelines of all runs were read.
    runs_heard: Spans,
    /// When the timeline of a build was read last.
    timelines_read: HashMap<i64, Time>,
    /// Runs of a name, which is not unique.
    runs_named: HashMap<String, BTreeSet<(bool, i64)>>,
}

impl Jobs {
    /// Takes in a job request, or what the timeline of its run or a service hook says of a job.
    pub fn learn(&mut self, job: &Job, project: Option<&str>, source: Source, is_hook: bool) {
        match job.request_id {
            Some(request) => self.request(request, job, project, source),
            None => self.timeline_record(job, project, source, is_hook),
        }
    }

    pub fn run(&mut self, run: &Run, project: Option<&str>, source: Source) {
        let Some(id) = run.run_id else { return };
        let key = (run.run_kind == "release", id);
        if let Some(name) = &run.name {
            self.runs_named.entry(name.clone()).or_default().insert(key);
        }
        // One that started had jobs, though none may be known, however it ended.
        if let Some(started) = run.started.filter(|_| run.finished.is_some() || run.result.is_none()) {
            let job = Job {
                run_id: Some(id),
                run_name: run.name.clone(),
                plan_type: key.0.then(|| "Release".to_owned()),
                received: Some(started),
                finished: run.finished.map(|finished| finished.max(started)),
                ..Job::default()
            };
            self.bare_run(key, &job, project, source);
        }
        newest(&mut self.runs, key, run, source);
    }

    fn bare_run(&mut self, key: (bool, i64), job: &Job, project: Option<&str>, source: Source) {
        let index = *self.bare_runs.entry(key).or_insert(self.all.len());
        self.tell(index, job, project, source);
        self.agentless.enter(index, &self.all[index], None);
    }

    fn request(&mut self, request: i64, job: &Job, project: Option<&str>, source: Source) {
        let all = self.had(request);
        if job.agent_id.is_none() && !all.is_empty() {
            all.iter().for_each(|index| self.request_at(*index, job, project, source));
        } else {
            let index = self.place(request, job.agent_id, &all);
            self.request_at(index, job, project, source);
        }
        if job.agent_id.is_none() && job.finished.is_some() {
            let endings = self.endings.entry(request).or_default();
            if endings.iter().all(|(.., own)| *own != source) {
                endings.push((job.clone(), project.map(str::to_owned), source));
            }
        }
    }

    /// Who had a request, one after another.
    fn had(&self, request: i64) -> Vec<usize> {
        let first = self.by_request.get(&request).into_iter();
        first.chain(self.again.get(&request).into_iter().flatten()).copied().collect()
    }

    /// Where what this agent did for a request is held: a request that is given to another agent does not
    /// forget the one before.
    fn place(&mut self, request: i64, agent: Option<i64>, all: &[usize]) -> usize {
        let of = |index: &usize| self.all[*index].job.agent_id;
        let Some(first) = all.first() else {
            self.by_request.insert(request, self.all.len());
            return self.all.len();
        };
        if let Some(own) = all.iter().find(|index| of(index).is_none() || of(index) == agent) {
            return *own;
        }
        let (index, before) = (self.all.len(), &self.all[*first]);
        let (job, project, source) = (before.shared(), before.project_id.clone(), before.source);
        self.again.entry(request).or_default().push(index);
        self.tell(index, &job, project.as_deref(), source);
        for (job, project, source) in self.endings.get(&request).cloned().unwrap_or_default() {
            self.tell(index, &job, project.as_deref(), source);
        }
        index
    }

    fn request_at(&mut self, index: usize, job: &Job, project: Option<&str>, source: Source) {
        self.tell(index, job, project, source);
        let known = &self.all[index];
        let enter = |list: &mut Vec<usize>| {
            if !list.contains(&index) {
                list.push(index);
            }
        };
        if let (Some(run), Some(id)) = (known.job.run_id, &known.job.job_id) {
            enter(self.by_job.entry((run, id.clone())).or_default());
        }
        if let Some(plan) = &known.job.plan_id {
            enter(self.by_plan.entry(plan.clone()).or_default());
        }
        if let Some(run) = known.job.run_id {
            enter(self.by_run.entry((is_release(known.job.plan_type.as_deref()), run)).or_default());
        }
        if let Some(name) = &known.job.run_name {
            enter(self.by_run_name.entry(name.clone()).or_default());
        }
        self.apply_timeline(index);
        self.occupy(index);
    }

    /// What a record adds to the job at an index, which is new when it is the next one.
    fn tell(&mut self, index: usize, job: &Job, project: Option<&str>, source: Source) {
        match self.all.get_mut(index) {
            Some(known) => known.told(job, project, source),
            None => self.all.push(Box::new(JobKnown::new(job, project, source))),
        }
    }

    fn timeline_record(&mut self, job: &Job, project: Option<&str>, source: Source, is_hook: bool) {
        let (Some(run), Some(id)) = (job.run_id, job.job_id.clone()) else { return };
        let list = self.timelines.entry((run, id.clone())).or_default();
        if !list.iter().any(|told| told.source.hash == source.hash) {
            list.push(Arc::new(Timed { job: job.clone(), source, is_hook }));
        }
        if !is_hook {
            self.timeline_of.entry(run).or_default().insert(id.clone());
        }
        for index in self.by_job.get(&(run, id.clone())).cloned().unwrap_or_default() {
            self.apply_timeline(index);
        }
        if job.received.is_none() {
            return;
        }
        let index = *self.told.entry((run, id, job.attempt)).or_insert(self.all.len());
        self.tell(index, job, project, source);
        if job.agent_name.is_none() {
            self.agentless.enter(index, &self.all[index], None);
            return;
        }
        let list = self.by_run.entry((is_release(job.plan_type.as_deref()), run)).or_default();
        if !list.contains(&index) {
            list.push(index);
        }
        self.occupy(index);
    }

    fn occupy(&mut self, index: usize) {
        let next = self.projects.len() as u32;
        // A job whose project is not known may be of any.
        let project = self.all[index].project_id.clone().unwrap_or_default();
        let project = *self.projects.entry(project).or_insert(next);
        self.occupancy.enter(index, &self.all[index], Some(project));
        self.ends.take(index, &self.all[index]);
    }

    /// Whether a job counts: a request always, a timeline's job only where no request is that job.
    fn counts(&self, job: &JobKnown) -> bool {
        if job.job.request_id.is_some() {
            return true;
        }
        let Some(key) = job.job.run_id.zip(job.job.job_id.clone()) else { return false };
        let requests = self.by_job.get(&key).into_iter().flatten();
        !requests.map(|index| &self.all[*index]).any(|request| request.is(&job.job))
    }

    /// The jobs in the timeline of a run, each attempt as it was seen last; empty when none was seen.
    pub fn timeline(&self, run: i64) -> Vec<&Timed> {
        let ids = self.timeline_of.get(&run).into_iter().flatten();
        let all = ids.filter_map(|id| self.timelines.get(&(run, id.clone()))).flatten();
        let mut newest: BTreeMap<(Option<&str>, Option<i64>), &Timed> = BTreeMap::new();
        for told in all.filter(|told| !told.is_hook) {
            let slot = newest.entry((told.job.job_id.as_deref(), told.job.attempt)).or_insert(told);
            if slot.source < told.source {
                *slot = told;
            }
        }
        newest.into_values().collect()
    }

    fn apply_timeline(&mut self, index: usize) {
        let known = &mut self.all[index];
        let (Some(run), Some(id)) = (known.job.run_id, known.job.job_id.clone()) else { return };
        if !is_release(known.job.plan_type.as_deref())
            && let Some(records) = self.timelines.get(&(run, id))
        {
            known.choose_timeline(records);
        }
    }

    /// A request, once for each agent that it was given to.
    pub fn by_request(&self, request: i64) -> Vec<&JobKnown> {
        self.in_order(&self.had(request), |_| true)
    }

    /// Jobs that the timeline of its run has under the id of a request, and that no request is.
    pub fn elsewhere(&self, job: &JobKnown) -> Vec<&JobKnown> {
        let Some((run, id)) = job.job.run_id.zip(job.job.job_id.as_deref()) else { return Vec::new() };
        let of_run = self.by_run(is_release(job.job.plan_type.as_deref()), run).into_iter();
        of_run
            .filter(|told| told.job.request_id.is_none() && told.job.job_id.as_deref() == Some(id))
            .collect()
    }

    pub fn by_plan(&self, plan: &str) -> Vec<&JobKnown> {
        self.select(self.by_plan.get(plan))
    }

    pub fn by_run(&self, release: bool, run: i64) -> Vec<&JobKnown> {
        self.select(self.by_run.get(&(release, run)))
    }

    /// The jobs of all runs of a name: requests that say it, and what timelines tell of such runs.
    pub fn by_run_name(&self, name: &str) -> Vec<&JobKnown> {
        let mut out = self.select(self.by_run_name.get(name));
        for (release, run) in self.runs_named.get(name).into_iter().flatten() {
            let of_run = self.by_run(*release, *run).into_iter();
            out.extend(of_run.filter(|job| job.job.run_name.is_none()));
        }
        out
    }

    fn select(&self, indexes: Option<&Vec<usize>>) -> Vec<&JobKnown> {
        self.in_order(indexes.map_or(&[], Vec::as_slice), |job| self.counts(job))
    }

    /// Some of these jobs, in an order that does not depend on when each was learnt.
    fn in_order(&self, indexes: &[usize], keep: impl Fn(&JobKnown) -> bool) -> Vec<&JobKnown> {
        let all = indexes.iter().map(|index| &*self.all[*index]);
        let mut out: Vec<&JobKnown> = all.filter(|job| keep(job)).collect();
        out.sort_by_key(|j| (j.job.request_id, j.source));
        out
    }

    /// Whether a job ran in a span, give or take `slack`. One of which no time is known may have.
    pub fn ran(&self, job: &JobKnown, from: Time, until: Time, slack: Ticks) -> Ran {
        if job.never_ran() {
            return Ran::Not;
        }
        let Some((began, _)) = job.span() else { return Ran::Perhaps };
        let span = (from - slack, until + slack);
        if began > span.1 {
            return Ran::Not;
        }
        let ran = match job.ended() {
            Some(end) if end.max(began) < span.0 => Ran::Not,
            Some(_) => Ran::Surely,
            None => self.ends.ran(job, began, self.over_by(job, began), span),
        };
        // Of one whose beginning is not told it is not known that it had begun.
        if job.began().is_some() { ran } else { ran.min(Ran::Perhaps) }
    }

    /// By when a job was over at the latest, of which no record tells when it ended.
    fn over_by(&self, job: &JobKnown, began: Time) -> Option<Time> {
        let start = |job: &JobKnown| job.began();
        let next = self.ends.next(job, began, |index| start(&self.all[index]));
        let others = job.job.request_id.map(|request| self.by_request(request)).unwrap_or_default();
        let given_away = others.into_iter().filter_map(start).filter(|at| *at > began).min();
        let key = job.job.run_id.map(|run| (is_release(job.job.plan_type.as_deref()), run));
        let of_run = key.and_then(|key| self.runs.get(&key)?.0.finished).filter(|at| *at >= began);
        let told = job.timeline.as_ref().and_then(|told| told.by);
        [job.abandoned(), job.closed, next, given_away, of_run, told].into_iter().flatten().min()
    }

    /// Jobs that can have been running then, and whether each surely did; `project` `None` means in all
    /// projects.
    pub fn running(&self, project: Option<&str>, at: Time, slack: Ticks) -> Vec<(&JobKnown, Ran)> {
        let mut around = match project {
            None => self.occupancy.around(None, at),
            Some(id) => {
                let scopes = [id, ""].into_iter().filter_map(|id| self.projects.get(id));
                scopes.flat_map(|scope| self.occupancy.around(Some(*scope), at)).collect()
            }
        };
        around.sort_unstable();
        around.dedup();
        let of_scope = |job: &&JobKnown| {
            let own = job.project_id.as_deref();
            project.is_none() || own.is_none() || own == project
        };
        let mut out: Vec<(&JobKnown, Ran)> = around
            .into_iter()
            .map(|i| &*self.all[i])
            .filter(of_scope)
            .map(|job| (job, self.ran(job, at, at, slack)))
            .filter(|(job, ran)| *ran != Ran::Not && self.counts(job))
            .collect();
        out.sort_by_key(|(j, _)| (j.job.request_id, j.source));
        out
    }

    /// The lists of a pool on both sides of a span, when a request that an agent had left them without an end:
    /// they may lack others as well.
    pub fn lost(&self, pool: i64, from: Time, until: Time) -> Option<(Time, Time)> {
        let is_over = |request| {
            let all = self.by_request(request);
            let ended = |job: &&JobKnown| job.job.finished.is_some() || job.closed.is_some();
            all.iter().any(ended) || all.iter().all(|job| job.job.agent_id.is_none())
        };
        self.ends.lost(pool, (from, until), is_over)
    }

    /// What can have been running then of which no agent is known: jobs on the server, by the timelines of their
    /// runs, jobs that only a service hook told of, and runs of which no job is known.
    pub fn agentless(&self, project: Option<&str>, at: Time, slack: Ticks) -> Vec<&JobKnown> {
        let of_run = |job: &JobKnown| {
            let jobs = self.by_run(is_release(job.job.plan_type.as_deref()), job.job.run_id?);
            jobs.iter().find_map(|job| job.project_id.clone())
        };
        let is_in = |job: &JobKnown| {
            let own = job.project_id.clone().or_else(|| of_run(job));
            project.is_none() || own.is_none_or(|own| project == Some(own.as_str()))
        };
        let all = self.agentless.around(None, at).into_iter().map(|index| &*self.all[index]);
        // A hook names no agent where the timeline does.
        let named = |job: &JobKnown| {
            let told = self.told_of(job).iter();
            told.filter(|told| !told.is_hook && job.is(&told.job)).any(|told| told.job.agent_name.is_some())
        };
        let is_bare = |job: &JobKnown| match job.job.job_id {
            Some(_) => self.counts(job) && !named(job),
            None => self.is_bare(job, at, slack),
        };
        // When it ran excludes the most, and costs the least.
        let bare = all
            .filter(|job| job.job.agent_name.is_none() && self.ran(job, at, at, slack) != Ran::Not)
            .filter(|job| is_in(job) && is_bare(job));
        let mut out: Vec<&JobKnown> = bare.collect();
        out.sort_by_key(|job| job.source);
        out
    }

    /// Whether a run that was under way may have been at something that no record tells: what runs on the
    /// server is in its timeline alone. So it may where nobody read that since, and no job of it that is known
    /// was at work or waited for an agent. Of one whose end is not told it is not known for how long.
    fn is_bare(&self, run: &JobKnown, at: Time, slack: Ticks) -> bool {
        let Some(id) = run.job.run_id else { return false };
        let release = is_release(run.job.plan_type.as_deref());
        let (from, until) = (at - slack, at + slack);
        let waited = |job: &JobKnown| {
            let over = job.began().or(job.job.finished).unwrap_or(job.source.known);
            job.job.queued.is_some_and(|since| since <= until) && over >= from
        };
        let ran = |job: &JobKnown| job.span().is_some() && self.ran(job, at, at, slack) != Ran::Not;
        let explains = |job: &&JobKnown| waited(job) || ran(job);
        let is_long_ago =
            run.job.finished.is_none() && run.job.received.is_some_and(|start| start + UNDER_WAY < from);
        let is_read = self.runs_heard.hold(from, until) || !release && self.is_read(id, until);
        !is_long_ago
            && (!is_read || self.lacks_attempts(id))
            && !self.by_run(release, id).iter().any(explains)
    }

    /// Whether the timeline of a build has a job without an agent that was tried before, and no timeline tells
    /// of that: they show the last attempt alone.
    pub fn lacks_attempts(&self, run: i64) -> bool {
        let timeline = self.timeline(run);
        let is_told = |own: &Job, attempt: i64| {
            timeline.iter().any(|told| told.job.job_id == own.job_id && told.job.attempt == Some(attempt))
        };
        let lacks = |job: &Job| (1..job.attempt.unwrap_or(1)).any(|attempt| !is_told(job, attempt));
        timeline.iter().map(|told| &told.job).any(|job| job.agent_name.is_none() && lacks(job))
    }

    /// Takes in that the timelines of all runs that were under way in a span were read after it.
    pub fn runs_heard(&mut self, from: Time, until: Time) {
        self.runs_heard.add(from, until);
    }

    /// Takes in when the timeline of a build was read.
    pub fn timeline_read(&mut self, run: i64, at: Time) {
        let last = self.timelines_read.entry(run).or_insert(at);
        *last = at.max(*last);
    }

    /// Whether the timeline of a build was read at a moment or later.
    pub fn is_read(&self, run: i64, at: Time) -> bool {
        if self.timelines_read.get(&run).is_some_and(|last| *last >= at) {
            return true;
        }
        let ids = self.timeline_of.get(&run).into_iter().flatten();
        let mut told = ids.filter_map(|id| self.timelines.get(&(run, id.clone()))).flatten();
        told.any(|told| !told.is_hook && told.source.known >= at)
    }

    /// Whether a timeline has a job, and not a hook alone.
    pub fn is_in_timeline(&self, job: &JobKnown) -> bool {
        self.told_of(job).iter().any(|told| !told.is_hook)
    }

    /// What timelines and hooks tell of the run and id of a job.
    fn told_of(&self, job: &JobKnown) -> &[Arc<Timed>] {
        let key = job.job.run_id.zip(job.job.job_id.clone());
        key.and_then(|key| self.timelines.get(&key)).map_or(&[], Vec::as_slice)
    }

    /// Whether a job of this project was ever seen.
    pub fn is_project(&self, id: &str) -> bool {
        self.projects.contains_key(id)
    }

    /// How many are held.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Takes over everything another organisation's jobs hold.
    pub fn absorb(&mut self, other: Jobs) {
        let (requests, told): (Vec<_>, Vec<_>) =
            other.all.iter().partition(|known| known.job.request_id.is_some());
        let projects = told.iter().filter_map(|known| Some((known.job.run_id?, known.project_id.clone()?)));
        let projects: HashMap<i64, String> = projects.collect();
        for known in requests {
            self.learn(&known.job, known.project_id.as_deref(), known.source, false);
            for index in known.job.request_id.map(|request| self.had(request)).unwrap_or_default() {
                let own = &mut self.all[index];
                if own.job.agent_id == known.job.agent_id {
                    own.open = own.open.max(known.open);
                    own.closed = [own.closed, known.closed].into_iter().flatten().min();
                }
            }
        }
        for (request, endings) in other.endings {
            for (job, project, source) in endings {
                self.request(request, &job, project.as_deref(), source);
            }
        }
        for ((run, id), list) in other.timelines {
            for told in list {
                let job = Job { run_id: Some(run), job_id: Some(id.clone()), ..told.job.clone() };
                let project = projects.get(&run).map(String::as_str);
                self.timeline_record(&job, project, told.source, told.is_hook);
            }
        }
        for known in told {
            self.timeline_record(&known.job, known.project_id.as_deref(), known.source, false);
        }
        self.ends.absorb(other.ends);
        self.runs_heard.absorb(other.runs_heard);
        other.timelines_read.into_iter().for_each(|(run, at)| self.timeline_read(run, at));
        // The newest record of a run need not be the one that says when it began.
        for (key, index) in other.bare_runs {
            let known = &other.all[index];
            self.bare_run(key, &known.job, known.project_id.as_deref(), known.source);
        }
        for (key, (run, source)) in other.runs {
            newest(&mut self.runs, key, &run, source);
        }
        for (name, runs) in other.runs_named {
            self.runs_named.entry(name).or_default().extend(runs);
        }
    }
}
