//! The jobs of one organisation: by the ids that records name, by run, and by when they ran.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::job::{JobKnown, Timed, is_release};
use super::newest::{Newest, Source, fold, newest};
use super::occupancy::Occupancy;
use crate::model::{Job, Run, Ticks, Time};

#[derive(Default)]
pub(super) struct Jobs {
    #[expect(clippy::vec_box, reason = "a job is large: a list that grows would copy all of them")]
    all: Vec<Box<JobKnown>>,
    by_request: HashMap<i64, usize>,
    /// Job ids repeat from run to run, so they only count together with their run.
    by_job: HashMap<(i64, String), Vec<usize>>,
    by_plan: HashMap<String, Vec<usize>>,
    by_run: HashMap<(bool, i64), Vec<usize>>,
    by_run_name: HashMap<String, Vec<usize>>,
    occupancy: Occupancy,
    projects: HashMap<String, u32>,
    /// Timeline records of jobs by run and job id.
    timelines: HashMap<(i64, String), Vec<Arc<Timed>>>,
    /// Job ids of the timeline of a run.
    timeline_of: HashMap<i64, BTreeSet<String>>,
    /// Jobs as timelines tell of them, by run, job id and attempt: they count where no request does.
    told: HashMap<(i64, String, Option<i64>), usize>,
    pub runs: Newest<(bool, i64), Run>,
    /// Runs of a name, which is not unique.
    runs_named: HashMap<String, BTreeSet<(bool, i64)>>,
}

impl Jobs {
    /// Takes in a job request, or what the timeline of its run says of a job.
    pub fn learn(&mut self, job: &Job, project: Option<&str>, source: Source) {
        match job.request_id {
            Some(request) => self.request(request, job, project, source),
            None => self.timeline_record(job, project, source),
        }
    }

    pub fn run(&mut self, run: &Run, source: Source) {
        let Some(id) = run.run_id else { return };
        let key = (run.run_kind == "release", id);
        if let Some(name) = &run.name {
            self.runs_named.entry(name.clone()).or_default().insert(key);
        }
        newest(&mut self.runs, key, run, source);
    }

    fn request(&mut self, request: i64, job: &Job, project: Option<&str>, source: Source) {
        let index = *self.by_request.entry(request).or_insert(self.all.len());
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
        self.occupy(index);
        self.apply_timeline(index);
    }

    /// What a record adds to the job at an index, which is new when it is the next one.
    fn tell(&mut self, index: usize, job: &Job, project: Option<&str>, source: Source) {
        match self.all.get_mut(index) {
            Some(known) => known.told(job, project, source),
            None => self.all.push(Box::new(JobKnown::new(job, project, source))),
        }
    }

    fn timeline_record(&mut self, job: &Job, project: Option<&str>, source: Source) {
        let (Some(run), Some(id)) = (job.run_id, job.job_id.clone()) else { return };
        let list = self.timelines.entry((run, id.clone())).or_default();
        if !list.iter().any(|told| told.1.hash == source.hash) {
            list.push(Arc::new((job.clone(), source)));
        }
        self.timeline_of.entry(run).or_default().insert(id.clone());
        for index in self.by_job.get(&(run, id.clone())).cloned().unwrap_or_default() {
            self.apply_timeline(index);
        }
        if job.agent_name.is_none() {
            return;
        }
        let index = *self.told.entry((run, id, job.attempt)).or_insert(self.all.len());
        self.tell(index, job, project, source);
        let list = self.by_run.entry((is_release(job.plan_type.as_deref()), run)).or_default();
        if !list.contains(&index) {
            list.push(index);
        }
        self.occupy(index);
    }

    fn occupy(&mut self, index: usize) {
        let next = self.projects.len() as u32;
        let project = self.all[index].project_id.clone();
        let project = project.map(|p| *self.projects.entry(p).or_insert(next));
        self.occupancy.enter(index, &self.all[index], project);
    }

    /// Whether a job counts: a request always, a timeline's job only where no request is that job.
    fn counts(&self, job: &JobKnown) -> bool {
        if job.job.request_id.is_some() {
            return true;
        }
        let (Some(run), Some(id)) = (job.job.run_id, job.job.job_id.clone()) else { return false };
        let requests = self.by_job.get(&(run, id)).into_iter().flatten();
        !requests.map(|index| &self.all[*index]).any(|request| request.is(&job.job))
    }

    /// The jobs in the timeline of a run, each as it was seen last; empty when none was seen.
    pub fn timeline(&self, run: i64) -> Vec<&Timed> {
        let ids = self.timeline_of.get(&run).into_iter().flatten();
        let newest = |id: &String| self.timelines.get(&(run, id.clone()))?.iter().max_by_key(|told| told.1);
        ids.filter_map(newest).map(|told| &**told).collect()
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

    pub fn by_request(&self, request: i64) -> Option<&JobKnown> {
        self.by_request.get(&request).map(|i| &*self.all[*i])
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
        let all = indexes.into_iter().flatten().map(|i| &*self.all[*i]);
        let mut out: Vec<&JobKnown> = all.filter(|job| self.counts(job)).collect();
        out.sort_by_key(|j| (j.job.request_id, j.source));
        out
    }

    /// Jobs that can have been running then; `project` `None` means in all projects. A project of
    /// which no job was ever seen has none.
    pub fn running(&self, project: Option<&str>, at: Time, slack: Ticks) -> Vec<&JobKnown> {
        let scope = match project {
            None => None,
            Some(id) => match self.projects.get(id) {
                Some(index) => Some(*index),
                None => return Vec::new(),
            },
        };
        let mut out: Vec<&JobKnown> = self
            .occupancy
            .around(scope, at)
            .into_iter()
            .map(|i| &*self.all[i])
            .filter(|job| job.runs_at(at, slack) && self.counts(job))
            .collect();
        out.sort_by_key(|j| (j.job.request_id, j.source));
        out
    }

    /// How many are held.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Takes over everything another organisation's jobs hold.
    pub fn absorb(&mut self, other: Jobs) {
        for known in &other.all {
            self.learn(&known.job, known.project_id.as_deref(), known.source);
        }
        for ((run, id), list) in other.timelines {
            for told in list {
                let (job, source) = (told.0.clone(), told.1);
                let job = Job { run_id: Some(run), job_id: Some(id.clone()), ..job };
                self.timeline_record(&job, None, source);
            }
        }
        fold(&mut self.runs, other.runs);
        for (name, runs) in other.runs_named {
            self.runs_named.entry(name).or_default().extend(runs);
        }
    }
}
