--! title = "Credentials seen in use, with the token behind them where it is known"
--! reads = ["actions", "identities"]
--! params = [
--!   { name = "since", type = "timestamp", doc = "From here on", default = "2000-01-01T00:00:00Z" },
--!   { name = "until", type = "timestamp", doc = "Up to here, exclusive", default = "2100-01-01T00:00:00Z" },
--! ]
--! returns = ["organization", "authorization_id", "token", "scopes", "valid_until", "actor", "mechanism", "actions", "addresses", "first", "last"]
--! tags = ["identity"]
select coalesce(a.organization, a.organization_id) as organization, a.authorization_id, max(i.name) as token, max(i.scopes) as scopes, max(i.valid_until) as valid_until,
  max(a.actor_name) as actor, max(a.auth_mechanism) as mechanism, count(*) as actions, count(distinct a.ip) as addresses,
  min(a.occurred) as first, max(a.occurred) as last
from actions a
left join identities i on i.id = a.authorization_id and coalesce(i.organization = a.organization, i.organization_id = a.organization_id, true)
where a.authorization_id is not null and a.occurred >= $since and a.occurred < $until
group by coalesce(a.organization, a.organization_id), a.authorization_id
order by actions desc
