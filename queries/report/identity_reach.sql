--! title = "What each actor did where: actions, projects and agents"
--! reads = ["actions"]
--! params = [
--!   { name = "since", type = "timestamp", doc = "From here on", default = "2000-01-01T00:00:00Z" },
--!   { name = "until", type = "timestamp", doc = "Up to here, exclusive", default = "2100-01-01T00:00:00Z" },
--! ]
--! returns = ["actor_kind", "actor_name", "identity", "actions", "kinds", "projects", "agents", "first", "last"]
--! tags = ["identity", "security"]
select actor_kind, actor_name, coalesce(actor_client_id, actor_id) as identity, count(*) as actions,
  count(distinct action) as kinds, count(distinct project_id) as projects, count(distinct agent_id) as agents,
  min(occurred) as first, max(occurred) as last
from actions
where occurred >= $since and occurred < $until
group by actor_kind, actor_name, coalesce(actor_client_id, actor_id)
order by actions desc
