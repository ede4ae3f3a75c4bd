--! title = "Audit stream was off for a time"
--! severity = "high"
--! attack = ["T1562.008"]
--! owasp = ["CICD-SEC-10"]
--! mirrors = []
--! why = "Between the two records nothing reached those who watch the stream. What was done meanwhile is in the audit log for 90 days, and a stream catches up with seven days at the most, a deleted one with none."
--! false_positives = "Streams that are moved."
--! next = "All actions between the two times, first those of whoever switched it off."
--! actions = ["AuditLog.StreamDisabledByUser", "AuditLog.StreamDisabledBySystem", "AuditLog.StreamDeleted", "AuditLog.StreamEnabled", "AuditLog.StreamCreated"]
--! tables = []
--! window_hours = 2160
--! suppress_hours = 0
--! reads = ["actions"]
--! params = [
--!   { name = "minutes", type = "bigint", doc = "Minutes it must have been off at the least", default = "5" },
--! ]
with streams as (
  select event_id, occurred, organization_id, organization, coalesce(organization_id, organization) as org, project_id, action, agent_id, agent_name, concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')') as who,
    coalesce(json_member(data, 'displayName', 'StreamDisplayName', 'consumerType', 'StreamConsumerType', 'ConsumerType'), 'of unknown name') as stream
  from actions
  where action in ('AuditLog.StreamDisabledByUser', 'AuditLog.StreamDisabledBySystem', 'AuditLog.StreamDeleted', 'AuditLog.StreamEnabled', 'AuditLog.StreamCreated')
    and occurred >= $from - interval '90 days' and occurred < $until
), steps as (
  select *, lag(action) over streams as action_before, lag(event_id) over streams as event_before, lag(occurred) over streams as since, lag(who) over streams as who_before, lag(stream) over streams as stream_before
  from streams
  window streams as (partition by org order by occurred, event_id)
)
select
  'audit stream' as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_before, event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat('the audit stream ', stream_before, ' was off from ', since, ' (', who_before, ', ', action_before, ') until ', occurred, ', when ', who, ' had ', stream, ' on: ', cast(date_part('epoch', occurred - since) / 60 as bigint), ' minutes') as says
from steps
where not regexp_like(action, 'Disabled|Deleted') and regexp_like(action_before, 'Disabled|Deleted')
  and occurred >= since + cast(concat($minutes, ' minutes') as interval) and occurred >= $from
