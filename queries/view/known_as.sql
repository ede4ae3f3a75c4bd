--! title = "Every id that an identity goes by: descriptor, storage key, object and client id, principal name"
--! reads = ["identities", "facts"]
with said as (
  select coalesce(organization, organization_id) as organization, id, kind, name, observed, make_array(id, cuid, application_id, object_id,
    -- The storage key of a user or an application is its descriptor's id with a 6 as the version digit.
    case when substr(cuid, 15, 1) = '7' then concat(substr(cuid, 1, 14), '6', substr(cuid, 16)) end,
    case when kind <> 'pat' then lower(principal_name) end,
    -- Audit records name a build service by its name, whatever its storage key.
    case when id like 'svc.%' then name end) as aliases
  from lake.identities
  union all
  select coalesce(organization, organization_id), reverse(split_part(reverse(json_member(raw, '_links.self.href')), '/', 1)), null, null, observed,
    make_array(json_member(raw, 'value'))
  from lake.facts where kind = 'graph_storage_key'
), called as (
  -- A list of roles has the storage key of whoever holds one beside what else it is called.
  select coalesce(organization, organization_id) as org, lower(json_member(raw, 'identity.id')) as held_by,
    lower(json_member(raw, 'identity.uniqueName')) as called, observed
  from lake.facts where kind = 'pool_role'
), named as (
  select distinct coalesce(organization, organization_id) as org, id,
    unnest(make_array(object_id, application_id, lower(principal_name))) as called
  from lake.identities where kind <> 'pat'
), newest as (
  select organization, id, unnest(aliases) as alias, max(kind) over (partition by organization, id) as kind,
    first_value(name) over (partition by organization, id order by name is null, observed desc) as name
  from (
    select * from said
    union all
    select c.org, n.id, null, null, c.observed, make_array(c.held_by)
    from called c
    join named n on n.org = c.org and n.called = c.called
  )
)
select organization, alias, min(id) as id, max(kind) as kind, max(name) as name
from newest
where alias is not null
group by organization, alias
