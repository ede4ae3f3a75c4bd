--! title = "The jobs, as in `jobs`, that were queued or at work in a pool in a span of time; what is not of it is not read"
--! reads = ["jobs"]
--! narrows = "jobs"
--! params = [
--!   { name = "pool", type = "bigint", doc = "Pool" },
--!   { name = "from", type = "timestamp", doc = "Waiting or at work from here on; one whose end is not told was at work when it was taken" },
--!   { name = "until", type = "timestamp", doc = "Up to here, exclusive" },
--! ]
-- A state is of the day of the newest of its times, and nothing more than a month before or after tells of a job of
-- the span. The side of a join that is taken for the smaller is held in memory: with `having` it is the ids.
with requests as (
  select request_id from lake.jobs
  where pool_id = $pool and date between cast($from as date) and cast($until + interval '31 days' as date)
    and coalesce(queued, assigned, received, finished) < $until
  group by 1 having max(request_id) is not null
), runs as (
  select run_id from lake.jobs
  where pool_id = $pool and date between cast($from as date) and cast($until + interval '31 days' as date)
    and coalesce(queued, assigned, received, finished) < $until
  group by 1 having max(run_id) is not null
), some_jobs as (
  select j.*
  from requests r
  join lake.jobs j on j.request_id = r.request_id
  where j.date between cast($from - interval '31 days' as date) and cast($until + interval '31 days' as date)
  union all
  -- What timelines and hooks tell of their runs.
  select j.*
  from runs r
  join lake.jobs j on j.run_id = r.run_id
  where (j.date is null or j.date between cast($from - interval '31 days' as date) and cast($until + interval '31 days' as date))
    and j.request_id is null
  union all
  select * from lake.jobs
  where request_id is null and run_id is null and pool_id = $pool
    and date between cast($from as date) and cast($until + interval '31 days' as date)
)
select * from jobs
where pool_id = $pool and coalesce(finished, received, assigned, queued) >= $from and coalesce(queued, assigned, received, finished) < $until
