//! Records that name only a shared identity: who of its bearers was at work at that moment.

use super::actors::is_browser;
use super::case::Case;
use super::{Step, hints};
use crate::attribute::ends::Ran;
use crate::attribute::job::JobKnown;
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
    if event.actor_kind == ActorKind::CollectionBuildService {
        return Some(Scope::Collection);
    }
    if let Some(project) = event.build_scope.as_deref() {
        return Some(Scope::Project(project.to_owned()));
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

/// `{Project} Build Service ({org})` acts for every job of a project, the collection's one for
/// those of all projects. Which jobs were running decides.
pub(super) fn build_identity(case: &mut Case<'_, '_>) -> Step {
    let event = case.event;
    let Some(scope) = scope(case) else { return Step::Next };
    let projects: Vec<Option<&str>> = match &scope {
        Scope::Project(id) => vec![Some(id)],
        Scope::OneOf(ids) if !ids.is_empty() => ids.iter().map(|id| Some(id.as_str())).collect(),
        Scope::Collection | Scope::OneOf(_) => vec![None],
    };
    let unresolved = matches!(scope, Scope::OneOf(_));
    let slack = case.tolerance.clock;
    let at = event.occurred;
    let running: Vec<(&JobKnown, Ran)> =
        projects.iter().flat_map(|project| case.known.jobs.running(*project, at, slack)).collect();
    let surely = running.iter().all(|(_, ran)| *ran == Ran::Surely);
    let jobs: Vec<&JobKnown> = running.iter().map(|(job, _)| *job).collect();
    let bare: Vec<&JobKnown> =
        projects.iter().flat_map(|project| case.known.jobs.agentless(*project, at, slack)).collect();
    for job in &bare {
        let title = job.title();
        case.cite(job.source, format!("{title} ran on the server, without an agent"));
        case.missing(format!("whether it was {title}, which ran on the server and has a token as well"));
    }
    let deaf = case.deaf(at - slack, at + slack);
    let open = deaf || unresolved || !bare.is_empty();
    case.cite_event("the actor is a build identity, which all jobs of its scope share");
    list(case, &jobs, "it was running at that moment in the scope of the build identity");
    match jobs.as_slice() {
        [job] if !open && case.doubts(job) => case.only_hints(),
        [job] if !open && surely => case.chose(job, Grade::Sole),
        [first, rest @ ..] if !open && surely && rest.iter().all(|job| on_one_agent(first, job)) => {
            // It ended one job and took the next within the tolerance of the clocks.
            match case.doubts(first) {
                true => case.only_hints(),
                false => case.chose_agent(first),
            }
            run_if_one(case, &jobs);
            case.missing("which of the jobs it was that the agent had one after the other");
        }
        [] if !deaf && bare.is_empty() => {
            case.not_agent(
                Executor::Client,
                "no job of its scope was running: the build identity was used outside any job",
            );
        }
        [] => {
            case.verdict.executor = Executor::Unknown;
            case.verdict.grade = Grade::None;
            (case.verdict.blind, case.verdict.provisional) = (deaf, deaf);
            if bare.is_empty() {
                case.missing("any job of the scope that ran at that moment");
            }
        }
        _ => {
            let none_surely =
                running.iter().all(|(_, ran)| *ran == Ran::Perhaps) || jobs.len() == 1 && !bare.is_empty();
            case.verdict.executor = if none_surely { Executor::Unknown } else { Executor::Agent };
            case.verdict.grade = Grade::Narrowed;
            case.verdict.blind = deaf;
            let unsettled = unsettled(case, &running);
            case.verdict.provisional = deaf || unsettled;
            run_if_one(case, &jobs);
            case.doubt_all(&jobs);
            if hints::correlation(case, &jobs).is_none() && jobs.len() > 1 {
                case.missing("what tells these jobs apart: the record names no run, job or agent; addresses of their agents in the inventory may speak against some");
            }
        }
    }
    Step::Decided
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

/// An Entra service principal or managed identity: the runs that used a service connection of it,
/// and the agents registered by it, are hints; nothing ties the identity to one machine here.
pub(super) fn application(case: &mut Case<'_, '_>) -> Step {
    let event = case.event;
    let Some(client) = event.actor_client_id.as_deref() else { return Step::Next };
    let slack = case.tolerance.clock;
    let at = event.occurred;
    case.cite_event(format!("the actor is the Entra application {client}"));
    if let Some((identity, source)) = case.known.identities.get(client) {
        case.cite(
            *source,
            format!("{client} is {}", identity.name.as_deref().unwrap_or("a service principal")),
        );
    }
    hints::sign_in(case);
    let mut jobs: Vec<&JobKnown> = Vec::new();
    let known = case.known;
    let of_client = |c: &&crate::model::Connection| c.application_id.as_deref() == Some(client);
    let mut borne: Vec<_> = known.connections.values().map(|(c, _)| c).filter(of_client).collect();
    borne.sort_by(|a, b| a.connection_id.cmp(&b.connection_id));
    let uses = borne.iter().flat_map(|c| known.uses(&c.connection_id).map(move |(u, s)| (c, u, s)));
    for (connection, usage, source) in uses {
        let during =
            usage.started.is_none_or(|s| s <= at + slack) && usage.finished.is_none_or(|f| at <= f + slack);
        let Some(run) = usage.run_id.filter(|_| during) else { continue };
        let release = crate::attribute::job::is_release(usage.plan_type.as_deref());
        let name = connection.name.as_deref().unwrap_or("of it");
        case.under("connection_use", |case| {
            case.cite(source, format!("run {run} used the connection {name} then"));
        });
        for job in case.known.jobs.by_run(release, run) {
            if case.known.jobs.ran(job, at, at, slack) != Ran::Not
                && !jobs.iter().any(|j| j.job.request_id == job.job.request_id)
            {
                jobs.push(job);
            }
        }
    }
    list(case, &jobs, "its run was using a service connection of this application");
    let stated = |job: &JobKnown| {
        let mut stated = case.statements(&job.job, at);
        stated.retain(|(statement, _)| statement.identity.as_deref() == Some(client));
        stated
    };
    let mut bearers: Vec<_> =
        known.jobs.running(None, at, slack).into_iter().map(|(job, _)| (job, stated(job))).collect();
    bearers.retain(|(job, stated)| {
        !stated.is_empty() && !jobs.iter().any(|j| j.job.request_id == job.job.request_id)
    });
    for (statement, source) in bearers.iter().flat_map(|(_, stated)| stated) {
        let name = statement.identity_name.as_deref().unwrap_or(client);
        let on = statement.resource.as_deref().map_or_else(String::new, |r| format!(", through {r}"));
        case.cite(*source, format!("the inventory gives {} the identity {name}{on}", statement.whom()));
    }
    let bearers: Vec<&JobKnown> = bearers.into_iter().map(|(job, _)| job).collect();
    list(case, &bearers, "the inventory gives its agent this identity");
    if hints::agent_software(case) {
        for (agent, bindings) in known.agents.registered(at) {
            let Some(binding) = bindings.into_iter().find(|b| b.identity_id == client) else { continue };
            case.verdict.candidates.push(crate::model::Candidate {
                agent_id: Some(agent),
                agent_name: binding.agent_name.clone(),
                pool_id: binding.pool_id,
                why: "it was registered by this application, and agent software sent the request".to_owned(),
                ..Default::default()
            });
        }
    }
    hints::address(case);
    outside_or_hints(case, "the application");
    Step::Decided
}

/// A person's token or session without a browser: the credential is certain, where it was used is not.
pub(super) fn credential(case: &mut Case<'_, '_>) -> Step {
    let event = case.event;
    if event.actor_kind != ActorKind::User {
        case.missing("an actor that can be tied to an agent");
        return Step::Next;
    }
    let how = event.auth_mechanism.as_deref().unwrap_or("no stated mechanism");
    case.cite_event(format!("a credential of the user was used ({how})"));
    hints::token(case);
    if hints::agent_software(case) {
        let slack = case.tolerance.clock;
        let running = case.known.jobs.running(event.project_id.as_deref(), event.occurred, slack);
        let jobs: Vec<&JobKnown> = running.into_iter().map(|(job, _)| job).collect();
        list(case, &jobs, "agent software sent the request, and this job was running in the project");
    }
    hints::address(case);
    outside_or_hints(case, "the credential");
    Step::Decided
}

fn list(case: &mut Case<'_, '_>, jobs: &[&JobKnown], why: &str) {
    for job in jobs {
        case.candidate(job, why);
        case.cite(job.source, job.course());
    }
}

/// Says of which jobs it is not known whether they still ran, and whether later records may tell.
fn unsettled(case: &mut Case<'_, '_>, running: &[(&JobKnown, Ran)]) -> bool {
    let mut open = false;
    for (job, _) in running.iter().filter(|(_, ran)| *ran == Ran::Perhaps) {
        let title = job.title();
        if job.abandoned().is_some() {
            case.missing(format!(
                "whether {title} still ran: its lock expired, and its agent had stopped before"
            ));
        } else {
            open = true;
            case.missing(format!("whether {title} still ran: no record tells its end"));
        }
    }
    open
}

fn run_if_one(case: &mut Case<'_, '_>, jobs: &[&JobKnown]) {
    let first = &jobs[0].job;
    if first.run_id.is_some()
        && jobs.iter().all(|j| j.job.run_id == first.run_id && j.job.plan_type == first.plan_type)
    {
        case.run_of(jobs[0]);
    }
}

/// Once every pool was heard and no job ran, a credential was used outside any job: a `client`, from
/// whichever address. Else candidates are hints.
fn outside_or_hints(case: &mut Case<'_, '_>, what: &str) {
    let slack = case.tolerance.clock;
    let at = case.event.occurred;
    let deaf = case.deaf(at - slack, at + slack);
    let running = case.known.jobs.running(None, at, slack);
    let busy = !running.is_empty();
    if !deaf && !busy {
        case.verdict.candidates.clear();
        case.not_agent(
            Executor::Client,
            format!("no job of the organisation was running: {what} was used outside any job"),
        );
        return;
    }
    case.verdict.executor = Executor::Unknown;
    case.verdict.blind = deaf;
    // That none ran makes it a client, should it turn out.
    let open = running.iter().all(|(job, ran)| *ran == Ran::Perhaps && job.abandoned().is_none());
    case.verdict.provisional = deaf || open;
    case.verdict.grade = match case.verdict.candidates.as_slice() {
        [] => Grade::None,
        _ => Grade::Corroborated,
    };
    let among = match case.verdict.candidates.len() {
        0 | 1 => String::new(),
        many => format!(", which would tell the {many} candidates apart"),
    };
    case.missing(format!("a record that ties {what} to a machine or a job{among}"));
}
