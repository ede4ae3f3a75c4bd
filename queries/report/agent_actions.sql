--! title = "What did this agent do; agents of one name in several pools or organisations are told apart"
--! reads = ["actions_of_agent"]
--! params = [
--!   { name = "agent", type = "text", doc = "Agent name" },
--!   { name = "since", type = "timestamp", doc = "From here on", default = "2000-01-01T00:00:00Z" },
--!   { name = "until", type = "timestamp", doc = "Up to here, exclusive", default = "2100-01-01T00:00:00Z" },
--! ]
--! returns = ["occurred", "organization", "pool_name", "action", "details", "grade", "project", "run_id", "job_id", "request_id", "event_id"]
--! tags = ["trace"]
select occurred, organization, pool_name, action, details, grade, project, run_id, job_id, request_id, event_id
from actions_of_agent($agent, $since, $until)
where agent_name = $agent
order by occurred
