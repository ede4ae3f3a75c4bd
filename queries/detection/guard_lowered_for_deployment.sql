--! title = "Check or policy weakened before a deployment and restored after it"
--! severity = "critical"
--! attack = ["T1562", "T1578"]
--! owasp = ["CICD-SEC-1"]
--! mirrors = []
--! why = "Who takes a check away, deploys, and puts it back has deployed past it, and afterwards everything looks as it should."
--! false_positives = "Emergencies; there is somebody then who knows of it."
--! next = "What was deployed, by which agent, from which branch, and whether the two changes were made by the same person."
--! actions = ["CheckConfiguration.Created", "CheckConfiguration.Deleted", "CheckConfiguration.Disabled", "CheckConfiguration.Enabled", "CheckConfiguration.Updated", "Pipelines.DeploymentJobCompleted", "Policy.PolicyConfigCreated", "Policy.PolicyConfigModified", "Policy.PolicyConfigRemoved", "Release.DeploymentCompleted", "Release.DeploymentsCompleted"]
--! tables = []
--! window_hours = 24
--! suppress_hours = 0
--! reads = ["actions"]
--! params = [
--!   { name = "hours", type = "bigint", doc = "Hours between weakening and restoring at most", default = "24" },
--! ]
with guards as (
  select event_id, occurred, organization_id, organization, coalesce(organization_id, organization) as org, project_id, action, agent_id, agent_name, concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')') as who, concat(split_part(action, '.', 1), ' ', json_member(data, 'ResourceType', 'PolicyTypeDisplayName'), ' ', coalesce(json_member(data, 'ResourceId', 'PolicyConfigId', 'ConfigId'), json_member(data, 'ResourceName', 'RepoName'))) as guard
  from actions
  where regexp_like(action, '^CheckConfiguration[.]|^Policy[.]PolicyConfig')
    and occurred >= $from - cast(concat($hours, ' hours') as interval) and occurred < $until
), deployments as (
  select event_id, occurred, coalesce(organization_id, organization) as org, project_id, concat(json_member(data, 'RunName', 'ReleaseName'), ' to ', json_member(data, 'EnvironmentName', 'StageName')) as what, agent_name as by_agent
  from actions
  where action in ('Pipelines.DeploymentJobCompleted', 'Release.DeploymentCompleted', 'Release.DeploymentsCompleted')
    and occurred >= $from - cast(concat($hours, ' hours') as interval) and occurred < $until
)
select
  concat(b.guard, coalesce(' of ' || b.project_id, '')) as subject,
  b.occurred, b.organization_id, b.organization, b.project_id, b.event_id, make_array(max(a.event_id), max(d.event_id), b.event_id) as events, b.agent_id, b.agent_name,
  cast(null as varchar) as severity,
  concat(max(a.who), ' weakened ', b.guard, ' (', max(a.action), ') at ', max(a.occurred), ', then ', max(d.what), ' was deployed', coalesce(' by the agent ' || max(d.by_agent), ''), ', and ', b.who, ' restored it (', b.action, ')') as says
from guards a
join deployments d on d.org = a.org and coalesce(d.project_id, '') = coalesce(a.project_id, '') and d.occurred >= a.occurred
join guards b on b.org = a.org and coalesce(b.project_id, '') = coalesce(a.project_id, '') and b.guard = a.guard and b.occurred >= d.occurred
  and b.occurred <= a.occurred + cast(concat($hours, ' hours') as interval)
where regexp_like(a.action, 'Deleted|Disabled|Updated|Removed|Modified') and regexp_like(b.action, 'Created|Enabled|Updated|Modified') and b.event_id <> a.event_id
  and b.occurred >= $from
group by b.guard, b.project_id, b.occurred, b.organization_id, b.organization, b.event_id, b.agent_id, b.agent_name, b.who, b.action
