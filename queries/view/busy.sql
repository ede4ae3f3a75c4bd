--! title = "When each job kept its agent busy; of one whose end is not told, up to when the organisation's jobs were heard"
--! reads = ["jobs", "coverage"]
with heard as (
  select org, max(at) as at
  from (
    select coalesce(organization, organization_id) as org, max(until) as at from lake.coverage where source = 'jobs' group by 1
    union all
    select coalesce(organization, organization_id), max(observed) from lake.jobs group by 1
  )
  group by org
), taken as (
  select *, coalesce(organization, organization_id) as org,
    -- An agent works at one job at a time.
    case when agent_id is not null then lead(received) over (partition by coalesce(organization, organization_id), pool_id, agent_id order by received) end as next
  from jobs where received is not null
)
select t.org as organization, t."key", t.project_id, t.pool_id, t.request_id, t.job_id, t.name, t.identifier, t.run_id, t.run_kind, t.pipeline_id, t.pipeline_name,
  t.agent_id, t.agent_name, t.queued, t.received as "from", greatest(t.received, coalesce(t.finished, least(h.at, t.next))) as until, t.finished is null as running
from taken t
left join heard h on h.org = t.org
