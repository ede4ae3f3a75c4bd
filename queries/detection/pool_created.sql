--! title = "Agent pool created"
--! severity = "low"
--! attack = ["T1578"]
--! owasp = ["CICD-SEC-7"]
--! mirrors = ["sentinel-hunting:76f626e0-4c78-47d4-aeb6-eaa59f4f2ecb", "community:Agent Pool Created"]
--! why = "A pool is a place where jobs run on machines that somebody brings. Most organisations seldom need a new one."
--! false_positives = "Teams that get their own machines."
--! next = "Who may administer the pool, which agents are registered in it, and which pipelines are sent there."
--! actions = ["Library.AgentPoolCreated"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = []
select
  concat('pool ', coalesce(json_member(data, 'AgentPoolId', 'PoolId'), json_member(data, 'AgentPoolName', 'PoolName'))) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' created the pool ', json_member(data, 'AgentPoolName', 'PoolName'), ' (', coalesce(json_member(data, 'AgentPoolId', 'PoolId'), json_member(data, 'AgentPoolName', 'PoolName')), ')', ', signed in by ', auth_mechanism) as says
from actions
where action = 'Library.AgentPoolCreated'
  and occurred >= $from and occurred < $until
