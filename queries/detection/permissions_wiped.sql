--! title = "Permissions removed or reset for all"
--! severity = "high"
--! attack = ["T1098", "T1531"]
--! owasp = ["CICD-SEC-2"]
--! mirrors = []
--! why = "Whoever takes away all permissions of a place or a person locks others out, or lets inherited rights through."
--! false_positives = "Somebody leaves; projects are deleted."
--! next = "Which place or person it was about, and who can do what there now."
--! actions = ["Security.RemoveAllAccessControlLists", "Security.RemoveIdentityACEs", "Security.ResetAccessControlLists", "Security.RemoveAccessControlLists"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = []
select
  concat('user ', coalesce(actor_client_id, actor_id)) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' did ', action, coalesce(' in ' || json_member(data, 'NamespaceName'), '')) as says
from actions
where action in ('Security.RemoveAllAccessControlLists', 'Security.RemoveIdentityACEs', 'Security.ResetAccessControlLists', 'Security.RemoveAccessControlLists')
  and actor_kind <> 'service'
  and occurred >= $from and occurred < $until
