--! title = "Many agents deleted within an hour by a person"
--! severity = "high"
--! attack = ["T1485", "T1578"]
--! owasp = ["CICD-SEC-7"]
--! mirrors = []
--! why = "Without agents nothing is built or deployed, and the machines that ran jobs cannot be asked any more."
--! false_positives = "Machines that are given up."
--! next = "What the agents ran last, and from where this was done."
--! actions = ["Library.AgentDeleted", "Library.AgentsDeleted"]
--! tables = []
--! window_hours = 1
--! suppress_hours = 0
--! reads = ["actions"]
--! params = [
--!   { name = "least", type = "bigint", doc = "Number of deletions that is too many", default = "5" },
--!   { name = "minutes", type = "bigint", doc = "Minutes within which they are counted", default = "60" },
--! ]
with done as (
  select event_id, occurred, organization_id, organization, project_id, project, agent_id, agent_name,
    coalesce(actor_client_id, actor_id) as actor, actor_name, concat_ws(' ', coalesce(organization_id, organization), coalesce(actor_client_id, actor_id)) as whose,
    -- How many one record deletes; of too many Azure DevOps drops all that it would say.
    cast(case when action = 'Library.AgentsDeleted' then coalesce(cardinality(string_to_array(json_member(data, 'AgentIds'), ',')), case when nullif(data, '{}') is null then $least end, 1) else 1 end as bigint) as agents
  from actions
  where action in ('Library.AgentDeleted', 'Library.AgentsDeleted')
    and actor_kind = 'user'
    and occurred >= $from - cast(concat(2 * $minutes, ' minutes') as interval) and occurred < $until
), single as (
  select *, unnest(range(0, least(agents, $least))) as number from done
), reached as (
  -- Many, where the one so many before is not long ago.
  select *, lag(occurred, $least - 1) over (partition by whose order by occurred, event_id, number) > occurred - cast(concat($minutes, ' minutes') as interval) as is_many from single
), followed as (
  select *, lag(is_many) over (partition by whose order by occurred, event_id, number) as was_many from reached
), fired as (
  -- Once for each time that the number is reached.
  select * from followed where is_many and not coalesce(was_many, false) and occurred >= $from
), near as (
  select n.event_id, sum(o.agents) as times, array_agg(distinct o.event_id) as events
  from fired n
  join done o on o.whose = n.whose and o.occurred <= n.occurred and o.occurred > n.occurred - cast(concat($minutes, ' minutes') as interval)
  group by n.event_id
), each as (
  select f.*, n.times, n.events from fired f join near n on n.event_id = f.event_id
)
select
  concat('user ', actor) as subject,
  occurred, organization_id, organization, project_id, event_id, array_append(array_slice(array_remove(events, event_id), 1, 49), event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(actor_name, ' (', actor, ') deleted ', times, ' agents within ', $minutes, ' minutes') as says
from each
