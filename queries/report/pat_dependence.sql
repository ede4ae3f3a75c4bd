--! title = "What still depends on a personal access token: agents, and the pipelines that ran on them"
--! reads = ["bindings", "jobs"]
--! params = [
--!   { name = "since", type = "timestamp", doc = "Jobs from here on", default = "2000-01-01T00:00:00Z" },
--!   { name = "until", type = "timestamp", doc = "Up to here, exclusive", default = "2100-01-01T00:00:00Z" },
--! ]
--! returns = ["organization", "token", "owner", "agent_name", "registered", "pipelines", "jobs", "last_job"]
--! tags = ["identity", "migration"]
with newest as (
  select *, row_number() over (partition by coalesce(organization_id, organization), agent_id order by "from" desc) as nth
  from bindings
  where role = 'registrant'
)
select b.organization, b.identity_id as token, b.identity_name as owner, b.agent_name, b."from" as registered,
  count(distinct j.pipeline_id) as pipelines, count(j.key) as jobs, max(j.received) as last_job
from newest b
join jobs j on j.agent_id = b.agent_id and coalesce(j.organization_id = b.organization_id, j.organization = b.organization, true)
where b.nth = 1 and b.identity_kind in ('pat', 'user') and j.received >= $since and j.received < $until
group by b.organization, b.identity_id, b.identity_name, b.agent_name, b."from"
order by jobs desc
