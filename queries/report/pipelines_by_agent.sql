--! title = "Which agents were used by which pipelines"
--! reads = ["jobs"]
--! params = [
--!   { name = "since", type = "timestamp", doc = "From here on", default = "2000-01-01T00:00:00Z" },
--!   { name = "until", type = "timestamp", doc = "Up to here, exclusive", default = "2100-01-01T00:00:00Z" },
--! ]
--! returns = ["organization", "agent_name", "pool_id", "pipeline_name", "pipeline_id", "jobs", "first", "last"]
--! tags = ["resources"]
select coalesce(organization, organization_id) as organization, agent_name, pool_id, pipeline_name, pipeline_id, count(*) as jobs, min(received) as first, max(received) as last
from jobs
where agent_name is not null and received >= $since and received < $until
group by coalesce(organization, organization_id), agent_name, pool_id, pipeline_name, pipeline_id
order by organization, agent_name, jobs desc
