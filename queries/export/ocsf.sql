--! title = "Audit events in OCSF 1.8.0: API Activity, and Group Management where a group is named"
--! reads = ["outgoing"]
--! tags = ["ocsf"]
-- Who acted is the actor and what the record says of the sender src_endpoint, as Azure DevOps tells it.
-- What agentrail decided is in the enrichments, and where one agent is left also in device and actor.app_name.
with record as (
  select
    *,
    cast(occurred as bigint) / 1000 as occurred_ms,
    cast(decided as bigint) / 1000 as decided_ms,
    json_member(data, 'Result', 'DeploymentResult') as result,
    case when action like 'Group.%' then json_member(data, 'GroupId', 'Updates.0.GroupId') end as group_id,
    case when action like 'Group.%' then json_member(data, 'GroupName') end as group_name,
    case when action like 'Group.%' then json_member(data, 'MemberId', 'Updates.0.MemberId') end as member_id,
    case when action like 'Group.%' then json_member(data, 'MemberDisplayName') end as member_name,
    case
      when regexp_like(ip, '^((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])[.]){3}(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])$') then ip
      when regexp_like(ip, '^([0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}$') then ip
      when length(ip) - length(replace(ip, ':', '')) <= 7
        and regexp_like(ip, '^([0-9A-Fa-f]{1,4}(:[0-9A-Fa-f]{1,4})*)?::([0-9A-Fa-f]{1,4}(:[0-9A-Fa-f]{1,4})*)?$') then ip
    end as address
  from outgoing
),
classed as (
  select
    *,
    coalesce(group_id, group_name) is not null as of_group,
    case
      when coalesce(group_id, group_name) is null then
        case category when 'create' then 1 when 'access' then 2 when 'modify' then 3 when 'remove' then 4 when 'execute' then 99 else 0 end
      when action = 'Group.UpdateGroupMembership.Add' then 3
      when action = 'Group.UpdateGroupMembership.Remove' then 4
      when action = 'Group.UpdateGroupMembership' then
        case lower(json_member(data, 'Active', 'Updates.0.Active')) when 'true' then 3 when '1' then 3 when 'false' then 4 when '0' then 4 else 99 end
      when action = 'Group.UpdateGroups.Delete' then 5
      when action = 'Group.CreateGroups' then 6
      else 99
    end as activity,
    case
      when action like '%Failed' or lower(result) in ('failed', 'rejected') then 2
      when result is null or lower(result) in ('succeeded', 'succeededwithissues', 'partiallysucceeded') then 1
      else 99
    end as status_code,
    -- A build identity that was used while no job of its scope ran.
    coalesce(executor = 'client' and actor_kind in ('project_build_service', 'collection_build_service'), false) as alarming,
    coalesce(actor_kind = 'service' or raised_by = 'service', false) as by_server
  from record
)
select
  "_key",
  "_order",
  activity as activity_id,
  case
    when of_group then
      case activity when 3 then 'Add User' when 4 then 'Remove User' when 5 then 'Delete' when 6 then 'Create' else 'Modify' end
    else
      case activity when 1 then 'Create' when 2 then 'Read' when 3 then 'Update' when 4 then 'Delete' when 99 then 'Execute' else 'Unknown' end
  end as activity_name,
  case when of_group then 3 else 6 end as category_uid,
  case when of_group then 'Identity & Access Management' else 'Application Activity' end as category_name,
  case when of_group then 3006 else 6003 end as class_uid,
  case when of_group then 'Group Management' else 'API Activity' end as class_name,
  case when of_group then 300600 else 600300 end + activity as type_uid,
  case when alarming then 4 else 1 end as severity_id,
  case when alarming then 'High' else 'Informational' end as severity,
  status_code as status_id,
  case status_code when 1 then 'Success' when 2 then 'Failure' else result end as status,
  result as status_detail,
  occurred_ms as time,
  details as message,
  {
    'version': '1.8.0',
    'uid': event_id,
    'original_event_uid': event_id,
    'sequence': revision,
    'event_code': action,
    'correlation_uid': correlation_id,
    'tenant_uid': organization_id,
    'original_time': cast(occurred as text),
    'logged_time': cast(observed as bigint) / 1000,
    'modified_time': case when revision > 0 then decided_ms end,
    'labels': case when "_updated" then ['updated'] end,
    'log_name': 'Azure DevOps audit log',
    'log_provider': 'agentrail',
    'product': { 'name': 'Azure DevOps', 'vendor_name': 'Microsoft', 'feature': { 'name': 'Auditing' } },
    'profiles': case when agent_id is null then ['cloud'] else ['cloud', 'host'] end
  } as metadata,
  { 'provider': 'Azure', 'org': { 'uid': organization_id, 'name': organization } } as cloud,
  {
    'user': {
      'uid': coalesce(actor_id, actor_client_id),
      'uid_alt': actor_cuid,
      'name': coalesce(actor_upn, actor_name, case when coalesce(actor_id, actor_client_id) is null then 'unknown' end),
      'full_name': actor_name,
      'email_addr': case
        when regexp_like(actor_upn, '^[A-Za-z0-9!#$%&*+/=?^_{|}~.-]+@[A-Za-z0-9-]+[.][A-Za-z0-9.-]+$') then actor_upn
      end,
      'type_id': case
        when actor_kind = 'user' then 1
        when actor_kind = 'service' then 3
        when coalesce(actor_kind, 'unknown') = 'unknown' then 0
        else 4
      end,
      'type': actor_kind
    },
    'session': { 'credential_uid': authorization_id },
    'app_name': case when executor = 'agent' then agent_name end,
    'app_uid': case when executor = 'agent' then cast(agent_id as text) end
  } as actor,
  case when agent_id is not null then {
    'type_id': 99,
    'type': 'Build agent',
    'uid': cast(agent_id as text),
    'name': agent_name,
    'hostname': machine,
    'pool': case when coalesce(cast(pool_id as text), pool_name) is not null then { 'uid': cast(pool_id as text), 'name': pool_name } end
  } end as device,
  {
    'operation': action,
    'service': { 'name': coalesce(area, 'Azure DevOps') },
    'request': case when activity_id is not null then { 'uid': activity_id } end
  } as api,
  {
    'ip': address,
    'svc_name': case when ip is null and by_server then 'Azure DevOps' end,
    'name': case when address is null and not (ip is null and by_server) then coalesce(ip, 'unknown') end
  } as src_endpoint,
  { 'user_agent': user_agent } as http_request,
  case when of_group then { 'uid': lower(group_id), 'name': group_name } end as "group",
  case when of_group and coalesce(member_id, member_name) is not null then { 'uid': lower(member_id), 'name': member_name } end as "user",
  case when not of_group then array_compact([
    case when coalesce(project_id, project) is not null then { 'type': 'project', 'uid': project_id, 'name': project } end,
    case when coalesce(subjects[1]['id'], subjects[1]['name']) is not null
      then { 'type': subjects[1]['kind'], 'uid': subjects[1]['id'], 'name': subjects[1]['name'] } end,
    case when coalesce(subjects[2]['id'], subjects[2]['name']) is not null
      then { 'type': subjects[2]['kind'], 'uid': subjects[2]['id'], 'name': subjects[2]['name'] } end,
    case when coalesce(subjects[3]['id'], subjects[3]['name']) is not null
      then { 'type': subjects[3]['kind'], 'uid': subjects[3]['id'], 'name': subjects[3]['name'] } end,
    case when coalesce(subjects[4]['id'], subjects[4]['name']) is not null
      then { 'type': subjects[4]['kind'], 'uid': subjects[4]['id'], 'name': subjects[4]['name'] } end
  ]) end as resources,
  case when record_hash is not null then { 'algorithm_id': 3, 'algorithm': 'SHA-256', 'value': record_hash } end as raw_data_hash,
  array_compact([
    case when agent_id is not null then {
      'name': 'agentrail.agent',
      'value': coalesce(agent_name, cast(agent_id as text)),
      'type': 'agent',
      'provider': 'agentrail',
      'created_time': decided_ms,
      'desc': 'the agent that did the work',
      'data': {
        'agent': { 'id': agent_id, 'name': agent_name, 'version': agent_version, 'machine': machine, 'pool_id': pool_id, 'pool_name': pool_name },
        'job': null,
        'verdict': null
      }
    } end,
    case when coalesce(run_id, request_id) is not null then {
      'name': 'agentrail.job',
      'value': coalesce(job_id, cast(request_id as text), cast(run_id as text)),
      'type': 'job',
      'provider': 'agentrail',
      'created_time': decided_ms,
      'desc': 'the job or run that it belongs to',
      'data': {
        'agent': null,
        'job': { 'id': job_id, 'request_id': request_id, 'attempt': attempt, 'run_id': run_id, 'run_kind': run_kind, 'pipeline_id': pipeline_id },
        'verdict': null
      }
    } end,
    {
      'name': 'agentrail.verdict',
      'value': coalesce(grade, 'none'),
      'type': 'verdict',
      'provider': 'agentrail',
      'created_time': decided_ms,
      'desc': 'which agent acted, and how sure that is',
      'data': {
        'agent': null,
        'job': null,
        'verdict': {
          'key': "_key", 'updated': "_updated", 'revision': revision, 'decided': decided,
          'executor': executor, 'raised_by': raised_by, 'grade': grade, 'provisional': provisional, 'blind': blind,
          'candidate_count': coalesce(cardinality(candidates), 0), 'candidates': candidates,
          'identities': identities, 'missing': missing
        }
      }
    }
  ]) as enrichments,
  {
    'category': category,
    'auth_mechanism': auth_mechanism,
    'author_id': author_id,
    'project_id': project_id,
    'project': project,
    'data$json': data
  } as unmapped
from classed
