--! title = "The actions, as in `actions`, of a build or release id; what is not of it is not read"
--! reads = ["actions"]
--! narrows = "actions_found"
--! params = [
--!   { name = "run", type = "bigint", doc = "Build or release id" },
--! ]
with some_found as (
  select event_id, date from lake.events where run_id = $run
  union all
  select event_id, date from lake.revisions where run_id = $run
)
select * from actions_found where run_id = $run
