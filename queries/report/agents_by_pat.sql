--! title = "Agents registered with a personal access token or by a person; of those that are gone, since when and who deleted them"
--! reads = ["bindings", "agents_now", "removals", "coverage"]
--! returns = ["organization", "agent_name", "agent_id", "pool_name", "identity_kind", "identity_name", "identity_id", "registered", "version", "last_seen", "gone", "deleted_by"]
--! tags = ["identity", "migration"]
with gone_by_record as (
  select coalesce(organization, organization_id) as org, agent_id, max(occurred) as at, max(actor_name) as by
  from removals where agent_id is not null group by 1, 2
), registered as (
  select b."key", coalesce(b.organization, b.organization_id) as org, b.agent_id, coalesce(a.name, b.agent_name) as agent_name,
    coalesce(a.pool_name, b.pool_name) as pool_name, a.pool_id, b.identity_kind, b.identity_name, b.identity_id, b."from" as registered, a.version, a.observed,
    case when a.agent_id is null then r.at else a.gone end as gone, case when a.agent_id is null then r.by else a.deleted_by end as deleted_by
  from bindings b
  left join agents_now a on a.agent_id = b.agent_id
    and coalesce(a.organization = b.organization, a.organization_id = b.organization_id, true)
  left join gone_by_record r on r.agent_id = b.agent_id and r.org = coalesce(b.organization, b.organization_id) and r.at >= b."from"
  where b.role = 'registrant' and b.identity_kind in ('pat', 'user')
), heard as (
  select org, pool_id, until as at, cast(null as varchar) as asked
  from (select coalesce(organization, organization_id) as org, * from coverage where source = 'agents')
  union all
  select org, pool_id, coalesce(gone, timestamp '2200-01-01T00:00:00Z'), "key" from registered where pool_id is not null
), lists as (
  -- Of an agent that is listed nothing is kept while it stays the same: the last list before it was gone had it.
  select asked, max(case when asked is null then at end) over (
    partition by org, pool_id order by at, asked is null rows between unbounded preceding and 1 preceding) as at
  from heard
)
select r.org as organization, r.agent_name, r.agent_id, r.pool_name, r.identity_kind, r.identity_name, r.identity_id, r.registered,
  r.version, case when r.observed is not null then greatest(r.observed, l.at) end as last_seen, r.gone, r.deleted_by
from registered r
left join lists l on l.asked = r."key"
order by registered
