--! title = "Repository destroyed for good"
--! severity = "high"
--! attack = ["T1485"]
--! owasp = ["CICD-SEC-1"]
--! mirrors = []
--! why = "A repository that was destroyed does not come back, with its history and what it would show."
--! false_positives = "Clean-up of what was deleted before."
--! next = "Whether somebody has a clone."
--! actions = ["Git.RepositoryDestroyed"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = []
select
  concat('repository ', coalesce(json_member(data, 'RepoId'), json_member(data, 'RepoName'))) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' destroyed the repository ', json_member(data, 'RepoName'), ' in ', project) as says
from actions
where action = 'Git.RepositoryDestroyed'
  and occurred >= $from and occurred < $until
