--! title = "Pipeline just created is permitted a resource"
--! severity = "high"
--! attack = ["T1552", "T1528"]
--! owasp = ["CICD-SEC-4", "CICD-SEC-5"]
--! mirrors = []
--! why = "Tools such as nord-stream make a pipeline, let it use every connection, secure file and variable group, and print what these hold."
--! false_positives = "New pipelines of a team; then it is one resource, and the pipeline stays."
--! next = "What ran in the pipeline, and whether it is still there; change the secrets it could read."
--! actions = ["Pipelines.PipelineCreated", "Pipelines.ResourceAuthorizedForPipeline"]
--! tables = []
--! window_hours = 24
--! suppress_hours = 24
--! reads = ["actions"]
--! params = [
--!   { name = "hours", type = "bigint", doc = "Hours after the creation", default = "24" },
--! ]
with done as (
  select event_id, occurred, organization_id, organization, coalesce(organization_id, organization) as org, project_id, project, action, agent_id, agent_name, concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')') as who,
    json_member(data, 'PipelineId') as pipeline, json_member(data, 'PipelineName') as name, concat(json_member(data, 'ResourceType'), ' ', json_member(data, 'ResourceId')) as resource
  from actions
  where action in ('Pipelines.PipelineCreated', 'Pipelines.ResourceAuthorizedForPipeline')
    and occurred >= $from - cast(concat($hours, ' hours') as interval) and occurred < $until
)
select
  concat('build pipeline ', a.pipeline, coalesce(' of ' || a.project_id, '')) as subject,
  a.occurred, a.organization_id, a.organization, a.project_id, a.event_id, make_array(max(c.event_id), a.event_id) as events, a.agent_id, a.agent_name,
  cast(null as varchar) as severity,
  concat(a.who, ' let the pipeline ', max(c.name), ' (', a.pipeline, ') of ', a.project, ' use ', a.resource, '; ', max(c.who), ' had created it at ', max(c.occurred)) as says
from done a
join done c on c.org = a.org and c.pipeline = a.pipeline and coalesce(c.project_id, '') = coalesce(a.project_id, '')
  and c.occurred <= a.occurred and c.occurred >= a.occurred - cast(concat($hours, ' hours') as interval)
where a.action like '%Authorized%' and c.action like '%Created' and a.occurred >= $from
group by a.pipeline, a.occurred, a.organization_id, a.organization, a.project_id, a.project, a.event_id, a.agent_id, a.agent_name, a.who, a.resource
