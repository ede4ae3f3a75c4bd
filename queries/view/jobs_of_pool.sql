--! title = "The jobs, as in `jobs`, that were queued or at work in a pool in a span of time; what is not of it is not read"
--! reads = ["jobs"]
--! narrows = "jobs_found"
--! params = [
--!   { name = "pool", type = "bigint", doc = "Pool" },
--!   { name = "from", type = "timestamp", doc = "Waiting or at work from here on; one whose end is not told was at work when it was taken" },
--!   { name = "until", type = "timestamp", doc = "Up to here, exclusive" },
--! ]
with some_found as (
  select * from lake.jobs
  where pool_id = $pool and date between cast($from as date) and cast($until + interval '31 days' as date)
    and coalesce(queued, assigned, received, finished) < $until
), some_others as (
  select * from lake.jobs where request_id is null
)
select * from jobs_found
where pool_id = $pool and coalesce(finished, received, assigned, queued) >= $from and coalesce(queued, assigned, received, finished) < $until
