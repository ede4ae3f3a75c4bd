--! title = "Feed takes packages from a feed of the organisation that was no upstream before"
--! severity = "low"
--! attack = ["T1195"]
--! owasp = ["CICD-SEC-3"]
--! mirrors = ["sentinel-hunting:20be967c-4923-4c4b-8e1d-e1c95d537dc3"]
--! why = "A package that somebody puts into one feed reaches the products built from all feeds that take from it."
--! false_positives = "New teams and new feeds."
--! next = "Who may publish to the upstream, and who made it."
--! actions = ["Artifacts.Feed.Org.Modify", "Artifacts.Feed.Project.Modify", "Artifacts.Feed.Org.Create", "Artifacts.Feed.Project.Create"]
--! tables = []
--! window_hours = 1680
--! suppress_hours = 0
--! reads = ["actions"]
--! params = [
--!   { name = "days", type = "bigint", doc = "Days without this upstream that make it new", default = "70" },
--!   { name = "allowed", type = "text", doc = "Names or locations of upstreams that may be added, separated by commas", default = "" },
--! ]
with feeds as (
  select event_id, occurred, organization_id, organization, coalesce(organization_id, organization) as org, project_id, agent_id, agent_name,
    concat(actor_name, ' (', coalesce(actor_client_id, actor_id), ')') as who,
    coalesce(json_member(data, 'FeedId'), json_member(data, 'FeedName')) as feed, json_member(data, 'FeedName') as feed_name,
    json_member(data, 'UpstreamsAdded', 'FeedChanges.UpstreamsAdded', 'FeedChanges.UpstreamSources') as added
  from actions
  where action in ('Artifacts.Feed.Org.Modify', 'Artifacts.Feed.Project.Modify', 'Artifacts.Feed.Org.Create', 'Artifacts.Feed.Project.Create')
    and occurred >= $from - cast(concat($days, ' days') as interval) and occurred < $until
), each as (
  select *, btrim(unnest(string_to_array(regexp_replace(added, '\}\s*,\s*\{', concat('}', chr(1), '{'), 'g'), chr(1))), '[] ') as upstream from feeds
), upstreams as (
  select *, json_member(upstream, 'Name') as name, coalesce(json_member(upstream, 'Location', 'DisplayLocation'), '') as location,
    lower(coalesce(json_member(upstream, 'UpstreamSourceType'), '')) as type
  from each
), before as (
  select *, lag(occurred) over (partition by org, location order by occurred, event_id) as last from upstreams
  where type = 'internal'
    and not array_has(string_to_array(lower(replace($allowed, ' ', '')), ','), lower(replace(coalesce(name, ''), ' ', '')))
    and not array_has(string_to_array(lower(replace($allowed, ' ', '')), ','), lower(replace(location, ' ', '')))
)
select
  concat('feed ', feed, ' ', location) as subject,
  occurred, organization_id, organization, project_id, event_id, make_array(event_id) as events, agent_id, agent_name,
  cast(null as varchar) as severity,
  concat(who, ' added the upstream ', name, ' at ', location, ' of the organisation to the feed ', feed_name, ' (', feed, ')') as says
from before
where (last is null or last < occurred - cast(concat($days, ' days') as interval)) and occurred >= $from
