--! title = "Records that are no audit events"
--! reads = ["facts"]
select "key", "kind", "occurred", "observed", "organization_id", "organization", "project_id", "url", "record_hash", "raw", "known", "writer", "seq"
from lake.facts
