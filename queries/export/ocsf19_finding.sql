--! title = "Findings in OCSF 1.9.0: Detection Finding"
--! reads = ["outgoing_findings"]
--! tags = ["ocsf"]
select
  "_key",
  "_order",
  case when status = 'withdrawn' then 3 when "_updated" then 2 else 1 end as activity_id,
  case when status = 'withdrawn' then 'Close' when "_updated" then 'Update' else 'Create' end as activity_name,
  2 as category_uid,
  'Findings' as category_name,
  2004 as class_uid,
  'Detection Finding' as class_name,
  case when status = 'withdrawn' then 200403 when "_updated" then 200402 else 200401 end as type_uid,
  case lower(severity) when 'low' then 2 when 'medium' then 3 when 'high' then 4 when 'critical' then 5 else 0 end as severity_id,
  case lower(severity) when 'low' then 'Low' when 'medium' then 'Medium' when 'high' then 'High' when 'critical' then 'Critical' else 'Unknown' end
    as severity,
  case status when 'withdrawn' then 4 when 'suppressed' then 3 else 1 end as status_id,
  case status when 'withdrawn' then 'Resolved' when 'suppressed' then 'Suppressed' else 'New' end as status,
  status as status_detail,
  status = 'open' as is_alert,
  cast(occurred as bigint) / 1000 as time,
  says as message,
  {
    'version': '1.9.0',
    'uid': key,
    'sequence': revision,
    'tenant_uid': organization_id,
    'correlation_uid': event_id,
    'original_time': cast(occurred as text),
    'logged_time': cast(known as bigint) / 1000,
    'modified_time': case when "_updated" then cast(known as bigint) / 1000 end,
    'labels': case when "_updated" then ['updated'] end,
    'log_name': 'agentrail findings',
    'log_provider': 'agentrail',
    'product': { 'name': 'agentrail', 'vendor_name': 'agentrail', 'feature': { 'name': detection } },
    'profiles': case when agent_id is null then ['cloud'] else ['cloud', 'host'] end
  } as metadata,
  { 'provider': 'Azure', 'org': { 'uid': organization_id, 'name': organization } } as cloud,
  {
    'uid': key,
    'title': title,
    'desc': says,
    'created_time': cast(found as bigint) / 1000,
    'modified_time': case when revision > 0 then cast(known as bigint) / 1000 end,
    'first_seen_time': cast(occurred as bigint) / 1000,
    'last_seen_time': cast(occurred as bigint) / 1000,
    'analytic': { 'uid': detection, 'name': detection, 'type_id': 1, 'type': 'Rule' },
    'data_sources': ['Azure DevOps audit log'],
    'related_events_count': nullif(cardinality(events), 0),
    'attacks': array_compact([
      case when attack[1] is not null then {
        'technique': { 'uid': split_part(attack[1], '.', 1) }, 'sub_technique': case when attack[1] like '%.%' then { 'uid': attack[1] } end
      } end,
      case when attack[2] is not null then {
        'technique': { 'uid': split_part(attack[2], '.', 1) }, 'sub_technique': case when attack[2] like '%.%' then { 'uid': attack[2] } end
      } end,
      case when attack[3] is not null then {
        'technique': { 'uid': split_part(attack[3], '.', 1) }, 'sub_technique': case when attack[3] like '%.%' then { 'uid': attack[3] } end
      } end,
      case when attack[4] is not null then {
        'technique': { 'uid': split_part(attack[4], '.', 1) }, 'sub_technique': case when attack[4] like '%.%' then { 'uid': attack[4] } end
      } end
    ]),
    'related_events': case when event_id is not null then [{ 'uid': event_id, 'type': 'Azure DevOps audit event' }] end
  } as finding_info,
  case when agent_id is not null then {
    'type_id': 99,
    'type': 'Build agent',
    'uid': cast(agent_id as text),
    'name': agent_name,
    'hostname': machine,
    'pool': case when coalesce(cast(pool_id as text), pool_name) is not null then { 'uid': cast(pool_id as text), 'name': pool_name } end
  } end as device,
  [{ 'data': { 'key': "_key", 'subject': subject, 'events': events, 'record_hash': record_hash, 'evidence': evidence } }] as evidences,
  case when coalesce(executor, grade) is not null then [{
    'name': 'agentrail.verdict',
    'value': coalesce(grade, executor),
    'type': 'verdict',
    'provider': 'agentrail',
    'desc': 'which agent acted, and how sure that is',
    'data': { 'verdict': {
      'executor': executor, 'grade': grade, 'agent_id': agent_id, 'agent_name': agent_name, 'job_id': job_id, 'run_id': run_id, 'run_kind': run_kind
    } }
  }] end as enrichments,
  { 'owasp': owasp } as unmapped,
  case when project_id is not null then [{ 'type': 'project', 'uid': project_id }] end as resources
from outgoing_findings
