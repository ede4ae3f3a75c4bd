--! title = "Audit log downloaded"
--! severity = "low"
--! attack = ["T1119", "T1213"]
--! owasp = ["CICD-SEC-10"]
--! mirrors = []
--! why = "The log tells who does what, when and from where: what somebody needs to go unnoticed."
--! false_positives = "Auditors."
--! next = "Who it is for."
--! actions = ["AuditLog.DownloadLog"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = []
select
  concat('user ', coalesce(actor_client_id, actor_id)) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' downloaded the audit log as ', json_member(data, 'Format'), ' from ', ip) as says
from actions
where action = 'AuditLog.DownloadLog'
  and occurred >= $from and occurred < $until
