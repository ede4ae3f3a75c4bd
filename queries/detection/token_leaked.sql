--! title = "Personal access token found in public, or revoked by the system for that"
--! severity = "high"
--! attack = ["T1528", "T1552.001"]
--! owasp = ["CICD-SEC-6"]
--! mirrors = []
--! why = "Somebody else may have had the token before it was found."
--! false_positives = "None."
--! next = "Where it was, everything done with it, and the agents it registered."
--! actions = ["Token.PatPublicDiscoveryEvent", "Token.PatSystemRevokeEvent"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = []
select
  concat('token ', lower(coalesce(json_member(data, 'AuthorizationId'), json_member(data, 'DisplayName')))) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat('the token ', json_member(data, 'DisplayName'), ' of ', json_member(data, 'OwnerName'), ' was found in public (', action, ')') as says
from actions
where action in ('Token.PatPublicDiscoveryEvent', 'Token.PatSystemRevokeEvent')
  and occurred >= $from and occurred < $until
