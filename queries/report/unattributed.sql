--! title = "Actions whose executor is not known, and what is missing"
--! reads = ["actions"]
--! params = [
--!   { name = "since", type = "timestamp", doc = "From here on", default = "2000-01-01T00:00:00Z" },
--!   { name = "until", type = "timestamp", doc = "Up to here, exclusive", default = "2100-01-01T00:00:00Z" },
--! ]
--! returns = ["occurred", "organization", "action", "project", "actor_name", "auth_mechanism", "grade", "provisional", "missing", "event_id"]
--! tags = ["trace"]
select occurred, coalesce(organization, organization_id) as organization, action, project, actor_name, auth_mechanism, grade, provisional, array_to_string(missing, '; ') as missing, event_id
from actions
where executor = 'unknown' and occurred >= $since and occurred < $until
order by occurred
