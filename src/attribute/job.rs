//! One job request with everything its records said so far, the same whatever their order.

use std::sync::Arc;

use super::newest::Source;
use crate::model::{Job, Ticks, Time};

/// A job as a timeline tells of it, or a service hook.
#[derive(Clone, Debug)]
pub(super) struct Timed {
    pub job: Job,
    pub source: Source,
    /// A hook knows of no agent.
    pub is_hook: bool,
}

/// A job with everything its records said so far.
#[derive(Clone, Debug)]
pub(super) struct JobKnown {
    pub job: Job,
    pub project_id: Option<String>,
    /// The record that saw it furthest.
    pub source: Source,
    /// When it was last seen with an agent and without an end.
    pub open: Time,
    /// When it was first seen with a result, though without an end.
    pub closed: Option<Time>,
    /// What a timeline adds, when one has this job.
    pub timeline: Option<Told>,
    /// The records that fields are from, each with how far it saw the job.
    records: Vec<Rank>,
    /// For each field the index of the record it is from.
    from: [u8; FIELDS],
}

/// What a timeline says of a job that its request does not.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub name: Option<String>,
    pub attempt: Option<i64>,
    pub source: Source,
    pub is_hook: bool,
    /// Which agent it names.
    pub agent_name: Option<String>,
    /// The first end after its beginning: it may be that of a later attempt, under the same id.
    pub by: Option<Time>,
    /// That end, where it is of what began when this did.
    pub finished: Option<Time>,
}

/// An agent renews its lock on a request while it works, and loses the request when the lock expires: so an
/// abandoned one may have been left this long before its `finishTime`. In a recorded request `lockedUntil`
/// is ten minutes after `receiveTime`.
pub(super) const LOCK: Ticks = Ticks::seconds(10 * 60);
/// How long before its end a job is looked for that tells no other time.
const LONGEST: Ticks = Ticks::days(7);
/// How long a run is taken to be under way whose end is not told: records that end it may have been lost.
pub(super) const UNDER_WAY: Ticks = Ticks::days(1);
/// A timeline has a job begin within moments of its request.
const AT_ONCE: Ticks = Ticks::seconds(60);
/// What two records of one job may have its times apart.
const MOMENT: Ticks = Ticks::seconds(5);

/// How far a record saw a job: finished, received, assigned, given to an agent; then which is newer.
type Rank = ((bool, bool, bool, bool), Source);

const FIELDS: usize = 28;
/// Records that no field is from any more are forgotten beyond this.
const MANY: usize = 40;

impl JobKnown {
    pub fn new(job: &Job, project: Option<&str>, source: Source) -> JobKnown {
        let mut known = JobKnown {
            job: Job { request_id: job.request_id, ..Job::default() },
            project_id: None,
            source,
            open: Time::default(),
            closed: None,
            timeline: None,
            records: Vec::new(),
            from: [0; FIELDS],
        };
        known.told(job, project, source);
        known
    }

    /// Lays a further record onto what is known: each field is from the record that saw the job
    /// furthest among those that have it.
    pub fn told(&mut self, job: &Job, project: Option<&str>, source: Source) {
        let reach =
            (job.finished.is_some(), job.received.is_some(), job.assigned.is_some(), job.agent_id.is_some());
        let rank = (reach, source);
        if self.records.contains(&rank) {
            return;
        }
        if job.finished.is_none() && job.result.is_some() {
            self.closed = Some(self.closed.map_or(source.known, |first| first.min(source.known)));
        } else if job.finished.is_none() && (job.agent_id.is_some() || job.agent_name.is_some()) {
            self.open = self.open.max(source.known);
        }
        // Most jobs are told of once or twice.
        self.records.reserve_exact(1);
        self.records.push(rank);
        let own = (self.records.len() - 1) as u8;
        let mut field = 0;
        let mut wins = |has: bool, empty: bool, from: &mut [u8; FIELDS]| {
            let takes = has && (empty || rank > self.records[usize::from(from[field])]);
            if takes {
                from[field] = own;
            }
            field += 1;
            takes
        };
        macro_rules! take {
            ($($name:ident),*) => { $(
                if wins(job.$name.is_some(), self.job.$name.is_none(), &mut self.from) {
                    self.job.$name.clone_from(&job.$name);
                }
            )* };
        }
        take!(
            job_id,
            name,
            identifier,
            stage,
            attempt,
            plan_id,
            plan_type,
            run_id,
            run_name,
            pipeline_id,
            pipeline_name,
            pool_id,
            pool_name,
            queue_id,
            queued,
            assigned,
            received,
            finished,
            result,
            service_owner,
            agent_id,
            agent_name,
            agent_version,
            agent_os,
            image,
            orchestration_id
        );
        if wins(!job.demands.is_empty(), self.job.demands.is_empty(), &mut self.from) {
            self.job.demands.clone_from(&job.demands);
        }
        if wins(project.is_some(), self.project_id.is_none(), &mut self.from) {
            self.project_id = project.map(str::to_owned);
        }
        let furthest = self.records.iter().max().map_or(source, |(_, source)| *source);
        self.source = furthest;
        if self.records.len() > MANY {
            self.forget();
        }
    }

