--! title = "Token that registered an agent used for something else"
--! severity = "high"
--! attack = ["T1528", "T1078"]
--! owasp = ["CICD-SEC-6"]
--! mirrors = []
--! why = "Whoever registers agents with a token often leaves it on the machine. When it is used in the browser, or for anything but agents, somebody found it."
--! false_positives = "People who use one token for everything; make one that may manage agents only."
--! next = "The machines it registered, and everything it did since the first other use."
--! actions = ["*"]
--! tables = ["bindings"]
--! window_hours = 720
--! suppress_hours = 24
--! reads = ["actions", "bindings"]
--! params = []
with registered as (
  select coalesce(organization, organization_id) as org, identity_id as token, min("from") as since, max(agent_name) as agent from bindings
  group by 1, 2
), used as (
  select event_id, occurred, organization_id, organization, coalesce(organization, organization_id) as org, project_id, action, actor_name, coalesce(actor_client_id, actor_id) as actor, authorization_id as token, user_agent, ip, agent_id, agent_name,
    regexp_like(coalesce(user_agent, ''), 'gecko|webkit|presto/|trident|edgehtml|blink', 'i') as browser
  from actions
  where occurred >= $from and occurred < $until
)
select
  concat('token ', u.token) as subject,
  u.occurred, u.organization_id, u.organization, u.project_id, u.event_id, make_array(u.event_id) as events, u.agent_id, u.agent_name,
  case when u.browser then 'critical' end as severity,
  concat(u.actor_name, ' (', u.actor, ') did ', u.action, ' from ', u.ip, ' with ', u.user_agent, ' and the token ', u.token, ', which had registered the agent ', r.agent, ' at ', r.since) as says
from used u
join registered r on r.org = u.org and r.token = u.token and u.occurred >= r.since
where u.action not like 'Library.Agent%' or u.browser
