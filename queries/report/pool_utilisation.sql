--! title = "Jobs and busy minutes per pool and hour"
--! reads = ["jobs", "pools"]
--! params = [
--!   { name = "since", type = "timestamp", doc = "From here on", default = "2000-01-01T00:00:00Z" },
--!   { name = "until", type = "timestamp", doc = "Up to here, exclusive", default = "2100-01-01T00:00:00Z" },
--! ]
--! returns = ["pool_id", "pool_name", "hour", "jobs", "agents", "busy_minutes", "mean_wait_seconds"]
--! tags = ["resources"]
select j.pool_id, max(p.name) as pool_name, date_trunc('hour', j.received) as hour, count(*) as jobs,
  count(distinct j.agent_id) as agents,
  round(sum(cast(extract(epoch from (j.finished - j.received)) as double)) / 60, 1) as busy_minutes,
  round(avg(cast(extract(epoch from (j.received - j.queued)) as double)), 1) as mean_wait_seconds
from jobs j
left join (select pool_id, max(name) as name from pools where queue_id is null group by pool_id) p on p.pool_id = j.pool_id
where j.request_id is not null and j.received >= $since and j.received < $until
group by j.pool_id, date_trunc('hour', j.received)
order by hour, j.pool_id
