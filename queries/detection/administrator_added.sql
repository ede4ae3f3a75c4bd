--! title = "Member added to a group of administrators"
--! severity = "medium"
--! attack = ["T1098", "T1098.003", "T1078.004"]
--! owasp = ["CICD-SEC-2", "CICD-SEC-5"]
--! mirrors = ["sentinel:89e6adbd-612c-4fbe-bc3d-32f81baf3b6c", "sentinel-hunting:7b634263-9971-4887-8ecf-0d83ab9c7370", "sumo:MATCH-S00995", "sumo:MATCH-S00994"]
--! why = "An administrator changes pipelines, permissions and policies. Those of the collection do so in every project, and see to it that nobody notices."
--! false_positives = "Teams that grow, and rights given for a time."
--! next = "Who the member is, what was done with the new rights, and when they are taken away again."
--! actions = ["Group.UpdateGroupMembership.Add"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = [
--!   { name = "groups", type = "text", doc = "Names of groups without their scope, separated by commas", default = "Project Administrators, Project Collection Administrators, Project Collection Service Accounts, Project Collection Build Administrators, Project Collection Build Service Accounts, Build Administrators, Release Administrators, Endpoint Administrators" },
--! ]
with added as (
  select event_id, occurred, organization_id, organization, project_id, agent_id, agent_name, concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')') as who,
    coalesce(json_member(data, 'GroupName'), (regexp_match(details, 'group (.*)$'))[1]) as group_name, lower(json_member(data, 'MemberId')) as first_member,
    -- One record may add several.
    unnest(string_to_array(regexp_replace(coalesce(nullif(btrim(json_member(data, 'Updates'), '[] '), ''), '{}'), '\}\s*,\s*\{', concat('}', chr(1), '{'), 'g'), chr(1))) as change,
    coalesce(json_member(data, 'MemberDisplayName'), (regexp_match(details, '^(.*) was added as'))[1]) as told_name
  from actions
  where action = 'Group.UpdateGroupMembership.Add' and occurred >= $from and occurred < $until
), members as (
  select *, coalesce(lower(json_member(change, 'MemberId')), first_member, 'unknown') as member from added
  where lower(coalesce(json_member(change, 'Active'), 'true')) not in ('false', '0')
)
select
  concat('user ', member) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  case when regexp_like(group_name, 'project collection', 'i') then 'high' end as severity,
  concat(who, ' added ', case when member = coalesce(first_member, member) then told_name || ' ' end, '(', member, ') to ', group_name) as says
from members
where array_has(string_to_array(lower(replace($groups, ' ', '')), ','), lower(replace(regexp_replace(group_name, '^.*\\', ''), ' ', '')))
