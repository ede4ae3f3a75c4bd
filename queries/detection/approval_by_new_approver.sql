--! title = "Deployment approved by somebody who never approved for this pipeline"
--! severity = "medium"
--! attack = ["T1078"]
--! owasp = ["CICD-SEC-1", "CICD-SEC-2"]
--! mirrors = ["sentinel-hunting:0c149cc9-78ba-4be1-9f7b-018288e3a829"]
--! why = "Who holds a stolen account approves what they deploy themselves, and that account may never have approved for this pipeline."
--! false_positives = "New approvers, and holidays of the old ones."
--! next = "Who asked for the deployment, and what it changed."
--! actions = ["Release.ApprovalCompleted", "Release.ApprovalsCompleted"]
--! tables = []
--! window_hours = 720
--! suppress_hours = 0
--! reads = ["actions", "heard"]
--! params = [
--!   { name = "days", type = "bigint", doc = "Days without an approval that make it new", default = "30" },
--! ]
with done as (
  select event_id, occurred, organization_id, organization, coalesce(organization_id, organization) as org, project_id, project, action,
    coalesce(actor_client_id, actor_id) as actor, actor_name, concat(coalesce(json_member(data, 'PipelineId', 'DefinitionId'), json_member(data, 'PipelineName')), coalesce(' of ' || project_id, '')) as thing, json_member(data, 'ReleaseName') as release, json_member(data, 'PipelineName') as pipeline, agent_id, agent_name
  from actions
  where action in ('Release.ApprovalCompleted', 'Release.ApprovalsCompleted')
    and lower(coalesce(json_member(data, 'ApprovalResult'), '')) not like '%reject%'
    and occurred >= $from - cast(concat($days, ' days') as interval) and occurred < $until
), before as (
  select *, lag(occurred) over (partition by org, actor, thing order by occurred, event_id) as last from done
), new as (
  select b.*, case when h.since > b.occurred - cast(concat($days, ' days') as interval)
    then concat('; the records here reach back only ', cast(date_part('day', b.occurred - h.since) as bigint), ' days') end as short
  from before b
  join heard h on h.org = b.org
  where b.last is null or b.last < b.occurred - cast(concat($days, ' days') as interval)
)
select
  concat('user ', actor, ' release pipeline ', thing) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  nvl2(short, 'low', null) as severity,
  concat(actor_name, ' (', actor, ') approved ', release, ' of the release pipeline ', pipeline, ' (', thing, ')', short) as says
from new
where occurred >= $from
