--! title = "Which tasks ran on agents of an identity: pools, pipelines, jobs, busy minutes"
--! reads = ["bindings", "busy"]
--! params = [
--!   { name = "since", type = "timestamp", doc = "Jobs from here on", default = "2000-01-01T00:00:00Z" },
--!   { name = "until", type = "timestamp", doc = "Up to here, exclusive", default = "2100-01-01T00:00:00Z" },
--! ]
--! returns = ["organization", "identity_kind", "identity_id", "identity_name", "pool_id", "pipeline", "task", "agents", "jobs", "busy_minutes", "mean_wait_seconds"]
--! tags = ["identity", "resources"]
with registered as (
  select coalesce(organization, organization_id) as org, agent_id, identity_kind, identity_id, identity_name, "from",
    lead("from") over (partition by coalesce(organization, organization_id), agent_id order by "from") as until
  from bindings where role = 'registrant'
)
select b.org as organization, b.identity_kind, b.identity_id, b.identity_name, j.pool_id,
  coalesce(j.pipeline_name, cast(j.pipeline_id as varchar)) as pipeline, coalesce(j.name, j.identifier) as task,
  count(distinct j.agent_id) as agents, count(*) as jobs,
  round(sum(cast(extract(epoch from (least(j.until, $until) - j."from")) as double)) / 60, 1) as busy_minutes,
  round(avg(cast(extract(epoch from (j."from" - j.queued)) as double)), 1) as mean_wait_seconds
from busy j
join registered b on b.agent_id = j.agent_id and b."from" <= j."from" and (b.until is null or b.until > j."from") and b.org = j.organization
where j."from" >= $since and j."from" < $until
group by b.org, b.identity_kind, b.identity_id, b.identity_name, j.pool_id,
  coalesce(j.pipeline_name, cast(j.pipeline_id as varchar)), coalesce(j.name, j.identifier)
order by jobs desc
