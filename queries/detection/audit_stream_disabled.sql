--! title = "Audit stream disabled or deleted by a person"
--! severity = "high"
--! attack = ["T1562.008"]
--! owasp = ["CICD-SEC-10"]
--! mirrors = ["sentinel:4e8238bd-ff4f-4126-a9f6-09b3b6801b3d", "sentinel:74ed028d-e392-40b7-baef-e69627bf89d1"]
--! why = "Whoever switches the stream off is no longer seen by those who only watch its destination. What a deleted stream had not sent is not sent later."
--! false_positives = "A stream that is moved to another destination: a new one is made shortly before or after."
--! next = "Everything the same actor did afterwards, read from the audit API, which still has it for 90 days."
--! actions = ["AuditLog.StreamDisabledByUser", "AuditLog.StreamDeleted"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = []
select
  concat('stream ', coalesce(json_member(data, 'streamId', 'id'), json_member(data, 'displayName', 'StreamDisplayName', 'consumerType', 'StreamConsumerType', 'ConsumerType'), 'unknown')) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' ', lower(replace(split_part(action, 'Stream', 2), 'ByUser', '')), ' the audit stream ', coalesce(json_member(data, 'displayName', 'StreamDisplayName', 'consumerType', 'StreamConsumerType', 'ConsumerType'), 'of unknown name')) as says
from actions
where action in ('AuditLog.StreamDisabledByUser', 'AuditLog.StreamDeleted')
  and occurred >= $from and occurred < $until
