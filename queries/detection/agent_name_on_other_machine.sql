--! title = "Agent of a known name on another machine or system"
--! severity = "high"
--! attack = ["T1036", "T1195.002"]
--! owasp = ["CICD-SEC-7"]
--! mirrors = []
--! why = "Pipelines and people know agents by their names. One that comes back under its name on another host may be somebody else's."
--! false_positives = "Machines that are replaced under the names they had."
--! next = "Who registered it, from which address, and the jobs it took."
--! actions = []
--! tables = ["agents"]
--! window_hours = 0
--! suppress_hours = 1
--! reads = ["agents"]
--! params = []
with versions as (
  select *, coalesce(organization, organization_id) as org, split_part(os, ' ', 1) as system from agents
), steps as (
  select *, lag(machine) over (partition by org, pool_id, name order by "from", agent_id) as machine_before, lag(agent_id) over (partition by org, pool_id, name order by "from", agent_id) as id_before,
    lag(system) over (partition by org, pool_id, name order by "from", agent_id) as system_before
  from versions
)
select
  concat('agent ', agent_id) as subject,
  "from" as occurred, organization_id, organization, cast(null as varchar) as project_id, cast(null as varchar) as event_id, array_remove(make_array(''), '') as events,
  agent_id, name as agent_name, cast(null as varchar) as severity,
  concat('the agent ', name, ' (', agent_id, ') of pool ', pool_id, ' is on the machine ', machine, ' (', system, '); as ', id_before, ' it was on ', machine_before, ' (', system_before, ')') as says
from steps
where (lower(machine) <> lower(machine_before) or system <> system_before) and "from" >= $from and "from" < $until
