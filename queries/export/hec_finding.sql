--! title = "Findings for Splunk's HTTP Event Collector"
--! reads = ["outgoing_findings"]
--! tags = ["splunk"]
select
  "_key",
  "_order",
  cast(cast(occurred as bigint) as double) / 1000000 as time,
  coalesce(organization, organization_id, 'dev.azure.com') as host,
  'agentrail' as source,
  'agentrail:finding' as sourcetype,
  {
    'key': "_key",
    'updated': "_updated",
    'finding': key,
    'detection': detection,
    'severity': severity,
    'title': title,
    'says': says,
    'occurred': occurred,
    'known': known,
    'organization': organization,
    'organization_id': organization_id,
    'project_id': project_id,
    'event_id': event_id,
    'status': status,
    'revision': revision,
    'found': found,
    'subject': subject,
    'events': events,
    'attack': attack,
    'owasp': owasp,
    'verdict': { 'executor': executor, 'grade': grade },
    'agent': { 'id': agent_id, 'name': agent_name, 'machine': machine, 'pool_id': pool_id, 'pool_name': pool_name },
    'job': { 'id': job_id, 'run_id': run_id, 'run_kind': run_kind },
    'evidence': evidence,
    'record_hash': record_hash
  } as event,
  {
    'finding_id': key,
    'rule': detection,
    'level': severity,
    'state': status,
    'mitre_technique_id': attack,
    'audit_id': event_id,
    'agent_name': agent_name,
    'agent_id': cast(agent_id as text),
    'is_update': cast("_updated" as text)
  } as fields
from outgoing_findings
