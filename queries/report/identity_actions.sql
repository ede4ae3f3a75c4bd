--! title = "Who acted as this identity, and from which agent"
--! reads = ["actions"]
--! params = [
--!   { name = "identity", type = "text", doc = "User id, client id, authorization id, display name or mail" },
--!   { name = "since", type = "timestamp", doc = "From here on", default = "2000-01-01T00:00:00Z" },
--!   { name = "until", type = "timestamp", doc = "Up to here, exclusive", default = "2100-01-01T00:00:00Z" },
--! ]
--! returns = ["occurred", "organization", "action", "executor", "grade", "agent_name", "pool_name", "machine", "run_id", "details", "event_id"]
--! tags = ["trace", "identity"]
select occurred, organization, action, executor, grade, agent_name, pool_name, machine, run_id, details, event_id
from actions
where (actor_id = $identity or actor_client_id = $identity or actor_name = $identity or actor_upn = $identity
    or authorization_id = $identity or author_id = $identity)
  and occurred >= $since and occurred < $until
order by occurred
