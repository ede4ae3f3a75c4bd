--! title = "Pipeline created and soon deleted"
--! severity = "medium"
--! attack = ["T1072", "T1578"]
--! owasp = ["CICD-SEC-4", "CICD-SEC-1"]
--! mirrors = ["sentinel:17f23fbe-bb73-4324-8ecf-a18545a5dc26", "sumo:CHAIN-S00021"]
--! why = "A pipeline made for one purpose and taken away takes its runs and logs with it. Tools that read secrets through pipelines work like this."
--! false_positives = "Trials of people who learn."
--! next = "What ran in between: jobs by the number of the pipeline, service connections used, resources it was permitted."
--! actions = ["Pipelines.PipelineCreated", "Release.ReleasePipelineCreated", "Pipelines.PipelineDeleted", "Release.ReleasePipelineDeleted"]
--! tables = []
--! window_hours = 24
--! suppress_hours = 0
--! reads = ["actions"]
--! params = [
--!   { name = "hours", type = "bigint", doc = "Hours between creation and deletion at most", default = "24" },
--! ]
with pipelines as (
  select event_id, occurred, organization_id, organization, coalesce(organization_id, organization) as org, project_id, project, action, agent_id, agent_name,
    concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')') as who, concat(lower(split_part(replace(action, 'Pipelines.', 'Build.'), '.', 1)), ' pipeline ', coalesce(json_member(data, 'PipelineId', 'DefinitionId'), json_member(data, 'PipelineName'))) as pipeline, json_member(data, 'PipelineName') as name
  from actions
  where action in ('Pipelines.PipelineCreated', 'Release.ReleasePipelineCreated', 'Pipelines.PipelineDeleted', 'Release.ReleasePipelineDeleted')
    and occurred >= $from - cast(concat($hours, ' hours') as interval) and occurred < $until
)
select
  concat(d.pipeline, coalesce(' of ' || d.project_id, '')) as subject,
  d.occurred, d.organization_id, d.organization, d.project_id, d.event_id, make_array(c.event_id, d.event_id) as events, d.agent_id, d.agent_name,
  cast(null as varchar) as severity,
  concat(d.who, ' deleted the ', d.pipeline, ' (', d.name, ') in ', d.project, ' that ', c.who, ' had created at ', c.occurred) as says
from pipelines c
join pipelines d on d.org = c.org and d.pipeline = c.pipeline and coalesce(d.project_id, '') = coalesce(c.project_id, '')
  and d.occurred >= c.occurred and d.occurred <= c.occurred + cast(concat($hours, ' hours') as interval)
where c.action like '%Created' and d.action like '%Deleted' and d.occurred >= $from
