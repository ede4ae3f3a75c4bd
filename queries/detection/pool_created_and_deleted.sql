--! title = "Agent pool created and soon deleted"
--! severity = "high"
--! attack = ["T1578.002"]
--! owasp = ["CICD-SEC-7"]
--! mirrors = ["sentinel:acfdee3f-b794-404a-aeba-ef6a1fa08ad1", "sumo:CHAIN-S00022"]
--! why = "A self-hosted pool that lives only for a few days lets its maker run jobs on machines of their own and leaves nothing to look at."
--! false_positives = "Trials of pools and infrastructure that is made and torn down by a program; name its pools in `allowed`."
--! next = "Which jobs ran in the pool between the two records, on which agents, and who had registered those."
--! actions = ["Library.AgentPoolCreated", "Library.AgentPoolDeleted"]
--! tables = []
--! window_hours = 168
--! suppress_hours = 0
--! reads = ["actions"]
--! params = [
--!   { name = "days", type = "bigint", doc = "Days between creation and deletion at most", default = "7" },
--!   { name = "allowed", type = "text", doc = "Names of pools that may, separated by commas", default = "" },
--! ]
with pools as (
  select event_id, occurred, organization_id, organization, coalesce(organization_id, organization) as org, project_id, action, agent_id, agent_name,
    concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')') as who,
    coalesce(json_member(data, 'AgentPoolId', 'PoolId'), json_member(data, 'AgentPoolName', 'PoolName')) as pool, json_member(data, 'AgentPoolName', 'PoolName') as pool_name,
    coalesce(nullif(json_member(data, 'AgentCloudId'), '0'), '') as cloud
  from actions
  where action in ('Library.AgentPoolCreated', 'Library.AgentPoolDeleted')
    and occurred >= $from - cast(concat($days, ' days') as interval) and occurred < $until
)
select
  concat('pool ', d.pool) as subject,
  d.occurred, d.organization_id, d.organization, d.project_id, d.event_id, make_array(c.event_id, d.event_id) as events, d.agent_id, d.agent_name,
  cast(null as varchar) as severity,
  concat(d.who, ' deleted the pool ', d.pool_name, ' (', d.pool, ') that ', c.who, ' had created at ', c.occurred) as says
from pools c
join pools d on d.org = c.org and d.pool = c.pool
  and d.occurred >= c.occurred and d.occurred <= c.occurred + cast(concat($days, ' days') as interval)
where c.action like '%Created' and d.action like '%Deleted'
  -- Pools of Microsoft's own machines come and go by themselves.
  and c.cloud = ''
  and not array_has(string_to_array(lower(replace($allowed, ' ', '')), ','), lower(replace(c.pool_name, ' ', '')))
  and d.occurred >= $from
