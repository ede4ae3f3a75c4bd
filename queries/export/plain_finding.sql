--! title = "Every column of a finding, by our own names"
--! reads = ["outgoing_findings"]
--! tags = ["export"]
select "_key", "_order", "_key" as key, "_updated" as updated, key as finding, detection, severity, title, occurred,
  organization_id, organization, project_id, event_id, agent_id, agent_name, says
from outgoing_findings
