--! title = "Enforcement of a policy of the organisation removed"
--! severity = "high"
--! attack = ["T1562"]
--! owasp = ["CICD-SEC-7"]
--! mirrors = []
--! why = "What the policy forbade can now be switched on by every administrator."
--! false_positives = "A new order of policies."
--! next = "The value of the policy now, and who changes it next."
--! actions = ["OrganizationPolicy.EnforcePolicyRemoved"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = []
select
  concat('policy ', json_member(data, 'EnforcePolicyName', 'PolicyName')) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' no longer enforces ', json_member(data, 'EnforcePolicyName', 'PolicyName')) as says
from actions
where action = 'OrganizationPolicy.EnforcePolicyRemoved'
  and occurred >= $from and occurred < $until
