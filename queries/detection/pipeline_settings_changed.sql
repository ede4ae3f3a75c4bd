--! title = "Settings that guard pipelines changed"
--! severity = "low"
--! attack = ["T1562"]
--! owasp = ["CICD-SEC-1", "CICD-SEC-4"]
--! mirrors = []
--! why = "They say whether jobs reach other projects, whether variables can be set at queue time, and whether forks get secrets."
--! false_positives = "Everyday administration."
--! next = "The setting, and whether it was there to protect something."
--! actions = ["Pipelines.ProjectSettings", "Pipelines.OrganizationSettings"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = []
select
  concat('setting ', json_member(data, 'SettingName'), coalesce(' of ' || project_id, '')) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  case when lower(json_member(data, 'NewValue')) = 'false' then 'medium' end as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' set ', json_member(data, 'SettingName'), ' from ', json_member(data, 'OldValue'), ' to ', json_member(data, 'NewValue'), coalesce(' in ' || project, ' for the organisation')) as says
from actions
where action in ('Pipelines.ProjectSettings', 'Pipelines.OrganizationSettings')
  and occurred >= $from and occurred < $until
