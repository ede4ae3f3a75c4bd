--! title = "The actions, as in `actions`, of an agent in a span of time; what is not of it is not read"
--! reads = ["actions"]
--! narrows = "actions_found"
--! params = [
--!   { name = "agent", type = "text", doc = "Agent name, or its id" },
--!   { name = "from", type = "timestamp", doc = "From here on" },
--!   { name = "until", type = "timestamp", doc = "Up to here, exclusive" },
--! ]
with some_found as (
  select event_id, date from lake.events
  where (agent_name = $agent or agent_id = try_cast($agent as bigint)) and date between cast($from as date) and cast($until as date)
  union all
  select event_id, date from lake.revisions
  where (agent_name = $agent or agent_id = try_cast($agent as bigint)) and date between cast($from as date) and cast($until as date)
)
select * from actions_found
where (agent_name = $agent or agent_id = try_cast($agent as bigint)) and occurred >= $from and occurred < $until
