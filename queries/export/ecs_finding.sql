--! title = "Findings in the Elastic Common Schema 8.17"
--! reads = ["outgoing_findings"]
--! tags = ["elastic"]
select
  "_key",
  "_order",
  occurred as "@timestamp",
  says as message,
  { 'version': '8.17.0' } as ecs,
  array_compact(['azuredevops', case when "_updated" then 'updated' end]) as tags,
  {
    'id': key,
    'kind': 'alert',
    'module': 'azuredevops',
    'dataset': 'azuredevops.finding',
    'provider': 'agentrail',
    'action': detection,
    'category': ['intrusion_detection'],
    'type': ['info'],
    'severity': case lower(severity) when 'low' then 21 when 'medium' then 47 when 'high' then 73 when 'critical' then 99 else 0 end,
    'created': known,
    'hash': record_hash
  } as event,
  { 'id': detection, 'name': title } as "rule",
  { 'id': organization_id, 'name': organization } as organization,
  { 'provider': 'azure', 'service': { 'name': 'Azure DevOps' } } as cloud,
  {
    'key': "_key",
    'updated': "_updated",
    'event_id': event_id,
    'severity': severity,
    'project': { 'id': project_id },
    'agent': { 'id': agent_id, 'name': agent_name }
  } as azuredevops
from outgoing_findings
