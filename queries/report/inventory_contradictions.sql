--! title = "Where what was seen contradicts the inventory: machines, agents that are not there, identities elsewhere"
--! reads = ["bindings", "agents_now", "actions"]
--! returns = ["organization", "agent", "machine", "identity_id", "contradiction", "seen", "at"]
--! tags = ["identity", "security"]
with stated as (
  select organization, agent_name as agent, machine, identity_id, "from", until,
    lower(replace(replace(replace(replace(coalesce(agent_name, '*'), '\', '\\'), '%', '\%'), '_', '\_'), '*', '%')) as agent_like,
    lower(replace(replace(replace(replace(coalesce(machine, '*'), '\', '\\'), '%', '\%'), '_', '\_'), '*', '%')) as machine_like
  from (
    select *, row_number() over (partition by organization, pool_name, agent_name, machine, identity_id, "from" order by observed desc) as nth
    from bindings where role = 'stated'
  ) where nth = 1
)
select coalesce(s.organization, a.organization) as organization, s.agent, s.machine, s.identity_id, 'another machine' as contradiction,
  concat(a.name, ' on ', a.machine) as seen, a.observed as at
from stated s
join agents_now a on s.agent is not null and lower(a.name) like s.agent_like and a.machine is not null and lower(a.machine) not like s.machine_like
  and coalesce(a.organization = s.organization, true)
  and a.observed >= s."from" and (s.until is null or a.observed < s.until)
union all
select s.organization, s.agent, s.machine, s.identity_id, 'no such agent', null, null
from stated s
where not exists (
  select 1 from agents_now a
  where lower(a.name) like s.agent_like and coalesce(lower(a.machine), '') like s.machine_like
    and coalesce(a.organization = s.organization, true)
)
union all
select coalesce(s.organization, e.organization), s.agent, s.machine, s.identity_id, 'the identity at work on another agent',
  concat(e.action, ' by ', e.agent_name), e.occurred
from stated s
join actions e on e.actor_client_id = s.identity_id and lower(e.agent_name) not like s.agent_like
  and coalesce(e.organization = s.organization, true)
  and e.occurred >= s."from" and (s.until is null or e.occurred < s.until)
order by contradiction, at
