--! title = "Service connections and what pipelines may use"
--! reads = ["grants"]
select "key", "organization_id", "organization", "project_id", "kind", "resource_kind", "resource_id", "resource_name", "scheme", "application_id", "target", "pipeline_id", "authorized", "authorized_by", "authorized_at", "observed", "record_hash", "known", "writer", "seq"
from lake.grants
