--! title = "Pipeline uses service connections in very many runs within an hour"
--! severity = "medium"
--! attack = ["T1098", "T1528"]
--! owasp = ["CICD-SEC-4"]
--! mirrors = ["community:PE-ACCTMGMT-010/2"]
--! why = "A pipeline that is started again and again with access to other systems is being tried out, or used to take what they hold."
--! false_positives = "Pipelines that are triggered by many small changes."
--! next = "Who started the runs and from which branches."
--! actions = ["Library.ServiceConnectionExecuted"]
--! tables = []
--! window_hours = 1
--! suppress_hours = 0
--! reads = ["actions"]
--! params = [
--!   { name = "least", type = "bigint", doc = "Number of uses that is too many", default = "11" },
--!   { name = "minutes", type = "bigint", doc = "Minutes within which they are counted", default = "60" },
--! ]
with done as (
  select event_id, occurred, organization_id, organization, project_id, project, agent_id, agent_name,
    coalesce(actor_client_id, actor_id) as actor, actor_name, concat(lower(coalesce(json_member(data, 'PlanType'), 'build')), ' pipeline ', coalesce(json_member(data, 'DefinitionId', 'PipelineId'), cast(pipeline_id as varchar))) as pipeline, concat_ws(' ', coalesce(organization_id, organization), project_id, concat(lower(coalesce(json_member(data, 'PlanType'), 'build')), ' pipeline ', coalesce(json_member(data, 'DefinitionId', 'PipelineId'), cast(pipeline_id as varchar)))) as whose
  from actions
  where action = 'Library.ServiceConnectionExecuted'
    and occurred >= $from - cast(concat(2 * $minutes, ' minutes') as interval) and occurred < $until
), reached as (
  -- Many, where the one so many before is not long ago.
  select *, lag(occurred, $least - 1) over (partition by whose order by occurred, event_id) > occurred - cast(concat($minutes, ' minutes') as interval) as is_many from done
), followed as (
  select *, lag(is_many) over (partition by whose order by occurred, event_id) as was_many from reached
), fired as (
  -- Once for each time that the number is reached.
  select * from followed where is_many and not coalesce(was_many, false) and occurred >= $from
), near as (
  select n.event_id, count(*) as times, array_agg(distinct o.event_id) as events
  from fired n
  join done o on o.whose = n.whose and o.occurred <= n.occurred and o.occurred > n.occurred - cast(concat($minutes, ' minutes') as interval)
  group by n.event_id
), each as (
  select f.*, n.times, n.events from fired f join near n on n.event_id = f.event_id
)
select
  concat(pipeline, coalesce(' of ' || project_id, '')) as subject,
  occurred, organization_id, organization, project_id, event_id, array_append(array_slice(array_remove(events, event_id), 1, 49), event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat('the ', pipeline, ' of ', project, ' used service connections ', times, ' times within ', $minutes, ' minutes') as says
from each
