--! title = "Branch policy bypassed by somebody who never did"
--! severity = "medium"
--! attack = ["T1098", "T1098.001"]
--! owasp = ["CICD-SEC-1"]
--! mirrors = ["sentinel:4d8de9e6-263e-4845-8618-cd23a4f58b70", "sumo:FIRST-S00098"]
--! why = "A bypassed policy puts a change into a protected branch that nobody reviewed; the next run builds and deploys it."
--! false_positives = "Emergencies, and the first release of a new maintainer; name those who may in `allowed`."
--! next = "The commits that came with it, and the runs started from the branch."
--! actions = ["Git.RefUpdatePoliciesBypassed"]
--! tables = []
--! window_hours = 336
--! suppress_hours = 0
--! reads = ["actions", "heard"]
--! params = [
--!   { name = "days", type = "bigint", doc = "Days without a bypass that make it new", default = "14" },
--!   { name = "allowed", type = "text", doc = "Principal names or ids of those who may, separated by commas", default = "" },
--! ]
with done as (
  select event_id, occurred, organization_id, organization, coalesce(organization_id, organization) as org, project_id, project, action,
    coalesce(actor_client_id, actor_id) as actor, actor_name, json_member(data, 'FriendlyName', 'RefName', 'Name') as ref, json_member(data, 'RepoName') as repository, agent_id, agent_name
  from actions
  where action = 'Git.RefUpdatePoliciesBypassed'
    and not array_has(string_to_array(lower(replace($allowed, ' ', '')), ','), lower(coalesce(actor_upn, '')))
    and not array_has(string_to_array(lower(replace($allowed, ' ', '')), ','), coalesce(actor_client_id, actor_id, ''))
    and occurred >= $from - cast(concat($days, ' days') as interval) and occurred < $until
), before as (
  select *, lag(occurred) over (partition by org, actor order by occurred, event_id) as last from done
), new as (
  select b.*, case when h.since > b.occurred - cast(concat($days, ' days') as interval)
    then concat('; the records here reach back only ', cast(date_part('day', b.occurred - h.since) as bigint), ' days') end as short
  from before b
  join heard h on h.org = b.org
  where b.last is null or b.last < b.occurred - cast(concat($days, ' days') as interval)
)
select
  concat('user ', actor) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  nvl2(short, 'low', null) as severity,
  concat(actor_name, ' (', actor, ') bypassed the policies of ', coalesce(ref, 'a branch'), ' in ', repository, short) as says
from new
where occurred >= $from
