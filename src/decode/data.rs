//! What an event's Data object names: runs, jobs, agents, credentials.

use std::borrow::Cow;

use super::audit::canonical_text;
use super::json::{Fields, integer, text, time};
use crate::model::{Hints, Text};

/// The hints of a Data object and the second actor it names (`EventAuthor`). Keys come in any
/// casing and numbers as text, since much of Data is the parameters of a stored procedure.
pub(super) fn hints(data: &str) -> (Hints<'_>, Option<Text<'_>>) {
    let mut hints = Hints::default();
    let mut author = None;
    let Some(fields) = Fields::parse(data) else { return (hints, author) };
    for (key, value) in fields.0 {
        let value = value.get();
        let id = || text(value).and_then(canonical_text);
        let words = || text(value);
        match key.to_ascii_lowercase().as_str() {
            "agentid" => hints.agent_id = integer(value),
            "agentname" => hints.agent_name = words(),
            "agentpoolid" | "poolid" => hints.pool_id = integer(value),
            "agentpoolname" | "poolname" => hints.pool_name = words(),
            "requestid" => hints.request_id = integer(value),
            "jobid" => hints.job_id = id(),
            "jobname" => hints.job_name = words(),
            "stagename" => hints.stage_name = words(),
            "planid" => hints.plan_id = id(),
            "plantype" => hints.plan_type = words(),
            "ownerid" | "runid" | "buildid" => hints.run_id = hints.run_id.or(integer(value)),
            "releaseid" => {
                hints.run_id = hints.run_id.or(integer(value));
                hints.plan_type.get_or_insert(Cow::Borrowed("Release"));
            }
            "runname" | "buildnumber" => hints.run_name = words(),
            "releasename" => {
                hints.run_name = words();
                hints.plan_type.get_or_insert(Cow::Borrowed("Release"));
            }
            "pipelineid" | "definitionid" => hints.pipeline_id = integer(value),
            "pipelinename" | "definitionname" => hints.pipeline_name = words(),
            "environmentname" => hints.environment = words(),
            "attempt" | "attemptid" => hints.attempt = integer(value),
            "connectionid" => hints.connection_id = id(),
            "connectionname" => hints.connection_name = words(),
            "authorizationid" => hints.authorization_id = id(),
            "starttime" => hints.started = time(value),
            "finishtime" => hints.finished = time(value),
            "callerprocedure" => hints.caller = words(),
            "requesterid" => hints.requester_id = id(),
            "eventauthor" => author = id(),
            _ => {}
        }
    }
    (hints, author)
}
