--! title = "Findings in the Log Event Extended Format"
--! reads = ["outgoing_findings"]
--! tags = ["syslog", "leef"]
select
  "_key",
  "_order",
  detection as signature,
  title as name,
  case lower(severity) when 'low' then 3 when 'medium' then 5 when 'high' then 8 when 'critical' then 10 else 5 end as severity,
  'finding' as cat,
  to_char(occurred, '%Y-%m-%dT%H:%M:%S%.3f+0000') as "devTime",
  'yyyy-MM-dd''T''HH:mm:ss.SSSZ' as "devTimeFormat",
  "_key" as "key",
  "_updated" as updated,
  key as "findingId",
  says as msg,
  severity as level,
  organization,
  organization_id as "organizationId",
  project_id as "projectId",
  event_id as "eventId",
  agent_id as "agentId",
  agent_name as "agentName",
  record_hash as "recordHash"
from outgoing_findings
