--! title = "Pipeline uses many service connections at once, one of them new to it"
--! severity = "medium"
--! attack = ["T1098", "T1496", "T1552"]
--! owasp = ["CICD-SEC-5", "CICD-SEC-6"]
--! mirrors = ["sentinel:5efb0cfd-063d-417a-803b-562eae5b0301"]
--! why = "A pipeline that is made or changed to take what service connections give uses one after the other. Most pipelines use the same one or two for years, or are new for this very purpose."
--! false_positives = "Pipelines that deploy to many places and get one more."
--! next = "The run behind the last use: who started it, from which branch, on which agent; then the sign-ins of the connections."
--! actions = ["Library.ServiceConnectionExecuted"]
--! tables = []
--! window_hours = 342
--! suppress_hours = 24
--! reads = ["actions"]
--! params = [
--!   { name = "most", type = "bigint", doc = "Service connections that a pipeline may use at once", default = "3" },
--!   { name = "hours", type = "bigint", doc = "Hours that are at once", default = "6" },
--!   { name = "days", type = "bigint", doc = "Days without a use that make a connection new", default = "14" },
--! ]
with used as (
  select event_id, occurred, organization_id, organization, coalesce(organization_id, organization) as org, project_id, project, agent_id, agent_name,
    concat(lower(coalesce(json_member(data, 'PlanType'), 'build')), ' pipeline ', coalesce(json_member(data, 'DefinitionId', 'PipelineId'), cast(pipeline_id as varchar))) as pipeline, lower(coalesce(json_member(data, 'ConnectionId'), json_member(data, 'ConnectionName'))) as connection, json_member(data, 'ConnectionName') as name
  from actions
  where action = 'Library.ServiceConnectionExecuted'
    and occurred >= $from - cast(concat($days, ' days') as interval) - cast(concat($hours, ' hours') as interval) and occurred < $until
), first as (
  select *, lag(occurred) over (partition by org, project_id, pipeline, connection order by occurred, event_id) as last from used
), each as (
  select n.event_id, n.occurred, n.organization_id, n.organization, n.project_id, n.project, n.agent_id, n.agent_name, n.pipeline, n.name,
    count(distinct u.connection) as connections, array_agg(distinct u.event_id) as others, string_agg(distinct u.name, ', ') as names
  from first n
  join used u on u.org = n.org and coalesce(u.project_id, '') = coalesce(n.project_id, '') and u.pipeline = n.pipeline
    and u.occurred >= n.occurred - cast(concat($hours, ' hours') as interval) and u.occurred <= n.occurred
  where (n.last is null or n.last < n.occurred - cast(concat($days, ' days') as interval)) and n.occurred >= $from
  group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
)
select
  concat(pipeline, coalesce(' of ' || project_id, '')) as subject,
  occurred, organization_id, organization, project_id, event_id,
  array_append(array_slice(array_remove(others, event_id), 1, 49), event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat('the ', pipeline, ' of ', project, ' used ', connections, ' service connections within ', $hours, ' hours (', names, '), ', name, ' for the first time in ', $days, ' days') as says
from each
where connections > $most
