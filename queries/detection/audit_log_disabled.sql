--! title = "Audit events no longer logged"
--! severity = "critical"
--! attack = ["T1562.008"]
--! owasp = ["CICD-SEC-10"]
--! mirrors = []
--! why = "From here on nothing is recorded: neither streams nor the API nor this program see what is done. Streams stop without a record of their own."
--! false_positives = "None that we know of."
--! next = "Switch it on again; what was done meanwhile shows only in jobs, agents and sign-ins."
--! actions = ["OrganizationPolicy.PolicyValueUpdated"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = []
select
  concat('policy ', json_member(data, 'PolicyName')) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' switched the audit log off: ', json_member(data, 'PolicyName'), ' is ', json_member(data, 'PolicyValue')) as says
from actions
where action = 'OrganizationPolicy.PolicyValueUpdated'
  and json_member(data, 'PolicyName') = 'Policy.LogAuditEvents'
  and lower(json_member(data, 'PolicyValue')) in ('off', 'false')
  and occurred >= $from and occurred < $until
