--! title = "Users, service principals, groups and tokens in their newest version"
--! reads = ["identities"]
select "key", "organization_id", "organization", "kind", "id", "cuid", "application_id", "object_id", "tenant_id", "name", "principal_name", "scopes", "valid_from", "valid_until", "observed", "record_hash", "known", "writer", "seq"
from (
  select *, row_number() over (partition by coalesce(organization_id, organization), id order by observed desc) as nth
  from lake.identities
)
where nth = 1
