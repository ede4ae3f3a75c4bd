--! title = "The actions as they were believed at a moment"
--! reads = ["events", "revisions"]
--! params = [
--!   { name = "time", type = "timestamp", doc = "The moment of belief" },
--! ]
select
  e."event_id",
  e."occurred",
  e."observed",
  e."organization_id",
  e."organization",
  e."project_id",
  e."project",
  e."action",
  e."area",
  e."category",
  e."actor_id",
  e."actor_cuid",
  e."actor_name",
  e."actor_kind",
  e."actor_upn",
  e."actor_client_id",
  e."author_id",
  e."auth_mechanism",
  e."authorization_id",
  e."ip",
  e."user_agent",
  e."correlation_id",
  e."activity_id",
  e."details",
  e."data",
  case when r.event_id is null then e."executor" else r."executor" end as "executor",
  case when r.event_id is null then e."raised_by" else r."raised_by" end as "raised_by",
  case when r.event_id is null then e."grade" else r."grade" end as "grade",
  case when r.event_id is null then e."agent_id" else r."agent_id" end as "agent_id",
  case when r.event_id is null then e."agent_name" else r."agent_name" end as "agent_name",
  case when r.event_id is null then e."agent_version" else r."agent_version" end as "agent_version",
  case when r.event_id is null then e."pool_id" else r."pool_id" end as "pool_id",
  case when r.event_id is null then e."pool_name" else r."pool_name" end as "pool_name",
  case when r.event_id is null then e."machine" else r."machine" end as "machine",
  case when r.event_id is null then e."job_id" else r."job_id" end as "job_id",
  case when r.event_id is null then e."request_id" else r."request_id" end as "request_id",
  case when r.event_id is null then e."run_id" else r."run_id" end as "run_id",
  case when r.event_id is null then e."run_kind" else r."run_kind" end as "run_kind",
  case when r.event_id is null then e."attempt" else r."attempt" end as "attempt",
  case when r.event_id is null then e."pipeline_id" else r."pipeline_id" end as "pipeline_id",
  case when r.event_id is null then e."identities" else r."identities" end as "identities",
  case when r.event_id is null then e."candidates" else r."candidates" end as "candidates",
  case when r.event_id is null then e."evidence" else r."evidence" end as "evidence",
  case when r.event_id is null then e."missing" else r."missing" end as "missing",
  case when r.event_id is null then e."subjects" else r."subjects" end as "subjects",
  case when r.event_id is null then e."blind" else r."blind" end as "blind",
  case when r.event_id is null then e."provisional" else r."provisional" end as "provisional",
  case when r.event_id is null then e."decided" else r."decided" end as "decided",
  e."record_hash",
  e."writer",
  e."seq",
  coalesce(r.revision, 0) as revision,
  e.known
from lake.events e
left join (
  select *, row_number() over (partition by event_id order by revision desc) as nth
  from lake.revisions
  where known <= $time
) r on r.event_id = e.event_id and r.nth = 1
where e.known <= $time
