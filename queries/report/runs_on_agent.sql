--! title = "Runs and jobs that ran on an agent"
--! reads = ["jobs_of_agent"]
--! params = [
--!   { name = "agent", type = "text", doc = "Agent name" },
--!   { name = "since", type = "timestamp", doc = "From here on", default = "2000-01-01T00:00:00Z" },
--!   { name = "until", type = "timestamp", doc = "Up to here, exclusive", default = "2100-01-01T00:00:00Z" },
--! ]
--! returns = ["received", "finished", "organization", "pool_name", "request_id", "name", "stage", "attempt", "run_id", "run_name", "pipeline_name", "result"]
--! tags = ["resources"]
select received, finished, organization, pool_name, request_id, name, stage, attempt, run_id, run_name, pipeline_name, result
from jobs_of_agent($agent, $since, $until)
where agent_name = $agent and coalesce(received, assigned) >= $since and coalesce(received, assigned) < $until
order by received
