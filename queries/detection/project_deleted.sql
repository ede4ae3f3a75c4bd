--! title = "Project deleted"
--! severity = "high"
--! attack = ["T1485"]
--! owasp = ["CICD-SEC-7"]
--! mirrors = []
--! why = "Code, pipelines and their history go with it; within 28 days a deleted project can be restored, one deleted for good cannot."
--! false_positives = "Projects that ended."
--! next = "Who asked for it; restore it if nobody did."
--! actions = ["Project.SoftDeleteQueued", "Project.HardDeleteQueued", "Project.DeleteQueued"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = []
select
  concat('project ', coalesce(json_member(data, 'ProjectId'), project_id, json_member(data, 'ProjectName', 'PreviousProjectName'))) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' had the project ', coalesce(project, json_member(data, 'PreviousProjectName', 'ProjectName')), ' deleted (', action, ')') as says
from actions
where action in ('Project.SoftDeleteQueued', 'Project.HardDeleteQueued', 'Project.DeleteQueued')
  and occurred >= $from and occurred < $until
