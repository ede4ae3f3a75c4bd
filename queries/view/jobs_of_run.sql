--! title = "The jobs, as in `jobs`, of a build or release id; what is not of it is not read"
--! reads = ["jobs"]
--! narrows = "jobs"
--! params = [
--!   { name = "run", type = "bigint", doc = "Build or release id" },
--! ]
with some_jobs as (
  select * from lake.jobs where request_id in (select request_id from lake.jobs where run_id = $run)
  union all
  select * from lake.jobs where request_id is null and run_id = $run
)
select * from jobs where run_id = $run
