--! title = "Policy on tokens, keys or packages weakened"
--! severity = "medium"
--! attack = ["T1562", "T1556"]
--! owasp = ["CICD-SEC-6", "CICD-SEC-3"]
--! mirrors = []
--! why = "Limits on personal access tokens, SSH keys, OAuth applications and public packages keep what is stolen from being of use."
--! false_positives = "A program that cannot work with the limit yet."
--! next = "Tokens and keys made since then, and by whom."
--! actions = ["OrganizationPolicy.PolicyValueUpdated"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = []
select
  concat('policy ', json_member(data, 'PolicyName')) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' weakened a policy: ', json_member(data, 'PolicyName'), ' is ', json_member(data, 'PolicyValue')) as says
from actions
where action = 'OrganizationPolicy.PolicyValueUpdated'
  and json_member(data, 'PolicyName') in ('Policy.DisallowOAuthAuthentication', 'Policy.DisallowSecureShell', 'Policy.DisallowBasicAuthentication', 'Policy.ArtifactsExternalPackageProtectionToken', 'Policy.EnforceSettableVar', 'Policy.EnforceJobAuthScope', 'Policy.EnableLeakedPersonalAccessTokenAutoRevocation', 'Policy.RestrictFullScopePersonalAccessToken', 'Policy.RestrictGlobalPersonalAccessToken', 'Policy.RestrictPersonalAccessTokenLifespan', 'Policy.DisablePATCreation')
  and lower(json_member(data, 'PolicyValue')) in ('off', 'false')
  and occurred >= $from and occurred < $until
