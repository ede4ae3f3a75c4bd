--! title = "What an agent or identity did and could reach between two times: actions, groups, roles, permissions, connections"
--! reads = ["actions", "reach", "bears"]
--! params = [
--!   { name = "who", type = "text", doc = "Agent, token, connection or identity by any name or id" },
--!   { name = "since", type = "timestamp", doc = "From here on", default = "2000-01-01T00:00:00Z" },
--!   { name = "until", type = "timestamp", doc = "Up to here, exclusive", default = "2100-01-01T00:00:00Z" },
--! ]
--! returns = ["organization", "role", "identity", "kind", "reached", "permission", "through", "surely", "possibly", "since", "until", "last_used"]
--! tags = ["security", "identity"]
with asked as (
  select organization, role, identity, identity_name, "from", until from bears
  where who = $who and ("from" is null or "from" < $until) and (until is null or until > $since)
),
listed as (
  select distinct event_id
  from (select event_id, unnest(candidates) as candidate from actions where occurred >= $since and occurred < $until)
  where candidate['agent_name'] = $who
),
did as (
  select coalesce(a.organization, a.organization_id) as organization, a.actor_name, a.project, a.action, a.occurred,
    coalesce(agent_name = $who or actor_id = $who or actor_client_id = $who or actor_name = $who or actor_upn = $who
      or authorization_id = $who or author_id = $who or json_member(data, 'ConnectionId') = $who or json_member(data, 'ConnectionName') = $who, false) as surely,
    l.event_id is not null as possibly,
    json_member(data, 'ConnectionName', 'RepoName', 'VariableGroupName', 'EnvironmentName', 'PipelineName', 'AgentName', 'GroupName') as reached
  from actions a
  left join listed l on l.event_id = a.event_id
  where a.occurred >= $since and a.occurred < $until
)
select organization, 'did' as role, actor_name as identity, 'action' as kind, reached, action as permission, coalesce(project, '') as through,
  sum(case when surely then 1 else 0 end) as surely, sum(case when surely then 0 else 1 end) as possibly, min(occurred) as since, null as until, max(occurred) as last_used
from did
where surely or possibly
group by organization, actor_name, project, action, reached
union all
select r.organization, a.role, coalesce(r.identity_name, a.identity_name, r.identity), r.kind, r.reached,
  r.permission, r.through, null, null, greatest(r."from", a."from"), least(r.until, a.until), r.last_used
from reach r
join asked a on a.organization = r.organization and a.identity = r.identity
where r."from" < $until and (r.until is null or r.until > $since)
  and (a.until is null or r."from" < a.until) and (r.until is null or a."from" is null or r.until > a."from")
order by surely desc nulls last, possibly desc nulls last, kind, identity, reached, permission
