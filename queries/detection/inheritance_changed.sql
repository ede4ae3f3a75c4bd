--! title = "Inheritance of permissions changed"
--! severity = "low"
--! attack = ["T1222"]
--! owasp = ["CICD-SEC-2"]
--! mirrors = []
--! why = "With inheritance off, what administrators deny above no longer holds below."
--! false_positives = "Everyday administration."
--! next = "What holds at that place now."
--! actions = ["Security.ChangeInheritance"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = []
select
  concat('user ', coalesce(actor_client_id, actor_id)) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' changed the inheritance in ', json_member(data, 'NamespaceName'), ' at ', json_member(data, 'Token')) as says
from actions
where action = 'Security.ChangeInheritance'
  and occurred >= $from and occurred < $until
