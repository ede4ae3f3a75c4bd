--! title = "Service connection used from a pool never used with it"
--! severity = "high"
--! attack = ["T1078.004", "T1552"]
--! owasp = ["CICD-SEC-5"]
--! mirrors = []
--! why = "A connection to production is used by the machines made for that. Another pool may hold agents of somebody else."
--! false_positives = "Pipelines that are moved to other machines."
--! next = "The agent and the run, who changed the pipeline, and who registered the agents of the pool."
--! actions = ["Library.ServiceConnectionExecuted"]
--! tables = []
--! window_hours = 720
--! suppress_hours = 0
--! reads = ["actions", "jobs"]
--! params = [
--!   { name = "days", type = "bigint", doc = "Days without a use in the pool that make it new", default = "30" },
--! ]
with uses as (
  select event_id, occurred, organization_id, organization, coalesce(organization, organization_id) as org, project_id, project, lower(coalesce(json_member(data, 'ConnectionId'), json_member(data, 'ConnectionName'))) as connection, json_member(data, 'ConnectionName') as name,
    agent_id, agent_name, run_id, run_kind, job_id
  from actions
  where action = 'Library.ServiceConnectionExecuted'
    and occurred >= $from - cast(concat($days, ' days') as interval) and occurred < $until
), used as (
  -- The pools that the run had jobs in, or that of the one job it is known to be.
  select u.event_id, u.occurred, u.organization_id, u.organization, u.org, u.project_id, u.project, u.connection, u.name, u.agent_id, u.agent_name, u.run_id, j.pool_id, max(j.pool_name) as pool_name
  from uses u
  -- In whatever state a job is, its pool is the same.
  join lake.jobs j on coalesce(j.organization, j.organization_id) = u.org and j.run_id = u.run_id and j.run_kind = u.run_kind and coalesce(j.job_id = u.job_id, true)
  group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13
), before as (
  select *, lag(occurred) over (partition by org, connection, pool_id order by occurred, event_id) as last, lag(pool_id) ignore nulls over (partition by org, connection order by occurred, event_id) as pool_before
  from used
)
select
  concat('connection ', connection) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat('the service connection ', name, ' (', connection, ') was used by run ', run_id, ' of ', project, ' in the pool ', pool_id, coalesce(' (' || pool_name || ')', ''), ', for the first time in ', $days, ' days; before it was pool ', pool_before) as says
from before
-- The first pool of a connection is no news.
where (last is null or last < occurred - cast(concat($days, ' days') as interval)) and pool_id <> pool_before and occurred >= $from
