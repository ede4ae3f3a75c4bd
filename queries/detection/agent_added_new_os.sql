--! title = "Agent with an operating system that is new to the pool"
--! severity = "medium"
--! attack = ["T1053", "T1072"]
--! owasp = ["CICD-SEC-7"]
--! mirrors = ["sentinel:4ce177b3-56b1-4f0e-b83e-27eed4cb0b16", "sumo:FIRST-S00095"]
--! why = "The machines of a pool are made alike. One with another system may be a machine of somebody else."
--! false_positives = "Updates of the image; then several agents follow."
--! next = "Who registered the agent, from which address, and which jobs it took."
--! actions = ["Library.AgentAdded"]
--! tables = []
--! window_hours = 336
--! suppress_hours = 0
--! reads = ["actions", "heard"]
--! params = [
--!   { name = "days", type = "bigint", doc = "Days without such a system in the pool that make it new", default = "14" },
--! ]
with done as (
  select event_id, occurred, organization_id, organization, coalesce(organization_id, organization) as org, project_id, project, action,
    coalesce(actor_client_id, actor_id) as actor, actor_name, concat('pool ', coalesce(json_member(data, 'AgentPoolId', 'PoolId'), json_member(data, 'AgentPoolName', 'PoolName')), ' ', btrim(split_part(coalesce(json_member(data, 'OsDescription'), (regexp_match(user_agent, 'NetStandard; ([^;)]*)'))[1]), '#', 1))) as thing, json_member(data, 'AgentName') as agent, json_member(data, 'AgentPoolName', 'PoolName') as pool_name, agent_id, agent_name
  from actions
  where action = 'Library.AgentAdded'
    and actor_kind <> 'service'
    and btrim(split_part(coalesce(json_member(data, 'OsDescription'), (regexp_match(user_agent, 'NetStandard; ([^;)]*)'))[1]), '#', 1)) <> ''
    and occurred >= $from - cast(concat($days, ' days') as interval) and occurred < $until
), before as (
  select *, lag(occurred) over (partition by org, thing order by occurred, event_id) as last from done
), new as (
  select b.*, case when h.since > b.occurred - cast(concat($days, ' days') as interval)
    then concat('; the records here reach back only ', cast(date_part('day', b.occurred - h.since) as bigint), ' days') end as short
  from before b
  join heard h on h.org = b.org
  where b.last is null or b.last < b.occurred - cast(concat($days, ' days') as interval)
)
select
  thing as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  nvl2(short, 'low', null) as severity,
  concat(actor_name, ' (', actor, ') registered the agent ', agent, ' with a system new to its pool ', pool_name, ': ', thing, short) as says
from new
where occurred >= $from
