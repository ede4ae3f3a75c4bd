--! title = "Rule that gives access levels to a group made or changed"
--! severity = "low"
--! attack = ["T1098"]
--! owasp = ["CICD-SEC-2"]
--! mirrors = ["community:Group Rule Created"]
--! why = "By such a rule everybody of a group gets access to the organisation, whoever is added to the group later."
--! false_positives = "Departments that begin to use Azure DevOps."
--! next = "Who is in the group, and who may add to it."
--! actions = ["Licensing.GroupRuleCreated", "Licensing.GroupRuleModified"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = []
select
  concat('group ', json_member(data, 'GroupIdentifier')) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' gave the group ', json_member(data, 'GroupIdentifier'), ' the access level ', json_member(data, 'AccessLevel')) as says
from actions
where action in ('Licensing.GroupRuleCreated', 'Licensing.GroupRuleModified')
  and occurred >= $from and occurred < $until
