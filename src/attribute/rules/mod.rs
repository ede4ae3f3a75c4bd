//! The ordered rules, and the verdict they build together.
//!
//! Each rule is a pure function of the case: it decides, or it leaves the case to the next one. Who
//! raised a record is a question of its own, answered before all of them.

mod actors;
mod builds;
mod case;
mod hints;
mod occupied;
mod work;

use super::Tolerance;
use super::known::Known;
use crate::model::{Event, Verdict};
pub(super) use builds::home_project;
use case::Case;

/// Whether a rule settled the case.
#[derive(PartialEq)]
enum Step {
    Decided,
    Next,
}

type Rule = (&'static str, fn(&mut Case<'_, '_>) -> Step);

/// Evidence that corroborates and decides nothing has names of its own: `token` (whose credential it was),
/// `sign_in` (when Entra issued one), `address` (who was registered from there), `agent_software` (what the
/// request calls itself), `connection_use` (which run used a service connection), `correlation` (records of
/// one call), `scale_set` (the machine behind an agent), `caller` (a procedure of the server).
///
/// In this order: what names a job or a run beats what names an agent, which beats who was there.
const RULES: [Rule; 10] = [
    ("agent_subject", actors::agent_subject),
    ("server_decision", actors::server_decision),
    ("job_ids", work::job_ids),
    ("run_ids", work::run_ids),
    ("run_names", work::run_names),
    ("server_job", actors::server_job),
    ("browser", actors::browser),
    ("build_identity", builds::build_identity),
    ("application", occupied::application),
    ("credential", occupied::credential),
];

/// Runs the rules over one event.
pub(super) fn decide(event: &Event<'_>, known: &Known, tenant: &Known, tolerance: Tolerance) -> Verdict {
    let mut case = Case::new(event, known, tenant, tolerance);
    for (name, rule) in RULES {
        case.rule = name;
        if rule(&mut case) == Step::Decided {
            break;
        }
    }
    case.finish()
}
