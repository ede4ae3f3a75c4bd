--! title = "Personal access token used for what people do in the browser"
--! severity = "high"
--! attack = ["T1496", "T1559", "T1528"]
--! owasp = ["CICD-SEC-6", "CICD-SEC-2"]
--! mirrors = ["sentinel:ac891683-53c3-4f86-86b4-c361708e2b2b", "sumo:MATCH-S00996"]
--! why = "Permissions, projects, audit streams, extensions and memberships are seldom changed by scripts. A token that does so may be stolen."
--! false_positives = "Programs that administer the organisation; name their users in `allowed`, or move them to a managed identity."
--! next = "The token by its authorization id, where it was used before, and which agents were registered with it."
--! actions = ["Security.*", "Project.*", "AuditLog.*", "Extension.*", "Group.UpdateGroupMembership.Add", "Library.ServiceConnectionExecuted", "Pipelines.PipelineModified", "Release.ReleasePipelineModified", "Git.RefUpdatePoliciesBypassed"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 24
--! reads = ["actions"]
--! params = [
--!   { name = "allowed", type = "text", doc = "Principal names of those who may, separated by commas", default = "" },
--! ]
select
  coalesce('token ' || authorization_id, concat('user ', coalesce(actor_client_id, actor_id))) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' called ', action, ' with the token ', coalesce(authorization_id, 'of unknown id'), ' from ', ip) as says
from actions
where regexp_like(action, '^(Security|Project|AuditLog|Extension)[.]|^(Group[.]UpdateGroupMembership[.]Add|Library[.]ServiceConnectionExecuted|Pipelines[.]PipelineModified|Release[.]ReleasePipelineModified|Git[.]RefUpdatePoliciesBypassed)$')
  and auth_mechanism like 'PAT%'
  and not array_has(string_to_array(lower(replace($allowed, ' ', '')), ','), lower(coalesce(actor_upn, '')))
  and occurred >= $from and occurred < $until
