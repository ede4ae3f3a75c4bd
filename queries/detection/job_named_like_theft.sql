--! title = "Job named like the theft of secrets"
--! severity = "low"
--! attack = ["T1195.001", "T1552"]
--! owasp = ["CICD-SEC-4"]
--! mirrors = ["community:SUPPLY-001/2"]
--! why = "People who try out tools name their jobs after them."
--! false_positives = "Jobs that renew secrets; name them in `allowed`."
--! next = "The run, who started it, and its change."
--! actions = []
--! tables = ["jobs"]
--! window_hours = 0
--! suppress_hours = 24
--! reads = ["jobs_received"]
--! params = [
--!   { name = "words", type = "text", doc = "Words of names, separated by commas", default = "dump, exfil, exfiltrate, steal, mimikatz, nordstream, harvest, pwn" },
--!   { name = "allowed", type = "text", doc = "Names of jobs that may, separated by commas", default = "" },
--! ]
select
  concat('run ', run_kind, ':', run_id) as subject,
  received as occurred, organization_id, organization, project_id, cast(null as varchar) as event_id, array_remove(make_array(''), '') as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat('the job ', name, ' of run ', run_name, ' (', run_kind, ':', run_id, ') ran on the agent ', agent_name, ' (', agent_id, ')') as says
from jobs_received($from, $until)
where regexp_like(regexp_replace(name, '([a-z0-9])([A-Z])', '\1_\2', 'g'), concat('(^|[^a-z])(', regexp_replace(trim($words), '\s*,\s*', '|', 'g'), ')s?([^a-z]|$)'), 'i')
  and not array_has(string_to_array(lower(replace($allowed, ' ', '')), ','), lower(replace(name, ' ', '')))
