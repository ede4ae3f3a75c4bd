--! title = "OAuth configuration of pipelines made or changed"
--! severity = "medium"
--! attack = ["T1199", "T1528"]
--! owasp = ["CICD-SEC-8", "CICD-SEC-6"]
--! mirrors = []
--! why = "With it pipelines sign in to code hosted elsewhere; another one leads to code of somebody else."
--! false_positives = "A new host of code."
--! next = "Who runs the application behind it."
--! actions = ["Pipelines.OAuthConfigurationCreated", "Pipelines.OAuthConfigurationUpdated"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = []
select
  concat('configuration ', json_member(data, 'ConfigName')) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' did ', action, ': ', json_member(data, 'ConfigName'), ' for ', json_member(data, 'SourceType')) as says
from actions
where action in ('Pipelines.OAuthConfigurationCreated', 'Pipelines.OAuthConfigurationUpdated')
  and occurred >= $from and occurred < $until
