--! title = "What an identity, agent, token, connection or build service reaches, through what, since when, and when it was used last"
--! reads = ["reach", "bears"]
--! params = [
--!   { name = "who", type = "text", doc = "Agent, token, connection or identity by any name or id; * for all identities", default = "*" },
--!   { name = "since", type = "timestamp", doc = "Held from here on", default = "2000-01-01T00:00:00Z" },
--!   { name = "until", type = "timestamp", doc = "Held up to here, exclusive", default = "2100-01-01T00:00:00Z" },
--! ]
--! returns = ["organization", "role", "identity", "kind", "reached", "permission", "through", "since", "until", "by", "last_used"]
--! tags = ["identity", "security"]
with asked as (
  select organization, role, identity, "from", until from bears
  where who = $who and ("from" is null or "from" < $until) and (until is null or until > $since)
)
select r.organization, coalesce(a.role, 'itself') as role, coalesce(r.identity_name, r.identity) as identity, r.kind, r.reached, r.permission, r.through,
  greatest(r."from", a."from") as since, least(r.until, a.until) as until, r.by, r.last_used
from reach r
left join asked a on a.organization = r.organization and a.identity = r.identity
where ($who = '*' or a.identity is not null) and r."from" < $until and (r.until is null or r.until > $since)
  and (a.until is null or r."from" < a.until) and (r.until is null or a."from" is null or r.until > a."from")
order by organization, identity, r.kind, r.depth, r.reached, permission, since
