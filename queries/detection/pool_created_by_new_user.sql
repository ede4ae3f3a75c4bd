--! title = "Agent pool created by somebody who never did"
--! severity = "medium"
--! attack = ["T1578.002"]
--! owasp = ["CICD-SEC-7"]
--! mirrors = ["sumo:FIRST-S00099"]
--! why = "Pools are made by the few who look after machines. Anybody else may want jobs to run on theirs."
--! false_positives = "New people who look after machines."
--! next = "The agents registered in the pool, and the pipelines sent there."
--! actions = ["Library.AgentPoolCreated"]
--! tables = []
--! window_hours = 720
--! suppress_hours = 0
--! reads = ["actions", "heard"]
--! params = [
--!   { name = "days", type = "bigint", doc = "Days without such an action that make it new", default = "30" },
--! ]
with done as (
  select event_id, occurred, organization_id, organization, coalesce(organization_id, organization) as org, project_id, project, action,
    coalesce(actor_client_id, actor_id) as actor, actor_name, coalesce(json_member(data, 'AgentPoolId', 'PoolId'), json_member(data, 'AgentPoolName', 'PoolName')) as pool, json_member(data, 'AgentPoolName', 'PoolName') as pool_name, agent_id, agent_name
  from actions
  where action = 'Library.AgentPoolCreated'
    and occurred >= $from - cast(concat($days, ' days') as interval) and occurred < $until
), before as (
  select *, lag(occurred) over (partition by org, actor order by occurred, event_id) as last from done
), new as (
  select b.*, case when h.since > b.occurred - cast(concat($days, ' days') as interval)
    then concat('; the records here reach back only ', cast(date_part('day', b.occurred - h.since) as bigint), ' days') end as short
  from before b
  join heard h on h.org = b.org
  where b.last is null or b.last < b.occurred - cast(concat($days, ' days') as interval)
)
select
  concat('user ', actor) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  nvl2(short, 'low', null) as severity,
  concat(actor_name, ' (', actor, ') created the pool ', pool_name, ' (', pool, ')', short) as says
from new
where occurred >= $from
