--! title = "Agent registered by a person"
--! severity = "low"
--! attack = ["T1072", "T1053"]
--! owasp = ["CICD-SEC-7"]
--! mirrors = ["community:Agent Added"]
--! why = "An agent gets the code, secrets and tokens of every job it takes."
--! false_positives = "Machines that are added."
--! next = "Its machine, and the first jobs it took."
--! actions = ["Library.AgentAdded"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = []
select
  concat('pool ', coalesce(json_member(data, 'AgentPoolId', 'PoolId'), json_member(data, 'AgentPoolName', 'PoolName')), ' agent ', coalesce(json_member(data, 'AgentId'), json_member(data, 'AgentName'))) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' registered the agent ', json_member(data, 'AgentName'), ' in the pool ', json_member(data, 'AgentPoolName', 'PoolName'), ' from ', ip) as says
from actions
where action = 'Library.AgentAdded'
  and actor_kind in ('user', 'unknown')
  and occurred >= $from and occurred < $until
