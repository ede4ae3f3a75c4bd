--! title = "Service connections used, by pipeline and agent"
--! reads = ["actions", "grants"]
--! params = [
--!   { name = "since", type = "timestamp", doc = "From here on", default = "2000-01-01T00:00:00Z" },
--!   { name = "until", type = "timestamp", doc = "Up to here, exclusive", default = "2100-01-01T00:00:00Z" },
--! ]
--! returns = ["organization", "connection", "pipeline_id", "agent_name", "grade", "uses", "first", "last"]
--! tags = ["security"]
with named as (
  select coalesce(organization, organization_id) as organization, resource_id, max(resource_name) as name from lake.grants where kind = 'connection' group by 1, 2
)
select u.organization, coalesce(u.name, n.name, u.id) as connection, u.pipeline_id, u.agent_name, u.grade, count(*) as uses, min(u.occurred) as first, max(u.occurred) as last
from (
  select coalesce(organization, organization_id) as organization, pipeline_id, agent_name, grade, occurred, json_member(data, 'ConnectionName') as name, lower(json_member(data, 'ConnectionId')) as id
  from actions
  where action = 'Library.ServiceConnectionExecuted' and occurred >= $since and occurred < $until
) u
left join named n on n.organization = u.organization and n.resource_id = u.id
group by u.organization, coalesce(u.name, n.name, u.id), u.pipeline_id, u.agent_name, u.grade
order by uses desc
