--! title = "Release or pipeline deleted soon after its pipeline was changed, by the same"
--! severity = "medium"
--! attack = ["T1053", "T1070"]
--! owasp = ["CICD-SEC-4", "CICD-SEC-10"]
--! mirrors = ["sentinel-hunting:47857f1f-f8e6-470d-b132-03a8a606b3f4"]
--! why = "Who changed a pipeline, let it run and deletes the release or the pipeline takes away what would show the change at work."
--! false_positives = "People who try things out and clean up."
--! next = "The jobs that ran in between, which stay in `jobs`, and the change itself."
--! actions = ["Release.ReleaseDeleted", "Pipelines.PipelineDeleted", "Pipelines.PipelineModified", "Release.ReleasePipelineModified"]
--! tables = []
--! window_hours = 1
--! suppress_hours = 0
--! reads = ["actions"]
--! params = [
--!   { name = "minutes", type = "bigint", doc = "Minutes between change and deletion at most", default = "60" },
--! ]
with done as (
  select event_id, occurred, organization_id, organization, coalesce(organization_id, organization) as org, project_id, project, action, agent_id, agent_name,
    coalesce(actor_client_id, actor_id) as actor, concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')') as who, concat(lower(split_part(replace(action, 'Pipelines.', 'Build.'), '.', 1)), ' pipeline ', coalesce(json_member(data, 'PipelineId', 'DefinitionId'), json_member(data, 'PipelineName'))) as pipeline, json_member(data, 'ReleaseName', 'PipelineName') as name
  from actions
  where action in ('Release.ReleaseDeleted', 'Pipelines.PipelineDeleted', 'Pipelines.PipelineModified', 'Release.ReleasePipelineModified')
    and occurred >= $from - cast(concat($minutes, ' minutes') as interval) and occurred < $until
)
select
  concat(d.pipeline, coalesce(' of ' || d.project_id, '')) as subject,
  d.occurred, d.organization_id, d.organization, d.project_id, d.event_id, make_array(max(m.event_id), d.event_id) as events, d.agent_id, d.agent_name,
  cast(null as varchar) as severity,
  concat(d.who, ' deleted ', d.name, ' of the ', d.pipeline, ' in ', d.project, ', having changed that pipeline at ', max(m.occurred)) as says
from done m
join done d on d.org = m.org and d.pipeline = m.pipeline and coalesce(d.project_id, '') = coalesce(m.project_id, '') and d.actor = m.actor
  and d.occurred > m.occurred and d.occurred <= m.occurred + cast(concat($minutes, ' minutes') as interval)
where m.action like '%Modified' and d.action like '%Deleted' and d.occurred >= $from
group by d.pipeline, d.occurred, d.organization_id, d.organization, d.project_id, d.project, d.event_id, d.agent_id, d.agent_name, d.who, d.name
