--! title = "Project made public"
--! severity = "high"
--! attack = ["T1213", "T1213.003"]
--! owasp = ["CICD-SEC-7"]
--! mirrors = ["sentinel-hunting:42e69ff6-719d-4853-95a5-2b211e2bb031", "sumo:MATCH-S00708"]
--! why = "Code, pipelines and their logs of the project can then be read by everybody."
--! false_positives = "A project that is published on purpose."
--! next = "Make it private again; what was in code and logs is known to others from then on."
--! actions = ["Project.UpdateVisibilityCompleted"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = []
select
  concat('project ', coalesce(json_member(data, 'ProjectId'), project_id, json_member(data, 'ProjectName'))) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' made the project ', coalesce(project, json_member(data, 'ProjectName', 'ProjectId')), ' public, which was ', json_member(data, 'PreviousProjectVisibility')) as says
from actions
where action = 'Project.UpdateVisibilityCompleted'
  and lower(json_member(data, 'ProjectVisibility')) = 'public'
  and lower(coalesce(json_member(data, 'PreviousProjectVisibility'), '')) <> 'public'
  and occurred >= $from and occurred < $until
