--! title = "Service connection created"
--! severity = "low"
--! attack = ["T1098.001"]
--! owasp = ["CICD-SEC-5", "CICD-SEC-6"]
--! mirrors = ["community:Service Connection Created"]
--! why = "A connection holds the rights of another system for every pipeline that may use it."
--! false_positives = "New systems to deploy to."
--! next = "As whom it signs in, and which pipelines may use it."
--! actions = ["Library.ServiceConnectionCreated", "Library.ServiceConnectionCreatedForMultipleProjects"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = []
select
  concat('connection ', lower(coalesce(json_member(data, 'ConnectionId'), json_member(data, 'ConnectionName')))) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' created the service connection ', json_member(data, 'ConnectionName'), ' of type ', json_member(data, 'ConnectionType')) as says
from actions
where action in ('Library.ServiceConnectionCreated', 'Library.ServiceConnectionCreatedForMultipleProjects')
  and occurred >= $from and occurred < $until
