--! title = "Runs in their newest state"
--! reads = ["runs"]
select "key", "organization_id", "organization", "project_id", "run_id", "run_kind", "name", "pipeline_id", "pipeline_name", "state", "result", "queued", "started", "finished", "plan_ids", "pool_id", "pool_name", "queue_id", "requested_for_id", "requested_for", "requested_by_id", "requested_by", "reason", "source_branch", "source_version", "kind", "observed", "record_hash", "known", "writer", "seq"
from (
  select *, row_number() over (partition by coalesce(organization_id, organization), run_kind, run_id order by finished is null, observed desc, known desc) as nth
  from lake.runs
)
where nth = 1
