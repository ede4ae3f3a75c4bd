--! title = "Pools and queues in their newest version"
--! reads = ["pools"]
select "key", "organization_id", "organization", "project_id", "pool_id", "queue_id", "name", "is_hosted", "pool_type", "options", "size", "agent_cloud_id", "azure_id", "observed", "record_hash", "known", "writer", "seq"
from (
  select *, row_number() over (partition by coalesce(organization, organization_id), pool_id, queue_id order by name is null, observed desc) as nth
  from lake.pools
)
where nth = 1
