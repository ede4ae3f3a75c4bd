--! title = "Jobs, busy minutes and waiting per agent and day"
--! reads = ["jobs"]
--! params = [
--!   { name = "since", type = "timestamp", doc = "From here on", default = "2000-01-01T00:00:00Z" },
--!   { name = "until", type = "timestamp", doc = "Up to here, exclusive", default = "2100-01-01T00:00:00Z" },
--! ]
--! returns = ["day", "organization", "pool_id", "agent_name", "jobs", "pipelines", "busy_minutes", "mean_wait_seconds"]
--! tags = ["resources"]
select date_trunc('day', received) as day, organization, pool_id, agent_name, count(*) as jobs,
  count(distinct pipeline_id) as pipelines,
  round(sum(cast(extract(epoch from (finished - received)) as double)) / 60, 1) as busy_minutes,
  round(avg(cast(extract(epoch from (received - queued)) as double)), 1) as mean_wait_seconds
from jobs
where agent_name is not null and received >= $since and received < $until
group by date_trunc('day', received), organization, pool_id, agent_name
order by day, busy_minutes desc
