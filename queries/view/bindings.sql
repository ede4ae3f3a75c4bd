--! title = "Agents and machines bound to identities, by role"
--! reads = ["bindings"]
select "key", "organization_id", "organization", "agent_id", "agent_name", "pool_id", "pool_name", "machine", "identity_id", "identity_kind", "identity_name", "role", "from", "until", "observed", "record_hash", "known", "writer", "seq"
from lake.bindings
