--! title = "Findings as log records of OpenTelemetry"
--! reads = ["outgoing_findings"]
--! tags = ["otlp"]
select
  "_key",
  "_order",
  cast(cast(occurred as bigint) * 1000 as text) as "timeUnixNano",
  cast(cast(known as bigint) * 1000 as text) as "observedTimeUnixNano",
  case lower(severity) when 'low' then 10 when 'medium' then 13 when 'high' then 17 when 'critical' then 21 else 9 end as "severityNumber",
  case lower(severity) when 'low' then 'INFO2' when 'medium' then 'WARN' when 'high' then 'ERROR' when 'critical' then 'FATAL' else 'INFO' end as "severityText",
  'agentrail.finding' as "eventName",
  coalesce(says, title) as body,
  {
    'log.record.uid': "_key",
    'azuredevops.updated': "_updated",
    'azuredevops.finding.id': key,
    'azuredevops.finding.detection': detection,
    'azuredevops.finding.severity': severity,
    'azuredevops.finding.title': title,
    'azuredevops.event.id': event_id,
    'azuredevops.organization.id': organization_id,
    'azuredevops.organization.name': organization,
    'azuredevops.project.id': project_id,
    'cloud.provider': 'azure',
    'cicd.worker.id': cast(agent_id as text),
    'cicd.worker.name': agent_name,
    'azuredevops.record_hash': record_hash
  } as attributes
from outgoing_findings
