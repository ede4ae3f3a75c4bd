--! title = "Agent replaced in place: another key under the same id and name"
--! severity = "high"
--! attack = ["T1036", "T1195.002"]
--! owasp = ["CICD-SEC-7", "CICD-SEC-9"]
--! mirrors = []
--! why = "An agent that is registered with --replace keeps its id and name on another machine, and no audit record tells of it. It then gets the jobs, secrets and tokens of the one it replaced."
--! false_positives = "A machine that was set up anew under its old name."
--! next = "The machine and address behind the new key, the jobs it took since, and who may administer the pool."
--! actions = []
--! tables = ["agents"]
--! window_hours = 0
--! suppress_hours = 1
--! reads = ["agents"]
--! params = []
select
  concat('agent ', agent_id) as subject,
  "from" as occurred, organization_id, organization, cast(null as varchar) as project_id, cast(null as varchar) as event_id, array_remove(make_array(''), '') as events,
  agent_id, name as agent_name, cast(null as varchar) as severity,
  concat('the agent ', name, ' (', agent_id, ') of pool ', pool_id, ' has another key, ', substr(key_fingerprint, 1, 16), ', on the machine ', machine) as says
from agents
where event = 'replaced' and "from" >= $from and "from" < $until
