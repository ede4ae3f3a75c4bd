--! title = "Jobs in their newest state: requests with what a timeline adds, and jobs that only a timeline or hook told of"
--! reads = ["jobs"]
with newest as (
  select *
  from (
    select *, row_number() over (
      -- By the request as a column of its own: what asks for one request sorts no other.
      partition by coalesce(organization_id, organization), request_id,
        case when request_id is null then coalesce(cast(run_id as varchar) || '/' || job_id || '/' || coalesce(cast(attempt as varchar), ''), key) end
      order by finished is null, received is null, assigned is null, observed desc
    ) as nth
    from lake.jobs
  )
  where nth = 1
),
told as (
  select max(organization) as organization, max(organization_id) as organization_id, run_id, job_id, max(name) as name,
    case when count(distinct attempt) = 1 then max(attempt) end as attempt
  from lake.jobs
  where request_id is null and run_id is not null and job_id is not null
  group by coalesce(organization, organization_id), run_id, job_id
),
requested as (
  select distinct organization, organization_id, run_id, job_id
  from lake.jobs
  where request_id is not null and run_id is not null and job_id is not null
)
select
  n."key",
  n."organization_id",
  n."organization",
  n."project_id",
  n."request_id",
  n."job_id",
  coalesce(n."name", t."name") as "name",
  n."identifier",
  n."stage",
  coalesce(n."attempt", t."attempt") as "attempt",
  n."plan_id",
  n."plan_type",
  n."run_id",
  n."run_kind",
  n."run_name",
  n."pipeline_id",
  n."pipeline_name",
  n."pool_id",
  n."pool_name",
  n."queue_id",
  n."state",
  n."result",
  n."queued",
  n."assigned",
  n."received",
  n."finished",
  n."agent_id",
  n."agent_name",
  n."agent_version",
  n."agent_os",
  n."image",
  n."service_owner",
  n."orchestration_id",
  n."demands",
  n."kind",
  n."observed",
  n."record_hash",
  n."known",
  n."writer",
  n."seq"
from newest n
left join told t on n.request_id is not null and t.run_id = n.run_id and t.job_id = n.job_id
  and coalesce(t.organization_id = n.organization_id, t.organization = n.organization, true)
left join requested r on n.request_id is null and r.run_id = n.run_id and r.job_id = n.job_id
  and coalesce(r.organization_id = n.organization_id, r.organization = n.organization, true)
where n.request_id is not null or r.run_id is null
