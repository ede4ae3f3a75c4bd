--! title = "A tool of attackers named itself in the user agent"
--! severity = "high"
--! attack = ["T1119", "T1078", "T1098"]
--! owasp = ["CICD-SEC-2", "CICD-SEC-6"]
--! mirrors = ["sentinel:bc71cf84-c02c-4c0a-a64c-306d84f9ff89", "sumo:MATCH-S00998", "adokit:c6d17dba-47e3-44f7-bbad-893f9ba22877", "adokit:5f7c3400-2a2a-4e94-a66d-bed5b77d1720"]
--! why = "Tools such as ADOKit write their name into the user agent unless somebody took it out. With it, a token or key that was made stays when the session is gone."
--! false_positives = "A red team at work, and scripts that bear such a name."
--! next = "What else came from the address, with the credential and by the actor; revoke tokens and keys made in that time."
--! actions = ["*"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 1
--! reads = ["actions"]
--! params = [
--!   { name = "tools", type = "text", doc = "What user agents of tools contain, as regular expressions, separated by commas", default = "adokit, nord-?stream, pipeleak, raven-cicd" },
--!   { name = "allowed", type = "text", doc = "Principal names that may, separated by commas", default = "" },
--! ]
select
  concat('user ', coalesce(actor_client_id, actor_id)) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  case when action in ('Token.PatCreateEvent', 'Token.SshCreateEvent') then 'critical' end as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' called ', action, ' with the user agent ', user_agent, ' from ', ip) as says
from actions
where regexp_like(user_agent, regexp_replace(trim($tools), '\s*,\s*', '|', 'g'), 'i')
  and not array_has(string_to_array(lower(replace($allowed, ' ', '')), ','), lower(coalesce(actor_upn, '')))
  and occurred >= $from and occurred < $until
