--! title = "Agent that a person just registered deploys or uses a service connection"
--! severity = "high"
--! attack = ["T1195.002", "T1072"]
--! owasp = ["CICD-SEC-7", "CICD-SEC-5"]
--! mirrors = []
--! why = "An agent of one's own in a pool that deploys is the shortest way to what the pool may reach."
--! false_positives = "New machines; then the person is known and others follow."
--! next = "The machine, who registered it from where, and what the run did."
--! actions = ["Library.AgentAdded", "Library.ServiceConnectionExecuted", "Pipelines.DeploymentJobCompleted", "Release.DeploymentCompleted", "Release.DeploymentsCompleted"]
--! tables = []
--! window_hours = 48
--! suppress_hours = 24
--! reads = ["actions"]
--! params = [
--!   { name = "hours", type = "bigint", doc = "Hours after the registration", default = "48" },
--! ]
with added as (
  select event_id, occurred, coalesce(organization, organization_id) as org, concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')') as who, ip, try_cast(json_member(data, 'AgentId') as bigint) as agent_id, json_member(data, 'AgentName') as agent
  from actions
  where action = 'Library.AgentAdded' and actor_kind = 'user'
    and occurred >= $from - cast(concat($hours, ' hours') as interval) and occurred < $until
), did as (
  select event_id, occurred, organization_id, organization, coalesce(organization, organization_id) as org, project_id, project, action, agent_id, agent_name, run_id,
    coalesce(json_member(data, 'ConnectionName', 'EnvironmentName', 'StageName'), '') as what
  from actions
  where action in ('Library.ServiceConnectionExecuted', 'Pipelines.DeploymentJobCompleted', 'Release.DeploymentCompleted', 'Release.DeploymentsCompleted')
    and occurred >= $from and occurred < $until
)
select
  concat('agent ', d.agent_id) as subject,
  d.occurred, d.organization_id, d.organization, d.project_id, d.event_id, make_array(a.event_id, d.event_id) as events, d.agent_id, d.agent_name,
  cast(null as varchar) as severity,
  concat('the agent ', d.agent_name, ' (', d.agent_id, '), registered at ', a.occurred, ' by ', a.who, ' from ', a.ip, ', did ', d.action, ' ', d.what, ' for run ', d.run_id, ' of ', d.project) as says
from did d
join added a on a.org = d.org and a.agent_id = d.agent_id
  and a.occurred <= d.occurred and a.occurred >= d.occurred - cast(concat($hours, ' hours') as interval)
