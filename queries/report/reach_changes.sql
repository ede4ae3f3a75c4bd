--! title = "Who was given or lost what, by audit events: groups, permissions, resources of pipelines; and until when it held"
--! reads = ["holdings", "reach", "known_as"]
--! params = [
--!   { name = "since", type = "timestamp", doc = "From here on", default = "2000-01-01T00:00:00Z" },
--!   { name = "until", type = "timestamp", doc = "Up to here, exclusive", default = "2100-01-01T00:00:00Z" },
--! ]
--! returns = ["at", "organization", "kind", "identity", "reached", "permission", "change", "by", "until", "last_used"]
--! tags = ["identity", "security"]
with said as (
  select *, coalesce(organization, organization_id) as org from lake.holdings
  where "key" like 'event/%' and occurred >= $since and occurred < $until
)
select s.occurred as at, s.org as organization, s.kind, coalesce(r.identity_name, h.name, s.holder_name, s.holder_id, 'everybody') as identity,
  coalesce(r.reached, concat_ws(' ', nullif(s.resource_kind, 'group'), coalesce(g.name, s.resource_name, s.resource_id))) as reached,
  s.role as permission, s.says as change, s.by, r.until, r.last_used
from said s
left join reach r on r.grant_key = s."key" and r.depth = 0
left join known_as h on h.organization = s.org and h.alias = s.holder_id
left join known_as g on g.organization = s.org and g.alias = s.resource_id
order by at desc, s.kind, identity, reached, permission
