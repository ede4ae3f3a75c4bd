--! title = "What each identity and pipeline reaches, through which groups, since when, and when it used that last"
--! reads = ["grants", "known_as", "events", "jobs", "facts", "pools"]
with recursive known as (
  -- Whoever may use a connection acts as whom it signs in as.
  select coalesce(organization, organization_id) as org, *,
    first_value(case when kind = 'connection' then coalesce(holder_id, '') end) over endpoint as signs_in_as,
    first_value(case when kind = 'connection' then coalesce(holder_name, holder_id) end) over endpoint as signs_in_name
  from grants
  window endpoint as (
    partition by coalesce(organization, organization_id), resource_kind, resource_id order by kind <> 'connection', until is not null, "from" desc)
), held as (
  select *,
    case kind when 'membership' then resource_id when 'permission' then nullif(signs_in_as, '') end as leads_to,
    concat(coalesce(resource_name, resource_id), case when kind = 'permission' then ' as ' || signs_in_name end) as step,
    -- What its use looks like in the log: any action, those of an area, or those on the thing itself.
    case kind when 'membership' then 'any'
      when 'access' then case lower(resource_kind)
        when 'git repositories' then 'Git' when 'build' then 'Pipelines' when 'releasemanagement' then 'Release'
        when 'serviceendpoints' then 'Library' when 'library' then 'Library' when 'distributedtask' then 'Library'
        when 'environment' then 'Pipelines' when 'identity' then 'Group' when 'auditlog' then 'AuditLog' when 'project' then 'Project'
        else 'any' end
      else resource_kind || ' ' || resource_id end as what
  from known
), inside as (
  -- Everybody is in themselves, then in their groups and in the groups of those; a pipeline in its connections.
  select org, holder_id as identity, max(holder_name) as identity_name, holder_id as actor, holder_id as via, '' as chain, concat(' ', holder_id, ' ') as path,
    cast(0 as bigint) as depth, cast(null as timestamp) as "from", cast(null as timestamp) as until
  from held group by org, holder_id
  union all
  select i.org, i.identity, i.identity_name, case when g.kind = 'permission' then g.leads_to else i.actor end, g.leads_to, concat_ws(' > ', nullif(i.chain, ''), g.step),
    concat(i.path, g.leads_to, ' '), i.depth + 1, greatest(i."from", g."from"), least(i.until, g.until)
  from inside i
  join held g on g.leads_to is not null and g.org = i.org and g.holder_id = i.via
  -- Groups may hold each other in a circle, and are not nested deeper than this.
  where i.depth < 8 and strpos(i.path, concat(' ', g.leads_to, ' ')) = 0
    and (i.until is null or g."from" < i.until) and (g.until is null or i."from" is null or i."from" < g.until)
), reached as (
  select i.identity, i.identity_name, i.actor, i.chain as through, i.depth, greatest(i."from", g."from") as since, least(i.until, g.until) as ends, g.*
  from inside i
  join held g on g.org = i.org and g.holder_id = i.via and strpos(i.path, concat(' ', g.resource_id, ' ')) = 0
  where (i.until is null or g."from" < i.until) and (g.until is null or i."from" is null or i."from" < g.until)
), acted as (
  select coalesce(organization, organization_id) as org, coalesce(actor_client_id, actor_id) as actor, actor_kind like '%build_service' as is_build, actor_name, split_part(action, '.', 1) as area,
    case when action like 'Library.Agent%' then json_member(data, 'AgentPoolId', 'PoolId') end as pool,
    case when action like 'Library.Agent%' then json_member(data, 'AgentPoolName', 'PoolName') end as pool_name, max(occurred) as at
  from lake.events group by 1, 2, 3, 4, 5, 6, 7
), did as (
  select a.org, coalesce(k.id, a.actor) as holder, a.actor_name, unnest(make_array('any', a.area, 'pool ' || coalesce(a.pool, p.pool))) as what, a.at
  from acted a
  left join (
    select coalesce(organization, organization_id) as org, name, max(cast(pool_id as varchar)) as pool
    from lake.pools where queue_id is null and pool_id is not null and name is not null group by 1, 2
  ) p on a.pool is null and p.org = a.org and p.name = a.pool_name
  left join known_as k on k.organization = a.org and k.alias = case when a.is_build then a.actor_name else a.actor end
), executed as (
  select coalesce(organization, organization_id) as org, project_id, json_member(data, 'ConnectionId') as connection, json_member(data, 'DefinitionId', 'PipelineId') as pipeline, occurred
  from lake.events where action = 'Library.ServiceConnectionExecuted'
  union all
  select coalesce(organization, organization_id), project_id, json_member(raw, 'endpointId'), json_member(raw, 'data.definition.id'), occurred
  from lake.facts where kind = 'service_endpoint_execution'
), used as (
  select org, holder, what, max(actor_name) as name, max(at) as at from did where what is not null group by 1, 2, 3
  union all
  select org, holder, what, null, max(at)
  from (
    select org, unnest(make_array('connection', 'all pipelines of ' || project_id, 'pipeline ' || pipeline)) as holder, 'endpoint ' || lower(connection) as what, occurred as at from executed
  )
  where holder is not null group by 1, 2, 3
  union all
  select org, unnest(make_array('all pipelines of ' || project_id, 'pipeline ' || cast(pipeline_id as varchar))), 'queue ' || cast(queue_id as varchar), null, at
  from (
    select coalesce(organization, organization_id) as org, project_id, pipeline_id, queue_id, max(received) as at from lake.jobs
    where queue_id is not null and pipeline_id is not null group by 1, 2, 3, 4
  )
), last as (
  select org, holder, what, max(name) as name, max(at) as at from used group by org, holder, what
)
select r.org as organization, r.project_id, r.identity, coalesce(r.identity_name, a.name) as identity_name, r.kind, r.resource_kind, r.resource_id,
  concat_ws(' ', case when r.kind <> 'membership' then r.resource_kind end, coalesce(r.resource_name, r.resource_id), r.target) as reached,
  r.role as permission, r.through, r.depth, r.pipeline_id, coalesce(b.name, r.by) as by, r.since as "from", r.ends as until, u.at as last_used, r."key" as grant_key
from reached r
left join last u on u.org = r.org and u.what = r.what and u.holder = case when r.kind = 'connection' then 'connection' else r.actor end
left join last a on a.org = r.org and a.what = 'any' and a.holder = r.identity
left join known_as b on b.organization = r.org and b.alias = r.by
