--! title = "Branch policy removed"
--! severity = "medium"
--! attack = ["T1562", "T1195.001"]
--! owasp = ["CICD-SEC-1"]
--! mirrors = []
--! why = "Without the policy changes reach the branch that nobody reviewed or built."
--! false_positives = "A policy replaced by another."
--! next = "What was pushed to the branch since."
--! actions = ["Policy.PolicyConfigRemoved"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = []
select
  concat('policy ', coalesce(json_member(data, 'PolicyConfigId', 'ConfigId'), ''), ' ', coalesce(json_member(data, 'PolicyTypeDisplayName'), ''), coalesce(' of ' || project_id, '')) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' removed the policy ', json_member(data, 'PolicyTypeDisplayName'), ' in ', project, coalesce(' for ' || json_member(data, 'RepoName', 'FriendlyName'), '')) as says
from actions
where action = 'Policy.PolicyConfigRemoved'
  and occurred >= $from and occurred < $until
