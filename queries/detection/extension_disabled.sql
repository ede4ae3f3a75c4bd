--! title = "Extension disabled or uninstalled"
--! severity = "low"
--! attack = ["T1562"]
--! owasp = ["CICD-SEC-8"]
--! mirrors = ["community:Extension Disabled"]
--! why = "Some extensions scan code, guard secrets or gate releases; without them pipelines run on unchecked."
--! false_positives = "Extensions nobody needs."
--! next = "What it did in pipelines, and what ran since."
--! actions = ["Extension.Disabled", "Extension.Uninstalled"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = []
select
  concat('extension ', json_member(data, 'PublisherName'), '.', json_member(data, 'ExtensionName')) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' took away the extension ', json_member(data, 'ExtensionName'), ' of ', json_member(data, 'PublisherName')) as says
from actions
where action in ('Extension.Disabled', 'Extension.Uninstalled')
  and occurred >= $from and occurred < $until
