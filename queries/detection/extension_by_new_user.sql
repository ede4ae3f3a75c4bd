--! title = "Extension installed by somebody who never did"
--! severity = "medium"
--! attack = ["T1505"]
--! owasp = ["CICD-SEC-8", "CICD-SEC-3"]
--! mirrors = ["sumo:FIRST-S00094"]
--! why = "Extensions are installed by few people. A stolen account of an administrator can bring code into every project with one."
--! false_positives = "New administrators."
--! next = "The scopes of the extension, and its publisher."
--! actions = ["Extension.Installed"]
--! tables = []
--! window_hours = 720
--! suppress_hours = 0
--! reads = ["actions", "heard"]
--! params = [
--!   { name = "days", type = "bigint", doc = "Days without such an action that make it new", default = "30" },
--! ]
with done as (
  select event_id, occurred, organization_id, organization, coalesce(organization_id, organization) as org, project_id, project, action,
    coalesce(actor_client_id, actor_id) as actor, actor_name, concat(json_member(data, 'PublisherName'), '.', json_member(data, 'ExtensionName')) as extension, agent_id, agent_name
  from actions
  where action = 'Extension.Installed'
    and occurred >= $from - cast(concat($days, ' days') as interval) and occurred < $until
), before as (
  select *, lag(occurred) over (partition by org, actor order by occurred, event_id) as last from done
), new as (
  select b.*, case when h.since > b.occurred - cast(concat($days, ' days') as interval)
    then concat('; the records here reach back only ', cast(date_part('day', b.occurred - h.since) as bigint), ' days') end as short
  from before b
  join heard h on h.org = b.org
  where b.last is null or b.last < b.occurred - cast(concat($days, ' days') as interval)
)
select
  concat('user ', actor) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  nvl2(short, 'low', null) as severity,
  concat(actor_name, ' (', actor, ') installed the extension ', extension, short) as says
from new
where occurred >= $from
