--! title = "Branch policies bypassed"
--! severity = "low"
--! attack = ["T1098"]
--! owasp = ["CICD-SEC-1"]
--! mirrors = ["sentinel-hunting:df205daf-fcf3-4b95-a7fd-043b70f6c209"]
--! why = "What goes into a protected branch without review is built and deployed like everything else."
--! false_positives = "Emergencies."
--! next = "The commits that came with it, and the runs that were started from the branch."
--! actions = ["Git.RefUpdatePoliciesBypassed"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 24
--! reads = ["actions"]
--! params = []
select
  concat('user ', coalesce(actor_client_id, actor_id)) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' bypassed the policies of ', coalesce(json_member(data, 'FriendlyName', 'RefName', 'Name'), 'a branch'), ' in the repository ', json_member(data, 'RepoName'), coalesce(': ' || json_member(data, 'BypassReason'), '')) as says
from actions
where action = 'Git.RefUpdatePoliciesBypassed'
  and occurred >= $from and occurred < $until
