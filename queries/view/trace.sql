--! title = "The actions of an event id, correlation id, authorization id, run id or agent name"
--! reads = ["actions"]
--! params = [
--!   { name = "id", type = "text", doc = "Event id (GUID or REST form), correlation id, authorization id, run id (also build:7) or agent name" },
--! ]
select *
from actions
where event_id = lower(reverse(split_part(reverse($id), ';', 1)))
   or correlation_id = lower($id)
   or authorization_id = lower($id)
   or agent_name = $id
   or cast(run_id as varchar) = $id
   or concat(run_kind, ':', cast(run_id as varchar)) = lower($id)
