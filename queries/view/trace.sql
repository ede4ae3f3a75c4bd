--! title = "The actions of an event id, correlation id, authorization id, run id or agent name"
--! reads = ["actions"]
--! narrows = "actions"
--! params = [
--!   { name = "id", type = "text", doc = "Event id (GUID or REST form), correlation id, authorization id, run id (also build:7) or agent name" },
--! ]
-- What may be meant is found by columns as they are stored, of which files and their parts tell what they hold.
with found as (
  select event_id from lake.events
  where event_id = lower(reverse(split_part(reverse($id), ';', 1)))
     or correlation_id = lower($id)
     or authorization_id = lower($id)
     or agent_name = $id
     or run_id = try_cast(reverse(split_part(reverse($id), ':', 1)) as bigint)
  union
  select event_id from lake.revisions
  where agent_name = $id or run_id = try_cast(reverse(split_part(reverse($id), ':', 1)) as bigint)
), some_events as (
  select * from lake.events where event_id in (select event_id from found)
), some_revisions as (
  select * from lake.revisions where event_id in (select event_id from found)
)
select *
from actions
where event_id = lower(reverse(split_part(reverse($id), ';', 1)))
   or correlation_id = lower($id)
   or authorization_id = lower($id)
   or agent_name = $id
   or cast(run_id as varchar) = $id
   or concat(run_kind, ':', cast(run_id as varchar)) = lower($id)
