--! title = "Pipeline created by somebody who never did in this project"
--! severity = "medium"
--! attack = ["T1053", "T1578.005"]
--! owasp = ["CICD-SEC-4"]
--! mirrors = ["sentinel-hunting:2dfa9c23-1590-4589-995a-d1486be66028", "sumo:FIRST-S00092"]
--! why = "A pipeline of one's own is the shortest way to the secrets, connections and agents of a project."
--! false_positives = "New members of a team."
--! next = "What it may use, what ran, and whether it is still there."
--! actions = ["Pipelines.PipelineCreated", "Release.ReleasePipelineCreated"]
--! tables = []
--! window_hours = 720
--! suppress_hours = 0
--! reads = ["actions", "heard"]
--! params = [
--!   { name = "days", type = "bigint", doc = "Days without such a creation that make it new", default = "30" },
--! ]
with done as (
  select event_id, occurred, organization_id, organization, coalesce(organization_id, organization) as org, project_id, project, action,
    coalesce(actor_client_id, actor_id) as actor, actor_name, coalesce(project_id, '') as thing, concat(lower(split_part(replace(action, 'Pipelines.', 'Build.'), '.', 1)), ' pipeline ', coalesce(json_member(data, 'PipelineId', 'DefinitionId'), json_member(data, 'PipelineName'))) as pipeline, json_member(data, 'PipelineName') as name, agent_id, agent_name
  from actions
  where action in ('Pipelines.PipelineCreated', 'Release.ReleasePipelineCreated')
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
  concat(actor_name, ' (', actor, ') created the ', pipeline, ' (', name, ') in ', project, short) as says
from new
where occurred >= $from
