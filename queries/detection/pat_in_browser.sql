--! title = "Personal access token used with the user agent of a browser"
--! severity = "medium"
--! attack = ["T1528"]
--! owasp = ["CICD-SEC-6"]
--! mirrors = ["sentinel:5f0d80db-3415-4265-9d52-8466b7372e3a", "sumo:MATCH-S00997"]
--! why = "Browsers sign in with cookies. A token that comes with the user agent of a browser is used by a tool that hides, as nord-stream does by default."
--! false_positives = "Browser plug-ins and spreadsheets that call the API with a token."
--! next = "The token by its authorization id: who owns it, what registered agents it made, what else it did and from where."
--! actions = ["*"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 24
--! reads = ["actions"]
--! params = []
select
  coalesce('token ' || authorization_id, concat('user ', coalesce(actor_client_id, actor_id))) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' called ', action, ' with a token and the browser ', user_agent, ' from ', ip) as says
from actions
where auth_mechanism like 'PAT%'
  and regexp_like(user_agent, 'gecko|webkit|presto/|trident|edgehtml|blink', 'i')
  and occurred >= $from and occurred < $until
