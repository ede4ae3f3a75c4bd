--! title = "Check of a protected resource deleted or disabled"
--! severity = "medium"
--! attack = ["T1578", "T1562"]
--! owasp = ["CICD-SEC-1"]
--! mirrors = ["sentinel-hunting:940386c3-4b2c-4147-ac8e-dcddedaaae52"]
--! why = "Checks and approvals stand between a pipeline and an environment, a connection or a pool. Without them every pipeline that may use the resource does."
--! false_positives = "A check that is replaced by another."
--! next = "Runs that used the resource since, and whether the check came back after them."
--! actions = ["CheckConfiguration.Deleted", "CheckConfiguration.Disabled"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = []
select
  concat(coalesce(json_member(data, 'ResourceType'), 'resource'), ' ', coalesce(json_member(data, 'ResourceId'), json_member(data, 'ResourceName'))) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' ', lower(split_part(action, '.', 2)), ' the check ', json_member(data, 'Type'), ' of the ', json_member(data, 'ResourceType'), ' ', json_member(data, 'ResourceName')) as says
from actions
where action in ('CheckConfiguration.Deleted', 'CheckConfiguration.Disabled')
  and occurred >= $from and occurred < $until
