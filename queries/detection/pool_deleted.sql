--! title = "Agent pool deleted"
--! severity = "low"
--! attack = ["T1578", "T1485"]
--! owasp = ["CICD-SEC-7"]
--! mirrors = ["community:Agent Pool Deleted"]
--! why = "What ran in a deleted pool, and on which agents, is seen only in what was collected before."
--! false_positives = "Machines that are given up."
--! next = "Which pipelines ran there last."
--! actions = ["Library.AgentPoolDeleted"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = []
select
  concat('pool ', coalesce(json_member(data, 'AgentPoolId', 'PoolId'), json_member(data, 'AgentPoolName', 'PoolName'))) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' deleted the pool ', json_member(data, 'AgentPoolName', 'PoolName'), ' (', coalesce(json_member(data, 'AgentPoolId', 'PoolId'), json_member(data, 'AgentPoolName', 'PoolName')), ')') as says
from actions
where action = 'Library.AgentPoolDeleted'
  and occurred >= $from and occurred < $until