    /// Drops the records that no field is from, but the furthest.
    fn forget(&mut self) {
        let furthest = self.records.iter().max().copied();
        let mut kept: Vec<Rank> = Vec::new();
        let mut place = |rank: Rank| {
            kept.iter().position(|k| *k == rank).unwrap_or_else(|| {
                kept.push(rank);
                kept.len() - 1
            }) as u8
        };
        for from in &mut self.from {
            *from = place(self.records[usize::from(*from)]);
        }
        furthest.map(&mut place);
        self.records = kept;
    }

    /// What all who had its request share.
    pub fn shared(&self) -> Job {
        Job {
            assigned: None,
            received: None,
            finished: None,
            result: None,
            state: None,
            agent_id: None,
            agent_name: None,
            agent_version: None,
            agent_os: None,
            ..self.job.clone()
        }
    }

    pub fn name(&self) -> Option<&str> {
        self.job.name.as_deref().or_else(|| self.timeline.as_ref()?.name.as_deref())
    }

    pub fn attempt(&self) -> Option<i64> {
        self.job.attempt.or_else(|| self.timeline.as_ref()?.attempt)
    }

    /// Chooses among the timeline records of its run and job id: attempts share the id, so the one
    /// on the same agent at the same time counts.
    pub fn choose_timeline(&mut self, records: &[Arc<Timed>]) {
        let fit = || records.iter().filter(|record| self.is(&record.job));
        let Some(chosen) = fit().max_by_key(|record| (!record.is_hook, record.source)) else {
            self.timeline = None;
            return;
        };
        let from = self.span().map(|(from, _)| from);
        let ends = fit().filter_map(|record| Some((record.job.finished?, record.job.received)));
        let first = ends.filter(|(end, _)| from.is_some_and(|from| *end >= from)).min();
        let at_once =
            |start: Time| from.is_some_and(|from| start <= from + AT_ONCE && from <= start + AT_ONCE);
        self.timeline = Some(Told {
            name: chosen.job.name.clone(),
            attempt: chosen.job.attempt,
            source: chosen.source,
            is_hook: chosen.is_hook,
            agent_name: chosen.job.agent_name.clone(),
            by: first.map(|(end, _)| end),
            finished: first.filter(|(_, start)| start.is_some_and(at_once)).map(|(end, _)| end),
        });
    }

    /// Whether a timeline record of the same run and job id can be of this very request.
    pub fn is(&self, told: &Job) -> bool {
        let names = self.job.agent_name.as_deref().zip(told.agent_name.as_deref());
        let at_once = |own: Option<Time>, told: Option<Time>| matches!((own, told), (Some(a), Some(b)) if a <= b + MOMENT && b <= a + MOMENT);
        // An agent that was renamed since has another name in one of them.
        let same_times =
            at_once(self.job.received, told.received) && at_once(self.job.finished, told.finished);
        let other = names.is_some_and(|(own, told)| !own.eq_ignore_ascii_case(told)) && !same_times;
        let after = matches!((self.job.finished, told.received), (Some(end), Some(start)) if start > end);
        let before = matches!((self.job.assigned, told.finished), (Some(start), Some(end)) if end < start);
        !(other || after || before)
    }

    /// What it is called in a sentence.
    pub fn title(&self) -> String {
        match (self.job.request_id, self.name(), self.job.run_id) {
            (Some(request), _, _) => format!("job request {request}"),
            (None, Some(name), Some(run)) => format!("job {name} of run {run}"),
            (None, None, Some(run)) => format!("run {run}"),
            _ => "a job".to_owned(),
        }
    }

    /// Where it ran and between which times, as a sentence.
    pub fn course(&self) -> String {
        let title = self.title();
        let id = || self.job.agent_id.map(|id| format!("agent {id}"));
        let Some(agent) = self.job.agent_name.clone().or_else(id) else {
            return format!("{title} was not given to an agent");
        };
        let abandoned = if self.abandoned().is_some() { " (the expiry of its lock)" } else { "" };
        match self.span() {
            _ if self.never_ran() => format!("{title} was given to {agent} and taken back before it ran"),
            Some((from, until)) if self.began().is_none() => {
                let until = until.map_or_else(String::new, |until| format!(" and {}", until.brief()));
                format!("{title} was on {agent} at a time that is not told, after {}{until}", from.brief())
            }
            Some((from, Some(until))) => {
                format!("{title} ran on {agent} from {} to {}{abandoned}", from.brief(), until.brief())
            }
            Some((from, None)) => {
                format!("{title} ran on {agent} from {} and is not known to have ended", from.brief())
            }
            None => format!("{title} was given to {agent}"),
        }
    }

    /// Whether it was given to an agent of which it is not known that it took it up.
    pub fn is_only_assigned(&self) -> bool {
        self.job.agent_id.is_some() && self.job.received.is_none() && self.job.finished.is_none()
    }

