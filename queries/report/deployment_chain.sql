--! title = "Each deployment from whose change it is over who approved and who asked for it to the agent that did it"
--! reads = ["actions", "runs", "facts", "known_as"]
--! params = [
--!   { name = "since", type = "timestamp", doc = "From here on", default = "2000-01-01T00:00:00Z" },
--!   { name = "until", type = "timestamp", doc = "Up to here, exclusive", default = "2100-01-01T00:00:00Z" },
--! ]
--! returns = ["occurred", "organization", "project", "run_name", "pipeline_id", "environment", "author", "source_branch", "approved_by", "self_approved", "requested_by", "checks", "agent_name", "grade", "registrant", "candidates"]
--! tags = ["audit", "security"]
with named as (
  select *, coalesce(organization, organization_id) as org, json_member(data, 'RunName', 'ReleaseName') as run_name,
    json_member(data, 'EnvironmentName', 'StageName') as environment, json_member(data, 'StageName') as stage
  from actions
), deployments as (
  select d.event_id, d.occurred, d.org, d.organization, d.project_id, d.project, coalesce(d.run_name, r.name) as run_name, d.run_id, d.pipeline_id,
    d.environment, d.stage, d.agent_name, d.grade, d.identities, d.candidates,
    coalesce(r.requested_for_id, lower(json_member(d.data, 'RequesterId'))) as author_id, r.requested_for as author,
    coalesce(r.requested_by_id, r.requested_for_id, lower(json_member(d.data, 'RequesterId'))) as requester_id,
    coalesce(r.requested_by, r.requested_for) as requested_by, r.source_branch
  from named d
  left join runs r on r.run_id = d.run_id and r.run_kind = d.run_kind and coalesce(r.organization, r.organization_id) = d.org
  where d.action in ('Pipelines.DeploymentJobCompleted', 'Release.DeploymentCompleted') and d.occurred >= $since and d.occurred < $until
), approvals as (
  select org, project_id, run_name, cast(null as varchar) as run_id, stage, actor_id as approver_id, actor_name as approver,
    case when executor = 'agent' then ' on agent ' || coalesce(agent_name, 'of unknown name') else '' end as whence, occurred
  from named
  where executor <> 'service' and (action like 'Release.Approval%' or action like '%.ApprovalCompleted')
    and coalesce(lower(json_member(data, 'ApprovalResult')), 'approved') not like '%reject%'
  union all
  -- What a service hook says of an approval: its steps, each with who gave it.
  select coalesce(organization, organization_id), project_id, json_member(raw, 'resource.run.name', 'resource.pipeline.run.name', 'resource.release.name'),
    json_member(raw, 'resource.run.id', 'resource.release.id'), json_member(raw, 'resource.stageName', 'resource.stage.name'),
    lower(json_member(raw, 'resource.approval.steps.' || nth || '.actualApprover.id', 'resource.approval.steps.' || nth || '.assignedApprover.id')),
    json_member(raw, 'resource.approval.steps.' || nth || '.actualApprover.displayName', 'resource.approval.steps.' || nth || '.assignedApprover.displayName'),
    '', coalesce(occurred, observed)
  from (select *, unnest(make_array('0', '1', '2', '3', '4', '5', '6', '7')) as nth from lake.facts where kind like '%approval-completed')
  where lower(json_member(raw, 'resource.approval.steps.' || nth || '.status')) = 'approved'
), approved as (
  select d.event_id, string_agg(distinct coalesce(k.name, a.approver, a.approver_id) || a.whence, ', ') as approved_by,
    bool_or(a.approver_id = d.author_id or a.approver_id = d.requester_id) as self_approved
  from deployments d
  join approvals a on a.org = d.org and coalesce(a.project_id = d.project_id, true)
    and (a.run_id = cast(d.run_id as varchar) or a.run_id is null and a.run_name = d.run_name)
    and coalesce(a.stage = d.stage, true) and a.occurred <= d.occurred
  left join known_as k on k.organization = a.org and k.alias = a.approver_id
  group by d.event_id
), checked as (
  select d.event_id, count(*) as checks
  from deployments d
  join named c on c.action = 'CheckSuite.Completed' and c.org = d.org and c.project_id = d.project_id and c.run_name = d.run_name and c.occurred <= d.occurred
  group by d.event_id
), possible as (
  select event_id, string_agg(distinct candidate['agent_name'], ', ') as candidates
  from (select event_id, unnest(candidates) as candidate from deployments where agent_name is null) group by event_id
), registrants as (
  select event_id, string_agg(distinct coalesce(identity['name'], identity['id']), ', ') as registrant
  from (select event_id, unnest(identities) as identity from deployments)
  where identity['role'] = 'registrant' group by event_id
)
select d.occurred, d.organization, d.project, d.run_name, d.pipeline_id, d.environment, coalesce(d.author, o.name, d.author_id) as author, d.source_branch,
  a.approved_by, coalesce(a.self_approved, false) as self_approved, coalesce(d.requested_by, q.name, d.requester_id) as requested_by,
  coalesce(c.checks, 0) as checks, d.agent_name, d.grade, g.registrant, p.candidates
from deployments d
left join approved a on a.event_id = d.event_id
left join checked c on c.event_id = d.event_id
left join possible p on p.event_id = d.event_id
left join registrants g on g.event_id = d.event_id
left join known_as o on o.organization = d.org and o.alias = d.author_id
left join known_as q on q.organization = d.org and q.alias = d.requester_id
order by d.occurred desc
