//! Records of a build identity, which all jobs of its scope share: which of them were at work.

use super::actors::is_browser;
use super::case::Case;
use super::occupied::list;
use super::{Step, hints};
use crate::attribute::ends::Ran;
use crate::attribute::job::{JobKnown, of_one_run};
use crate::model::{ActorKind, Event, Executor, Grade};

/// Whose jobs a build identity acts for.
enum Scope {
    /// Those of all projects.
    Collection,
    Project(String),
    /// Of one of these projects, or, where none is known, of any.
    OneOf(Vec<String>),
}

/// The scope of a build identity: by its descriptor, by what Graph has under its id, at last by its name,
/// which a project that is renamed leaves to the next of that name. The event's project is its target, not
/// necessarily the home of the pipeline.
fn scope(case: &mut Case<'_, '_>) -> Option<Scope> {
    let event = case.event;
    let of_collection = event.actor_kind == ActorKind::CollectionBuildService;
    let builds = of_collection || event.actor_kind == ActorKind::ProjectBuildService;
    if let Some(scope) = event.build_scope.as_deref().filter(|_| builds) {
        // A project may be called like the collection's identity; a collection is no project.
        return Some(match of_collection && !case.known.is_project(scope) {
            true => Scope::Collection,
            false => Scope::Project(scope.to_owned()),
        });
    }
    if of_collection {
        let shared = case.known.projects_named("Project Collection");
        return Some(if shared.is_empty() { Scope::Collection } else { Scope::OneOf(Vec::new()) });
    }
    let named = event.actor_kind == ActorKind::ProjectBuildService;
    let may_be = named || event.actor_kind == ActorKind::User && !is_browser(event);
    if let Some((identity, source)) = case.known.build_identity(event).filter(|_| may_be)
        && let Some(scope) = identity.principal_name.clone()
    {
        case.cite(source, "Graph has the actor as a build identity");
        let of_all = event.organization_id.as_deref() == Some(&scope)
            || identity.name.as_deref().is_some_and(|name| name.starts_with("Project Collection "));
        return Some(if of_all { Scope::Collection } else { Scope::Project(scope) });
    }
    if !named {
        return None;
    }
    let home = home_project(event).unwrap_or_default();
    let target = event.project_id.as_deref().filter(|_| event.project.as_deref() == Some(home));
    let mut ids = case.known.projects_named(home);
    ids.extend(target.filter(|id| !ids.contains(id)));
    Some(match ids.as_slice() {
        [id] => Scope::Project((*id).to_owned()),
        [] => {
            case.missing(format!(
                "the id of project {home}, to which the build identity belongs; jobs of all projects are listed"
            ));
            Scope::OneOf(Vec::new())
        }
        ids => {
            case.missing(format!(
                "to which of the {} projects that were called {home} the build identity belongs: Graph users of the organisation would tell",
                ids.len()
            ));
            Scope::OneOf(ids.iter().map(|id| (*id).to_owned()).collect())
        }
    })
}

/// What was at work in a scope at the moment of an event.
struct AtWork<'k> {
    jobs: Vec<&'k JobKnown>,
    /// Whether each of them surely ran.
    ran: Vec<Ran>,
    /// What has a token and no agent that is known.
    bare: Vec<&'k JobKnown>,
    /// Whether a pool was not heard.
    deaf: bool,
    /// Whether it is not certain whose jobs these are.
    unresolved: bool,
    /// Whether a record that tells an agent may come yet.
    open: bool,
}

impl<'k> AtWork<'k> {
    fn of(case: &mut Case<'_, 'k>, scope: &Scope) -> AtWork<'k> {
        let projects: Vec<Option<&str>> = match scope {
            Scope::Project(id) => vec![Some(id)],
            Scope::OneOf(ids) if !ids.is_empty() => ids.iter().map(|id| Some(id.as_str())).collect(),
            Scope::Collection | Scope::OneOf(_) => vec![None],
        };
        let (at, slack, known) = (case.event.occurred, case.tolerance.clock, &case.known.jobs);
        let running = projects.iter().flat_map(|project| known.running(*project, at, slack));
        let (jobs, ran) = running.unzip();
        let bare = projects.iter().flat_map(|project| known.agentless(*project, at, slack));
        let bare: Vec<&JobKnown> = bare.collect();
        let deaf = case.deaf(at - slack, at + slack);
        let open = deaf || bare.iter().any(|job| !known.is_in_timeline(job));
        AtWork { jobs, ran, bare, deaf, unresolved: matches!(scope, Scope::OneOf(_)), open }
    }

    /// Whether nothing but these jobs can have done it, all of them having run.
    fn is_all(&self) -> bool {
        !self.deaf
            && !self.unresolved
            && self.bare.is_empty()
            && self.ran.iter().all(|ran| *ran == Ran::Surely)
    }

    /// Whether it can have been none of these jobs, as far as is known.
    fn may_be_none(&self) -> bool {
        self.unresolved || !self.bare.is_empty() || self.ran.iter().all(|ran| *ran == Ran::Perhaps)
    }
}

