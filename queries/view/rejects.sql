--! title = "Payloads refused, with the reason"
--! reads = ["rejects"]
select "record_hash", "reason", "says", "source", "position", "observed", "event_id", "raw", "known", "writer", "seq"
from lake.rejects
