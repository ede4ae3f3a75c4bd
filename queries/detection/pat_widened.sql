--! title = "Personal access token given more scopes or a later end"
--! severity = "medium"
--! attack = ["T1098.001", "T1528"]
--! owasp = ["CICD-SEC-6"]
--! mirrors = []
--! why = "A token that somebody has is worth more afterwards, and nobody asks for it again."
--! false_positives = "Tokens renewed by their owners."
--! next = "From where it was changed, and what it did since."
--! actions = ["Token.PatCreateEvent", "Token.PatUpdateEvent"]
--! tables = []
--! window_hours = 8784
--! suppress_hours = 0
--! reads = ["actions"]
--! params = []
with tokens as (
  select event_id, occurred, organization_id, organization, project_id, action, agent_id, agent_name, concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')') as who, 
    -- Without its id a token is told by whose it is and what it is called.
    lower(coalesce(json_member(data, 'AuthorizationId'), concat(coalesce(actor_client_id, actor_id), ' ', json_member(data, 'DisplayName')))) as token, json_member(data, 'DisplayName') as name,
    btrim(regexp_replace(lower(coalesce(json_member(data, 'Scopes', 'Scope'), '')), '[^a-z0-9_.]+', ' ', 'g')) as scopes, coalesce(json_member(data, 'ValidTo'), '') as valid_to, coalesce(organization_id, organization) as org
  from actions
  where action in ('Token.PatCreateEvent', 'Token.PatUpdateEvent')
    and occurred >= $from - interval '366 days' and occurred < $until
), steps as (
  select *, lag(event_id) over known as event_before, lag(scopes) over known as scopes_before, lag(valid_to) over known as valid_before from tokens
  window known as (partition by org, token order by occurred, event_id)
), wider as (
  -- What a scope may do its narrower kin may as well, and the scope of an application everything.
  select *, array_except(string_to_array(scopes, ' '), string_to_array(concat(scopes_before, ' ', regexp_replace(scopes_before, '_(write|execute|manage|full)( |$)', '\2', 'g'), ' ',
    regexp_replace(scopes_before, '_(manage|full)( |$)', '_write\2', 'g'), ' ', regexp_replace(scopes_before, '_(manage|full)( |$)', '_execute\2', 'g'), ' ', regexp_replace(scopes_before, '_full( |$)', '_manage\1', 'g')), ' ')) as gained from steps
)
select
  concat('token ', token) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_before, event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(who, ' changed the token ', name, ' (', token, ') from ', scopes_before, ' until ', valid_before, ' to ', scopes, ' until ', valid_to) as says
from wider
where (scopes_before <> '' and not array_has(string_to_array(scopes_before, ' '), 'app_token') and cardinality(gained) > 0
    or substr(valid_to, 1, 10) > substr(valid_before, 1, 10))
  and action = 'Token.PatUpdateEvent'
  and occurred >= $from
