--! title = "All versions of agents, each with the span in which it held, and `replaced` as event where it has another key"
--! reads = ["agents", "pools", "coverage"]
with told as (
  -- What a listing saw is kept when it changed, and once a day; what follows the `@` of a key is the hour.
  select *,
    coalesce(organization, organization_id) as org,
    coalesce(event, split_part("key", '@', 1)) as state,
    max(case when event is null and deployment_group_id is null then 1 else 0 end)
      over (partition by coalesce(organization, organization_id), pool_id, agent_id) as in_pool,
    max(deployment_group_id) over (partition by coalesce(organization, organization_id), pool_id, agent_id) as group_id
  from lake.agents
), seen as (
  -- A deployment group tells of an agent what the pool behind it tells as well, and less.
  select *, max(observed) over (partition by org, pool_id, agent_id) as last_seen
  from told
  where event is not null or deployment_group_id is null or in_pool = 0
), versions as (
  select *, lag(state) over (partition by org, pool_id, agent_id order by observed, event is null) as before from seen
), changes as (
  select *, lead(observed) over (partition by org, pool_id, agent_id order by observed, event is null) as next,
    lag(key_fingerprint) over (partition by org, pool_id, agent_id order by observed, event is null) as key_before,
    lag(name) over (partition by org, pool_id, agent_id order by observed, event is null) as name_before
  from versions where before is null or before <> state
), listed as (
  select coalesce(organization, organization_id) as org, pool_id, max(until) as until
  from lake.coverage where source = 'agents' group by 1, 2
)
select v."key", v."organization_id", v."organization", v."agent_id", v."name", v."pool_id", coalesce(v.pool_name, p.name) as pool_name, v."version", v."os", v."enabled", v."status", v."provisioning_state", v."created", v."status_changed", v."max_parallelism", v."client_id", v."key_fingerprint", v."machine", v.group_id as "deployment_group_id", v."capabilities",
  -- Another key under the same id and name: somebody registered the agent anew in its place.
  case when v.key_fingerprint <> v.key_before and v.name = v.name_before then 'replaced' end as "event",
  v."observed", v."record_hash", v."known", v."writer", v."seq",
  v.observed as "from",
  coalesce(
    v.next,
    -- Gone: its pool was listed again, and not with this agent, on a later day than it was seen on.
    case when l.until >= date_trunc('day', v.last_seen) + interval '1 day' and v."key" like '%@%'
      then date_trunc('day', v.last_seen) + interval '1 day' end
  ) as until
from changes v
left join listed l on l.org = v.org and l.pool_id = v.pool_id
left join pools p on p.queue_id is null and p.pool_id = v.pool_id and coalesce(p.organization, p.organization_id) = v.org
where v.event is null
