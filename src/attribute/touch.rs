//! What later evidence can change: the moments it speaks of and the things it names.
//!
//! A verdict depends on the jobs around its event, on the records of what the event or the verdict
//! names, and, where it is a negative, on what was heard. So a new fact can change the verdicts on
//! events at a moment it speaks of, and on those that name what it describes, and no others.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Tolerance;
use super::bindings::token_of_event;
use super::coverage::Spans;
use super::job::{UNDER_WAY, is_release, spaces};
use super::rules::home_project;
use super::told::{self, By, Moments, Stamp, Tellers};
use crate::model::{Body, Date, Event, Fact, Heard, Job, Org, Time};

/// Something that both a fact and an event can name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Mark {
    Request(i64),
    /// Whether it is a release, and its number.
    Run(bool, i64),
    RunName(String),
    Plan(String),
    /// An application, a credential, a user.
    Identity(String),
    Connection(String),
    /// An address that an agent was registered from.
    Address(String),
    /// Records of one call.
    Correlation(String),
    /// A project by its name, which a build identity is called after.
    Project(String),
}

/// Before everything.
pub const EVER: Time = Time(i64::MIN / 2);
/// After everything.
const LAST: Time = Time(i64::MAX / 2);

/// Things by which events are touched whenever they occurred.
#[derive(Default)]
pub struct Names {
    /// Agents, and since when.
    pub agents: BTreeMap<i64, Time>,
    /// Applications, credentials, users.
    pub identities: BTreeSet<String>,
    /// Addresses that an agent was registered from, and since when.
    pub addresses: BTreeMap<String, Time>,
    /// Correlations of which a record names a job request.
    pub correlations: BTreeSet<String>,
    /// Names of projects whose id became known.
    pub projects: BTreeSet<String>,
}

/// What a verdict says that records about other things can change.
#[derive(Clone, Copy, Debug, Default)]
pub struct Standing<'a> {
    pub agent_id: Option<i64>,
    pub run_id: Option<i64>,
    /// `build` or `release`.
    pub run_kind: Option<&'a str>,
    /// Whether it can settle.
    pub provisional: bool,
}

/// What was told of an agent: it bears on what it did since.
struct Sighting {
    why: &'static str,
    since: Time,
    by: Vec<By>,
}

/// What records that verdicts were given without can change.
#[derive(Default)]
pub struct Touched {
    tolerance: Tolerance,
    tellers: Tellers,
    /// Moments at which any verdict may change.
    moments: Moments,
    /// Moments at which a provisional verdict may settle.
    heard: Moments,
    /// Moments near which events may bear one of the marks.
    near: Spans,
    marks: HashMap<Mark, (&'static str, Vec<By>)>,
    agents: HashMap<i64, Vec<Sighting>>,
    /// Moments at which agents count that no verdict names by their id: see `who_is_counts`.
    who_is: Moments,
    names: Names,
    pools_heard: PoolsHeard,
}

/// Until when the list of pools was heard, by the id and the name of the organisation: it speaks for
/// all the time before.
pub type PoolsHeard = BTreeMap<String, Time>;

impl Touched {
    /// `pools_heard` is until when the lists of pools were heard when last asked.
    pub fn new(tolerance: Tolerance, pools_heard: PoolsHeard) -> Touched {
        Touched { tolerance, pools_heard, ..Touched::default() }
    }

    pub fn pools_heard(&self) -> &PoolsHeard {
        &self.pools_heard
    }

    /// Every verdict of a span, on demand.
    pub fn span(tolerance: Tolerance, from: Time, until: Time) -> Touched {
        let mut touched = Touched { tolerance, ..Touched::default() };
        // Told later than any verdict was given.
        let by = touched.tellers.by(Stamp { writer: "", seq: i64::MAX, news: true });
        touched.moments.add(from, until, by);
        touched
    }

    pub fn is_empty(&self) -> bool {
        self.moments.spans().is_empty()
            && self.heard.spans().is_empty()
            && self.marks.is_empty()
            && self.agents.is_empty()
    }

    pub fn tolerance(&self) -> Tolerance {
        self.tolerance
    }

    /// The commits that told what touches.
    pub fn tellers(&self) -> &Tellers {
        &self.tellers
    }

