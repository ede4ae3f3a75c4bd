--! title = "Audit events in the Elastic Common Schema 8.17"
--! reads = ["outgoing"]
--! tags = ["elastic"]
-- What ECS has no name for is below azuredevops; agent.* is the shipper in ECS, so the build agent is never there.
-- Data stays text: its members have other types from action to action, which an index refuses.
with record as (
  select
    *,
    json_member(data, 'Result', 'DeploymentResult') as result,
    split_part(action, '.', 1) as of,
    case when action like 'Group.%' then lower(json_member(data, 'GroupId', 'Updates.0.GroupId')) end as group_id,
    case when action like 'Group.%' then json_member(data, 'GroupName') end as group_name,
    case when action like 'Group.%' then lower(json_member(data, 'MemberId', 'Updates.0.MemberId')) end as member_id,
    case when action like 'Group.%' then json_member(data, 'MemberDisplayName') end as member_name,
    case
      when regexp_like(ip, '^((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])[.]){3}(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])$') then ip
      when regexp_like(ip, '^([0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}$') then ip
      when length(ip) - length(replace(ip, ':', '')) <= 7
        and regexp_like(ip, '^([0-9A-Fa-f]{1,4}(:[0-9A-Fa-f]{1,4})*)?::([0-9A-Fa-f]{1,4}(:[0-9A-Fa-f]{1,4})*)?$') then ip
    end as address,
    case
      when regexp_like(actor_upn, '^[A-Za-z0-9!#$%&*+/=?^_{|}~.-]+@[A-Za-z0-9-]+[.][A-Za-z0-9.-]+$') then actor_upn
    end as email
  from outgoing
),
classed as (
  select
    *,
    of in ('Group', 'Security', 'Token', 'Licensing') as is_iam,
    case
      when category = 'create' then 'creation'
      when category = 'modify' then 'change'
      when category = 'remove' then 'deletion'
      when category = 'access' and of not in ('Group', 'Security', 'Token', 'Licensing') then 'access'
      else 'info'
    end as kind_of_change
  from record
)
select
  "_key",
  "_order",
  occurred as "@timestamp",
  details as message,
  { 'version': '8.17.0' } as ecs,
  array_compact(['azuredevops', case when "_updated" then 'updated' end]) as tags,
  {
    'id': event_id,
    'kind': 'event',
    'module': 'azuredevops',
    'dataset': 'azuredevops.audit',
    'provider': 'azuredevops',
    'action': action,
    'category': case when is_iam then ['iam'] when category in ('execute', 'access') then ['api'] else ['configuration'] end,
    'type': case when of = 'Group' then [kind_of_change, 'group'] else [kind_of_change] end,
    'outcome': case
      when action like '%Failed' or lower(result) in ('failed', 'rejected') then 'failure'
      when result is null or lower(result) in ('succeeded', 'succeededwithissues', 'partiallysucceeded') then 'success'
      else 'unknown'
    end,
    -- A build identity that was used while no job of its scope ran.
    'severity': case when executor = 'client' and actor_kind in ('project_build_service', 'collection_build_service') then 73 else 21 end,
    'created': observed,
    'hash': record_hash
  } as event,
  {
    'id': coalesce(actor_id, actor_client_id),
    'name': coalesce(actor_upn, actor_name),
    'full_name': actor_name,
    'email': email,
    'target': { 'id': member_id, 'full_name': member_name }
  } as "user",
  { 'id': group_id, 'name': group_name } as "group",
  { 'ip': address, 'address': ip } as source,
  { 'original': user_agent } as user_agent,
  { 'request': { 'id': activity_id } } as http,
  { 'id': organization_id, 'name': organization } as organization,
  { 'provider': 'azure', 'service': { 'name': 'Azure DevOps' } } as cloud,
  {
    'user': array_distinct(array_compact([actor_id, actor_client_id, actor_upn, actor_name, author_id, member_id, member_name])),
    'ip': array_compact([address]),
    'hosts': array_compact([machine])
  } as related,
  {
    'key': "_key",
    'updated': "_updated",
    'area': area,
    'category': category,
    'data': data,
    'project': { 'id': project_id, 'name': project },
    'actor': { 'kind': actor_kind, 'cuid': actor_cuid, 'client_id': actor_client_id, 'author_id': author_id },
    'auth': { 'mechanism': auth_mechanism, 'authorization_id': authorization_id },
    'correlation_id': correlation_id,
    'subjects': subjects,
    'verdict': {
      'executor': executor, 'raised_by': raised_by, 'grade': grade, 'provisional': provisional, 'blind': blind,
      'revision': revision, 'decided': decided, 'candidate_count': coalesce(cardinality(candidates), 0),
      'candidates': candidates, 'identities': identities, 'missing': missing
    },
    'agent': {
      'id': agent_id, 'name': agent_name, 'version': agent_version, 'machine': machine, 'pool': { 'id': pool_id, 'name': pool_name }
    },
    'job': { 'id': job_id, 'request_id': request_id, 'attempt': attempt },
    'run': { 'id': run_id, 'kind': run_kind },
    'pipeline': { 'id': pipeline_id }
  } as azuredevops
from classed
