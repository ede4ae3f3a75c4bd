--! title = "Pipeline deleted"
--! severity = "low"
--! attack = ["T1485", "T1070"]
--! owasp = ["CICD-SEC-1"]
--! mirrors = ["community:Pipeline Deleted (one project)"]
--! why = "With a pipeline its runs and logs are gone."
--! false_positives = "Clean-up."
--! next = "What ran in it last; `projects` limits it to some."
--! actions = ["Pipelines.PipelineDeleted", "Release.ReleasePipelineDeleted"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = [
--!   { name = "projects", type = "text", doc = "Projects it is looked for in, separated by commas; empty for all", default = "" },
--! ]
select
  concat(concat(lower(split_part(replace(action, 'Pipelines.', 'Build.'), '.', 1)), ' pipeline ', coalesce(json_member(data, 'PipelineId', 'DefinitionId'), json_member(data, 'PipelineName'))), coalesce(' of ' || project_id, '')) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' deleted the ', concat(lower(split_part(replace(action, 'Pipelines.', 'Build.'), '.', 1)), ' pipeline ', coalesce(json_member(data, 'PipelineId', 'DefinitionId'), json_member(data, 'PipelineName'))), ' (', json_member(data, 'PipelineName'), ') in ', project) as says
from actions
where action in ('Pipelines.PipelineDeleted', 'Release.ReleasePipelineDeleted')
  and ($projects = '' or array_has(string_to_array(lower(replace($projects, ' ', '')), ','), lower(replace(coalesce(project, ''), ' ', ''))))
  and occurred >= $from and occurred < $until
