--! title = "Build identity used while no job ran"
--! severity = "critical"
--! attack = ["T1528", "T1078.004", "T1550.001"]
--! owasp = ["CICD-SEC-6", "CICD-SEC-10"]
--! mirrors = []
--! why = "The identity of a project's builds belongs to its jobs alone. Where every pool was heard and no job of its scope ran, its token is used somewhere else."
--! false_positives = "Pools that nobody collects the jobs of; then the verdict is not sure and this stays silent."
--! next = "The address and user agent, and the job that had the token last."
--! actions = ["*"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 1
--! reads = ["actions"]
--! params = []
select
  concat('user ', actor_id) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(actor_name, ' (', actor_id, ') did ', action, ' from ', ip, ' while no job of its scope ran, with ', user_agent) as says
from actions
where actor_kind in ('project_build_service', 'collection_build_service')
  and executor = 'client'
  and occurred >= $from and occurred < $until
