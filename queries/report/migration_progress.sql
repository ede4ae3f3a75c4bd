--! title = "Week by week, how many of the agents that there were at its end were registered with a token or by a person, by an identity, or nobody knows by whom"
--! reads = ["bindings", "agents", "removals", "pools", "events", "coverage"]
--! params = [
--!   { name = "since", type = "timestamp", doc = "Weeks from here on", default = "2000-01-01T00:00:00Z" },
--!   { name = "until", type = "timestamp", doc = "Up to here, exclusive", default = "2100-01-01T00:00:00Z" },
--! ]
--! returns = ["organization", "week", "by_token", "by_identity", "unknown", "share_by_identity"]
--! tags = ["identity", "migration"]
with heard as (
  select org, max(at) as at
  from (
    select coalesce(organization, organization_id) as org, max(occurred) as at from lake.events group by 1
    union all select coalesce(organization, organization_id), max(until) from lake.coverage group by 1
    union all select coalesce(organization, organization_id), max(observed) from lake.agents group by 1
  )
  group by org
), hosted as (
  select distinct coalesce(organization, organization_id) as org, pool_id from pools where is_hosted
), registered as (
  select coalesce(organization, organization_id) as org, agent_id, identity_kind, "from",
    lead("from") over (partition by coalesce(organization, organization_id), agent_id order by "from") as again
  from bindings where role = 'registrant' and agent_id is not null
), lives as (
  select org, agent_id, min(born) as born, max(gone) as gone
  from (
    select coalesce(a.organization, a.organization_id) as org, a.agent_id, min(least(a.created, a."from")) as born,
      case when count(*) = count(a.until) then max(a.until) end as gone
    from agents a
    left join hosted h on h.org = coalesce(a.organization, a.organization_id) and h.pool_id = a.pool_id
    where h.pool_id is null group by 1, 2
    union all
    select org, agent_id, min("from"), null from registered group by 1, 2
  )
  group by org, agent_id
), ended as (
  select l.org, l.agent_id, l.born, least(min(r.occurred), l.gone) as until
  from lives l
  left join removals r on coalesce(r.organization, r.organization_id) = l.org and r.agent_id = l.agent_id and r.occurred >= l.born
  group by l.org, l.agent_id, l.born, l.gone
), weeks as (
  select org, unnest(generate_series(date_trunc('week', greatest(born, $since)), least(at, $until), interval '7 days')) as week
  from (select e.org, min(e.born) as born, max(h.at) as at from ended e join heard h on h.org = e.org group by e.org)
), there as (
  select w.org, w.week, r.identity_kind
  from weeks w
  join ended e on e.org = w.org and e.born < w.week + interval '7 days' and (e.until is null or e.until >= w.week + interval '7 days')
  left join registered r on r.org = e.org and r.agent_id = e.agent_id and r."from" < w.week + interval '7 days'
    and (r.again is null or r.again >= w.week + interval '7 days')
  where w.week < $until
), counted as (
  select org, week, sum(case when identity_kind in ('pat', 'user') then 1 else 0 end) as by_token,
    sum(case when identity_kind not in ('pat', 'user') then 1 else 0 end) as by_identity,
    sum(case when identity_kind is null then 1 else 0 end) as unknown
  from there group by org, week
)
select org as organization, week, by_token, by_identity, unknown, round(100.0 * by_identity / nullif(by_token + by_identity, 0), 1) as share_by_identity
from counted
order by week, organization
