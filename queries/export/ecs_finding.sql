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
  { 'framework': case when cardinality(attack) > 0 then 'MITRE ATT&CK' end, 'technique': { 'id': attack } } as threat,
  { 'hosts': array_compact([machine]) } as related,
  { 'id': organization_id, 'name': organization } as organization,
  { 'provider': 'azure', 'service': { 'name': 'Azure DevOps' } } as cloud,
  {
    'key': "_key",
    'updated': "_updated",
    'event_id': event_id,
    'severity': severity,
    'project': { 'id': project_id },
    'status': status,
    'subject': subject,
    'events': events,
    'owasp': owasp,
    'verdict': { 'executor': executor, 'grade': grade, 'revision': revision },
    'agent': { 'id': agent_id, 'name': agent_name, 'machine': machine, 'pool': { 'id': pool_id, 'name': pool_name } },
    'job': { 'id': job_id },
    'run': { 'id': run_id, 'kind': run_kind }
  } as azuredevops
from outgoing_findings
