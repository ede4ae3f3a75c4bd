--! title = "The jobs, as in `jobs`, that agents took in a span of time; what is not of it is not read"
--! reads = ["jobs"]
--! narrows = "jobs"
--! params = [
--!   { name = "from", type = "timestamp", doc = "Taken from here on" },
--!   { name = "until", type = "timestamp", doc = "Up to here, exclusive" },
--! ]
with some_jobs as (
  select * from lake.jobs
  where request_id in (select request_id from lake.jobs where received >= $from and received < $until)
  union all
  -- What else is told of the runs; what is of the span and has a request is there already.
  select * from lake.jobs
  where run_id in (select run_id from lake.jobs where received >= $from and received < $until)
    and (request_id is null or received is null or received < $from or received >= $until)
  union all
  select * from lake.jobs
  where request_id is null and run_id is null and received >= $from and received < $until
)
select * from jobs where received >= $from and received < $until
