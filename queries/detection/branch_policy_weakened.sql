--! title = "Branch policy switched off or asked for less"
--! severity = "medium"
--! attack = ["T1562", "T1195.001"]
--! owasp = ["CICD-SEC-1"]
--! mirrors = []
--! why = "A policy that is disabled, only advises, or asks for fewer reviewers is still there to see and keeps nobody out."
--! false_positives = "Teams that get smaller, and policies that are being set up."
--! next = "What was pushed to the branch since, and whether the policy is put back."
--! actions = ["Policy.PolicyConfigModified"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = []
with changed as (
  select event_id, occurred, organization_id, organization, project_id, project, agent_id, agent_name, concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')') as who,
    concat(coalesce(json_member(data, 'PolicyConfigId', 'ConfigId'), ''), ' ', coalesce(json_member(data, 'PolicyTypeDisplayName'), '')) as policy, json_member(data, 'RepoName', 'FriendlyName') as repository,
    -- A text for each property that was changed.
    unnest(string_to_array(regexp_replace(btrim(json_member(data, 'ConfigProperties'), '[] '), '\}\s*,\s*\{', concat('}', chr(1), '{'), 'g'), chr(1))) as change
  from actions
  where action = 'Policy.PolicyConfigModified' and occurred >= $from and occurred < $until
), properties as (
  select *, regexp_replace(lower(json_member(change, 'Property')), '^settings[.]', '') as property, lower(json_member(change, 'OldValue')) as before, lower(json_member(change, 'Value')) as after
  from changed
)
select
  concat('policy ', policy, coalesce(' of ' || project_id, '')) as subject,
  min(occurred) as occurred, min(organization_id) as organization_id, min(organization) as organization, project_id, event_id, make_array(event_id) as events, min(agent_id) as agent_id, min(agent_name) as agent_name,
  cast(null as varchar) as severity,
  concat(min(who), ' weakened the policy ', policy, coalesce(' in ' || min(project), ''), coalesce(' for ' || min(repository), ''), ': ', string_agg(distinct concat(property, ' from ', before, ' to ', after), ', ')) as says
from properties
where property in ('isenabled', 'isblocking', 'resetonsourcepush', 'resetrejectionsonsourcepush', 'requirevoteonlastiteration', 'requirevoteoneachiteration', 'blocklastpushervote') and before = 'true' and after = 'false'
  or property in ('creatorvotecounts', 'allowdownvotes', 'manualqueueonly') and before = 'false' and after = 'true'
  or property = 'minimumapprovercount' and try_cast(before as bigint) > try_cast(after as bigint)
group by event_id, policy, project_id
