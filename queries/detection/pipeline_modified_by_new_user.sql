--! title = "Pipeline changed by somebody who never did in this project"
--! severity = "medium"
--! attack = ["T1578", "T1578.005", "T1569", "T1053"]
--! owasp = ["CICD-SEC-4", "CICD-SEC-1"]
--! mirrors = ["sentinel:155e9134-d5ad-4a6f-88f3-99c220040b66", "sumo:FIRST-S00096", "community:PERSIST-SCHED-003/1"]
--! why = "Whoever changes a pipeline decides what its agents run and what its service connections are used for."
--! false_positives = "New members of a team, and long absence."
--! next = "The change itself, the runs after it, and which connections and agents they used."
--! actions = ["Pipelines.PipelineModified", "Release.ReleasePipelineModified"]
--! tables = []
--! window_hours = 336
--! suppress_hours = 0
--! reads = ["actions", "heard"]
--! params = [
--!   { name = "days", type = "bigint", doc = "Days without such a change that make it new", default = "14" },
--! ]
with done as (
  select event_id, occurred, organization_id, organization, coalesce(organization_id, organization) as org, project_id, project, action,
    coalesce(actor_client_id, actor_id) as actor, actor_name, coalesce(project_id, '') as thing, concat(lower(split_part(replace(action, 'Pipelines.', 'Build.'), '.', 1)), ' pipeline ', coalesce(json_member(data, 'PipelineId', 'DefinitionId'), json_member(data, 'PipelineName'))) as pipeline, agent_id, agent_name
  from actions
  where action in ('Pipelines.PipelineCreated', 'Release.ReleasePipelineCreated', 'Pipelines.PipelineModified', 'Release.ReleasePipelineModified')
    and occurred >= $from - cast(concat($days, ' days') as interval) and occurred < $until
), before as (
  select *, lag(occurred) over (partition by org, actor, thing order by occurred, event_id) as last from done
), new as (
  select b.*, case when h.since > b.occurred - cast(concat($days, ' days') as interval)
    then concat('; the records here reach back only ', cast(date_part('day', b.occurred - h.since) as bigint), ' days') end as short
  from before b
  join heard h on h.org = b.org
  where b.last is null or b.last < b.occurred - cast(concat($days, ' days') as interval)
)
select
  concat('user ', actor, coalesce(' in ' || project_id, '')) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  nvl2(short, 'low', null) as severity,
  concat(actor_name, ' (', actor, ') changed the ', pipeline, ' in ', project, short) as says
from new
where action in ('Pipelines.PipelineModified', 'Release.ReleasePipelineModified') and occurred >= $from
