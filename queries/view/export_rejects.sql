--! title = "What destinations of the exports refused, and did not take later"
--! reads = ["export_rejects"]
select r."key", r."destination", r."item", r."kind", r."occurred", r."organization_id", r."organization", r."project_id", r."event_id", r."reason", r."body", r."at", r."known", r."writer", r."seq"
from lake.export_rejects r
left anti join (
  select destination, item from lake.export_rejects where state = 'replayed'
) t on t.destination = r.destination and t.item = r.item
where r.state = 'refused'
