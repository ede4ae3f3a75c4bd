--! title = "Check of a protected resource changed"
--! severity = "low"
--! attack = ["T1578", "T1562"]
--! owasp = ["CICD-SEC-1"]
--! mirrors = []
--! why = "A changed check may let through what it stopped: fewer approvers, another order, a longer time."
--! false_positives = "Everyday administration."
--! next = "What it asks for now."
--! actions = ["CheckConfiguration.Updated", "CheckConfiguration.ApprovalCheckOrderChanged"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = []
select
  concat(coalesce(json_member(data, 'ResourceType'), 'resource'), ' ', coalesce(json_member(data, 'ResourceId'), json_member(data, 'ResourceName'))) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' changed the check ', json_member(data, 'Type'), ' of the ', json_member(data, 'ResourceType'), ' ', json_member(data, 'ResourceName')) as says
from actions
where action in ('CheckConfiguration.Updated', 'CheckConfiguration.ApprovalCheckOrderChanged')
  and occurred >= $from and occurred < $until
