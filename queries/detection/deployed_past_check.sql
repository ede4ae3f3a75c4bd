--! title = "Deployment of a stage whose checks were refused or cancelled"
--! severity = "high"
--! attack = ["T1562"]
--! owasp = ["CICD-SEC-1"]
--! mirrors = []
--! why = "A stage whose checks did not pass must not deploy. One that does was let past them."
--! false_positives = "Checks that were run again and passed; then this stays silent."
--! next = "Who let it go on, and the checks of the stage."
--! actions = ["CheckSuite.Completed", "Pipelines.DeploymentJobCompleted"]
--! tables = []
--! window_hours = 72
--! suppress_hours = 0
--! reads = ["actions"]
--! params = [
--!   { name = "hours", type = "bigint", doc = "Hours between the checks and the deployment at most", default = "72" },
--! ]
with done as (
  select event_id, occurred, organization_id, organization, coalesce(organization_id, organization) as org, project_id, project, action, agent_id, agent_name,
    concat(json_member(data, 'PipelineId', 'PipelineName'), '/', json_member(data, 'RunName'), '/', json_member(data, 'StageName')) as stage, json_member(data, 'RunName') as run, lower(json_member(data, 'CheckSuiteStatus')) as status, lower(json_member(data, 'DeploymentResult')) as result
  from actions
  where action in ('CheckSuite.Completed', 'Pipelines.DeploymentJobCompleted')
    and occurred >= $from - cast(concat($hours, ' hours') as interval) and occurred < $until
), steps as (
  select *, last_value(status) ignore nulls over before as status_before, last_value(nvl2(status, event_id, null)) ignore nulls over before as check_id,
    last_value(nvl2(status, cast(occurred as varchar), null)) ignore nulls over before as checked
  from done
  window before as (partition by org, project_id, stage order by occurred, event_id rows between unbounded preceding and 1 preceding)
)
select
  concat('stage ', stage, coalesce(' of ' || project_id, '')) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(check_id, event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat('the run ', run, ' of ', project, ' deployed the stage ', stage, ' although its checks were ', status_before, ' at ', checked) as says
from steps
where status_before in ('rejected', 'failed', 'canceled', 'cancelled', 'timedout') and result like 'succeeded%'
  and arrow_cast(checked, 'Timestamp(Microsecond, Some("UTC"))') >= occurred - cast(concat($hours, ' hours') as interval) and occurred >= $from
