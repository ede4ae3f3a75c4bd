--! title = "Agents whose key or machine changed under the same id and name"
--! reads = ["agents"]
--! returns = ["organization", "pool_id", "agent_id", "name", "keys", "machines", "first_seen", "last_change"]
--! tags = ["security"]
select coalesce(organization, organization_id) as organization, pool_id, agent_id, name, count(distinct key_fingerprint) as keys, count(distinct machine) as machines,
  min(observed) as first_seen, max(observed) as last_change
from agents
group by coalesce(organization, organization_id), pool_id, agent_id, name
having count(distinct key_fingerprint) > 1 or count(distinct machine) > 1
order by last_change desc
