--! title = "Default branch changed, or repository forked or disabled"
--! severity = "low"
--! attack = ["T1213.003", "T1195.001"]
--! owasp = ["CICD-SEC-1", "CICD-SEC-3"]
--! mirrors = []
--! why = "Pipelines build from the default branch; a fork takes the code to where others read it; a disabled repository stops everybody."
--! false_positives = "Everyday work."
--! next = "Which pipelines build from the branch, or who may read the fork."
--! actions = ["Git.RepositoryDefaultBranchChanged", "Git.RepositoryForked", "Git.RepositoryDisabled"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = []
select
  concat('repository ', coalesce(json_member(data, 'RepoId'), json_member(data, 'RepoName'))) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' did ', action, ' on ', json_member(data, 'RepoName'), ' in ', project, coalesce(': ' || json_member(data, 'DefaultBranch', 'ParentRepoName'), '')) as says
from actions
where action in ('Git.RepositoryDefaultBranchChanged', 'Git.RepositoryForked', 'Git.RepositoryDisabled')
  and occurred >= $from and occurred < $until
