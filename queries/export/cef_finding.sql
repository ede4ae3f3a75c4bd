--! title = "Findings in the Common Event Format"
--! reads = ["outgoing_findings"]
--! tags = ["syslog", "cef"]
select
  "_key",
  "_order",
  detection as signature,
  title as name,
  case lower(severity) when 'low' then 3 when 'medium' then 5 when 'high' then 8 when 'critical' then 10 else 5 end as severity,
  cast(occurred as bigint) / 1000 as rt,
  'finding' as cat,
  left(coalesce(organization, organization_id), 1023) as "deviceFacility",
  left(organization_id, 255) as "deviceExternalId",
  left(says, 1023) as msg,
  case when status in ('withdrawn', 'suppressed') then concat('finding ', status) when "_updated" then 'finding revised' end as reason,
  left(machine, 1023) as shost,
  left(agent_name, 4000) as cs1,
  case when agent_name is not null then 'agentName' end as "cs1Label",
  -- Longer than externalId may be.
  "_key" as cs2,
  'findingKey' as "cs2Label",
  event_id as cs3,
  case when event_id is not null then 'eventId' end as "cs3Label",
  left(severity, 4000) as cs4,
  case when severity is not null then 'severity' end as "cs4Label",
  left(array_to_string(array_compact([
    executor || ' ' || grade, run_kind || ' ' || run_id, 'job ' || job_id, 'pool ' || pool_name
  ]), ', '), 4000) as cs5,
  case when coalesce(executor || grade, run_kind || run_id, job_id, pool_name) is not null then 'verdict' end as "cs5Label",
  project_id as cs6,
  case when project_id is not null then 'projectId' end as "cs6Label",
  agent_id as cn1,
  case when agent_id is not null then 'agentId' end as "cn1Label",
  nullif(left(array_to_string(attack, ', '), 1023), '') as "flexString1",
  case when cardinality(attack) > 0 then 'techniques' end as "flexString1Label",
  left(subject, 1023) as "flexString2",
  case when subject is not null then 'subject' end as "flexString2Label",
  cast(known as bigint) / 1000 as "deviceCustomDate1",
  case when known is not null then 'known' end as "deviceCustomDate1Label"
from outgoing_findings
