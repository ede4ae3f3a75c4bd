--! title = "What an agent or identity did and reached between two times: actions, projects, connections"
--! reads = ["actions"]
--! params = [
--!   { name = "who", type = "text", doc = "Agent name, user id, client id, authorization id, display name or mail" },
--!   { name = "since", type = "timestamp", doc = "From here on", default = "2000-01-01T00:00:00Z" },
--!   { name = "until", type = "timestamp", doc = "Up to here, exclusive", default = "2100-01-01T00:00:00Z" },
--! ]
--! returns = ["organization", "project", "action", "reached", "surely", "possibly", "first", "last"]
--! tags = ["security", "identity"]
with listed as (
  select distinct event_id
  from (select event_id, unnest(candidates) as candidate from actions where occurred >= $since and occurred < $until)
  where candidate['agent_name'] = $who
),
reach as (
  select a.organization, a.project, a.action, a.occurred,
    coalesce(agent_name = $who or actor_id = $who or actor_client_id = $who or actor_name = $who or actor_upn = $who
      or authorization_id = $who or author_id = $who, false) as surely,
    l.event_id is not null as possibly,
    coalesce(
      regexp_match(data, '"(?:ConnectionName|RepoName|VariableGroupName|EnvironmentName|PipelineName|AgentName)":"([^"]*)"')[1],
      ''
    ) as reached
  from actions a
  left join listed l on l.event_id = a.event_id
  where a.occurred >= $since and a.occurred < $until
)
select organization, project, action, reached, sum(case when surely then 1 else 0 end) as surely,
  sum(case when surely then 0 else 1 end) as possibly, min(occurred) as first, max(occurred) as last
from reach
where surely or possibly
group by organization, project, action, reached
order by surely desc, possibly desc
