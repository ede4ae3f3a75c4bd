--! title = "Agent deleted from a pool by a person"
--! severity = "low"
--! attack = ["T1578", "T1070"]
--! owasp = ["CICD-SEC-7"]
--! mirrors = ["community:Agent Deleted"]
--! why = "What a deleted agent was is known only to those who looked before. Its machine and what ran on it go with it."
--! false_positives = "Machines that are given up."
--! next = "What the agent ran last, and whether another came under its name."
--! actions = ["Library.AgentDeleted", "Library.AgentsDeleted"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = []
select
  concat('pool ', coalesce(json_member(data, 'AgentPoolId', 'PoolId'), json_member(data, 'AgentPoolName', 'PoolName')), ' agent ', coalesce(json_member(data, 'AgentId'), json_member(data, 'AgentName'), 'several')) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' deleted ', coalesce('the agent ' || json_member(data, 'AgentName'), 'several agents'), ' from the pool ', json_member(data, 'AgentPoolName', 'PoolName')) as says
from actions
where action in ('Library.AgentDeleted', 'Library.AgentsDeleted')
  and actor_kind in ('user', 'unknown')
  and occurred >= $from and occurred < $until