    /// Takes in a fact, and by which commit it became known.
    pub fn fact(&mut self, fact: &Fact<'_>, stamp: Stamp<'_>) {
        let by = self.tellers.by(stamp);
        let (clock, window) = (self.tolerance.clock, self.tolerance.window);
        match &fact.body {
            Body::Job(job) => self.job(job, by),
            Body::Run(run) => {
                // No job of it runs on; and it was at work, though no job of it may be known.
                if let Some(end) = run.finished {
                    self.heard.add(end - clock, LAST, by);
                }
                if let Some(from) = run.started.or(run.finished) {
                    let until = run.finished.unwrap_or(from + UNDER_WAY).max(from);
                    self.moments.add(from - clock, until + clock, by);
                }
                if let Some(id) = run.run_id {
                    self.mark(Mark::Run(run.run_kind == "release", id), "its run was reported", by);
                }
                if let Some(name) = &run.name {
                    self.mark(Mark::RunName(name.clone()), "its run was reported", by);
                }
                let start = run.queued.or(run.started).unwrap_or(fact.when());
                self.near.add(start - window, run.finished.unwrap_or(fact.observed) + window);
            }
            Body::Agent(agent) => {
                self.agent(agent.agent_id, "its agent was seen", fact.observed - clock, by);
            }
            Body::ElasticNode(node) => {
                if let Some(agent) = node.agent_id {
                    self.agent(agent, "the machine of its agent was seen", EVER, by);
                }
            }
            // Another pool: what was the only job heard of may have had company there.
            Body::Queue(_) => self.moments.add(fact.observed - window, fact.observed + window, by),
            Body::Pool(_) if fact.kind == "pool" => {
                self.moments.add(fact.observed - window, fact.observed + window, by);
            }
            Body::Identity(identity) => {
                let ids = [&identity.application_id, &identity.cuid, &identity.object_id];
                let ids = ids.map(Option::as_ref).into_iter().chain([Some(&identity.id)]);
                ids.flatten().for_each(|id| self.identity(id, "its identity was described", by));
            }
            Body::Connection(connection) => {
                self.mark(
                    Mark::Connection(connection.connection_id.clone()),
                    "its service connection was described",
                    by,
                );
                if let Some(id) = &connection.application_id {
                    self.identity(id, "a service connection of its identity was described", by);
                }
            }
            Body::ConnectionUse(usage) => {
                let from = usage.started.unwrap_or(fact.when());
                self.moments.add(from - clock, usage.finished.unwrap_or(from) + clock, by);
                if let Some(run) = usage.run_id {
                    let release = is_release(usage.plan_type.as_deref());
                    self.mark(
                        Mark::Run(release, run),
                        "a use of a service connection by its run was reported",
                        by,
                    );
                }
                self.near.add(from - window, usage.finished.unwrap_or(from) + window);
            }
            Body::SignIn(sign_in) => {
                if let Some(id) = &sign_in.application_id {
                    self.mark(Mark::Identity(id.clone()), "a sign-in of its identity was reported", by);
                    self.near.add(fact.when() - window, fact.when() + window);
                }
            }
            Body::Heard(heard) if heard.source == "pools" => {
                let before = if stamp.news { self.hear_pools(&fact.organization, heard.until) } else { None };
                let from = before.unwrap_or(EVER);
                if from < heard.until {
                    self.heard.add(from - clock, heard.until + clock, by);
                }
            }
            Body::Heard(Heard { run_id: Some(run), until, .. }) => {
                self.mark(Mark::Run(false, *run), "the timeline of its run was read", by);
                self.near.add(*until - window, *until + window);
            }
            Body::Heard(heard) => self.heard.add(heard.from - clock, heard.until + clock, by),
            // It may take the place of one that spoke of another time.
            Body::Stated(_) => self.moments.add(EVER, LAST, by),
            Body::Pool(_) | Body::Permissions(_) | Body::Holding(_) | Body::Other => {}
        }
    }

