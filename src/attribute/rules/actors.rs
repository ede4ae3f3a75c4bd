//! Records whose actor alone says that no job did it.

use super::Step;
use super::case::Case;
use crate::model::{ActorKind, Event, Executor, is_cookie};

/// Whether a person's browser sent the request: a cookie of the web pages, or a browser's name with
/// no credential of another kind.
pub(super) fn is_browser(event: &Event<'_>) -> bool {
    let mechanism = event.auth_mechanism.as_deref().unwrap_or_default();
    let cookie = is_cookie(mechanism);
    let browser = event.user_agent.as_deref().is_some_and(is_browsers);
    cookie || browser && !mechanism.starts_with("PAT") && !mechanism.starts_with("SSH")
}

/// Whether a user agent is a browser's. PowerShell calls itself Mozilla as well, then the system; the log cuts
/// long names before the end, where it says what it is, but no browser names Linux twice.
fn is_browsers(user_agent: &str) -> bool {
    user_agent.starts_with("Mozilla/")
        && !user_agent.contains("PowerShell/")
        && !user_agent.starts_with("Mozilla/5.0 (Linux; Linux ")
}

/// An agent added, deleted or changed: the agent is what the record is about. The deed belongs to
/// the principal who registered or removed it, even under an agent's user agent.
pub(super) fn agent_subject(case: &mut Case<'_, '_>) -> Step {
    let event = case.event;
    if !event.action.starts_with("Library.Agent") {
        return Step::Next;
    }
    let executor = match event.actor_kind {
        ActorKind::User => Executor::Human,
        ActorKind::Application => Executor::Client,
        ActorKind::Service | ActorKind::AgentPoolService => Executor::Service,
        // A pipeline that registers agents is found by its build identity.
        _ => return Step::Next,
    };
    case.not_agent(
        executor,
        "the record is about an agent or pool; who registered, changed or removed it is its actor",
    );
    Step::Decided
}

/// Checks, approvals and gates are decided by the service or a person, never on an agent.
pub(super) fn server_decision(case: &mut Case<'_, '_>) -> Step {
    let event = case.event;
    let action = event.action.to_ascii_lowercase();
    let decision = action.starts_with("checksuite.")
        || action.starts_with("checkconfiguration.")
        || action.contains("approv");
    if !decision {
        return Step::Next;
    }
    match event.actor_kind {
        ActorKind::Service => {
            case.not_agent(Executor::Service, "checks and approvals run on the server, not on an agent");
            Step::Decided
        }
        _ => Step::Next,
    }
}

/// Azure DevOps itself: a background job of the server (`TfsJobAgent` is no pipeline agent), a
/// stored procedure, or a call from service to service.
pub(super) fn server_job(case: &mut Case<'_, '_>) -> Step {
    let event = case.event;
    if !matches!(event.actor_kind, ActorKind::Service | ActorKind::AgentPoolService) {
        return Step::Next;
    }
    if let Some(caller) = event.hints.caller.as_deref() {
        let says = format!("the server's procedure {caller} wrote it");
        case.under("caller", |case| case.cite_event(says));
    }
    let says = if event.user_agent.as_deref().is_some_and(|ua| ua.contains("JobAgent")) {
        "a background job of the server wrote it; TfsJobAgent is no pipeline agent"
    } else {
        "the actor is a service of Azure DevOps"
    };
    case.not_agent(Executor::Service, says);
    Step::Decided
}

/// A person in a browser.
pub(super) fn browser(case: &mut Case<'_, '_>) -> Step {
    let event = case.event;
    if event.actor_kind != ActorKind::User || !is_browser(event) {
        return Step::Next;
    }
    let how = event.auth_mechanism.as_deref().unwrap_or("no stated mechanism");
    case.not_agent(Executor::Human, format!("a person signed in through the web ({how})"));
    Step::Decided
}
