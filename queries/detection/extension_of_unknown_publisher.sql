--! title = "Extension of a publisher that is not allowed"
--! severity = "low"
--! attack = ["T1505"]
--! owasp = ["CICD-SEC-8", "CICD-SEC-3"]
--! mirrors = ["sentinel:bf07ca9c-e408-443a-8939-6860a45a929e", "community:Extension Installed"]
--! why = "An extension acts with the rights it asked for at its installation, in every project, and its publisher may change it at any time."
--! false_positives = "All of them until the publishers you trust are named in `publishers`."
--! next = "The scopes the extension asked for, who approved it, and whether its tasks are used by pipelines."
--! actions = ["Extension.Installed"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = [
--!   { name = "publishers", type = "text", doc = "Publishers whose extensions may be installed, separated by commas", default = "" },
--! ]
select
  concat('extension ', json_member(data, 'PublisherName'), '.', json_member(data, 'ExtensionName')) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' installed the extension ', json_member(data, 'ExtensionName'), ' of ', json_member(data, 'PublisherName'), ', version ', json_member(data, 'Version')) as says
from actions
where action = 'Extension.Installed'
  and not array_has(string_to_array(lower(replace($publishers, ' ', '')), ','), lower(replace(coalesce(json_member(data, 'PublisherName'), ''), ' ', '')))
  and occurred >= $from and occurred < $until
