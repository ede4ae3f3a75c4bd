--! title = "SSH key created or changed"
--! severity = "low"
--! attack = ["T1098.001", "T1098"]
--! owasp = ["CICD-SEC-6"]
--! mirrors = ["community:SSH Key Created"]
--! why = "A key lets its holder read and write code for years, and its use is not in the audit log."
--! false_positives = "People with a new computer."
--! next = "Whose key it is and from where it was made; remove those that nobody knows."
--! actions = ["Token.SshCreateEvent", "Token.SshUpdateEvent"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = []
select
  concat('user ', coalesce(actor_client_id, actor_id)) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' made or changed the SSH key ', json_member(data, 'DisplayName'), ' from ', ip) as says
from actions
where action in ('Token.SshCreateEvent', 'Token.SshUpdateEvent')
  and occurred >= $from and occurred < $until
