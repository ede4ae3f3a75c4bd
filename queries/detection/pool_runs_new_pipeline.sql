--! title = "Pool runs a pipeline that never ran there"
--! severity = "low"
--! attack = ["T1072", "T1195"]
--! owasp = ["CICD-SEC-4", "CICD-SEC-5"]
--! mirrors = []
--! why = "Machines with rights of their own are of use to every pipeline that is sent to them. A pool that has run the same pipelines for weeks seldom gets another."
--! false_positives = "New pipelines; name the pools that are for everybody in `allowed` by id."
--! next = "Who made or changed the pipeline, and what its jobs did on the machines."
--! actions = []
--! tables = ["jobs"]
--! window_hours = 720
--! suppress_hours = 24
--! reads = ["jobs"]
--! params = [
--!   { name = "days", type = "bigint", doc = "Days without a run of the pipeline that make it new", default = "30" },
--!   { name = "quiet", type = "bigint", doc = "Days that the pool must have been at work before", default = "7" },
--!   { name = "allowed", type = "text", doc = "Ids of pools that run everything, separated by commas", default = "" },
--! ]
with ran as (
  select organization_id, organization, coalesce(organization, organization_id) as org, project_id, pool_id, pool_name, pipeline_id, pipeline_name, run_id, agent_id, agent_name, received, request_id, job_id
  -- Of a job in several states only the first row is new.
  from lake.jobs
  where pipeline_id is not null and received >= $from - cast(concat($days, ' days') as interval) and received < $until
    and not array_has(string_to_array(replace($allowed, ' ', ''), ','), cast(pool_id as varchar))
), before as (
  select *, lag(received) over (partition by org, pool_id, project_id, pipeline_id order by received, request_id, job_id) as last, first_value(received) over (partition by org, pool_id order by received) as first
  from ran
)
select
  concat('pool ', pool_id, ' pipeline ', pipeline_id, coalesce(' of ' || project_id, '')) as subject,
  received as occurred, organization_id, organization, project_id, cast(null as varchar) as event_id, array_remove(make_array(''), '') as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat('the pool ', pool_id, coalesce(' (' || pool_name || ')', ''), ' ran the pipeline ', pipeline_name, ' (', pipeline_id, '), run ', run_id, ' on ', agent_name, ', which it had not run in ', $days, ' days') as says
from before
-- A pool must have been at work for as long as is asked for, or everything is new to it.
where (last is null or last < received - cast(concat($days, ' days') as interval)) and first <= received - cast(concat($quiet, ' days') as interval) and received >= $from
