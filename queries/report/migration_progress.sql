--! title = "Week by week, how many agents were registered with a token or by a person, and how many by an identity"
--! reads = ["bindings", "actions"]
--! params = [
--!   { name = "since", type = "timestamp", doc = "Weeks from here on", default = "2000-01-01T00:00:00Z" },
--!   { name = "until", type = "timestamp", doc = "Up to here, exclusive", default = "2100-01-01T00:00:00Z" },
--! ]
--! returns = ["week", "by_token", "by_identity", "share_by_identity"]
--! tags = ["identity", "migration"]
with deleted as (
  select coalesce(organization, organization_id) as org, cast(subject['id'] as bigint) as agent_id, occurred
  from (
    select organization, organization_id, occurred, unnest(subjects) as subject
    from actions where action = 'Library.AgentDeleted'
  )
  where subject['kind'] = 'agent' and regexp_like(subject['id'], '^[0-9]+$')
), registered as (
  select coalesce(organization, organization_id) as org, agent_id, identity_kind, "from",
    lead("from") over (partition by coalesce(organization, organization_id), agent_id order by "from") as again
  from bindings where role = 'registrant' and agent_id is not null
), spans as (
  select r.org, r.agent_id, r.identity_kind, r."from", least(max(r.again), min(d.occurred)) as until
  from registered r
  left join deleted d on d.org = r.org and d.agent_id = r.agent_id and d.occurred >= r."from"
  group by r.org, r.agent_id, r.identity_kind, r."from"
), weeks as (
  select distinct date_trunc('week', at) as week
  from (select "from" as at from registered union all select occurred from deleted)
  where at >= $since and at < $until
)
select w.week,
  sum(case when s.identity_kind in ('pat', 'user') then 1 else 0 end) as by_token,
  sum(case when s.identity_kind not in ('pat', 'user') then 1 else 0 end) as by_identity,
  round(100.0 * sum(case when s.identity_kind not in ('pat', 'user') then 1 else 0 end) / count(*), 1) as share_by_identity
from weeks w
join spans s on s."from" < w.week + interval '7 days' and (s.until is null or s.until >= w.week + interval '7 days')
group by w.week
order by w.week
