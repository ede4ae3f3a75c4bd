--! title = "Resource opened to all pipelines of a project"
--! severity = "medium"
--! attack = ["T1098", "T1552"]
--! owasp = ["CICD-SEC-5", "CICD-SEC-1"]
--! mirrors = []
--! why = "A connection, secure file, variable group or pool that every pipeline may use is open to whoever can make one."
--! false_positives = "Resources without rights."
--! next = "Which resource it is, as whom it signs in, and who uses it since."
--! actions = ["Pipelines.ResourceAuthorizedForProject"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = []
select
  concat(lower(json_member(data, 'ResourceType')), ' ', lower(json_member(data, 'ResourceId'))) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' let all pipelines of ', project, ' use the ', json_member(data, 'ResourceType'), ' ', json_member(data, 'ResourceId')) as says
from actions
where action = 'Pipelines.ResourceAuthorizedForProject'
  and occurred >= $from and occurred < $until
