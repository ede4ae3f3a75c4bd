--! title = "When each job kept its agent busy, as in `busy`, of a pool in a span of time; what is not of it is not read"
--! reads = ["jobs_of_pool", "coverage"]
--! narrows = "busy"
--! params = [
--!   { name = "pool", type = "bigint", doc = "Pool" },
--!   { name = "from", type = "timestamp", doc = "Of the jobs from here on, see `jobs_of_pool`" },
--!   { name = "until", type = "timestamp", doc = "Up to here, exclusive" },
--! ]
with jobs as (select * from jobs_of_pool($pool, $from, $until))
select * from busy
