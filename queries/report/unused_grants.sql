--! title = "What is held and nobody who holds it used for so many days: groups, roles, permissions, connections, resources of pipelines"
--! reads = ["reach", "actions"]
--! params = [
--!   { name = "days", type = "bigint", doc = "Days without a use, back from the newest event", default = "90" },
--! ]
--! returns = ["organization", "holder", "kind", "reached", "permission", "since", "by", "last_used"]
--! tags = ["security", "identity"]
with held as (
  -- What a group holds is used by whoever is in it.
  select organization, grant_key, kind, reached, permission, max(by) as by,
    max(case when depth = 0 then coalesce(identity_name, identity) end) as holder, min("from") as since, max(last_used) as last_used
  from reach
  where until is null
    -- Uses of environments, variable groups and repositories are in no log.
    and (kind <> 'permission' or resource_kind in ('endpoint', 'queue'))
  group by organization, grant_key, kind, reached, permission
), newest as (
  select coalesce(organization, organization_id) as organization, max(occurred) as at from lake.events group by 1
)
select h.organization, holder, kind, reached, permission, since, by, last_used
from held h
join newest n on n.organization = h.organization
-- What is held for fewer days cannot have been unused for so many.
where extract(epoch from (n.at - greatest(since, last_used))) >= $days * 86400
order by last_used nulls first, holder, kind, reached
