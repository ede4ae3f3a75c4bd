--! title = "Package feed created"
--! severity = "low"
--! attack = ["T1195"]
--! owasp = ["CICD-SEC-3"]
--! mirrors = ["sentinel-hunting:3d1aa540-b4c7-4789-8c4c-4174b3c2371f"]
--! why = "A feed can bring packages of somebody else under the names of your own into builds."
--! false_positives = "New teams and products."
--! next = "Who may publish to it, its upstreams, and which builds restore from it."
--! actions = ["Artifacts.Feed.Org.Create", "Artifacts.Feed.Project.Create", "Artifacts.Feed.Org.Create.Upstreams", "Artifacts.Feed.Project.Create.Upstreams"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = []
select
  concat('feed ', coalesce(json_member(data, 'FeedId'), json_member(data, 'FeedName'))) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')'), ' created the feed ', json_member(data, 'FeedName'), coalesce(' in ' || project, '')) as says
from actions
where action in ('Artifacts.Feed.Org.Create', 'Artifacts.Feed.Project.Create', 'Artifacts.Feed.Org.Create.Upstreams', 'Artifacts.Feed.Project.Create.Upstreams')
  and occurred >= $from and occurred < $until
