--! title = "Retention of runs or artifacts reduced"
--! severity = "low"
--! attack = ["T1564", "T1070"]
--! owasp = ["CICD-SEC-10", "CICD-SEC-9"]
--! mirrors = ["sentinel:71d374e0-1cf8-4e50-aecd-ab6c519795c2", "sumo:MATCH-S00993"]
--! why = "Runs, logs and artifacts show what was done by a pipeline. Shorter retention lets them go before somebody looks."
--! false_positives = "Costs of storage, and clean-up of projects that end."
--! next = "Which runs will be deleted by it; retain those that matter, then ask who changed it."
--! actions = ["Pipelines.PipelineRetentionSettingChanged"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = []
with changed as (
  select event_id, occurred, organization_id, organization, project_id, project, agent_id, agent_name, concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')') as who, action,
    json_member(data, 'SettingName') as setting, try_cast(json_member(data, 'OldValue') as bigint) as old, try_cast(json_member(data, 'NewValue') as bigint) as new,
    coalesce(project_id, json_member(data, 'ProjectName'), 'the organisation') as place
  from actions
  where action = 'Pipelines.PipelineRetentionSettingChanged' and occurred >= $from and occurred < $until
)
select
  concat('retention of ', place, ' ', setting) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  case when new <= 1 or new < old / 2.0 then 'medium' end as severity,
  concat(who, ' set ', setting, ' of ', place, ' from ', coalesce(cast(old as varchar), 'nothing known'), ' to ', new, ' days') as says
from changed
-- One day is the least there is: somebody wants nothing kept, whatever it was before.
where new < old or new <= 1
