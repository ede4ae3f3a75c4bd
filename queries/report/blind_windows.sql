--! title = "Until when each pool was heard, and the gaps before"
--! reads = ["coverage"]
--! returns = ["organization", "source", "pool_id", "heard_from", "heard_until", "gap_before"]
--! tags = ["health"]
select organization, source, pool_id, "from" as heard_from, until as heard_until,
  "from" - lag(until) over (partition by organization, source, pool_id order by "from") as gap_before
from coverage
order by organization, source, pool_id, "from"
