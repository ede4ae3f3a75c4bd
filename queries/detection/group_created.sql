--! title = "Security group created"
--! severity = "low"
--! attack = ["T1136", "T1098"]
--! owasp = ["CICD-SEC-2"]
--! mirrors = ["community:Group Created"]
--! why = "A group of a known kind of name, with rights nobody looks at, keeps access when its maker is gone."
--! false_positives = "Teams and projects that begin."
--! next = "Its members, and what the group may do."
--! actions = ["Group.CreateGroups"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = []
select
  concat('group ', coalesce(json_member(data, 'GroupId', 'GroupDescriptor'), json_member(data, 'GroupName'))) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' created the group ', json_member(data, 'GroupName')) as says
from actions
where action = 'Group.CreateGroups'
  and occurred >= $from and occurred < $until
