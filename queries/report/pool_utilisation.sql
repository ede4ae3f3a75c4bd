--! title = "Jobs taken, agents at work and busy minutes per organisation, pool and hour"
--! reads = ["busy", "pools"]
--! params = [
--!   { name = "since", type = "timestamp", doc = "From here on", default = "2000-01-01T00:00:00Z" },
--!   { name = "until", type = "timestamp", doc = "Up to here, exclusive", default = "2100-01-01T00:00:00Z" },
--! ]
--! returns = ["organization", "pool_id", "pool_name", "hour", "jobs", "agents", "busy_minutes", "mean_wait_seconds"]
--! tags = ["resources"]
with asked as (
  select *, greatest("from", $since) as since, least(until, $until) as ends from busy
  where request_id is not null and until >= $since and "from" < $until
), hours as (
  select *, unnest(generate_series(date_trunc('hour', since), ends, interval '1 hour')) as hour from asked
), parts as (
  -- Of each hour that a job ran in, what it took of it; it was taken, and had waited, in its first.
  select *, least(ends, hour + interval '1 hour') as part_end, greatest(since, hour) as part_start,
    date_trunc('hour', "from") = hour and "from" >= $since as is_first
  from hours where hour < ends or hour = date_trunc('hour', "from")
), names as (
  select coalesce(organization, organization_id) as organization, pool_id, max(name) as name from pools where queue_id is null group by 1, 2
)
select j.organization, j.pool_id, max(p.name) as pool_name, j.hour, sum(case when is_first then 1 else 0 end) as jobs,
  count(distinct j.agent_id) as agents,
  round(sum(cast(extract(epoch from (part_end - part_start)) as double)) / 60, 1) as busy_minutes,
  round(avg(case when is_first then cast(extract(epoch from ("from" - queued)) as double) end), 1) as mean_wait_seconds
from parts j
left join names p on p.organization = j.organization and p.pool_id = j.pool_id
group by j.organization, j.pool_id, j.hour
order by hour, j.organization, j.pool_id
