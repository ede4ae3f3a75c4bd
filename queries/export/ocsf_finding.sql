--! title = "Findings in OCSF 1.8.0: Detection Finding"
--! reads = ["outgoing_findings"]
--! tags = ["ocsf"]
select
  "_key",
  "_order",
  case when "_updated" then 2 else 1 end as activity_id,
  case when "_updated" then 'Update' else 'Create' end as activity_name,
  2 as category_uid,
  'Findings' as category_name,
  2004 as class_uid,
  'Detection Finding' as class_name,
  case when "_updated" then 200402 else 200401 end as type_uid,
  case lower(severity) when 'low' then 2 when 'medium' then 3 when 'high' then 4 when 'critical' then 5 else 0 end as severity_id,
  case lower(severity) when 'low' then 'Low' when 'medium' then 'Medium' when 'high' then 'High' when 'critical' then 'Critical' else 'Unknown' end
    as severity,
  1 as status_id,
  'New' as status,
  true as is_alert,
  cast(occurred as bigint) / 1000 as time,
  says as message,
  {
    'version': '1.8.0',
    'uid': key,
    'sequence': try_cast(substr("_key", length(key) + 2) as bigint),
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
    'created_time': cast(known as bigint) / 1000,
    'first_seen_time': cast(occurred as bigint) / 1000,
    'last_seen_time': cast(occurred as bigint) / 1000,
    'analytic': { 'uid': detection, 'name': detection, 'type_id': 1, 'type': 'Rule' },
    'data_sources': ['Azure DevOps audit log'],
    'related_events': case when event_id is not null then [{ 'uid': event_id, 'type': 'Azure DevOps audit event' }] end
  } as finding_info,
  case when agent_id is not null then {
    'type_id': 99, 'type': 'Build agent', 'uid': cast(agent_id as text), 'name': agent_name
  } end as device,
  [{ 'data': { 'key': "_key", 'event_id': event_id, 'record_hash': record_hash, 'agent_id': agent_id, 'agent_name': agent_name } }] as evidences,
  case when project_id is not null then [{ 'type': 'project', 'uid': project_id }] end as resources
from outgoing_findings
