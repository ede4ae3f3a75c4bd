--! title = "Agent at work from an address that is new to it"
--! severity = "medium"
--! attack = ["T1036", "T1528"]
--! owasp = ["CICD-SEC-7", "CICD-SEC-6"]
--! mirrors = []
--! why = "What an agent does comes from where its machine is. From elsewhere it is another machine under its identity, or a token that was taken out of a job."
--! false_positives = "Machines with changing addresses; name their networks by prefix in `allowed`."
--! next = "Whether the agent was replaced, and which job ran."
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
  select event_id, occurred, organization_id, organization, coalesce(organization_id, organization) as org, project_id, action, ip, agent_id, agent_name
  from actions
  where agent_id is not null and ip is not null
    and occurred >= $from - cast(concat($days, ' days') as interval) and occurred < $until
), known as (
  -- Of what was before, the last time from each address is all that counts.
  select org, agent_id, ip, max(occurred) as occurred from used where occurred < $from group by org, agent_id, ip
), before as (
  select *, lag(occurred) over (partition by org, agent_id, ip order by occurred, event_id) as last, lag(occurred) over (partition by org, agent_id order by occurred, event_id) as earlier
  from (
    select * from used where occurred >= $from
    union all
    select null, occurred, null, null, org, null, null, ip, agent_id, null from known
  )
)
select
  concat('agent ', agent_id) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat('the agent ', agent_name, ' (', agent_id, ') did ', action, ' from ', ip, ', from where that agent had not come in ', $days, ' days') as says
from before
-- The first address is no news.
where (last is null or last < occurred - cast(concat($days, ' days') as interval)) and earlier >= occurred - cast(concat($days, ' days') as interval) and occurred >= $from
  and not regexp_like(ip, '^(' || regexp_replace(replace(nullif(trim($allowed), ''), '.', '[.]'), '\s*,\s*', '|', 'g') || ')') is true
