--! title = "Spans in which a source was heard"
--! reads = ["coverage"]
select "key", "organization_id", "organization", "source", "pool_id", "from", "until", "record_hash", "known", "writer", "seq"
from lake.coverage
