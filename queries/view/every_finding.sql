--! title = "What detections found, each finding in its newest state, those that others suppress as well; and in which of its states it was told first"
--! reads = ["findings", "revisions"]
with newest as (
  select *, min(known) over (partition by coalesce(finding, key)) as found,
    row_number() over (partition by coalesce(finding, key) order by coalesce(revision, 0) desc, known desc) as nth,
    min(case when coalesce(status, 'open') <> 'suppressed' then coalesce(revision, 0) end) over (partition by coalesce(finding, key)) as first_told
  from lake.findings
),
verdicts as (
  select event_id, executor, grade, pool_id, pool_name, machine, job_id, run_id, run_kind, revision,
    row_number() over (partition by event_id order by revision desc) as nth
  from lake.revisions
  where event_id in (select event_id from lake.findings)
)
select
  coalesce(f.finding, f."key") as "key",
  f."detection",
  f."severity",
  f."title",
  f."occurred",
  f."organization_id",
  f."organization",
  f."project_id",
  f."event_id",
  f."agent_id",
  f."agent_name",
  f."says",
  f."record_hash",
  coalesce(f."status", 'open') as "status",
  coalesce(f."revision", 0) as "revision",
  f."subject",
  f."events",
  f."attack",
  f."owasp",
  case when v.event_id is null then f."executor" else v."executor" end as "executor",
  case when v.event_id is null then f."grade" else v."grade" end as "grade",
  case when v.event_id is null then f."pool_id" else v."pool_id" end as "pool_id",
  case when v.event_id is null then f."pool_name" else v."pool_name" end as "pool_name",
  case when v.event_id is null then f."machine" else v."machine" end as "machine",
  case when v.event_id is null then f."job_id" else v."job_id" end as "job_id",
  case when v.event_id is null then f."run_id" else v."run_id" end as "run_id",
  case when v.event_id is null then f."run_kind" else v."run_kind" end as "run_kind",
  f."evidence",
  coalesce(f."event_id", f."agent_name") as "trace",
  f."found",
  f."known",
  f."writer",
  f."seq",
  f."first_told"
from newest f
left join verdicts v on v.event_id = f.event_id and v.nth = 1
where f.nth = 1
