--! title = "Personal access token used in a job of an agent that it did not register"
--! severity = "medium"
--! attack = ["T1528", "T1552.001"]
--! owasp = ["CICD-SEC-6"]
--! mirrors = []
--! why = "A token in a script of a job can be read by everybody who changes the pipeline, and by the machine. Of an agent it registered, a token would be expected at the most."
--! false_positives = "Scripts that need rights the job has not; move them to a service connection."
--! next = "Where the token is kept, its scopes, and who else ran jobs on the agent."
--! actions = ["*"]
--! tables = ["bindings"]
--! window_hours = 0
--! suppress_hours = 24
--! reads = ["actions", "bindings"]
--! params = []
with used as (
  select event_id, occurred, organization_id, organization, coalesce(organization, organization_id) as org, project_id, action, actor_name, coalesce(actor_client_id, actor_id) as actor, authorization_id as token, agent_id, agent_name, pool_name
  from actions
  where auth_mechanism like 'PAT%' and agent_id is not null
    and occurred >= $from and occurred < $until
), registered as (
  select coalesce(organization, organization_id) as org, agent_id, array_agg(identity_id) as tokens
  from bindings group by 1, 2
)
select
  concat('token ', coalesce(u.token, 'of ' || u.actor)) as subject,
  u.occurred, u.organization_id, u.organization, u.project_id, u.event_id, make_array(u.event_id) as events, u.agent_id, u.agent_name,
  cast(null as varchar) as severity,
  concat(u.actor_name, ' (', u.actor, ') did ', u.action, ' with the token ', u.token, ' in a job of the agent ', u.agent_name, ' (', u.agent_id, '), which another registered') as says
from used u
left join registered r on r.org = u.org and r.agent_id = u.agent_id
where not coalesce(array_has(r.tokens, u.token), false)
