--! title = "Application or managed identity used from an address that is new to it"
--! severity = "medium"
--! attack = ["T1078.004", "T1528"]
--! owasp = ["CICD-SEC-6"]
--! mirrors = []
--! why = "The token of a machine's identity, taken from there, is used from elsewhere. Each address is compared with those the identity came from before."
--! false_positives = "Machines with changing addresses; name their networks by prefix in `allowed`, such as `10.1.`."
--! next = "Whose address it is, the sign-ins of the identity, and what it did from there."
--! actions = ["*"]
--! tables = []
--! window_hours = 720
--! suppress_hours = 24
--! reads = ["actions"]
--! params = [
--!   { name = "days", type = "bigint", doc = "Days without this address that make it new", default = "30" },
--!   { name = "allowed", type = "text", doc = "Begins of addresses that are known, separated by commas", default = "" },
--! ]
with used as (
  select event_id, occurred, organization_id, organization, coalesce(organization_id, organization) as org, project_id, action, actor_name, coalesce(actor_client_id, actor_id) as actor, ip, agent_id, agent_name
  from actions
  where actor_client_id is not null and ip is not null
    and occurred >= $from - cast(concat($days, ' days') as interval) and occurred < $until
), before as (
  select *, lag(occurred) over (partition by org, actor, ip order by occurred, event_id) as last, lag(occurred) over (partition by org, actor order by occurred, event_id) as earlier from used
)
select
  concat('application ', actor) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(actor_name, ' (', actor, ') did ', action, ' from ', ip, ', from where that application had not come in ', $days, ' days') as says
from before
-- The first address is no news.
where (last is null or last < occurred - cast(concat($days, ' days') as interval)) and earlier >= occurred - cast(concat($days, ' days') as interval) and occurred >= $from
  and not regexp_like(ip, '^(' || regexp_replace(replace(nullif(trim($allowed), ''), '.', '[.]'), '\s*,\s*', '|', 'g') || ')') is true
