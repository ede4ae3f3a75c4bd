--! title = "Subscription that pays for the organisation linked, changed or unlinked"
--! severity = "medium"
--! attack = ["T1496", "T1578"]
--! owasp = ["CICD-SEC-7"]
--! mirrors = ["community:Billing Subscription Linked", "community:Billing Subscription Unlinked"]
--! why = "Without its subscription the organisation loses users and parallel jobs; with one of somebody else it is theirs to end."
--! false_positives = "Contracts that change."
--! next = "Who owns the subscription."
--! actions = ["Billing.SubscriptionLink", "Billing.SubscriptionUnlink", "Billing.SubscriptionUpdate"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = []
select
  'billing' as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' changed the subscription from ', coalesce(json_member(data, 'PreviousSubscriptionGuid'), 'none'), ' to ', coalesce(json_member(data, 'NewSubscriptionGuid'), 'none')) as says
from actions
where action in ('Billing.SubscriptionLink', 'Billing.SubscriptionUnlink', 'Billing.SubscriptionUpdate')
  and occurred >= $from and occurred < $until
