--! title = "Service hook made or changed"
--! severity = "low"
--! attack = ["T1567", "T1119"]
--! owasp = ["CICD-SEC-8"]
--! mirrors = []
--! why = "A hook sends code, builds and work items to an address of its maker's choice, again and again."
--! false_positives = "New tools."
--! next = "Where it sends to."
--! actions = ["ServiceHooks.SubscriptionCreated", "ServiceHooks.SubscriptionModified"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = []
select
  concat('subscription ', coalesce(json_member(data, 'SubscriptionId', 'Id'), 'of unknown id')) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' did ', action, ' to ', json_member(data, 'ConsumerId', 'consumerId', 'Url')) as says
from actions
where action in ('ServiceHooks.SubscriptionCreated', 'ServiceHooks.SubscriptionModified')
  and occurred >= $from and occurred < $until
