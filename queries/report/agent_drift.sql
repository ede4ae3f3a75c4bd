--! title = "What changed of an agent under the same id: key, machine, system, software, name; a new address, a new pipeline"
--! reads = ["agents", "actions", "jobs"]
--! params = [
--!   { name = "since", type = "timestamp", doc = "From here on", default = "2000-01-01T00:00:00Z" },
--!   { name = "until", type = "timestamp", doc = "Up to here, exclusive", default = "2100-01-01T00:00:00Z" },
--! ]
--! returns = ["at", "organization", "pool_id", "agent_id", "name", "changed", "before", "now"]
--! tags = ["security", "resources"]
with said as (
  select coalesce(organization, organization_id) as org, pool_id, agent_id, name, "from" as at, unnest(make_array('key', 'machine', 'system', 'software', 'name')) as what,
    unnest(make_array(substr(key_fingerprint, 1, 16), machine, os, version, name)) as value
  from agents
  union all
  -- Of what was done by this agent for sure, where it came from. Nearly all is by somebody and from somewhere: as
  -- filters of the table these would make what remains slower to read than the whole.
  select coalesce(organization, organization_id), pool_id, agent_id, agent_name, min(occurred) filter (where actor_kind <> 'service') as at, 'address', ip
  from actions where grade in ('exact', 'sole') and executor = 'agent' and agent_id is not null
  group by 1, 2, 3, 4, ip having min(occurred) filter (where actor_kind <> 'service') is not null
  union all
  -- Of every state of a job: which is the newest says nothing of when it was taken.
  select coalesce(organization, organization_id), pool_id, agent_id, agent_name, min(received), 'pipeline',
    coalesce(max(pipeline_name), 'pipeline ' || cast(pipeline_id as varchar))
  from lake.jobs where agent_id is not null and pipeline_id is not null and received is not null
  group by 1, 2, 3, 4, pipeline_id
), changes as (
  select *, lag(value) over (partition by org, pool_id, agent_id, what order by at, value) as before
  from said where value is not null
)
select at, org as organization, pool_id, agent_id, name, what as changed, before, value as now
from changes
where before <> value and at >= $since and at < $until
order by at desc, agent_id, changed
