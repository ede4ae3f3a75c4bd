--! title = "The actions as they were believed at a moment"
--! reads = ["events", "revisions"]
--! narrows = "actions"
--! params = [
--!   { name = "time", type = "timestamp", doc = "The moment of belief" },
--! ]
with some_events as (
  select * from lake.events where known <= $time
), some_revisions as (
  select * from lake.revisions where known <= $time
)
select * from actions