    /// Takes in an event that tells of the world: a registration.
    pub fn event(&mut self, event: &Event<'_>, stamp: Stamp<'_>) {
        let by = self.tellers.by(stamp);
        if event.action.starts_with("Library.Agent")
            && let Some(agent) = event.hints.agent_id
        {
            let since = event.occurred - self.tolerance.clock;
            self.agent(agent, "the registration of its agent was reported", since, by);
            if let (Some(ip), "Library.AgentAdded") = (&event.ip, event.action.as_ref()) {
                let first = self.names.addresses.entry(ip.to_string()).or_insert(event.occurred);
                *first = event.occurred.min(*first);
                let mark = Mark::Address(ip.to_string());
                self.mark(mark, "a registration from its address was reported", by);
            }
        }
        match event.action.as_ref() {
            "Library.AgentPoolCreated" => self.pool(event.occurred, stamp),
            // What is not there any more need not be heard.
            "Library.AgentPoolDeleted" => self.heard.add(event.occurred, LAST, by),
            _ => {}
        }
        if let Some(token) = token_of_event(event) {
            self.identity(&token.id, "its credential was described", by);
        }
    }

    /// Takes in a pool that no list has shown: since then there may have been jobs of which nothing is heard.
    pub fn pool(&mut self, since: Time, stamp: Stamp<'_>) {
        let by = self.tellers.by(stamp);
        self.moments.add(since - self.tolerance.clock, LAST, by);
    }

    /// Takes in that what was not known of the pools is: that may settle what is open, whenever it occurred.
    pub fn settles(&mut self, stamp: Stamp<'_>) {
        let by = self.tellers.by(stamp);
        self.heard.add(EVER, LAST, by);
    }

    /// Takes in that the timeline of a run that started at a moment was read: what was open since may settle.
    pub fn read(&mut self, started: Time, read: Time, stamp: Stamp<'_>) {
        let (by, clock) = (self.tellers.by(stamp), self.tolerance.clock);
        self.heard.add(started - clock, read + clock, by);
    }

    /// Takes in that a record of this correlation names a job request.
    pub fn correlation(&mut self, correlation: &str, stamp: Stamp<'_>) {
        let by = self.tellers.by(stamp);
        self.names.correlations.insert(correlation.to_owned());
        let mark = Mark::Correlation(correlation.to_owned());
        self.mark(mark, "a record of the same correlation names a job request", by);
    }

    /// Takes in that the id of a project became known, or became another.
    pub fn project(&mut self, name: &str, stamp: Stamp<'_>) {
        let by = self.tellers.by(stamp);
        self.names.projects.insert(name.to_owned());
        self.mark(Mark::Project(name.to_owned()), "the id of its build identity's project was reported", by);
    }

    fn job(&mut self, job: &Job, by: By) {
        let (clock, window) = (self.tolerance.clock, self.tolerance.window);
        const WHY: &str = "its job was reported";
        let start = job.received.or(job.assigned).or(job.queued);
        // A job without an end may run at any later moment.
        let end = job.finished.unwrap_or(LAST);
        let times = [job.assigned, job.received].into_iter().flatten();
        if let Some(from) = times.clone().min() {
            self.moments.add(from - clock, end.max(from) + clock, by);
        }
        // What its agent did before was over then, though no record may say so; and what its run was at while
        // it waited is known.
        if let Some(from) = times.chain(job.queued).min() {
            self.heard.add(from - clock, LAST, by);
        }
        if let Some(request) = job.request_id {
            self.mark(Mark::Request(request), WHY, by);
        }
        if let Some(run) = job.run_id {
            self.mark(Mark::Run(is_release(job.plan_type.as_deref()), run), WHY, by);
        }
        if let Some(name) = &job.run_name {
            self.mark(Mark::RunName(name.clone()), WHY, by);
        }
        if let Some(plan) = &job.plan_id {
            self.mark(Mark::Plan(plan.clone()), WHY, by);
        }
        if let Some(start) = start {
            self.near.add(start - window, end + window);
        }
    }

    /// Takes in until when an organisation's list of pools was heard, and returns until when it was
    /// before.
    fn hear_pools(&mut self, organization: &Org, until: Time) -> Option<Time> {
        let names = [&organization.id, &organization.name].into_iter().flatten();
        let mut before = None;
        for name in names {
            let slot = self.pools_heard.entry(name.clone()).or_insert(EVER);
            before = before.max(Some(*slot));
            *slot = until.max(*slot);
        }
        before
    }

