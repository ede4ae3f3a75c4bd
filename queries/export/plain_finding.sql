--! title = "Findings under their own names"
--! reads = ["outgoing_findings"]
--! tags = ["plain"]
select
  "_key",
  "_order",
  'finding' as kind,
  "_updated" as updated,
  o.* except ("_key", "_order", "_updated")
from outgoing_findings o
