--! title = "The actions that are found, by `event_id` and `date`: the day on which the event occurred, as its verdicts are of too"
--! reads = ["actions"]
--! narrows = "actions"
--! part = true
-- What narrows it gives `some_found`. The side of a join that is taken for the smaller is held in memory: with
-- `having` it is the ids.
with ids as (
  select event_id, date from lake.found group by 1, 2 having max(event_id) is not null
), some_events as (
  select e.* from ids i join lake.events e on e.event_id = i.event_id and e.date = i.date
), some_revisions as (
  select r.* from ids i join lake.revisions r on r.event_id = i.event_id and r.date = i.date
)
select * from actions
