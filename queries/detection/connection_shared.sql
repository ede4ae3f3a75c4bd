--! title = "Service connection shared with other projects"
--! severity = "medium"
--! attack = ["T1098"]
--! owasp = ["CICD-SEC-5"]
--! mirrors = []
--! why = "The rights behind the connection are then those of another project's pipelines, and of its members."
--! false_positives = "Connections meant for all."
--! next = "Who may make pipelines in that project."
--! actions = ["Library.ServiceConnectionShared", "Library.ServiceConnectionSharedWithMultipleProjects"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = []
select
  concat('connection ', lower(coalesce(json_member(data, 'ConnectionId'), json_member(data, 'ConnectionName')))) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' shared the service connection ', json_member(data, 'ConnectionName'), ' (', lower(coalesce(json_member(data, 'ConnectionId'), json_member(data, 'ConnectionName'))), ') with ', coalesce('the project ' || json_member(data, 'ProjectId'), 'several projects')) as says
from actions
where action in ('Library.ServiceConnectionShared', 'Library.ServiceConnectionSharedWithMultipleProjects')
  and occurred >= $from and occurred < $until
