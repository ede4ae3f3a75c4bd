--! title = "Audit events as log records of OpenTelemetry"
--! reads = ["outgoing"]
--! tags = ["otlp"]
-- Names of OpenTelemetry's semantic conventions where there are any (cicd.worker is the agent), else azuredevops.*.
select
  "_key",
  "_order",
  cast(cast(occurred as bigint) * 1000 as text) as "timeUnixNano",
  cast(cast(observed as bigint) * 1000 as text) as "observedTimeUnixNano",
  -- A build identity that was used while no job of its scope ran is a warning.
  case when executor = 'client' and actor_kind in ('project_build_service', 'collection_build_service') then 13 else 9 end as "severityNumber",
  case when executor = 'client' and actor_kind in ('project_build_service', 'collection_build_service') then 'WARN' else 'INFO' end as "severityText",
  action as "eventName",
  coalesce(details, action) as body,
  case
    when regexp_like(lower(replace(correlation_id, '-', '')), '^[0-9a-f]{32}$') and correlation_id <> '00000000-0000-0000-0000-000000000000'
      then lower(replace(correlation_id, '-', ''))
  end as "traceId",
  {
    'log.record.uid': "_key",
    'azuredevops.updated': "_updated",
    'azuredevops.event.id': event_id,
    'azuredevops.area': area,
    'azuredevops.category': category,
    'azuredevops.data': data,
    'azuredevops.organization.id': organization_id,
    'azuredevops.organization.name': organization,
    'azuredevops.project.id': project_id,
    'azuredevops.project.name': project,
    'cloud.provider': 'azure',
    'user.id': coalesce(actor_id, actor_client_id),
    'user.name': coalesce(actor_upn, actor_name),
    'user.full_name': actor_name,
    'azuredevops.actor.kind': actor_kind,
    'azuredevops.actor.cuid': actor_cuid,
    'azuredevops.actor.client_id': actor_client_id,
    'azuredevops.actor.author_id': author_id,
    'azuredevops.auth.mechanism': auth_mechanism,
    'azuredevops.auth.authorization_id': authorization_id,
    'client.address': ip,
    'user_agent.original': user_agent,
    'azuredevops.correlation_id': correlation_id,
    'azuredevops.activity_id': activity_id,
    'azuredevops.executor': executor,
    'azuredevops.raised_by': raised_by,
    'azuredevops.grade': grade,
    'azuredevops.provisional': provisional,
    'azuredevops.blind': blind,
    'azuredevops.revision': revision,
    'azuredevops.decided': cast(decided as text),
    'azuredevops.candidate_count': coalesce(cardinality(candidates), 0),
    'azuredevops.missing': missing,
    'cicd.worker.id': cast(agent_id as text),
    'cicd.worker.name': agent_name,
    'azuredevops.agent.version': agent_version,
    'azuredevops.agent.machine': machine,
    'azuredevops.pool.id': pool_id,
    'azuredevops.pool.name': pool_name,
    'azuredevops.job.id': job_id,
    'azuredevops.job.request_id': request_id,
    'azuredevops.job.attempt': attempt,
    'cicd.pipeline.run.id': cast(run_id as text),
    'azuredevops.run.kind': run_kind,
    'azuredevops.pipeline.id': pipeline_id,
    'azuredevops.record_hash': record_hash
  } as attributes
from outgoing
