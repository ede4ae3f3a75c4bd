--! title = "The jobs, as in `jobs`, that an agent had, by its name or id; what is not of it is not read"
--! reads = ["jobs"]
--! narrows = "jobs"
--! params = [
--!   { name = "agent", type = "text", doc = "Agent name, or its id" },
--! ]
-- The side of a join that is taken for the smaller is held in memory: with `having` it is the ids.
with requests as (
  select request_id from lake.jobs where agent_name = $agent or agent_id = try_cast($agent as bigint)
  group by 1 having max(request_id) is not null
), runs as (
  select run_id from lake.jobs where agent_name = $agent or agent_id = try_cast($agent as bigint)
  group by 1 having max(run_id) is not null
), some_jobs as (
  select j.* from requests r join lake.jobs j on j.request_id = r.request_id
  union all
  -- What timelines and hooks tell of their runs, and what is requested and of no agent yet. A row that is in both is
  -- there twice, and the newest of a job is one of them.
  select j.* from runs r join lake.jobs j on j.run_id = r.run_id
  where j.request_id is null or j.agent_id is null and j.agent_name is null
  union all
  select * from lake.jobs
  where request_id is null and run_id is null and (agent_name = $agent or agent_id = try_cast($agent as bigint))
)
select * from jobs where agent_name = $agent or agent_id = try_cast($agent as bigint)
