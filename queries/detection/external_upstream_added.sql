--! title = "Upstream source outside of the organisation added to a feed"
--! severity = "medium"
--! attack = ["T1199", "T1195"]
--! owasp = ["CICD-SEC-3"]
--! mirrors = ["sentinel:adc32a33-1cd6-46f5-8801-e3ed8337885f"]
--! why = "What a feed takes from an upstream is built into products. Whoever runs the upstream decides what that is."
--! false_positives = "Public registries; name those you trust in `allowed` by name or location."
--! next = "Who runs the upstream, which packages the feed took from it since, and which runs restored them."
--! actions = ["Artifacts.Feed.Org.Modify", "Artifacts.Feed.Project.Modify", "Artifacts.Feed.Org.Create", "Artifacts.Feed.Project.Create", "Artifacts.Feed.Org.Create.Upstreams", "Artifacts.Feed.Project.Create.Upstreams"]
--! tables = []
--! window_hours = 0
--! suppress_hours = 0
--! reads = ["actions"]
--! params = [
--!   { name = "allowed", type = "text", doc = "Names or locations of upstreams that may be added, separated by commas", default = "NuGet Gallery, https://api.nuget.org/v3/index.json" },
--! ]
with feeds as (
  select event_id, occurred, organization_id, organization, coalesce(organization_id, organization) as org, project_id, agent_id, agent_name,
    concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')') as who,
    coalesce(json_member(data, 'FeedId'), json_member(data, 'FeedName')) as feed, json_member(data, 'FeedName') as feed_name,
    -- Of upstreams behind a service connection a new feed has but a text: NAME (PROTOCOL) - ServiceEndpoint ID.
    coalesce(nullif(json_member(data, 'UpstreamsAdded', 'FeedChanges.UpstreamsAdded', 'FeedChanges.UpstreamSources'), '[]'),
      regexp_replace(json_member(data, 'UpstreamsWithServiceConnection'), '([^,(]*[^,( ]) [(][^)]*[)] - ([^,]*)', '{"Name":"\1","Location":"\2"}', 'g')) as added
  from actions
  where action in ('Artifacts.Feed.Org.Modify', 'Artifacts.Feed.Project.Modify', 'Artifacts.Feed.Org.Create', 'Artifacts.Feed.Project.Create', 'Artifacts.Feed.Org.Create.Upstreams', 'Artifacts.Feed.Project.Create.Upstreams')
    and occurred >= $from and occurred < $until
), each as (
  select *, btrim(unnest(string_to_array(regexp_replace(added, '\}\s*,\s*\{', concat('}', chr(1), '{'), 'g'), chr(1))), '[] ') as upstream from feeds
), upstreams as (
  select *, json_member(upstream, 'Name') as name, coalesce(json_member(upstream, 'Location', 'DisplayLocation'), '') as location,
    lower(coalesce(json_member(upstream, 'UpstreamSourceType'), '')) as type
  from each
)
select
  concat('feed ', feed, ' ', location) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(who, ' added the upstream ', coalesce(name, upstream), ' at ', location, ' to the feed ', feed_name, ' (', feed, ')') as says
from upstreams
where type <> 'internal'
  -- One whose name cannot be read is told as well.
  and not array_has(string_to_array(lower(replace($allowed, ' ', '')), ','), lower(replace(coalesce(name, ''), ' ', '')))
  and not array_has(string_to_array(lower(replace($allowed, ' ', '')), ','), lower(replace(location, ' ', '')))
