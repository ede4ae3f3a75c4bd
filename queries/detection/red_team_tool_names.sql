--! title = "Names that a tool of attackers gives by default"
--! severity = "critical"
--! attack = ["T1552", "T1528"]
--! owasp = ["CICD-SEC-4", "CICD-SEC-6"]
--! mirrors = ["community:CA-TOKEN-015/2"]
--! why = "Nord-stream makes repositories, pipelines and branches with the same names unless it is told others."
--! false_positives = "A red team at work."
--! next = "Everything by the same actor, and the secrets that the pipelines could use."
--! actions = ["Git.*", "Pipelines.*", "Library.*", "Token.*"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 1
--! reads = ["actions"]
--! params = [
--!   { name = "names", type = "text", doc = "What such names contain, as regular expressions, separated by commas", default = "build_pipeline_58675, testdev_ea5eu, dev_remote_ea5eu, adokit-" },
--! ]
select
  concat('user ', coalesce(actor_client_id, actor_id)) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' did ', action, ' on ', data, ' from ', ip) as says
from actions
where regexp_like(action, '^(Git|Pipelines|Library|Token)[.]')
  and regexp_like(data, regexp_replace(trim($names), '\s*,\s*', '|', 'g'), 'i')
  and occurred >= $from and occurred < $until
