--! title = "Conditional access of Entra ID no longer enforced"
--! severity = "high"
--! attack = ["T1098", "T1562"]
--! owasp = ["CICD-SEC-2", "CICD-SEC-7"]
--! mirrors = ["sentinel-hunting:c78a3845-37d9-448e-a8cd-e9543f00bcc5"]
--! why = "Tokens then work from any address and device, whatever the directory demands."
--! false_positives = "Tests of the policy, switched on again within the hour."
--! next = "Sign-ins and tokens from new addresses since then."
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
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' switched the enforcement of conditional access off: ', json_member(data, 'PolicyName'), ' is ', json_member(data, 'PolicyValue')) as says
from actions
where action = 'OrganizationPolicy.PolicyValueUpdated'
  and json_member(data, 'PolicyName') = 'Policy.EnforceAADConditionalAccess'
  and lower(json_member(data, 'PolicyValue')) in ('off', 'false')
  and occurred >= $from and occurred < $until
