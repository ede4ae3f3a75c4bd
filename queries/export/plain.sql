--! title = "Every column of an action, by our own names"
--! reads = ["outgoing"]
--! tags = ["export"]
select "_key", "_order", "_key" as key, "_updated" as updated, event_id, occurred, observed, organization_id, organization,
  project_id, project, action, area, category, actor_id, actor_cuid, actor_name, actor_kind, actor_upn, actor_client_id,
  author_id, auth_mechanism, authorization_id, ip, user_agent, correlation_id, activity_id, details, data as "data$json",
  executor, raised_by, grade, agent_id, agent_name, agent_version, pool_id, pool_name, machine, job_id, request_id, run_id,
  run_kind, attempt, pipeline_id, identities, candidates, evidence, missing, subjects, blind, provisional, revision, decided
from outgoing
