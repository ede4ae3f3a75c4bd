--! title = "The jobs, as in `jobs`, that an agent was given or had at work in a span of time; what is not of it is not read"
--! reads = ["jobs"]
--! narrows = "jobs_found"
--! params = [
--!   { name = "agent", type = "text", doc = "Agent name, or its id" },
--!   { name = "from", type = "timestamp", doc = "Waiting or at work from here on; one whose end is not told was at work when it was taken" },
--!   { name = "until", type = "timestamp", doc = "Up to here, exclusive" },
--! ]
with some_found as (
  select * from lake.jobs
  where (agent_name = $agent or agent_id = try_cast($agent as bigint))
    and date between cast($from as date) and cast($until + interval '31 days' as date)
    and coalesce(queued, assigned, received, finished) < $until
), some_others as (
  -- What is requested and of no agent yet is told of no other; what was requested before may be of this one.
  select * from lake.jobs where request_id is null or agent_id is null and agent_name is null or date < cast($from as date)
)
select * from jobs_found
where (agent_name = $agent or agent_id = try_cast($agent as bigint))
  and coalesce(finished, received, assigned, queued) >= $from and coalesce(queued, assigned, received, finished) < $until
