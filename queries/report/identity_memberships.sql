--! title = "Groups each identity was seen in, nested ones as well, and its roles on pools; and when it last acted"
--! reads = ["facts", "identities", "actions"]
--! returns = ["organization", "kind", "identity", "name", "reached", "reached_name", "depth", "seen", "last_used"]
--! tags = ["security", "identity"]
with recursive edges as (
  -- Kind, organisation, member and group are the parts of the key.
  select split_part("key", '/', 2) as org, split_part("key", '/', 3) as member, split_part("key", '/', 4) as container, min(observed) as seen
  from facts where kind = 'graph_membership' group by 1, 2, 3
), reach as (
  select org, member, container, cast(1 as bigint) as depth, seen from edges
  union all
  -- Groups may hold each other in a circle: no one is nested deeper than eight.
  select r.org, r.member, e.container, r.depth + 1, greatest(r.seen, e.seen)
  from reach r join edges e on e.org = r.org and e.member = r.container
  where r.depth < 8
), held as (
  select org, 'group' as kind, member as identity, container as reached, min(depth) as depth, min(seen) as seen
  from reach where member <> container group by org, member, container
  union all
  select split_part("key", '/', 2), 'pool_role', split_part("key", '/', 4),
    'pool ' || split_part("key", '/', 3) || ' ' || split_part("key", '/', 5), cast(1 as bigint), min(observed)
  from facts where kind = 'pool_role' group by 1, 2, 3, 4
), acted as (
  select coalesce(organization, organization_id) as org, actor_id, actor_cuid, actor_client_id, max(occurred) as at
  from actions group by 1, 2, 3, 4
), used as (
  select i.id as identity, max(a.at) as at from identities i join acted a on a.actor_cuid = i.cuid group by i.id
  union all
  select i.id, max(a.at) from identities i join acted a on a.actor_client_id = i.application_id group by i.id
  union all
  select actor_id, max(at) from acted where actor_id is not null group by actor_id
), last as (
  select identity, max(at) as at from used group by identity
)
select h.org as organization, h.kind, h.identity, m.name, h.reached, g.name as reached_name, h.depth, h.seen, l.at as last_used
from held h
left join identities m on m.id = h.identity and m.organization = h.org
left join identities g on g.id = h.reached and g.organization = h.org
left join last l on l.identity = h.identity
order by organization, h.kind, h.identity, h.depth, h.reached
