--! title = "Records of agents deleted: which agent, when and by whom; of a record that gives names only, the agent that bore them then"
--! reads = ["events", "agents", "bindings", "pools"]
with pool_names as (
  select coalesce(organization, organization_id) as org, pool_id, first_value(name order by observed desc) as pool_name
  from lake.pools where queue_id is null and name is not null and pool_id is not null group by 1, 2
), borne as (
  select coalesce(a.organization, a.organization_id) as org, a.agent_id, a.name, a.pool_id, p.pool_name, min(least(a.created, a.observed)) as at
  from lake.agents a
  left join pool_names p on p.org = coalesce(a.organization, a.organization_id) and p.pool_id = a.pool_id
  where a.event is null and a.name is not null group by 1, 2, 3, 4, 5
  union all
  select coalesce(organization, organization_id), agent_id, agent_name, pool_id, pool_name, min("from")
  from lake.bindings where role = 'registrant' and agent_id is not null group by 1, 2, 3, 4, 5
), told as (
  select event_id, record_hash, organization_id, organization, coalesce(organization, organization_id) as org, occurred, actor_id, actor_name,
    subject['id'] as id, subject['name'] as name,
    json_member(data, 'AgentPoolId', 'PoolId') as pool, json_member(data, 'AgentPoolName', 'PoolName') as pool_name
  from (select *, unnest(subjects) as subject from lake.events where action in ('Library.AgentDeleted', 'Library.AgentsDeleted'))
  where subject['kind'] = 'agent'
), meant as (
  select t.*, coalesce(try_cast(t.id as bigint), b.agent_id) as agent_id,
    row_number() over (partition by t.event_id, t.id order by b.at desc) as nth
  from told t
  left join borne b on try_cast(t.id as bigint) is null and b.org = t.org and b.name = t.name and b.at <= t.occurred
    and coalesce(cast(b.pool_id as varchar) = t.pool, b.pool_name = t.pool_name, true)
)
select event_id, record_hash, organization_id, organization, agent_id, name as agent_name, pool_name, occurred, actor_id, actor_name
from meant where nth = 1
