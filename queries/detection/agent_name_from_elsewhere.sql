--! title = "Agent name registered again from another address, system or account"
--! severity = "high"
--! attack = ["T1036", "T1078"]
--! owasp = ["CICD-SEC-7"]
--! mirrors = []
--! why = "A name that is registered a second time by others, or from elsewhere, takes over what people and pipelines trust."
--! false_positives = "New machines, moved networks and changed administrators."
--! next = "Whether the earlier agent was deleted, by whom, and the jobs that the new one took."
--! actions = ["Library.AgentAdded"]
--! tables = []
--! window_hours = 2160
--! suppress_hours = 0
--! reads = ["actions"]
--! params = [
--!   { name = "days", type = "bigint", doc = "Days to look back for the registration before", default = "90" },
--! ]
with added as (
  select event_id, occurred, organization_id, organization, coalesce(organization_id, organization) as org, project_id,
    coalesce(actor_client_id, actor_id) as actor, actor_name, ip, btrim(split_part(coalesce(json_member(data, 'OsDescription'), (regexp_match(user_agent, 'NetStandard; ([^;)]*)'))[1]), '#', 1)) as system,
    coalesce(json_member(data, 'AgentPoolId', 'PoolId'), json_member(data, 'AgentPoolName', 'PoolName')) as pool, json_member(data, 'AgentName') as agent, try_cast(json_member(data, 'AgentId') as bigint) as agent_id
  from actions
  where action = 'Library.AgentAdded' and actor_kind <> 'service'
    and occurred >= $from - cast(concat($days, ' days') as interval) and occurred < $until
), steps as (
  select *, lag(event_id) over names as event_before, lag(actor_name) over names as who_before, lag(actor) over names as actor_before, lag(ip) over names as ip_before, lag(system) over names as system_before
  from added
  window names as (partition by org, pool, agent order by occurred, event_id)
)
select
  concat('pool ', pool, ' agent ', agent) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_before, event_id) as events, agent_id, agent as agent_name,
  cast(null as varchar) as severity,
  concat(actor_name, ' (', actor, ') registered the name ', agent, ' in pool ', pool, ' again from ', ip, ' (', system, '); it was ', who_before, ' (', actor_before, ') from ', ip_before, ' (', system_before, ')') as says
from steps
where (actor <> actor_before or ip <> ip_before or system <> system_before) and occurred >= $from
