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
    'azuredevops.finding.status': status,
    'azuredevops.finding.revision': revision,
    'azuredevops.finding.subject': subject,
    'azuredevops.finding.events': events,
    'azuredevops.finding.attack': attack,
    'azuredevops.finding.owasp': owasp,
    'azuredevops.executor': executor,
    'azuredevops.grade': grade,
    'azuredevops.pool.id': pool_id,
    'azuredevops.pool.name': pool_name,
    'azuredevops.agent.machine': machine,
    'azuredevops.job.id': job_id,
    'cicd.pipeline.run.id': cast(run_id as text),
    'azuredevops.run.kind': run_kind,
    'cicd.worker.id': cast(agent_id as text),
    'cicd.worker.name': agent_name,
    'azuredevops.record_hash': record_hash
  } as attributes
from outgoing_findings
