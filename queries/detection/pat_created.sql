--! title = "Personal access token created"
--! severity = "low"
--! attack = ["T1528", "T1098.001"]
--! owasp = ["CICD-SEC-6"]
--! mirrors = ["community:Personal Access Token Created"]
--! why = "A token works without its owner, from anywhere, and its use is recorded only beside what it does."
--! false_positives = "People who need one; ask them whether a managed identity would do."
--! next = "Its scopes and its end."
--! actions = ["Token.PatCreateEvent"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = []
select
  coalesce('token ' || lower(json_member(data, 'AuthorizationId')), concat('user ', coalesce(actor_client_id, actor_id))) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' created the token ', json_member(data, 'DisplayName'), ' with ', json_member(data, 'Scopes', 'Scope'), ' until ', json_member(data, 'ValidTo')) as says
from actions
where action = 'Token.PatCreateEvent'
  and occurred >= $from and occurred < $until
