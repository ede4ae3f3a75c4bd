--! title = "Deployment approved by the person who asked for it, under whatever identity"
--! severity = "high"
--! attack = ["T1078", "T1098"]
--! owasp = ["CICD-SEC-1"]
--! mirrors = []
--! why = "An approval is worth something only from a second person. One person may ask with one account and approve with another."
--! false_positives = "Teams of one person; policies that allow it."
--! next = "What was deployed, and whether both accounts belong to one person for a reason."
--! actions = ["Release.ApprovalCompleted", "Release.ApprovalsCompleted"]
--! tables = ["facts", "runs", "identities"]
--! window_hours = 168
--! suppress_hours = 0
--! reads = ["actions", "facts", "runs", "known_as"]
--! params = []
with approvals as (
  select event_id, occurred, organization_id, organization, coalesce(organization, organization_id) as org, project_id, coalesce(actor_client_id, actor_id) as id, actor_name as name,
    concat('release ', json_member(data, 'ReleaseName')) as run
  from actions
  where action in ('Release.ApprovalCompleted', 'Release.ApprovalsCompleted')
    and lower(coalesce(json_member(data, 'ApprovalResult'), '')) not like '%reject%'
    and occurred >= $from and occurred < $until
), steps as (
  select *, coalesce(occurred, observed) as at, concat('resource.approval.steps.', unnest(make_array('0', '1', '2', '3', '4', '5', '6', '7'))) as step from facts
  where kind like '%approval-completed' and coalesce(occurred, observed) >= $from and coalesce(occurred, observed) < $until
), given as (
  select * from approvals
  union all
  -- What a service hook says of an approval: its steps, each with who gave it.
  select null, at, organization_id, organization, coalesce(organization, organization_id), project_id,
    lower(json_member(raw, step || '.actualApprover.id', step || '.assignedApprover.id')), json_member(raw, step || '.actualApprover.displayName', step || '.assignedApprover.displayName'),
    concat('build ', json_member(raw, 'resource.run.id'))
  from steps
  where lower(json_member(raw, step || '.status')) = 'approved'
), asked as (
  select coalesce(organization, organization_id) as org, run_kind, run_id, name, concat(run_kind, ' ', nvl2(nullif(run_kind, 'build'), name, cast(run_id as varchar))) as run,
    lower(unnest(make_array(requested_for_id, requested_by_id))) as id, unnest(make_array(requested_for, requested_by)) as who
  from runs
)
select
  concat('run ', r.run) as subject,
  max(a.occurred) as occurred, max(a.organization_id) as organization_id, max(a.organization) as organization, max(a.project_id) as project_id, a.event_id,
  array_remove(make_array(coalesce(a.event_id, '')), '') as events, cast(null as bigint) as agent_id, cast(null as varchar) as agent_name,
  cast(null as varchar) as severity,
  concat(max(a.name), ' (', a.id, ') approved ', max(r.name), ' (', r.run, '), which ', max(r.who), ' (', max(r.id), ') had asked for') as says
from given a
join asked r on r.org = a.org and r.run = a.run
left join known_as p on p.organization = a.org and p.alias = a.id
left join known_as q on q.organization = r.org and q.alias = r.id
-- One person may have several accounts: of one id, of one subject in the directory, or of one name.
where a.id = r.id or p.id = q.id or lower(a.name) = lower(r.who)
group by a.org, a.event_id, a.id, r.run
