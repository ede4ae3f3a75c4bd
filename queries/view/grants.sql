--! title = "Who holds what, from when until when: groups, roles on pools, permissions, resources of pipelines, service connections"
--! reads = ["grants", "holdings", "pools", "known_as"]
with held as (
  select *, coalesce(organization, organization_id) as org, array_to_string(members, ' ') as listing from lake.holdings
), news as (
  -- A listing that says what the one before it said is no news.
  select * from (select *, lag(listing) over (partition by org, kind, resource_id, says = 'listed' order by occurred) as before from held)
  where says <> 'listed' or before is null or before <> listing
), words as (
  select "key", organization_id, organization, org, project_id, kind, holder_id, holder_name, pipeline_id, resource_kind,
    resource_id, resource_name, role, says, holds, below, members, cast(null as varchar) as member, by, occurred, observed, record_hash, known, writer, seq
  from news
  union all
  select "key", organization_id, organization, org, project_id, kind, split_part(member, '/', 1), null, null, resource_kind,
    resource_id, null, nullif(split_part(member, '/', 2), ''), 'listed', true, false, null, member, by, occurred, observed, record_hash, known, writer, seq
  from (select *, unnest(members) as member from news where says = 'listed')
  union all
  select "key", organization_id, organization, coalesce(organization, organization_id), project_id, kind,
    coalesce('pipeline ' || cast(pipeline_id as varchar), 'all pipelines'), null, pipeline_id, resource_kind,
    resource_id, null, null, case when coalesce(authorized, true) then 'authorized' else 'unauthorized' end, coalesce(authorized, true),
    false, null, null, authorized_by, case when coalesce(authorized, true) then coalesce(authorized_at, observed) else observed end,
    observed, record_hash, known, writer, seq
  from lake.grants where kind = 'permission'
), named as (
  select w.*, case when w.holder_id = 'all pipelines' then concat_ws(' of ', w.holder_id, w.project_id) else coalesce(h.id, w.holder_id) end as holder, coalesce(r.id, w.resource_id) as resource,
    coalesce(h.name, w.holder_name, case when w.holder_id like '%pipeline%' then w.holder_id end) as holder_is, coalesce(r.name, w.resource_name) as resource_is
  from words w
  left join known_as h on h.organization = w.org and h.alias = w.holder_id
  left join known_as r on r.organization = w.org and r.alias = w.resource_id and w.resource_kind = 'group'
), given as (
  select * from named where holds
), taken as (
  -- Of a listing, what its members do not hold.
  select * from named where not holds
), cut as (
  -- What was taken of all tokens of a namespace, or of all that begin alike.
  select w.*, coalesce(h.id, w.holder_id) as holder
  from news w
  left join known_as h on h.organization = w.org and h.alias = w.holder_id
  where w.kind = 'access' and not w.holds and (w.resource_id is null or w.below)
), ended as (
  -- The first that ended it.
  select * from (
    select g.*, t.occurred as ended, row_number() over (partition by g."key", coalesce(g.member, '') order by t.occurred) as nth
    from given g
    left join taken t on t.org = g.org and t.kind = g.kind and t.resource_kind = g.resource_kind and t.resource = g.resource
      and t.occurred > g.occurred and (t.holder is null or t.holder = g.holder) and (t.role is null or g.role is null or t.role = g.role)
      -- What names its holder in another way than a listing does is not known to be missing there.
      and (t.says <> 'listed' or (g.kind <> 'membership' or g.holder like '%.%')
        and not array_has(t.members, coalesce(g.member, g.holder || coalesce('/' || g.role, ''))) and not array_has(t.members, g.holder))
  ) where nth = 1
), until as (
  select * from (
    select e.* except (nth), least(e.ended, c.occurred) as until,
      row_number() over (partition by e."key", coalesce(e.member, '') order by c.occurred) as nth
    from ended e
    left join cut c on c.org = e.org and c.kind = e.kind and c.occurred > e.occurred
      and (c.resource_kind is null or c.resource_kind = e.resource_kind) and (c.resource_id is null or starts_with(e.resource, c.resource_id))
      and (c.holder is null or c.holder = e.holder) and (c.role is null or e.role is null or c.role = e.role)
  ) where nth = 1
), spans as (
  -- Said again while it held, it is one span.
  select u.* except (nth), row_number() over (
    partition by org, kind, holder, resource_kind, resource, role, until order by occurred, says <> 'listed' desc, "key") as nth
  from until u
), connections as (
  select c.*, coalesce(c.organization, c.organization_id) as org,
    lead(c.observed) over (partition by coalesce(c.organization, c.organization_id), c.resource_id order by c.observed) as next,
    row_number() over (partition by coalesce(c.organization, c.organization_id), c.resource_id order by c.observed desc) as nth
  from lake.grants c where c.kind = 'connection'
), deleted as (
  select c."key", min(d.occurred) as at
  from connections c
  join held d on d.kind = 'connection' and d.org = c.org and d.resource_id = c.resource_id and d.occurred > c.observed
  group by c."key"
), pool_names as (
  select coalesce(organization, organization_id) as org, cast(pool_id as varchar) as pool, last_value(name order by observed) filter (where name is not null) as name
  from lake.pools where pool_id is not null and queue_id is null group by 1, 2
)
select s."key", s.organization_id, s.organization, s.project_id, s.kind, s.holder as holder_id, s.holder_is as holder_name, s.pipeline_id,
  s.resource_kind, s.resource as resource_id, coalesce(s.resource_is, p.name, c.resource_name) as resource_name, s.role, s.says,
  cast(null as varchar) as application_id, c.target, s.by, s.occurred as "from", s.until, s.observed, s.record_hash, s.known, s.writer, s.seq
from spans s
left join pool_names p on s.resource_kind = 'pool' and p.org = s.org and p.pool = s.resource
left join connections c on s.resource_kind = 'endpoint' and c.org = s.org and c.resource_id = s.resource and c.nth = 1
where s.nth = 1
union all
select c."key", c.organization_id, c.organization, c.project_id, c.kind, coalesce(k.id, c.application_id), k.name, null,
  'endpoint', c.resource_id, c.resource_name, c.scheme, 'seen', c.application_id, c.target, c.authorized_by, c.observed as "from", least(c.next, d.at),
  c.observed, c.record_hash, c.known, c.writer, c.seq
from connections c
left join known_as k on k.organization = c.org and k.alias = c.application_id
left join deleted d on d."key" = c."key"
