//! What corroborates and never decides: where a credential comes from, when a token was issued, from
//! which address, with which other records.

use super::case::Case;
use crate::attribute::job::JobKnown;
use crate::attribute::newest::Source;
use crate::model::{Candidate, RecordHash, Ticks};

/// Tokens of a managed identity are kept on its machine for about a day, so one sign-in stands for
/// the calls of a day: it proves who held the identity, not the moment of a call.
const TOKEN_LIFE: Ticks = Ticks::days(1);

/// An address that more agents share narrows nothing.
const MOST_AT_ADDRESS: usize = 20;

/// The chain of the credential that was used: what it is called, whose it is, what it may do, since
/// when.
pub(super) fn token(case: &mut Case<'_, '_>) {
    let Some(id) = case.event.authorization_id.as_deref() else { return };
    let known = case.known;
    let by = case.event.occurred + case.tolerance.clock;
    case.under("token", |case| match known.tokens.at(id, by) {
        Some(token) => {
            let name = token.name.unwrap_or("without a name");
            let owner = token.owner.map_or_else(String::new, |o| format!(" of {o}"));
            // Records give them as a list or as words.
            let plain = |s: &str| s.replace(['[', ']', '"'], "").replace(',', ", ");
            let scopes = token.scopes.map_or_else(String::new, |s| format!(", for {}", plain(s)));
            let since = token.since.map_or_else(String::new, |t| format!(", there since {}", t.brief()));
            case.cite(token.source, format!("the credential is the token {name}{owner}{scopes}{since}"));
            if let Some((at, source)) = token.revoked {
                let says = format!("it was revoked at {}, and used all the same", at.brief());
                case.cite(source, says);
            }
        }
        None => case.missing(
            "the creation of the credential: before the log begins, or of a kind that is not logged",
        ),
    });
}

/// Whether agent software sent the request: its name, possibly cut short by the log. It says that an agent
/// may have, not which.
pub(super) fn agent_software(case: &mut Case<'_, '_>) -> bool {
    let sends = |agent: &str| agent.contains("VstsAgentCore-") || agent.contains("vsts-agent-git");
    let Some(agent) = case.event.user_agent.as_deref().filter(|agent| sends(agent)) else { return false };
    let says = format!("agent software sent the request, by what it calls itself: {agent}");
    case.under("agent_software", |case| case.cite_event(says));
    true
}

/// The last token that Entra issued to the application before the event.
pub(super) fn sign_in(case: &mut Case<'_, '_>) {
    let Some(client) = case.event.actor_client_id.as_deref() else { return };
    let at = case.event.occurred;
    let tenant = case.tenant;
    let until = at + case.tolerance.clock;
    case.under("sign_in", |case| match tenant.signed_in(client, at - TOKEN_LIFE, until) {
        Some((when, sign_in, source)) => {
            let from = sign_in.ip.as_deref().map_or_else(String::new, |ip| format!(" from {ip}"));
            case.cite(source, format!("Entra issued it a token at {}{from}", when.brief()));
        }
        None => case.missing("a sign-in of the application in the day before"),
    });
}

/// Agents at work to which the inventory gives the address of the request, and agents that had been
/// registered from it. A NAT shares one among many.
pub(super) fn address(case: &mut Case<'_, '_>) {
    let known = case.known;
    if let Some(ip) = case.own_address().filter(|_| case.has_statements()) {
        let at = case.event.occurred;
        let jobs = known.jobs.running(None, at, case.tolerance.clock);
        for (job, _) in jobs {
            let mut stated = case.statements(&job.job, at);
            stated.retain(|(statement, _)| statement.has_address(ip));
            for (statement, source) in &stated {
                let says = format!("the inventory gives {} the address {ip}", statement.whom());
                case.under("address", |case| case.cite(*source, says));
            }
            let listed = case
                .verdict
                .candidates
                .iter()
                .any(|c| c.job_id == job.job.job_id && c.run_id == job.job.run_id);
            if !stated.is_empty() && !listed {
                case.candidate(job, format!("the inventory gives its agent the address {ip}"));
            }
        }
    }
    let Some(ip) = case.event.ip.as_deref() else { return };
    let by = case.event.occurred + case.tolerance.clock;
    let agents = known.agents.at_address(ip, by);
    if let Some((first, source)) = agents.first() {
        let registered = known.agents.registrants(*first, by).find(|b| b.record == source.hash);
        let name = registered.and_then(|b| b.agent_name.clone()).unwrap_or_else(|| format!("agent {first}"));
        let others = match agents.len() - 1 {
            0 => String::new(),
            n => format!(", the first of {} there", n + 1),
        };
        case.under("address", |case| {
            case.cite(*source, format!("{name} was registered from the address {ip}{others}"));
        });
    }
    if agents.len() > MOST_AT_ADDRESS {
        return case.missing(format!("which of the {} agents registered from {ip} it was", agents.len()));
    }
    for (agent, _) in agents {
        if case.verdict.candidates.iter().any(|c| c.agent_id == Some(agent)) {
            continue;
        }
        let registered = known.agents.registrants(agent, by).next();
        case.verdict.candidates.push(Candidate {
            agent_id: Some(agent),
            agent_name: registered.and_then(|b| b.agent_name.clone()),
            pool_id: registered.and_then(|b| b.pool_id),
            why: format!("it was registered from the address {ip}, which others may share"),
            ..Candidate::default()
        });
    }
}

/// The job that another record of the same correlation names, if it is one of `jobs`.
pub(super) fn correlation<'k>(case: &mut Case<'_, '_>, jobs: &[&'k JobKnown]) -> Option<&'k JobKnown> {
    let correlation = case.event.correlation_id.as_deref()?;
    let (request, hash): (i64, RecordHash) = case.known.correlated(correlation)?;
    let job = jobs.iter().find(|job| job.job.request_id == Some(request))?;
    let source = Source { known: case.event.observed, hash };
    case.under("correlation", |case| {
        case.cite(source, format!("a record of the same correlation names job request {request}"));
    });
    Some(job)
}
