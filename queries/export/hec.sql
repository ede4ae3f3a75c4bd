--! title = "Audit events for Splunk's HTTP Event Collector"
--! reads = ["outgoing"]
--! tags = ["splunk"]
-- The members of fields are indexed, so that tstats reaches them: few, flat, and text. None has the name of a
-- member of the event, which Splunk extracts as well and would show twice.
select
  "_key",
  "_order",
  cast(cast(occurred as bigint) as double) / 1000000 as time,
  coalesce(organization, organization_id, 'dev.azure.com') as host,
  'agentrail' as source,
  'agentrail:audit' as sourcetype,
  {
    'key': "_key",
    'updated': "_updated",
    'event_id': event_id,
    'occurred': occurred,
    'observed': observed,
    'action': action,
    'area': area,
    'category': category,
    'details': details,
    'data$json': data,
    'organization': organization,
    'organization_id': organization_id,
    'project': project,
    'project_id': project_id,
    'subjects': subjects,
    'actor': {
      'id': actor_id, 'cuid': actor_cuid, 'name': actor_name, 'upn': actor_upn, 'kind': actor_kind,
      'client_id': actor_client_id, 'author_id': author_id
    },
    'auth': { 'mechanism': auth_mechanism, 'authorization_id': authorization_id },
    'ip': ip,
    'user_agent': user_agent,
    'correlation_id': correlation_id,
    'activity_id': activity_id,
    'verdict': {
      'executor': executor, 'raised_by': raised_by, 'grade': grade, 'provisional': provisional, 'blind': blind,
      'revision': revision, 'decided': decided, 'candidate_count': coalesce(cardinality(candidates), 0),
      'candidates': candidates, 'identities': identities, 'missing': missing
    },
    'agent': {
      'id': agent_id, 'name': agent_name, 'version': agent_version, 'machine': machine, 'pool_id': pool_id, 'pool_name': pool_name
    },
    'job': {
      'id': job_id, 'request_id': request_id, 'attempt': attempt, 'run_id': run_id, 'run_kind': run_kind, 'pipeline_id': pipeline_id
    },
    'record_hash': record_hash
  } as event,
  {
    'audit_id': event_id,
    'action_id': action,
    'user': coalesce(actor_upn, actor_name),
    'src': ip,
    'executor': executor,
    'grade': grade,
    'agent_name': agent_name,
    'agent_id': cast(agent_id as text),
    'pool_name': pool_name,
    'run_id': cast(run_id as text),
    'project_name': project,
    'revision': cast(revision as text),
    'is_update': cast("_updated" as text)
  } as fields
from outgoing
