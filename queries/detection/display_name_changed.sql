--! title = "Somebody acts under another display name"
--! severity = "low"
--! attack = ["T1098", "T1036"]
--! owasp = ["CICD-SEC-2"]
--! mirrors = ["sentinel-hunting:cf0c493b-a8af-4b32-8c7e-d4303f3a406f"]
--! why = "Who goes by the name of a colleague or of a service is overlooked by those who read logs."
--! false_positives = "Marriage, and corrections in the directory."
--! next = "What was done under the new name."
--! actions = ["*"]
--! tables = []
--! window_hours = 720
--! suppress_hours = 0
--! reads = ["actions"]
--! params = [
--!   { name = "days", type = "bigint", doc = "Days to look back for the name before", default = "30" },
--! ]
with named as (
  select event_id, occurred, organization_id, organization, coalesce(organization_id, organization) as org, project_id, agent_id, agent_name, coalesce(actor_cuid, actor_id) as actor, actor_name as name,
    lag(actor_name) over (partition by coalesce(organization_id, organization), coalesce(actor_cuid, actor_id) order by occurred, event_id) as before
  from actions
  where actor_kind = 'user' and actor_name is not null
    and occurred >= $from - cast(concat($days, ' days') as interval) and occurred < $until
)
select
  concat('user ', actor) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat('the user ', actor, ' goes by ', name, ', who went by ', before, ' before') as says
from named
where name <> before and occurred >= $from
