--! title = "Audit stream disabled by the system"
--! severity = "medium"
--! attack = ["T1562.008"]
--! owasp = ["CICD-SEC-10"]
--! mirrors = []
--! why = "The destination refused what was sent, or somebody made it refuse. From then on those who watch the stream see nothing."
--! false_positives = "Destinations in maintenance."
--! next = "Why it failed, who changed the destination; enable it within seven days, or the rest is lost to it."
--! actions = ["AuditLog.StreamDisabledBySystem"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = []
select
  concat('stream ', coalesce(json_member(data, 'streamId', 'id'), json_member(data, 'displayName', 'StreamDisplayName', 'consumerType', 'StreamConsumerType', 'ConsumerType'), 'unknown')) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat('the system disabled the audit stream ', coalesce(json_member(data, 'displayName', 'StreamDisplayName', 'consumerType', 'StreamConsumerType', 'ConsumerType'), 'of unknown name'), coalesce(': ' || json_member(data, 'statusReason', 'StatusReason'), '')) as says
from actions
where action = 'AuditLog.StreamDisabledBySystem'
  and occurred >= $from and occurred < $until
