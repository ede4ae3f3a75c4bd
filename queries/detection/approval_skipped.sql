--! title = "Approval skipped, or handed to somebody else"
--! severity = "medium"
--! attack = ["T1562", "T1098"]
--! owasp = ["CICD-SEC-1"]
--! mirrors = []
--! why = "Who skips an approval, or has it given by somebody else, decides what the approver was to decide."
--! false_positives = "Approvers who are away."
--! next = "The run that waited, what it deployed, and whether the other approver knows of it."
--! actions = ["ApprovalSkipped", "ApproverReassigned"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = []
select
  concat('approval ', coalesce(json_member(data, 'ApprovalId'), event_id)) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), case when action = 'ApprovalSkipped' then ' skipped an approval' else concat(' gave the approval of ', json_member(data, 'OldApproverDisplayName'), ' to ', json_member(data, 'NewApproverDisplayName')) end, coalesce(' in ' || coalesce(project, json_member(data, 'ProjectName')), ''), coalesce(': ' || json_member(data, 'Comment'), '')) as says
from actions
where action in ('ApprovalSkipped', 'ApproverReassigned')
  and occurred >= $from and occurred < $until
