--! title = "Public projects allowed"
--! severity = "medium"
--! attack = ["T1098", "T1562"]
--! owasp = ["CICD-SEC-7"]
--! mirrors = ["sentinel-hunting:800ae9c9-0280-4296-821f-c6e0a473fb41"]
--! why = "Each administrator of a project can then show its code, its pipelines and their logs to everybody."
--! false_positives = "An organisation that publishes open source."
--! next = "Projects made public since, and who is next to do so."
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
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' allowed public projects: ', json_member(data, 'PolicyName'), ' is ', json_member(data, 'PolicyValue')) as says
from actions
where action = 'OrganizationPolicy.PolicyValueUpdated'
  and json_member(data, 'PolicyName') = 'Policy.AllowAnonymousAccess'
  and lower(json_member(data, 'PolicyValue')) in ('on', 'true')
  and occurred >= $from and occurred < $until
