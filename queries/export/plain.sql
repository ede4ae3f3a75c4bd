--! title = "Audit events with their newest verdict, under their own names"
--! reads = ["outgoing"]
--! tags = ["plain"]
select
  "_key",
  "_order",
  "_key" as key,
  "_updated" as updated,
  o.* except ("_key", "_order", "_updated", data),
  coalesce(cardinality(candidates), 0) as candidate_count,
  data as "data$json"
from outgoing o
