--! title = "Owner of the organisation changed, or its directory"
--! severity = "critical"
--! attack = ["T1098", "T1531"]
--! owasp = ["CICD-SEC-2", "CICD-SEC-7"]
--! mirrors = []
--! why = "The owner can do everything, and without its directory the organisation follows none of the rules for accounts."
--! false_positives = "Somebody leaves the company."
--! next = "Whether it was asked for; the owner before can be told by the record."
--! actions = ["Organization.Update.Owner", "Organization.Update.ForceUpdateOwner", "Organization.UnlinkFromAAD", "Organization.LinkToAAD", "Organization.Update.Delete"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = []
select
  'organization' as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' did ', action, coalesce(' from ' || json_member(data, 'OldOwnerName'), ''), coalesce(' to ' || json_member(data, 'NewOwnerName', 'AADTenant'), '')) as says
from actions
where action in ('Organization.Update.Owner', 'Organization.Update.ForceUpdateOwner', 'Organization.UnlinkFromAAD', 'Organization.LinkToAAD', 'Organization.Update.Delete')
  and occurred >= $from and occurred < $until
