--! title = "Queries that people asked through a server"
--! reads = ["queries_log"]
select "key", "occurred", "person", "role", "door", "client", "query", "outcome", "says", "rows", "took_micros", "known", "writer", "seq"
from lake.queries_log
