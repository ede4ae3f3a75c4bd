--! title = "The newest version of each agent, with its pool; since when it is gone, and who a record says deleted it"
--! reads = ["agents", "pools", "removals", "coverage"]
with sightings as (
  -- An agent keeps its id when it moves, and is where it was seen last.
  select *, coalesce(organization, organization_id) as org, max(observed) over (partition by coalesce(organization, organization_id), pool_id, agent_id) as last_sight,
    row_number() over (partition by coalesce(organization, organization_id), pool_id, agent_id order by deployment_group_id is not null, observed desc) as nth
  from lake.agents where event is null
), spans as (
  select coalesce(organization, organization_id) as org, agent_id, pool_id, case when count(*) = count(until) then max(until) end as gone
  from agents group by 1, 2, 3
), places as (
  select s.*, g.gone as left_pool,
    row_number() over (partition by s.org, s.agent_id order by g.gone is not null, s.last_sight desc) as place
  from sightings s
  left join spans g on g.org = s.org and g.agent_id = s.agent_id and g.pool_id is not distinct from s.pool_id
  where s.nth = 1
), listed as (
  select coalesce(organization, organization_id) as org, pool_id, max(until) as until
  from lake.coverage where source = 'agents' group by 1, 2
), removed as (
  select r.*, row_number() over (partition by coalesce(organization, organization_id), agent_id order by occurred desc) as nth, coalesce(organization, organization_id) as org
  from removals r where agent_id is not null
)
select a."key", a."organization_id", a."organization", a."agent_id", a."name", a."pool_id", coalesce(a.pool_name, p.name) as pool_name, a."version", a."os", a."enabled", a."status", a."provisioning_state", a."created", a."status_changed", a."max_parallelism", a."client_id", a."key_fingerprint", a."machine", a."deployment_group_id", a."capabilities", a."event", a."observed", a."record_hash", a."known", a."writer", a."seq",
  -- A list that came after a record of its deletion and did not lack it speaks for another agent of the name.
  case when a.left_pool is not null then least(a.left_pool, r.occurred) when l.until is null or l.until <= r.occurred then r.occurred end as gone,
  case when a.left_pool is not null or l.until is null or l.until <= r.occurred then r.actor_name end as deleted_by
from places a
left join pools p on p.queue_id is null and p.pool_id = a.pool_id and coalesce(p.organization, p.organization_id) = a.org
left join listed l on l.org = a.org and l.pool_id = a.pool_id
left join removed r on r.org = a.org and r.agent_id = a.agent_id and r.nth = 1 and r.occurred >= a.last_sight
where a.place = 1
