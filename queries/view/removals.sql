--! title = "Records of agents deleted: which agent, when and by whom; of a record that gives names only, the agent that bore them then"
--! reads = ["agents", "bindings", "pools"]
-- The key of such a row is `event/ID/deleted`.
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
  select *, coalesce(organization, organization_id) as org from lake.agents where event = 'deleted'
), named as (
  select t.*, b.agent_id as bearer, row_number() over (partition by t."key" order by b.at desc) as nth
  from told t
  left join borne b on b.org = t.org and b.name = t.name and b.at <= t.observed
    and coalesce(b.pool_id = t.pool_id, b.pool_name = t.pool_name, true)
  where t.agent_id is null
)
select substr("key", 7, character_length("key") - 14) as event_id, record_hash, organization_id, organization, agent_id, name as agent_name, pool_name, observed as occurred,
  by_id as actor_id, by_name as actor_name
from told where agent_id is not null
union all
select substr("key", 7, character_length("key") - 14), record_hash, organization_id, organization, bearer, name, pool_name, observed, by_id, by_name
from named where nth = 1
