--! title = "Job given to an agent after its deletion"
--! severity = "high"
--! attack = ["T1036", "T1078"]
--! owasp = ["CICD-SEC-7", "CICD-SEC-10"]
--! mirrors = []
--! why = "An agent that was deleted takes no jobs. One that does was registered again unseen, or the record of its deletion is not true."
--! false_positives = "Clocks of services that differ by more than `minutes`."
--! next = "The key and machine of the agent, the run of the job, and who deleted the agent."
--! actions = ["Library.AgentDeleted", "Library.AgentsDeleted"]
--! tables = ["jobs"]
--! window_hours = 720
--! suppress_hours = 24
--! reads = ["jobs_received", "removals"]
--! params = [
--!   { name = "minutes", type = "bigint", doc = "Minutes after the deletion that are still well", default = "5" },
--! ]
select
  concat('agent ', j.agent_id) as subject,
  j.received as occurred, coalesce(j.organization_id, r.organization_id) as organization_id, coalesce(j.organization, r.organization) as organization, j.project_id, cast(null as varchar) as event_id, make_array(r.event_id) as events,
  j.agent_id, j.agent_name, cast(null as varchar) as severity,
  concat('the agent ', j.agent_name, ' (', j.agent_id, ') took the job ', j.name, ' of run ', j.run_name, ' (', j.run_id, ') at ', j.received, ' although ', r.actor_name, ' (', r.actor_id, ') had deleted it at ', r.occurred) as says
from jobs_received($from, $until) j
join removals r on coalesce(r.organization, r.organization_id) = coalesce(j.organization, j.organization_id) and r.agent_id = j.agent_id
  and j.received > r.occurred + cast(concat($minutes, ' minutes') as interval)
