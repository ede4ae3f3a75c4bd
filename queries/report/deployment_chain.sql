--! title = "Each deployment from who asked for it over who approved it to the agent that did it"
--! reads = ["actions", "runs"]
--! params = [
--!   { name = "since", type = "timestamp", doc = "From here on", default = "2000-01-01T00:00:00Z" },
--!   { name = "until", type = "timestamp", doc = "Up to here, exclusive", default = "2100-01-01T00:00:00Z" },
--! ]
--! returns = ["occurred", "project", "run_name", "pipeline_id", "environment", "requested_for", "source_branch", "approved_by", "self_approved", "checks", "agent_name", "grade", "registrant"]
--! tags = ["audit", "security"]
with named as (
  select *,
    coalesce(regexp_match(data, '"(?:RunName|ReleaseName)":"([^"]*)"')[1], '') as run_name,
    coalesce(regexp_match(data, '"(?:EnvironmentName|StageName)":"([^"]*)"')[1], '') as environment
  from actions
), approvals as (
  select project_id, run_name, max(case when executor = 'human' then actor_name end) as approved_by,
    array_agg(actor_id) filter (where executor = 'human') as approvers,
    sum(case when action like 'CheckSuite.%' then 1 else 0 end) as checks
  from named
  where run_name <> '' and (action like '%Approv%' or action like 'CheckSuite.%')
  group by project_id, run_name
)
select d.occurred, d.project, d.run_name, d.pipeline_id, d.environment, r.requested_for, r.source_branch, a.approved_by,
  coalesce(array_has(a.approvers, r.requested_for_id), false) as self_approved, coalesce(a.checks, 0) as checks, d.agent_name, d.grade,
  array_to_string(
    array_distinct(array_agg(case when i.identity['role'] = 'registrant' then coalesce(i.identity['name'], i.identity['id']) end)
      filter (where i.identity['role'] = 'registrant')), ', ') as registrant
from named d
left join approvals a on a.project_id = d.project_id and a.run_name = d.run_name
left join runs r on r.run_id = d.run_id and r.run_kind = d.run_kind
  and coalesce(r.organization_id = d.organization_id, r.organization = d.organization, true)
left join (select event_id, unnest(identities) as identity from actions) i on i.event_id = d.event_id
where d.action in ('Pipelines.DeploymentJobCompleted', 'Release.DeploymentCompleted')
  and d.occurred >= $since and d.occurred < $until
group by d.event_id, d.occurred, d.project, d.run_name, d.pipeline_id, d.environment, r.requested_for, r.requested_for_id,
  r.source_branch, a.approved_by, a.approvers, a.checks, d.agent_name, d.grade
order by d.occurred desc