/// `{Project} Build Service ({org})` acts for every job of a project, the collection's one for
/// those of all projects. Which jobs were running decides.
pub(super) fn build_identity(case: &mut Case<'_, '_>) -> Step {
    let Some(scope) = scope(case) else { return Step::Next };
    let at_work = AtWork::of(case, &scope);
    for job in &at_work.bare {
        let title = job.title();
        if case.known.jobs.is_in_timeline(job) {
            case.cite(job.source, format!("{title} ran on the server, without an agent"));
            case.missing(format!("whether it was {title}, which ran on the server and has a token as well"));
        } else if job.job.job_id.is_some() {
            case.cite(job.source, format!("{title} was at work"));
            case.missing(format!("which agent {title} was at work on: no job request of it is known"));
        } else {
            case.cite(job.source, format!("{title} was under way"));
            case.missing(format!("what {title} was at then: no job of it is known that ran or waited for an agent, and no timeline read since tells of all its jobs without one"));
        }
    }
    case.cite_event("the actor is a build identity, which all jobs of its scope share");
    list(case, &at_work.jobs, "it was running at that moment in the scope of the build identity");
    match at_work.jobs.as_slice() {
        [] => none_at_work(case, &at_work),
        [first, rest @ ..] if at_work.is_all() && rest.iter().all(|job| on_one_agent(first, job)) => {
            if case.doubts(first) {
                case.only_hints();
            } else if rest.is_empty() {
                case.chose(first, Grade::Sole);
            } else {
                // It ended one job and took the next within the tolerance of the clocks.
                case.chose_agent(first);
                case.missing("which of the jobs it was that the agent had one after the other");
            }
        }
        _ => several(case, &at_work),
    }
    Step::Decided
}

fn none_at_work(case: &mut Case<'_, '_>, at_work: &AtWork<'_>) {
    if !at_work.deaf && at_work.bare.is_empty() {
        return case.not_agent(
            Executor::Client,
            "no job of its scope was running: the build identity was used outside any job",
        );
    }
    case.verdict.executor = Executor::Unknown;
    case.verdict.grade = Grade::None;
    (case.verdict.blind, case.verdict.provisional) = (at_work.deaf, at_work.open);
    if at_work.bare.is_empty() {
        case.missing("any job of the scope that ran at that moment");
    }
}

fn several(case: &mut Case<'_, '_>, at_work: &AtWork<'_>) {
    let jobs = &at_work.jobs;
    case.verdict.executor = if at_work.may_be_none() { Executor::Unknown } else { Executor::Agent };
    case.verdict.grade = Grade::Narrowed;
    case.verdict.blind = at_work.deaf;
    let unsettled = unsettled(case, at_work);
    case.verdict.provisional = at_work.open || unsettled;
    if jobs[0].job.run_id.is_some() && of_one_run(jobs) {
        case.run_of(jobs[0]);
    }
    case.doubt_all(jobs);
    if hints::correlation(case, jobs).is_none() && jobs.len() > 1 {
        case.missing("what tells these jobs apart: the record names no run, job or agent; addresses of their agents in the inventory may speak against some");
    }
}

/// Says of which jobs it is not known whether they still ran, and whether later records may tell.
fn unsettled(case: &mut Case<'_, '_>, at_work: &AtWork<'_>) -> bool {
    let mut open = false;
    for (job, _) in at_work.jobs.iter().zip(&at_work.ran).filter(|(_, ran)| **ran == Ran::Perhaps) {
        let title = job.title();
        if job.abandoned().is_some() {
            case.missing(format!(
                "whether {title} still ran: its lock expired, and its agent had stopped before"
            ));
        } else if job.began().is_none() {
            case.missing(format!("whether {title} had begun: its records do not say when it did"));
        } else {
            open = true;
            case.missing(format!("whether {title} still ran: no record tells its end"));
        }
    }
    open
}

fn on_one_agent(one: &JobKnown, other: &JobKnown) -> bool {
    one.job.agent_id.is_some()
        && (one.job.pool_id, one.job.agent_id) == (other.job.pool_id, other.job.agent_id)
}

/// The name of the project that a build identity is called after.
pub(in crate::attribute) fn home_project<'e>(event: &'e Event<'_>) -> Option<&'e str> {
    let project = event.actor_kind == ActorKind::ProjectBuildService;
    event.actor_name.as_deref().filter(|_| project)?.split(" Build Service (").next()
}
