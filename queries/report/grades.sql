--! title = "How sure the verdicts are, by day"
--! reads = ["actions"]
--! params = [
--!   { name = "since", type = "timestamp", doc = "From here on", default = "2000-01-01T00:00:00Z" },
--!   { name = "until", type = "timestamp", doc = "Up to here, exclusive", default = "2100-01-01T00:00:00Z" },
--! ]
--! returns = ["day", "organization", "executor", "grade", "actions", "provisional"]
--! tags = ["trace"]
select date_trunc('day', occurred) as day, coalesce(organization, organization_id) as organization, executor, grade, count(*) as actions,
  sum(case when provisional then 1 else 0 end) as provisional
from actions
where occurred >= $since and occurred < $until
group by date_trunc('day', occurred), coalesce(organization, organization_id), executor, grade
order by day, organization, actions desc
