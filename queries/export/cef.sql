--! title = "Audit events in the Common Event Format"
--! reads = ["outgoing"]
--! tags = ["syslog", "cef"]
-- signature, name and severity stand in the header, each other column is a key of CEF's dictionary, as long as it
-- allows. The verdict is in the custom fields, whose labels name them; times are milliseconds since 1970.
with record as (
  select
    *,
    json_member(data, 'Result', 'DeploymentResult') as result,
    case when regexp_like(ip, '^((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])[.]){3}(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])$') then ip end as ipv4,
    case
      when regexp_like(ip, '^([0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}$') then ip
      when length(ip) - length(replace(ip, ':', '')) <= 7
        and regexp_like(ip, '^([0-9A-Fa-f]{1,4}(:[0-9A-Fa-f]{1,4})*)?::([0-9A-Fa-f]{1,4}(:[0-9A-Fa-f]{1,4})*)?$') then ip
    end as ipv6
  from outgoing
)
select
  "_key",
  "_order",
  action as signature,
  replace(action, '.', ' ') as name,
  -- A build identity that was used while no job of its scope ran.
  case when executor = 'client' and actor_kind in ('project_build_service', 'collection_build_service') then 8 else 3 end as severity,
  cast(occurred as bigint) / 1000 as rt,
  "_key" as "externalId",
  left(action, 63) as act,
  left(category, 1023) as cat,
  case
    when action like '%Failed' or lower(result) in ('failed', 'rejected') then 'failure'
    when result is null or lower(result) in ('succeeded', 'succeededwithissues', 'partiallysucceeded') then 'success'
    else 'unknown'
  end as outcome,
  left(coalesce(actor_upn, actor_name), 1023) as suser,
  left(coalesce(actor_id, actor_client_id), 1023) as suid,
  ipv4 as src,
  ipv6 as "c6a2",
  case when ipv6 is not null then 'Source IPv6 Address' end as "c6a2Label",
  left(machine, 1023) as shost,
  left(user_agent, 1023) as "requestClientApplication",
  'Azure DevOps' as "destinationServiceName",
  left(organization, 1023) as "deviceFacility",
  left(organization_id, 255) as "deviceExternalId",
  left(details, 1023) as msg,
  case when "_updated" then 'verdict revised, revision ' || revision end as reason,
  left(agent_name, 4000) as cs1,
  case when agent_name is not null then 'agentName' end as "cs1Label",
  left(pool_name, 4000) as cs2,
  case when pool_name is not null then 'poolName' end as "cs2Label",
  executor as cs3,
  case when executor is not null then 'executor' end as "cs3Label",
  grade as cs4,
  case when grade is not null then 'grade' end as "cs4Label",
  left(array_to_string(array_compact([
    'job ' || job_id, 'request ' || request_id, 'attempt ' || attempt, run_kind || ' ' || run_id, 'pipeline ' || pipeline_id,
    'agent version ' || agent_version
  ]), ', '), 4000) as cs5,
  case when coalesce(job_id, cast(request_id as text), cast(run_id as text), cast(pipeline_id as text), agent_version) is not null then 'job' end as "cs5Label",
  left(coalesce(project, project_id), 4000) as cs6,
  case when coalesce(project, project_id) is not null then 'project' end as "cs6Label",
  agent_id as cn1,
  case when agent_id is not null then 'agentId' end as "cn1Label",
  run_id as cn2,
  case when run_id is not null then 'runId' end as "cn2Label",
  coalesce(cardinality(candidates), 0) as cn3,
  'candidateCount' as "cn3Label",
  left(auth_mechanism, 1023) as "flexString1",
  case when auth_mechanism is not null then 'authMechanism' end as "flexString1Label",
  left(array_to_string(array_compact([
    case when provisional then 'provisional' end, case when blind then 'blind' end, nullif(array_to_string(missing, '; '), '')
  ]), '; '), 1023) as "flexString2",
  case when provisional or blind or cardinality(missing) > 0 then 'missing' end as "flexString2Label",
  cast(decided as bigint) / 1000 as "deviceCustomDate1",
  case when decided is not null then 'decided' end as "deviceCustomDate1Label"
from record
