--! title = "What changed of an agent under the same id: key, machine, system, software, name"
--! reads = ["agents"]
--! params = [
--!   { name = "since", type = "timestamp", doc = "From here on", default = "2000-01-01T00:00:00Z" },
--!   { name = "until", type = "timestamp", doc = "Up to here, exclusive", default = "2100-01-01T00:00:00Z" },
--! ]
--! returns = ["organization", "pool_id", "agent_id", "name", "at", "changed", "machine_before", "machine", "version_before", "version", "os_before", "os"]
--! tags = ["security", "resources"]
with versions as (
  select *,
    lag(name) ignore nulls over w as name_before, lag(key_fingerprint) ignore nulls over w as key_before, lag(machine) ignore nulls over w as machine_before,
    lag(version) ignore nulls over w as version_before, lag(os) ignore nulls over w as os_before
  from agents
  window w as (partition by coalesce(organization, organization_id), pool_id, agent_id order by "from")
), changes as (
  select *,
    concat_ws(', ',
      case when key_before <> key_fingerprint then 'key' end,
      case when machine_before <> machine then 'machine' end,
      case when os_before <> os then 'system' end,
      case when version_before <> version then 'software' end,
      case when name_before <> name then 'name' end
    ) as changed
  from versions
)
select organization, pool_id, agent_id, name, "from" as at, changed, machine_before, machine, version_before, version, os_before, os
from changes
where changed <> '' and "from" >= $since and "from" < $until
order by "from" desc
