--! title = "The jobs of the found rows: their requests, and what else is told of their runs"
--! reads = ["jobs"]
--! narrows = "jobs"
--! part = true
-- What narrows it gives `some_found`, the rows that show which jobs are meant, and `some_others`, the rows of their
-- runs that add to them; and has the parameters `from` and `until`. A state is of the day of the newest of its times,
-- and nothing more than a month before or after tells of a job of the span; what a timeline says of one that has not
-- started is of no day. A row that is in both halves is there twice, and the newest of a job is one of them.
-- The side of a join that is taken for the smaller is held in memory: with `having` it is the ids.
with requests as (
  select request_id from lake.found group by 1 having max(request_id) is not null
), runs as (
  select run_id from lake.found group by 1 having max(run_id) is not null
), some_jobs as (
  select j.*
  from requests r
  join lake.jobs j on j.request_id = r.request_id
  where j.date between cast($from - interval '31 days' as date) and cast($until + interval '31 days' as date)
  union all
  select j.*
  from runs r
  join lake.others j on j.run_id = r.run_id
  where j.date is null or j.date between cast($from - interval '31 days' as date) and cast($until + interval '31 days' as date)
  union all
  select * from lake.found where request_id is null and run_id is null
)
select * from jobs
