--! title = "Agents registered with a personal access token or by a person"
--! reads = ["bindings", "agents_now"]
--! returns = ["agent_name", "agent_id", "pool_name", "identity_kind", "identity_name", "identity_id", "registered", "version", "last_seen"]
--! tags = ["identity", "migration"]
select b.agent_name, b.agent_id, b.pool_name, b.identity_kind, b.identity_name, b.identity_id, b."from" as registered,
  a.version, a.observed as last_seen
from bindings b
left join agents_now a on a.agent_id = b.agent_id
  and (b.organization is null or a.organization is null or a.organization = b.organization)
where b.role = 'registrant' and b.identity_kind in ('pat', 'user')
order by registered
