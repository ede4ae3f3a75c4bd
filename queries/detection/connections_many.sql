--! title = "Pipeline uses very many service connections"
--! severity = "medium"
--! attack = ["T1098", "T1496"]
--! owasp = ["CICD-SEC-5"]
--! mirrors = ["sentinel:d564ff12-8f53-41b8-8649-44f76b37b99f"]
--! why = "Each service connection opens another system. A pipeline that may use many of them is a way into all of these for whoever can change it."
--! false_positives = "Pipelines that deploy to many places; name them in `allowed` as `build pipeline 30` or `release pipeline 5`."
--! next = "Whether it needs all of them; limit connections to the pipelines that do."
--! actions = ["Library.ServiceConnectionExecuted"]
--! tables = []
--! window_hours = 336
--! suppress_hours = 168
--! reads = ["actions"]
--! params = [
--!   { name = "most", type = "bigint", doc = "Service connections that a pipeline may use", default = "4" },
--!   { name = "days", type = "bigint", doc = "Days in which they are counted", default = "14" },
--!   { name = "allowed", type = "text", doc = "Pipelines that may, separated by commas", default = "" },
--! ]
with used as (
  select event_id, occurred, organization_id, organization, coalesce(organization_id, organization) as org, project_id, project, agent_id, agent_name,
    concat(lower(coalesce(json_member(data, 'PlanType'), 'build')), ' pipeline ', coalesce(json_member(data, 'DefinitionId', 'PipelineId'), cast(pipeline_id as varchar))) as pipeline, lower(coalesce(json_member(data, 'ConnectionId'), json_member(data, 'ConnectionName'))) as connection, json_member(data, 'ConnectionName') as name
  from actions
  where action = 'Library.ServiceConnectionExecuted'
    and not array_has(string_to_array(lower(replace($allowed, ' ', '')), ','), replace(concat(lower(coalesce(json_member(data, 'PlanType'), 'build')), ' pipeline ', coalesce(json_member(data, 'DefinitionId', 'PipelineId'), cast(pipeline_id as varchar))), ' ', ''))
    and occurred >= $from - cast(concat($days, ' days') as interval) and occurred < $until
), first as (
  select *, lag(occurred) over (partition by org, project_id, pipeline, connection order by occurred, event_id) as last from used
), each as (
  -- Only a connection that it had not used in these days makes more of them.
  select n.event_id, n.occurred, n.organization_id, n.organization, n.project_id, n.project, n.agent_id, n.agent_name, n.pipeline,
    count(distinct u.connection) as connections, array_agg(distinct u.event_id) as others, string_agg(distinct u.name, ', ') as names
  from first n
  join used u on u.org = n.org and coalesce(u.project_id, '') = coalesce(n.project_id, '') and u.pipeline = n.pipeline
    and u.occurred >= n.occurred - cast(concat($days, ' days') as interval) and u.occurred <= n.occurred
  where (n.last is null or n.last < n.occurred - cast(concat($days, ' days') as interval)) and n.occurred >= $from
  group by 1, 2, 3, 4, 5, 6, 7, 8, 9
)
select
  concat(pipeline, coalesce(' of ' || project_id, '')) as subject,
  occurred, organization_id, organization, project_id, event_id,
  array_append(array_slice(array_remove(others, event_id), 1, 49), event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat('the ', pipeline, ' of ', project, ' used ', connections, ' service connections within ', $days, ' days: ', names) as says
from each
where connections > $most
