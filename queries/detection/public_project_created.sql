--! title = "Public project created"
--! severity = "medium"
--! attack = ["T1098", "T1562"]
--! owasp = ["CICD-SEC-7"]
--! mirrors = ["sentinel-hunting:3cdc5404-15ed-4656-8eb9-60bc8b495934"]
--! why = "What is put into a public project, by a person or a pipeline, can be read by everybody."
--! false_positives = "Open source."
--! next = "Who is a member, and what is pushed to it."
--! actions = ["Project.CreateCompleted"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = []
select
  concat('project ', coalesce(json_member(data, 'ProjectId'), project_id, json_member(data, 'ProjectName'))) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' created the public project ', json_member(data, 'ProjectName')) as says
from actions
where action = 'Project.CreateCompleted'
  and lower(json_member(data, 'ProjectVisibility')) = 'public'
  and occurred >= $from and occurred < $until
