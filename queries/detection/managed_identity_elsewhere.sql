--! title = "Identity of machines seen where none of its machines is"
--! severity = "high"
--! attack = ["T1078.004", "T1552.005"]
--! owasp = ["CICD-SEC-6", "CICD-SEC-2"]
--! mirrors = []
--! why = "A managed identity is given to certain machines. Used outside any job, or on an agent that the inventory does not give it to, its token was taken from there."
--! false_positives = "An inventory that is not up to date."
--! next = "The sign-ins of the identity, the address, and what ran on its machines before."
--! actions = ["*"]
--! tables = ["bindings"]
--! window_hours = 0
--! suppress_hours = 1
--! reads = ["actions", "bindings"]
--! params = []
with stated as (
  select coalesce(organization, organization_id) as org, identity_id, lower(replace(replace(replace(replace(coalesce(agent_name, '*'), '\', '\\'), '%', '\%'), '_', '\_'), '*', '%')) as agent_like,
    "from", until
  from bindings where role = 'stated'
), used as (
  select event_id, occurred, organization_id, organization, coalesce(organization, organization_id) as org, project_id, action, actor_name, actor_client_id, ip, executor, agent_id, agent_name
  from actions
  where (agent_name is not null or executor = 'client')
    and occurred >= $from and occurred < $until
)
select
  concat('application ', u.actor_client_id) as subject,
  u.occurred, u.organization_id, u.organization, u.project_id, u.event_id, make_array(u.event_id) as events, u.agent_id, u.agent_name,
  cast(null as varchar) as severity,
  concat(u.actor_name, ' (', u.actor_client_id, ') did ', u.action, ' from ', u.ip, coalesce(' on the agent ' || u.agent_name, ' outside any job'), '; it is stated for ', string_agg(distinct replace(s.agent_like, '%', '*'), ', ')) as says
from used u
join stated s on s.org = u.org and s.identity_id = u.actor_client_id and u.occurred >= s."from" and (s.until is null or u.occurred < s.until)
group by u.event_id, u.occurred, u.organization_id, u.organization, u.project_id, u.action, u.actor_name, u.actor_client_id, u.ip, u.executor, u.agent_id, u.agent_name
having not bool_or(coalesce(lower(u.agent_name) like s.agent_like, false))
