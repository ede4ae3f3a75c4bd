--! title = "Findings for a table AgentrailFindings_CL of Microsoft Sentinel"
--! reads = ["outgoing_findings"]
--! tags = ["sentinel"]
select
  "_key",
  "_order",
  occurred as "TimeGenerated",
  "_key" as "Key",
  "_updated" as "Updated",
  key as "FindingId",
  detection as "Detection",
  severity as "Severity",
  title as "FindingTitle",
  says as "Description",
  known as "Known",
  organization_id as "ScopeId",
  organization as "ScopeDisplayName",
  project_id as "ProjectId",
  event_id as "EventId",
  agent_id as "AgentId",
  agent_name as "AgentName",
  record_hash as "RecordHash"
from outgoing_findings
