--! title = "Variable added to a group and soon removed"
--! severity = "medium"
--! attack = ["T1578", "T1070"]
--! owasp = ["CICD-SEC-4"]
--! mirrors = ["sentinel-hunting:0fa523de-ce23-49d0-87a4-e890028e1e50"]
--! why = "A variable that is there for one run only steers that run and leaves nothing to see afterwards."
--! false_positives = "Trials and mistakes."
--! next = "Runs that used the group in between."
--! actions = ["Library.VariableGroupModified", "Library.VariableGroupModifiedForProjects"]
--! tables = []
--! window_hours = 336
--! suppress_hours = 0
--! reads = ["actions"]
--! params = [
--!   { name = "days", type = "bigint", doc = "Days between addition and removal at most", default = "7" },
--! ]
with changed as (
  select event_id, occurred, organization_id, organization, coalesce(organization_id, organization) as org, project_id, agent_id, agent_name, concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')') as who,
    coalesce(json_member(data, 'VariableGroupId'), json_member(data, 'VariableGroupName')) as id, json_member(data, 'VariableGroupName') as name,
    -- The names of the variables, of an object or of a list, without what is said of each.
    string_to_array(regexp_replace(btrim(regexp_replace(case when json_member(data, 'Variables') like '[%' then regexp_replace(json_member(data, 'Variables'), '\{(?:[^{}"]|"(?:[^"\\]|\\.)*")*?"name"\s*:\s*("(?:[^"\\]|\\.)*")(?:[^{}"]|"(?:[^"\\]|\\.)*")*\}', '\1:1', 'gi') else json_member(data, 'Variables') end, '\s*:\s*(\{(?:[^{}"]|"(?:[^"\\]|\\.)*")*\}|"(?:[^"\\]|\\.)*"|[^,{}"]+)', '', 'g'), '{}[] '), '"\s*,\s*"', concat('"', chr(1), '"'), 'g'), chr(1)) as names
  from actions
  where action in ('Library.VariableGroupModified', 'Library.VariableGroupModifiedForProjects')
    and occurred >= $from - cast(concat(2 * $days, ' days') as interval) and occurred < $until
), steps as (
  select *, lag(names) over (partition by org, id order by occurred, event_id) as before from changed
), added as (
  select *, unnest(array_except(names, before)) as variable from steps
), removed as (
  select *, unnest(array_except(before, names)) as variable from steps
)
select
  concat('variable group ', r.id, ' ', btrim(r.variable, '"')) as subject,
  r.occurred, r.organization_id, r.organization, r.project_id, r.event_id, make_array(max(a.event_id), r.event_id) as events, r.agent_id, r.agent_name,
  cast(null as varchar) as severity,
  concat(r.who, ' removed ', btrim(r.variable, '"'), ' from the variable group ', r.name, ' (', r.id, ') that ', max(a.who), ' had added at ', max(a.occurred)) as says
from added a
join removed r on r.org = a.org and r.id = a.id and btrim(r.variable, '"') = btrim(a.variable, '"')
  and r.occurred > a.occurred and r.occurred <= a.occurred + cast(concat($days, ' days') as interval)
where r.occurred >= $from
group by r.id, r.variable, r.occurred, r.organization_id, r.organization, r.project_id, r.event_id, r.agent_id, r.agent_name, r.who, r.name
