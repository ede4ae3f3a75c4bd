--! title = "Pipeline created, permitted a resource, and deleted"
--! severity = "critical"
--! attack = ["T1552", "T1528", "T1070"]
--! owasp = ["CICD-SEC-4", "CICD-SEC-6"]
--! mirrors = ["community:CA-TOKEN-015/2"]
--! why = "This is the trace of nord-stream: a pipeline that is there only to read what connections, secure files and variable groups hold."
--! false_positives = "None that we know of."
--! next = "Every secret of the resources it could use is known to somebody; change them. The jobs of the pipeline name the agents that ran it."
--! actions = ["Pipelines.PipelineCreated", "Pipelines.ResourceAuthorizedForPipeline", "Pipelines.PipelineDeleted"]
--! tables = []
--! window_hours = 72
--! suppress_hours = 0
--! reads = ["actions"]
--! params = [
--!   { name = "hours", type = "bigint", doc = "Hours between creation and deletion at most", default = "72" },
--! ]
with done as (
  select event_id, occurred, organization_id, organization, coalesce(organization_id, organization) as org, project_id, project, action, agent_id, agent_name, concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')') as who,
    json_member(data, 'PipelineId') as pipeline, json_member(data, 'PipelineName') as name, concat(json_member(data, 'ResourceType'), ' ', json_member(data, 'ResourceId')) as resource
  from actions
  where action in ('Pipelines.PipelineCreated', 'Pipelines.ResourceAuthorizedForPipeline', 'Pipelines.PipelineDeleted')
    and occurred >= $from - cast(concat($hours, ' hours') as interval) and occurred < $until
)
select
  concat('build pipeline ', d.pipeline, coalesce(' of ' || d.project_id, '')) as subject,
  d.occurred, d.organization_id, d.organization, d.project_id, d.event_id, array_append(array_prepend(max(c.event_id), array_slice(array_agg(distinct a.event_id), 1, 48)), d.event_id) as events, d.agent_id, d.agent_name,
  cast(null as varchar) as severity,
  concat(d.who, ' deleted the pipeline ', max(d.name), ' (', d.pipeline, ') of ', d.project, ' that ', max(c.who), ' had created at ', max(c.occurred), ' and that was permitted ', string_agg(distinct a.resource, ', ')) as says
from done d
join done a on a.org = d.org and a.pipeline = d.pipeline and coalesce(a.project_id, '') = coalesce(d.project_id, '') and a.occurred <= d.occurred
join done c on c.org = d.org and c.pipeline = d.pipeline and coalesce(c.project_id, '') = coalesce(d.project_id, '') and c.occurred <= a.occurred
  and c.occurred >= d.occurred - cast(concat($hours, ' hours') as interval)
where a.action like '%Authorized%' and c.action like '%Created' and d.action like '%Deleted' and d.occurred >= $from
group by d.pipeline, d.occurred, d.organization_id, d.organization, d.project_id, d.project, d.event_id, d.agent_id, d.agent_name, d.who
