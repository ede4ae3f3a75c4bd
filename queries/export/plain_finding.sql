--! title = "Findings under their own names"
--! reads = ["outgoing_findings"]
--! tags = ["plain"]
select
  "_key",
  "_order",
  "_key" as key,
  "_updated" as updated,
  key as finding,
  o.* except ("_key", "_order", "_updated", key)
from outgoing_findings o
