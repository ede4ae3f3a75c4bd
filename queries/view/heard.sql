--! title = "Since when each organisation was heard: its first audit event"
--! reads = ["events"]
select coalesce(organization_id, organization) as org, min(occurred) as since
from lake.events
group by 1
