//! Records of an application or a credential: who of its bearers was at work at that moment.

use super::case::Case;
use super::{Step, hints};
use crate::attribute::ends::Ran;
use crate::attribute::job::JobKnown;
use crate::model::{ActorKind, Executor, Grade};

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

/// Lists jobs among those that can have done it.
pub(super) fn list(case: &mut Case<'_, '_>, jobs: &[&JobKnown], why: &str) {
    for job in jobs {
        case.candidate(job, why);
        case.cite(job.source, job.course());
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
