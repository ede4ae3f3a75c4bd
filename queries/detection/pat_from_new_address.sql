--! title = "Personal access token used from an address that is new to it"
--! severity = "medium"
--! attack = ["T1528", "T1078"]
--! owasp = ["CICD-SEC-6"]
--! mirrors = ["community:CA-TOKEN-008/2"]
--! why = "A token that was copied is used from where its owner never was. Each address is compared with those of the same token, not of its owner."
--! false_positives = "Machines with changing addresses; name their networks by prefix in `allowed`, such as `10.1.`."
--! next = "Whose address it is, and what the token did from there."
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
  select event_id, occurred, organization_id, organization, coalesce(organization_id, organization) as org, project_id, action, actor_name, coalesce(actor_client_id, actor_id) as actor, authorization_id as token, ip, agent_id, agent_name
  from actions
  where auth_mechanism like 'PAT%' and authorization_id is not null and ip is not null
    and occurred >= $from - cast(concat($days, ' days') as interval) and occurred < $until
), before as (
  select *, lag(occurred) over (partition by org, token, ip order by occurred, event_id) as last, lag(occurred) over (partition by org, token order by occurred, event_id) as earlier from used
)
select
  concat('token ', token) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(actor_name, ' (', actor, ') did ', action, ' with the token ', token, ' from ', ip, ', from where it had not come in ', $days, ' days') as says
from before
-- A token's own first address is no news.
where (last is null or last < occurred - cast(concat($days, ' days') as interval)) and earlier >= occurred - cast(concat($days, ' days') as interval) and occurred >= $from
  and not regexp_like(ip, '^(' || regexp_replace(replace(nullif(trim($allowed), ''), '.', '[.]'), '\s*,\s*', '|', 'g') || ')') is true
