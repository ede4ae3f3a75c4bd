--! title = "The jobs, as in `jobs`, that agents took in a span of time; what is not of it is not read"
--! reads = ["jobs"]
--! narrows = "jobs"
--! params = [
--!   { name = "from", type = "timestamp", doc = "Taken from here on" },
--!   { name = "until", type = "timestamp", doc = "Up to here, exclusive" },
--! ]
-- Nothing more than a month before or after tells of a job of the span; what a timeline says of one that has not
-- started is of no day. The side of a join that is taken for the smaller is held in memory: with `having` it is the ids.
with requests as (
  select request_id from lake.jobs where received >= $from and received < $until group by 1 having max(request_id) is not null
), runs as (
  select run_id from lake.jobs where received >= $from and received < $until group by 1 having max(run_id) is not null
), some_jobs as (
  select j.*
  from requests r
  join lake.jobs j on j.request_id = r.request_id
  where j.date between cast($from - interval '31 days' as date) and cast($until + interval '31 days' as date)
  union all
  -- What else is told of the runs; what is of the span and has a request is there already.
  select j.*
  from runs r
  join lake.jobs j on j.run_id = r.run_id
  where (j.date is null or j.date between cast($from - interval '31 days' as date) and cast($until + interval '31 days' as date))
    and (j.request_id is null or j.received is null or j.received < $from or j.received >= $until)
  union all
  select * from lake.jobs
  where request_id is null and run_id is null and received >= $from and received < $until
)
select * from jobs where received >= $from and received < $until
