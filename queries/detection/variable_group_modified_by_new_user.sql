--! title = "Variable group changed by somebody who never changed it"
--! severity = "medium"
--! attack = ["T1578", "T1578.005"]
--! owasp = ["CICD-SEC-4", "CICD-SEC-2"]
--! mirrors = ["sentinel:3b9a44d7-c651-45ed-816c-eae583a6f2f1", "sumo:FIRST-S00097"]
--! why = "Variables steer what pipelines build and where they deploy; a changed one is a change of all pipelines that use the group."
--! false_positives = "New members of a team, and groups that are seldom changed."
--! next = "What was changed, and the runs that used the group afterwards."
--! actions = ["Library.VariableGroupModified", "Library.VariableGroupModifiedForProjects"]
--! tables = []
--! window_hours = 336
--! suppress_hours = 0
--! reads = ["actions", "heard"]
--! params = [
--!   { name = "days", type = "bigint", doc = "Days without such a change that make it new", default = "14" },
--! ]
with done as (
  select event_id, occurred, organization_id, organization, coalesce(organization_id, organization) as org, project_id, project, action,
    coalesce(actor_client_id, actor_id) as actor, actor_name, coalesce(json_member(data, 'VariableGroupId'), json_member(data, 'VariableGroupName'), '') as thing, json_member(data, 'VariableGroupName') as name, agent_id, agent_name
  from actions
  where action in ('Library.VariableGroupModified', 'Library.VariableGroupModifiedForProjects')
    and occurred >= $from - cast(concat($days, ' days') as interval) and occurred < $until
), known as (
  -- Of what was before, the last time of each is all that counts.
  select org, actor, thing, max(occurred) as occurred from done where occurred < $from group by org, actor, thing
), before as (
  select *, lag(occurred) over (partition by org, actor, thing order by occurred, event_id) as last
  from (
    select * from done where occurred >= $from
    union all
    select null, occurred, null, null, org, null, null, null, actor, null, thing, null, null, null from known
  )
), new as (
  select b.*, case when h.since > b.occurred - cast(concat($days, ' days') as interval)
    then concat('; the records here reach back only ', cast(date_part('day', b.occurred - h.since) as bigint), ' days') end as short
  from before b
  join heard h on h.org = b.org
  where b.last is null or b.last < b.occurred - cast(concat($days, ' days') as interval)
)
select
  concat('user ', actor, ' variable group ', thing) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  nvl2(short, 'low', null) as severity,
  concat(actor_name, ' (', actor, ') changed the variable group ', name, ' (', thing, ')', short) as says
from new
where occurred >= $from
