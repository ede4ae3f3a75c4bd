--! title = "The spans in which each pool was heard without a gap, and the blind time before each"
--! reads = ["coverage"]
--! returns = ["organization", "source", "pool_id", "heard_from", "heard_until", "gap_before"]
--! tags = ["health"]
with spans as (
  select coalesce(organization, organization_id) as organization, source, pool_id, "from", until,
    max(until) over (
      partition by coalesce(organization, organization_id), source, pool_id
      order by "from", until rows between unbounded preceding and 1 preceding
    ) as before
  from coverage
), parts as (
  select *, sum(case when before is null or "from" > before then 1 else 0 end)
    over (partition by organization, source, pool_id order by "from", until) as part
  from spans
), heard as (
  select organization, source, pool_id, min("from") as heard_from, max(until) as heard_until
  from parts group by organization, source, pool_id, part
)
select organization, source, pool_id, heard_from, heard_until,
  heard_from - lag(heard_until) over (partition by organization, source, pool_id order by heard_from) as gap_before
from heard
order by organization, source, pool_id, heard_from
