--! title = "All versions of agents, each with the span in which it held"
--! reads = ["agents"]
select "key", "organization_id", "organization", "agent_id", "name", "pool_id", "pool_name", "version", "os", "enabled", "status", "provisioning_state", "created", "status_changed", "max_parallelism", "client_id", "key_fingerprint", "machine", "deployment_group_id", "capabilities", "event", "observed", "record_hash", "known", "writer", "seq",
  observed as "from",
  lead(observed) over (partition by coalesce(organization, organization_id), pool_id, agent_id order by observed) as until
from lake.agents
