--! title = "Guests may be given access"
--! severity = "medium"
--! attack = ["T1098", "T1562"]
--! owasp = ["CICD-SEC-2"]
--! mirrors = ["sentinel-hunting:2380670e-e168-4a99-9529-6c4d127b3ce6"]
--! why = "People of other directories can then be added, and stay when nobody here knows them any more."
--! false_positives = "Work with another company begins."
--! next = "Who is invited next, and what they may do."
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
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' let guests in: ', json_member(data, 'PolicyName'), ' is ', json_member(data, 'PolicyValue')) as says
from actions
where action = 'OrganizationPolicy.PolicyValueUpdated'
  and json_member(data, 'PolicyName') = 'Policy.DisallowAadGuestUserAccess'
  and lower(json_member(data, 'PolicyValue')) in ('off', 'false')
  and occurred >= $from and occurred < $until
