--! title = "What detections found"
--! reads = ["findings"]
select "key", "detection", "severity", "title", "occurred", "organization_id", "organization", "project_id", "event_id", "agent_id", "agent_name", "says", "record_hash", "known", "writer", "seq"
from lake.findings
