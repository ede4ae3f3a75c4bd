--! title = "Who was given or lost what, by audit events: groups, permissions, resources of pipelines; the newest word on each"
--! reads = ["actions"]
--! params = [
--!   { name = "since", type = "timestamp", doc = "From here on", default = "2000-01-01T00:00:00Z" },
--!   { name = "until", type = "timestamp", doc = "Up to here, exclusive", default = "2100-01-01T00:00:00Z" },
--! ]
--! returns = ["organization", "kind", "identity", "reached", "change", "at", "by", "last_used"]
--! tags = ["security", "identity"]
with changes as (
  select coalesce(organization_id, organization) as org, coalesce(organization, organization_id) as organization, action, occurred, event_id, data, coalesce(actor_name, actor_id) as by
  from actions
  where occurred >= $since and occurred < $until and (action like 'Group.UpdateGroupMembership%' or action like 'Security.%'
    or action like 'Pipelines.Resource%uthorized%')
), parts as (
  -- Each of Updates[] is an object without objects in it; another action's data is one part.
  select org, organization, action, occurred, event_id, by,
    unnest(case when action like 'Group.%' and regexp_like(data, '"updates"\s*:\s*\[\s*\{', 'i')
      then string_to_array(regexp_replace(data, '^.*?"updates"\s*:\s*\[', '', 'is'), '}') else make_array(data) end) as part
  from changes
), read as (
  select org, organization, action, occurred, event_id, by,
    coalesce(regexp_match(part, '"memberid"\s*:\s*"([^"]+)"', 'i')[1], '') as member,
    coalesce(regexp_match(part, '"groupid"\s*:\s*"([^"]+)"', 'i')[1], '') as in_group,
    coalesce(regexp_match(part, '"active"\s*:\s*"?(true|false|0|1)', 'i')[1], '') as active,
    coalesce(regexp_match(part, '"(?:subjectdescriptor|identities)"\s*:\s*\[?\s*"([^"]+)"', 'i')[1], '') as subject,
    coalesce(regexp_match(part, '"namespacename"\s*:\s*"([^"]+)"', 'i')[1], '') as namespace,
    coalesce(regexp_match(part, '"token"\s*:\s*"([^"]+)"', 'i')[1], '') as token,
    coalesce(regexp_match(part, '"changedpermission"\s*:\s*"([^"]+)"', 'i')[1], '') as permission,
    coalesce(regexp_match(part, '"permissionmodifiedto"\s*:\s*"([^"]+)"', 'i')[1], '') as modified_to,
    coalesce(regexp_match(part, '"pipelineid"\s*:\s*"?([0-9]+)', 'i')[1], '') as pipeline,
    coalesce(regexp_match(part, '"resourcetype"\s*:\s*"([^"]+)"', 'i')[1], '') as resource_type,
    coalesce(regexp_match(part, '"resourceid"\s*:\s*"?([^",}]+)', 'i')[1], '') as resource
  from parts
), said as (
  select org, organization, occurred, event_id, by, 'group' as kind, lower(member) as identity, lower(in_group) as reached,
    case when lower(active) in ('false', '0') or active = '' and action like '%.Remove' then 'removed'
      when active = '' and action not like '%.Add' then 'changed' else 'added' end as change
  from read where action like 'Group.%' and member <> '' and in_group <> ''
  union all
  select org, organization, occurred, event_id, by, 'permission', subject, concat_ws(' ', nullif(namespace, ''), nullif(token, ''), nullif(permission, '')),
    case when action like 'Security.Remove%' or action like 'Security.Reset%' then 'removed'
      when modified_to <> '' then lower(modified_to) else 'changed' end
  from read where action like 'Security.%'
  union all
  select org, organization, occurred, event_id, by, 'resource', case when pipeline = '' then 'all pipelines' else 'pipeline ' || pipeline end,
    resource_type || ' ' || lower(resource),
    case when action like '%Unauthorized%' or action like '%NotAuthorized%' then 'removed' else 'added' end
  from read where action like 'Pipelines.%'
), newest as (
  select *, row_number() over (partition by org, kind, identity, reached order by occurred desc, event_id desc) as nth from said
), used as (
  select coalesce(organization_id, organization) as org, 'pipeline ' || cast(pipeline_id as varchar) as identity,
    'endpoint ' || lower(coalesce(regexp_match(data, '"connectionid"\s*:\s*"([^"]+)"', 'i')[1], '')) as reached, max(occurred) as at
  from actions where action = 'Library.ServiceConnectionExecuted' group by 1, 2, 3
)
select n.organization, n.kind, n.identity, n.reached, n.change, n.occurred as at, n.by, u.at as last_used
from newest n
left join used u on u.org = n.org and u.reached = n.reached and u.identity = n.identity
where n.nth = 1
order by at desc, n.kind, n.identity, n.reached
