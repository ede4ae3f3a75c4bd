--! title = "Kind of action never done with a personal access token before"
--! severity = "medium"
--! attack = ["T1078", "T1528"]
--! owasp = ["CICD-SEC-6"]
--! mirrors = ["sentinel-hunting:5b6ab1d9-018b-46c6-993b-3198626fc54e"]
--! why = "Scripts do the same day after day. A token that does what no token did before may be in other hands."
--! false_positives = "New scripts."
--! next = "The token by its authorization id, and from where it was used before."
--! actions = ["*"]
--! tables = []
--! window_hours = 720
--! suppress_hours = 0
--! reads = ["actions", "heard"]
--! params = [
--!   { name = "days", type = "bigint", doc = "Days without such an action that make it new", default = "30" },
--! ]
with done as (
  select event_id, occurred, organization_id, organization, coalesce(organization_id, organization) as org, project_id, project, action,
    coalesce(actor_client_id, actor_id) as actor, actor_name, action as thing, authorization_id as token, agent_id, agent_name
  from actions
  where auth_mechanism like 'PAT%'
    and occurred >= $from - cast(concat($days, ' days') as interval) and occurred < $until
), before as (
  select *, lag(occurred) over (partition by org, thing order by occurred, event_id) as last from done
), new as (
  select b.*, case when h.since > b.occurred - cast(concat($days, ' days') as interval)
    then concat('; the records here reach back only ', cast(date_part('day', b.occurred - h.since) as bigint), ' days') end as short
  from before b
  join heard h on h.org = b.org
  where b.last is null or b.last < b.occurred - cast(concat($days, ' days') as interval)
)
select
  concat('action ', thing) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  nvl2(short, 'low', null) as severity,
  concat(actor_name, ' (', actor, ') did ', thing, ' with the token ', coalesce(token, 'of unknown id'), '; no token of the organisation did so in ', $days, ' days', short) as says
from new
where occurred >= $from
