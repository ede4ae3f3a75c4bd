--! title = "Audit stream changed, made or tested by a person"
--! severity = "low"
--! attack = ["T1562.008"]
--! owasp = ["CICD-SEC-10"]
--! mirrors = []
--! why = "A stream that leads elsewhere is off for those who watched it; a second one gives the log to others."
--! false_positives = "Changes of the destination."
--! next = "Where it leads now."
--! actions = ["AuditLog.StreamModified", "AuditLog.StreamCreated", "AuditLog.TestStream"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = []
select
  concat('stream ', coalesce(json_member(data, 'streamId', 'id'), json_member(data, 'displayName', 'StreamDisplayName', 'consumerType', 'StreamConsumerType', 'ConsumerType'), 'unknown')) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' did ', action, ' on the audit stream ', coalesce(json_member(data, 'displayName', 'StreamDisplayName', 'consumerType', 'StreamConsumerType', 'ConsumerType'), 'of unknown name')) as says
from actions
where action in ('AuditLog.StreamModified', 'AuditLog.StreamCreated', 'AuditLog.TestStream')
  and occurred >= $from and occurred < $until
