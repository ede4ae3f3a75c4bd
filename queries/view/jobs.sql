--! title = "Job requests in their newest state, and jobs that only a timeline or hook told of"
--! reads = ["jobs"]
select "key", "organization_id", "organization", "project_id", "request_id", "job_id", "name", "identifier", "stage", "attempt", "plan_id", "plan_type", "run_id", "run_kind", "run_name", "pipeline_id", "pipeline_name", "pool_id", "pool_name", "queue_id", "state", "result", "queued", "assigned", "received", "finished", "agent_id", "agent_name", "agent_version", "agent_os", "image", "service_owner", "orchestration_id", "demands", "kind", "observed", "record_hash", "known", "writer", "seq"
from (
  select *, row_number() over (partition by coalesce(organization_id, organization), coalesce(cast(request_id as varchar), concat(cast(run_id as varchar), '/', job_id, '/', coalesce(cast(attempt as varchar), '')), key) order by finished is null, received is null, assigned is null, observed desc) as nth
  from lake.jobs
)
where nth = 1
