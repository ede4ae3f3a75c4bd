--! title = "Agent registered by somebody new to the pool"
--! severity = "medium"
--! attack = ["T1053", "T1072"]
--! owasp = ["CICD-SEC-7", "CICD-SEC-2"]
--! mirrors = ["sentinel:4ce177b3-56b1-4f0e-b83e-27eed4cb0b16"]
--! why = "Whoever registers an agent in a pool gets its jobs, and with them the code, the secrets and the tokens of those jobs."
--! false_positives = "New people who maintain machines, and new programs that scale pools."
--! next = "The machine behind the agent, the jobs it took, and with which token it was registered."
--! actions = ["Library.AgentAdded"]
--! tables = []
--! window_hours = 336
--! suppress_hours = 0
--! reads = ["actions", "heard"]
--! params = [
--!   { name = "days", type = "bigint", doc = "Days without anything of them in the pool that make them new", default = "14" },
--! ]
with done as (
  select event_id, occurred, organization_id, organization, coalesce(organization_id, organization) as org, project_id, project, action,
    coalesce(actor_client_id, actor_id) as actor, actor_name, coalesce(json_member(data, 'AgentPoolId', 'PoolId'), json_member(data, 'AgentPoolName', 'PoolName')) as thing, json_member(data, 'AgentName') as agent, json_member(data, 'AgentPoolName', 'PoolName') as pool_name, agent_id, agent_name
  from actions
  where action in ('Library.AgentAdded', 'Library.AgentDeleted', 'Library.AgentsDeleted', 'Library.AgentPoolCreated')
    and actor_kind <> 'service'
    and occurred >= $from - cast(concat($days, ' days') as interval) and occurred < $until
), before as (
  select *, lag(occurred) over (partition by org, actor, thing order by occurred, event_id) as last from done
), new as (
  select b.*, case when h.since > b.occurred - cast(concat($days, ' days') as interval)
    then concat('; the records here reach back only ', cast(date_part('day', b.occurred - h.since) as bigint), ' days') end as short
  from before b
  join heard h on h.org = b.org
  where b.last is null or b.last < b.occurred - cast(concat($days, ' days') as interval)
)
select
  concat('user ', actor, ' pool ', thing) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  nvl2(short, 'low', null) as severity,
  concat(actor_name, ' (', actor, ') registered the agent ', agent, ' in the pool ', pool_name, ' (', thing, '), in which nothing came from them before', short) as says
from new
where action = 'Library.AgentAdded' and occurred >= $from