    /// Whether it ended as one that is taken back, without word that its agent received it.
    fn is_taken_back(&self) -> bool {
        let taken_back = ["canceled", "skipped"].map(Some).contains(&self.job.result.as_deref());
        taken_back && self.job.received.is_none()
    }

    /// Whether it was taken back before its agent received it. One that an agent held for longer than a lock
    /// lasts may lack the word alone.
    pub fn never_ran(&self) -> bool {
        let times = self.job.assigned.zip(self.job.finished);
        self.is_taken_back() && times.is_none_or(|(given, end)| end <= given + LOCK)
    }

    /// When it began, where its records tell: not after its end.
    pub fn began(&self) -> Option<Time> {
        let before_end = |at: &Time| self.job.finished.is_none_or(|end| *at <= end);
        let given = self.job.assigned.filter(|_| !self.is_taken_back());
        self.job.received.filter(before_end).or(given.filter(before_end))
    }

    /// From when it ran, and until when if that is known: from when it can have run, where an agent had it and
    /// no record tells its beginning. A job that no agent took has none.
    pub fn span(&self) -> Option<(Time, Option<Time>)> {
        if self.never_ran() {
            return None;
        }
        let end = self.job.finished;
        let bounds = || {
            let has_agent = self.job.agent_id.is_some() || self.job.agent_name.is_some();
            let given = [self.job.assigned, self.job.queued].into_iter().flatten();
            let given = given.filter(|at| end.is_none_or(|end| *at <= end)).max();
            given.or(end.map(|end| end - LONGEST)).filter(|_| has_agent)
        };
        let from = self.began().or_else(bounds)?;
        Some((from, end.map(|end| end.max(from))))
    }

    /// When its lock expired, where nobody renewed it.
    pub fn abandoned(&self) -> Option<Time> {
        self.job
            .finished
            .filter(|_| self.job.result.as_deref().is_some_and(|r| r.eq_ignore_ascii_case("abandoned")))
    }

    /// When it ended, as it or the timeline of its run says.
    pub fn ended(&self) -> Option<Time> {
        let told = || self.timeline.as_ref()?.finished;
        match self.abandoned() {
            Some(_) => None,
            None => self.job.finished.or_else(told),
        }
    }
}

/// Which of the two id spaces a plan type belongs to.
pub(super) fn is_release(plan_type: Option<&str>) -> bool {
    plan_type.is_some_and(|t| t.eq_ignore_ascii_case("release"))
}

/// Whether jobs are of one run, as far as is known.
pub(super) fn of_one_run(jobs: &[&JobKnown]) -> bool {
    let Some(first) = jobs.first().map(|job| &job.job) else { return false };
    jobs.iter().all(|j| j.job.run_id == first.run_id && j.job.plan_type == first.plan_type)
}

/// The id spaces that a number of a plan type may be of: whether of releases. Without either's plan type it
/// may be of both.
pub(super) fn spaces(plan_type: Option<&str>) -> &'static [bool] {
    match plan_type {
        Some(plan) if is_release(Some(plan)) => &[true],
        Some(plan) if plan.eq_ignore_ascii_case("build") => &[false],
        _ => &[false, true],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RecordHash;
    use proptest::prelude::*;

    fn record(n: u8, seen: u8, fields: u8) -> (Job, Source) {
        let time = |bit: u8| (seen >= bit).then_some(Time(i64::from(n) * 100 + i64::from(bit)));
        let text = |bit: u8| (fields & bit != 0).then(|| format!("{n}"));
        let job = Job {
            request_id: Some(1),
            assigned: time(1),
            received: time(2),
            finished: time(3),
            name: text(1),
            stage: text(2),
            agent_name: text(4),
            run_name: text(8),
            ..Job::default()
        };
        (job, Source { known: Time(i64::from(n % 3)), hash: RecordHash([n; 32]) })
    }

    proptest! {
        /// A1, for one job: the order of its records does not matter, nor how often each comes.
        #[test]
        fn the_order_of_records_does_not_matter(
            records in proptest::collection::vec((0u8..60, 0u8..4, 0u8..16), 1..70),
            turn in 0usize..70,
        ) {
            let mut seen = std::collections::BTreeMap::new();
            for (n, reach, fields) in &records {
                seen.entry(*n).or_insert_with(|| record(*n, *reach, *fields));
            }
            let all: Vec<&(Job, Source)> = seen.values().collect();
            let fold = |order: &[&(Job, Source)]| {
                let mut known = JobKnown::new(&order[0].0, None, order[0].1);
                order.iter().for_each(|(job, source)| known.told(job, None, *source));
                (known.job, known.source)
            };
            let mut turned: Vec<_> = all.iter().rev().copied().collect();
            let turn = turn % turned.len();
            turned.rotate_left(turn);
            turned.extend(all.iter().take(5));
            prop_assert_eq!(fold(&all), fold(&turned));
        }
    }
}
