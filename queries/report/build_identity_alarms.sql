--! title = "A build identity was used while no job of its scope ran"
--! reads = ["actions"]
--! params = [
--!   { name = "since", type = "timestamp", doc = "From here on", default = "2000-01-01T00:00:00Z" },
--!   { name = "until", type = "timestamp", doc = "Up to here, exclusive", default = "2100-01-01T00:00:00Z" },
--! ]
--! returns = ["occurred", "organization", "action", "project", "actor_name", "ip", "user_agent", "executor", "grade", "provisional", "event_id"]
--! tags = ["security"]
select occurred, coalesce(organization, organization_id) as organization, action, project, actor_name, ip, user_agent, executor, grade, provisional, event_id
from actions
where actor_kind in ('project_build_service', 'collection_build_service') and executor in ('client', 'unknown')
  and occurred >= $since and occurred < $until
order by occurred
