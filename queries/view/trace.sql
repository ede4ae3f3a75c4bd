--! title = "The actions of an event id, correlation id, authorization id, run id or agent name"
--! reads = ["actions"]
--! narrows = "actions_found"
--! params = [
--!   { name = "id", type = "text", doc = "Event id (GUID or REST form), correlation id, authorization id, run id (also build:7) or agent name" },
--! ]
-- What may be meant is found by columns as they are stored, each by itself: files and their parts tell of one value
-- whether they hold it, not of one among several columns.
with some_found as (
  select event_id, date from lake.events where event_id = lower(reverse(split_part(reverse($id), ';', 1)))
  union all
  select event_id, date from lake.events where correlation_id = lower($id)
  union all
  select event_id, date from lake.events where authorization_id = lower($id)
  union all
  select event_id, date from lake.events where agent_name = $id
  union all
  select event_id, date from lake.events where run_id = try_cast(reverse(split_part(reverse($id), ':', 1)) as bigint)
  union all
  select event_id, date from lake.revisions where agent_name = $id
  union all
  select event_id, date from lake.revisions where run_id = try_cast(reverse(split_part(reverse($id), ':', 1)) as bigint)
)
select *
from actions_found
where event_id = lower(reverse(split_part(reverse($id), ';', 1)))
   or correlation_id = lower($id)
   or authorization_id = lower($id)
   or agent_name = $id
   or cast(run_id as varchar) = $id
   or concat(run_kind, ':', cast(run_id as varchar)) = lower($id)
