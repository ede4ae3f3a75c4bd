--! title = "What may be reached and was not used since a time: service connections and permissions of pipelines"
--! reads = ["grants", "actions", "facts"]
--! params = [
--!   { name = "used_since", type = "timestamp", doc = "A use from here on counts; by default any use", default = "2000-01-01T00:00:00Z" },
--! ]
--! returns = ["organization", "kind", "resource_kind", "resource_id", "resource_name", "pipeline_id", "authorized_by", "seen", "last_used"]
--! tags = ["security", "identity"]
with used as (
  select coalesce(regexp_match(data, '"[Cc]onnectionId":"([^"]*)"')[1], '') as resource_id, pipeline_id, occurred
  from actions where action = 'Library.ServiceConnectionExecuted'
  union all
  -- The uses that a connection itself lists: its id follows kind and organisation in the key.
  select split_part("key", '/', 3), null, occurred from facts where kind = 'service_endpoint_execution'
), newest as (
  select *, row_number() over (
    partition by coalesce(organization, organization_id), kind, resource_id, pipeline_id order by observed desc
  ) as nth
  from grants
)
select g.organization, g.kind, g.resource_kind, g.resource_id, g.resource_name, g.pipeline_id, g.authorized_by,
  max(g.observed) as seen, max(u.occurred) as last_used
from newest g
left join used u on u.resource_id = g.resource_id and (g.pipeline_id is null or u.pipeline_id is null or u.pipeline_id = g.pipeline_id)
where g.nth = 1 and coalesce(g.authorized, true)
  -- Uses of queues, environments and repositories are in no log.
  and (g.kind = 'connection' or g.resource_kind = 'endpoint')
group by g.organization, g.kind, g.resource_kind, g.resource_id, g.resource_name, g.pipeline_id, g.authorized_by
having max(u.occurred) is null or max(u.occurred) < $used_since
order by last_used nulls first, resource_name
