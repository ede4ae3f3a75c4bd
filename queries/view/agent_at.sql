--! title = "Who an agent was at a moment"
--! reads = ["agents"]
--! params = [
--!   { name = "organization", type = "text", doc = "Name or id of the organisation" },
--!   { name = "agent", type = "text", doc = "Agent name or id" },
--!   { name = "time", type = "timestamp", doc = "The moment" },
--! ]
select *
from agents
where (organization = $organization or organization_id = $organization)
  and (name = $agent or cast(agent_id as varchar) = $agent)
  and "from" <= $time and (until is null or until > $time)
