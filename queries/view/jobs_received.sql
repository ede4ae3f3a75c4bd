--! title = "The jobs, as in `jobs`, that agents took in a span of time; what is not of it is not read"
--! reads = ["jobs"]
--! narrows = "jobs_found"
--! params = [
--!   { name = "from", type = "timestamp", doc = "Taken from here on" },
--!   { name = "until", type = "timestamp", doc = "Up to here, exclusive" },
--! ]
with some_found as (
  select * from lake.jobs where received >= $from and received < $until
), some_others as (
  select * from lake.jobs where request_id is null or received is null or received < $from or received >= $until
)
select * from jobs_found where received >= $from and received < $until