    fn mark(&mut self, mark: Mark, why: &'static str, by: By) {
        let (_, all) = self.marks.entry(mark).or_insert((why, Vec::new()));
        told::add(all, by);
    }

    /// What was told of an agent also stands for the time from this moment on.
    pub fn stands_since(&mut self, agent: i64, since: Time) {
        if let Some(first) = self.names.agents.get_mut(&agent) {
            *first = since.min(*first);
            let told = self.agents.entry(agent).or_default().iter_mut();
            told.for_each(|told| told.since = since.min(told.since));
        }
    }

    /// Timelines give an agent's name only, and the operator states things by pool and machine: so which agent
    /// that is, and whose statements it falls under, may be another matter since an agent was seen.
    pub fn who_is_counts(&mut self) {
        for told in self.agents.values().flatten() {
            told.by.iter().for_each(|by| self.who_is.add(told.since, LAST, *by));
        }
    }

    fn agent(&mut self, agent: i64, why: &'static str, since: Time, by: By) {
        let first = self.names.agents.entry(agent).or_insert(since);
        *first = since.min(*first);
        let all = self.agents.entry(agent).or_default();
        match all.iter_mut().find(|told| told.why == why) {
            Some(told) => {
                told::add(&mut told.by, by);
                told.since = since.min(told.since);
            }
            None => all.push(Sighting { why, since, by: vec![by] }),
        }
    }

    fn identity(&mut self, id: &str, why: &'static str, by: By) {
        self.names.identities.insert(id.to_owned());
        self.mark(Mark::Identity(id.to_owned()), why, by);
    }

    /// Whether events of a day may be touched, as far as the day itself tells.
    pub fn day(&self, day: Date) -> bool {
        let (from, until) = (day.start(), day.plus_days(1).start());
        self.moments.spans().meet(from, until)
            || self.heard.spans().meet(from, until)
            || !self.marks.is_empty() && self.near.meet(from, until)
    }

    /// Whether of a day only provisional verdicts are touched.
    pub fn only_provisional(&self, day: Date) -> bool {
        let (from, until) = (day.start(), day.plus_days(1).start());
        self.marks.is_empty() && !self.moments.spans().meet(from, until)
    }

    /// Whether of a day the verdicts are touched that leave open which agent it was.
    pub fn open(&self, day: Date) -> bool {
        self.who_is.spans().meet(day.start(), day.plus_days(1).start())
    }

    /// By what events of any day are touched.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Why the verdict that stands on an event may change: `stamp` is the commit of the event. `None`
    /// when nothing bears on it that it was given without.
    pub fn why(&self, event: &Event<'_>, stamp: Stamp<'_>, standing: &Standing<'_>) -> Option<&'static str> {
        let given = self.tellers.given(stamp);
        let at = event.occurred;
        let hints = &event.hints;
        let plan = hints.plan_type.as_deref();
        let release = is_release(plan);
        let text = |t: &Option<crate::model::Text<'_>>| t.as_deref().map(str::to_owned);
        let marks = [
            hints.request_id.map(Mark::Request),
            hints.run_id.map(|run| Mark::Run(release, run)),
            // It may be of the other id space as well.
            hints.run_id.filter(|_| spaces(plan).contains(&!release)).map(|run| Mark::Run(!release, run)),
            standing.run_id.map(|run| Mark::Run(standing.run_kind == Some("release"), run)),
            text(&hints.run_name).map(Mark::RunName),
            text(&hints.plan_id).map(Mark::Plan),
            text(&hints.connection_id).map(Mark::Connection),
            text(&event.actor_client_id).map(Mark::Identity),
            text(&event.authorization_id).map(Mark::Identity),
            text(&event.actor_id).map(Mark::Identity),
            text(&event.actor_cuid).map(Mark::Identity),
            text(&event.ip).map(Mark::Address),
            text(&event.correlation_id).map(Mark::Correlation),
            home_project(event).map(|name| Mark::Project(name.to_owned())),
        ];
        let bears = |mark: &Mark| self.marks.get(mark).filter(|(_, by)| told::any(by, given));
        if let Some((why, _)) = marks.iter().flatten().find_map(bears) {
            return Some(why);
        }
        let sightings = standing.agent_id.or(hints.agent_id).and_then(|agent| self.agents.get(&agent));
        let bears = |told: &&Sighting| told.since <= at && told::any(&told.by, given);
        if let Some(told) = sightings.into_iter().flatten().find(bears) {
            return Some(told.why);
        }
        if standing.agent_id.is_none() && self.who_is.hold(at, given) {
            return Some("an agent was seen that it may be about");
        }
        if self.moments.hold(at, given) {
            return Some("what ran or was used at that moment was reported");
        }
        (standing.provisional && self.heard.hold(at, given)).then_some("the moment was heard to its end")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Delivery, Limits, decode};

    fn read(text: &str) -> crate::decode::Decoded<'_> {
        let delivery = Delivery {
            observed: Time::parse("2026-03-13T00:00:00Z").unwrap(),
            url: Some("https://dev.azure.com/contoso/_apis/distributedtask/pools/11/jobrequests"),
            organization: None,
            limits: Limits::default(),
        };
        decode(text.as_bytes(), &delivery)
    }

