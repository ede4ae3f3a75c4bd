--! title = "The newest version of each agent, with its pool"
--! reads = ["agents", "pools"]
select a."key", a."organization_id", a."organization", a."agent_id", a."name", a."pool_id", coalesce(a.pool_name, p.name) as pool_name, a."version", a."os", a."enabled", a."status", a."provisioning_state", a."created", a."status_changed", a."max_parallelism", a."client_id", a."key_fingerprint", a."machine", a."deployment_group_id", a."capabilities", a."event", a."observed", a."record_hash", a."known", a."writer", a."seq"
from (
  select *, row_number() over (partition by coalesce(organization, organization_id), pool_id, agent_id order by deployment_group_id is not null, observed desc) as nth
  from lake.agents where event is null
) a
left join (
  select coalesce(organization, organization_id) as org, pool_id, first_value(name order by observed desc) as name
  from lake.pools where queue_id is null and name is not null group by 1, 2
) p on p.pool_id = a.pool_id and p.org = coalesce(a.organization, a.organization_id)
where a.nth = 1
