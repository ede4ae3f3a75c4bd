--! title = "Permissions changed"
--! severity = "low"
--! attack = ["T1098", "T1222"]
--! owasp = ["CICD-SEC-2", "CICD-SEC-5"]
--! mirrors = ["community:Modify Access Control Lists"]
--! why = "Permissions decide who changes code, pipelines and connections."
--! false_positives = "Everyday administration; it tells of each person once a day."
--! next = "Which namespace and token, and who got what; the view `grants` has both."
--! actions = ["Security.ModifyAccessControlLists", "Security.ModifyPermission"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 24
--! reads = ["actions"]
--! params = []
select
  concat('user ', coalesce(actor_client_id, actor_id)) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' changed permissions in ', json_member(data, 'NamespaceName'), ': ', json_member(data, 'ChangedPermission', 'EventSummary.0.PermissionNames'), ' to ', json_member(data, 'PermissionModifiedTo', 'EventSummary.0.Change'), ' for ', json_member(data, 'SubjectDescriptor', 'EventSummary.0.SubjectDescriptor')) as says
from actions
where action in ('Security.ModifyAccessControlLists', 'Security.ModifyPermission')
  and actor_kind <> 'service'
  and occurred >= $from and occurred < $until
