--! title = "Jobs taken, busy minutes and waiting per agent and day"
--! reads = ["busy"]
--! params = [
--!   { name = "since", type = "timestamp", doc = "From here on", default = "2000-01-01T00:00:00Z" },
--!   { name = "until", type = "timestamp", doc = "Up to here, exclusive", default = "2100-01-01T00:00:00Z" },
--! ]
--! returns = ["day", "organization", "pool_id", "agent_name", "jobs", "pipelines", "busy_minutes", "mean_wait_seconds"]
--! tags = ["resources"]
with asked as (
  select *, greatest("from", $since) as since, least(until, $until) as ends from busy
  where agent_name is not null and until >= $since and "from" < $until
), days as (
  select *, unnest(generate_series(date_trunc('day', since), ends, interval '1 day')) as day from asked
), parts as (
  -- Of each day that a job ran on, what it took of it; it was taken, and had waited, on its first.
  select *, least(ends, day + interval '1 day') as part_end, greatest(since, day) as part_start,
    date_trunc('day', "from") = day and "from" >= $since as is_first
  from days where day < ends or day = date_trunc('day', "from")
)
select day, organization, pool_id, agent_name, sum(case when is_first then 1 else 0 end) as jobs, count(distinct pipeline_id) as pipelines,
  round(sum(cast(extract(epoch from (part_end - part_start)) as double)) / 60, 1) as busy_minutes,
  round(avg(case when is_first then cast(extract(epoch from ("from" - queued)) as double) end), 1) as mean_wait_seconds
from parts
group by day, organization, pool_id, agent_name
order by day, busy_minutes desc
