--! title = "The actions, as in `actions`, of an agent in a span of time; what is not of it is not read"
--! reads = ["actions"]
--! narrows = "actions"
--! params = [
--!   { name = "agent", type = "text", doc = "Agent name, or its id" },
--!   { name = "from", type = "timestamp", doc = "From here on" },
--!   { name = "until", type = "timestamp", doc = "Up to here, exclusive" },
--! ]
-- An event and its verdicts are of the day on which it occurred. The side of a join that is taken for the smaller is
-- held in memory: with `having` it is the ids.
with found as (
  select event_id, date
  from (
    select event_id, date from lake.events
    where (agent_name = $agent or agent_id = try_cast($agent as bigint)) and date between cast($from as date) and cast($until as date)
    union all
    select event_id, date from lake.revisions
    where (agent_name = $agent or agent_id = try_cast($agent as bigint)) and date between cast($from as date) and cast($until as date)
  )
  group by 1, 2 having max(event_id) is not null
), some_events as (
  select e.* from found f join lake.events e on e.event_id = f.event_id and e.date = f.date
  where e.date between cast($from as date) and cast($until as date)
), some_revisions as (
  select r.* from found f join lake.revisions r on r.event_id = f.event_id and r.date = f.date
  where r.date between cast($from as date) and cast($until as date)
)
select * from actions
where (agent_name = $agent or agent_id = try_cast($agent as bigint)) and occurred >= $from and occurred < $until
