--! title = "Variable that looks like a secret is kept in clear"
--! severity = "medium"
--! attack = ["T1552", "T1552.001"]
--! owasp = ["CICD-SEC-6"]
--! mirrors = ["sentinel:4ca74dc0-8352-4ac5-893c-73571cc78331"]
--! why = "A variable that is not marked as secret is shown to everybody who may read the group, to each job, and its value goes into the audit log."
--! false_positives = "Names that only sound like a secret, such as the key of a table; name such groups in `allowed`."
--! next = "Change the secret, mark it as such or move it to a key vault; see who could read the group meanwhile."
--! actions = ["Library.VariableGroupCreated", "Library.VariableGroupCreatedForProjects", "Library.VariableGroupModified", "Library.VariableGroupModifiedForProjects"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = [
--!   { name = "words", type = "text", doc = "Words of names that tell of a secret, separated by commas", default = "secret, password, passwd, pswd, pwd, pat, cred, credential, key, apikey, token" },
--!   { name = "allowed", type = "text", doc = "Names of variable groups that may, separated by commas", default = "" },
--! ]
with groups as (
  select event_id, occurred, organization_id, organization, project_id, agent_id, agent_name, concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')') as who,
    coalesce(json_member(data, 'VariableGroupId'), json_member(data, 'VariableGroupName')) as id, json_member(data, 'VariableGroupName') as name,
    coalesce(json_member(data, 'Type'), '') as type, json_member(data, 'Variables') as variables
  from actions
  where action in ('Library.VariableGroupCreated', 'Library.VariableGroupCreatedForProjects', 'Library.VariableGroupModified', 'Library.VariableGroupModifiedForProjects')
    and occurred >= $from and occurred < $until
), each as (
  -- A text for each variable, its name first: members of an object, or objects of a list.
  select *, unnest(string_to_array(regexp_replace(variables, '\}\s*,\s*("(?:[^"\\]|\\.)*"\s*:\s*\{|\{)', concat('}', chr(1), '\1'), 'g'), chr(1))) as variable
  from groups
), named as (
  select *, coalesce((regexp_match(variable, '"name"\s*:\s*"((?:[^"\\]|\\.)*)"', 'i'))[1], (regexp_match(variable, '"((?:[^"\\]|\\.)*)"'))[1]) as variable_name
  from each
), worded as (
  -- Words of a name begin with a capital letter or after what is no letter.
  select *, regexp_replace(concat(name, ' ', variable_name), '([a-z0-9])([A-Z])', '\1_\2', 'g') as words from named
)
select
  concat('variable group ', id) as subject,
  min(occurred) as occurred, min(organization_id) as organization_id, min(organization) as organization, min(project_id) as project_id, event_id,
  make_array(event_id) as events, min(agent_id) as agent_id, min(agent_name) as agent_name,
  cast(null as varchar) as severity,
  concat(min(who), ' left in clear in the variable group ', min(name), ' (', id, '): ', string_agg(distinct variable_name, ', ')) as says
from worded
where (regexp_like(words, concat('(^|[^a-z])(', regexp_replace(trim($words), '\s*,\s*', '|', 'g'), ')s?([^a-z]|$)'), 'i')
    -- A value that says what it holds, as connection strings do.
    or regexp_like(variable, '(password|passwd|pwd|secret|accountkey|sharedaccesskey|sharedaccesssignature|token)\s*=\s*[^;\s"$]', 'i'))
  and lower(type) <> 'azurekeyvault'
  and not regexp_like(variable, '"is_?secret"\s*:\s*"?true', 'i')
  and not array_has(string_to_array(lower(replace($allowed, ' ', '')), ','), lower(replace(coalesce(name, ''), ' ', '')))
group by event_id, id