    const NEWS: Stamp<'_> = Stamp { writer: "a", seq: 2, news: true };
    const BEFORE: Stamp<'_> = Stamp { writer: "a", seq: 1, news: false };

    fn event(at: &str, data: &str) -> String {
        format!(
            r#"{{"Id":"a1000000-0000-4000-8000-000000000001","ActionId":"X.Y","Timestamp":"2026-03-05T{at}Z","ScopeId":"o","ActorUserId":"u","Data":{data}}}"#
        )
    }

    #[test]
    fn a_job_touches_its_time_and_what_names_it_and_nothing_else() {
        let job = r#"{"requestId":5,"planId":"3d000000-0000-4000-8000-000000000001","planType":"Build","assignTime":"2026-03-05T10:00:00Z","receiveTime":"2026-03-05T10:00:00Z","finishTime":"2026-03-05T10:10:00Z","owner":{"id":7,"name":"n.7"}}"#;
        let mut touched = Touched::new(Tolerance::default(), PoolsHeard::new());
        read(job).facts.iter().for_each(|f| touched.fact(f, NEWS));
        let why = |at: &str, data: &str| {
            touched.why(&read(&event(at, data)).events[0], BEFORE, &Standing::default())
        };
        assert!(why("10:05:00", "{}").is_some() && why("10:10:04", "{}").is_some());
        assert!(why("11:00:00", "{}").is_none());
        for data in [r#"{"RequestId":5}"#, r#"{"OwnerId":"7","PlanType":"Build"}"#, r#"{"RunName":"n.7"}"#] {
            assert_eq!(why("11:00:00", data), Some("its job was reported"), "{data}");
        }
        assert!(why("11:00:00", r#"{"OwnerId":"7","PlanType":"Release"}"#).is_none());
        assert!(touched.day(Date::parse("2026-03-05").unwrap()));
        // What its agent did before was over then: that settles what is open on later days, and nothing else.
        let later = Date::parse("2026-03-12").unwrap();
        assert!(!touched.moments.spans().meet(later.start(), later.plus_days(1).start()));
        let on = event("10:05:00", "{}").replace("2026-03-05T10:05:00Z", "2026-03-12T10:05:00Z");
        let why = |provisional| {
            let standing = Standing { provisional, ..Standing::default() };
            touched.why(&read(&on).events[0], BEFORE, &standing).is_some()
        };
        assert!(why(true) && !why(false));
    }

    #[test]
    fn what_was_heard_touches_only_what_can_settle() {
        let heard = r#"{"heard":"jobs","organization":"contoso","poolId":11,"from":"2026-03-05T10:00:00Z","until":"2026-03-05T11:00:00Z"}"#;
        let mut touched = Touched::new(Tolerance::default(), PoolsHeard::new());
        read(heard).facts.iter().for_each(|f| touched.fact(f, NEWS));
        let text = event("10:05:00", "{}");
        let decoded = read(&text);
        assert!(
            touched
                .why(&decoded.events[0], BEFORE, &Standing { provisional: true, ..Standing::default() })
                .is_some()
        );
        assert!(touched.why(&decoded.events[0], BEFORE, &Standing::default()).is_none());
    }
}
