--! title = "New administrator uses the new rights at once"
--! severity = "medium"
--! attack = ["T1078.004", "T1098"]
--! owasp = ["CICD-SEC-2", "CICD-SEC-5"]
--! mirrors = ["sentinel:35ce9aff-1708-45b8-a295-5e9a307f5f17"]
--! why = "Whoever is made an administrator and at once changes permissions, policies, checks, streams or tokens may have been made one for that."
--! false_positives = "An administrator who takes over from another."
--! next = "Who gave the rights, whether somebody asked for it, and all that the member did since."
--! actions = ["Group.UpdateGroupMembership.Add", "Security.*", "AuditLog.*", "OrganizationPolicy.*", "Policy.*", "CheckConfiguration.*", "Library.*", "Pipelines.*", "Token.*", "Extension.*", "Git.RefUpdatePoliciesBypassed", "Project.UpdateVisibilityCompleted"]
--! tables = []
--! window_hours = 24
--! suppress_hours = 24
--! reads = ["actions"]
--! params = [
--!   { name = "hours", type = "bigint", doc = "Hours after the addition", default = "24" },
--!   { name = "groups", type = "text", doc = "Names of groups without their scope, separated by commas", default = "Project Administrators, Project Collection Administrators, Project Collection Service Accounts, Project Collection Build Administrators, Project Collection Build Service Accounts, Build Administrators, Release Administrators, Endpoint Administrators" },
--! ]
with added as (
  select event_id, occurred, coalesce(organization_id, organization) as org, concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')') as who,
    coalesce(json_member(data, 'GroupName'), (regexp_match(details, 'group (.*)$'))[1]) as group_name, lower(json_member(data, 'MemberId')) as first_member,
    -- One record may add several.
    unnest(string_to_array(regexp_replace(coalesce(nullif(btrim(json_member(data, 'Updates'), '[] '), ''), '{}'), '\}\s*,\s*\{', concat('}', chr(1), '{'), 'g'), chr(1))) as change
  from actions
  where action = 'Group.UpdateGroupMembership.Add'
    and occurred >= $from - cast(concat($hours, ' hours') as interval) and occurred < $until
), administrators as (
  select *, coalesce(lower(json_member(change, 'MemberId')), first_member) as member from added
  where lower(coalesce(json_member(change, 'Active'), 'true')) not in ('false', '0')
    and array_has(string_to_array(lower(replace($groups, ' ', '')), ','), lower(replace(regexp_replace(group_name, '^.*\\', ''), ' ', '')))
), did as (
  select event_id, occurred, organization_id, organization, coalesce(organization_id, organization) as org, project_id, action, actor_id, agent_id, agent_name, concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')') as who
  from actions
  where regexp_like(action, '^(Security|OrganizationPolicy|Policy|CheckConfiguration)[.]|^AuditLog[.]Stream|^Library[.]ServiceConnection|^Pipelines[.]Resource|^Token[.].*Create|^Group[.]UpdateGroupMembership|^Library[.]VariableGroup|^Library[.]Agent|^Pipelines[.]Pipeline|^Extension[.]|^Git[.]RefUpdatePoliciesBypassed$|^Project[.]UpdateVisibilityCompleted$')
    and occurred >= $from and occurred < $until
)
select
  concat('user ', d.actor_id) as subject,
  d.occurred, d.organization_id, d.organization, d.project_id, d.event_id, make_array(max(a.event_id), d.event_id) as events, d.agent_id, d.agent_name,
  cast(null as varchar) as severity,
  concat(d.who, ' did ', d.action, ', having been added at ', max(a.occurred), ' to ', max(a.group_name), ' by ', max(a.who)) as says
from administrators a
join did d on d.org = a.org and d.actor_id = a.member and d.event_id <> a.event_id
  and d.occurred >= a.occurred and d.occurred <= a.occurred + cast(concat($hours, ' hours') as interval)
group by d.actor_id, d.occurred, d.organization_id, d.organization, d.project_id, d.event_id, d.agent_id, d.agent_name, d.who, d.action
