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
  select max(occurred) as at from lake.events
)
select organization, holder, kind, reached, permission, since, by, last_used
from held cross join newest
where last_used is null or extract(epoch from (newest.at - last_used)) >= $days * 86400
order by last_used nulls first, holder, kind, reached
