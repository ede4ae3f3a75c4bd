--! title = "Whose rights an agent, a token, a service connection or an identity has, by every name it goes by"
--! reads = ["known_as", "bindings", "actions", "jobs", "agents", "pools", "grants"]
with acted as (
  select coalesce(organization, organization_id) as org, actor_kind, coalesce(actor_client_id, actor_id) as actor, actor_name,
    case when auth_mechanism like 'PAT%' then authorization_id end as token,
    case when executor = 'agent' then agent_name end as agent_name, project_id, project, min(occurred) as at
  from actions group by 1, 2, 3, 4, 5, 6, 7, 8
), actors as (
  select a.*, coalesce(k.id, a.actor) as identity, t.name as token_name
  from acted a
  left join known_as k on k.organization = a.org and k.alias = case when a.actor_kind like '%build_service' then a.actor_name else a.actor end
  left join known_as t on t.organization = a.org and t.alias = a.token
), registered as (
  select coalesce(organization, organization_id) as org, agent_id, agent_name, machine, pool_name, identity_id, identity_name, role, "from",
    case when role = 'stated' then until else lead("from") over (
      partition by coalesce(organization, organization_id), agent_id, role order by "from") end as until
  from lake.bindings where role in ('registrant', 'stated') or identity_kind = 'vm'
), pool_names as (
  select coalesce(organization, organization_id) as org, pool_id, first_value(name order by observed desc) as pool_name
  from lake.pools where queue_id is null and name is not null and pool_id is not null group by 1, 2
), known as (
  select distinct a.org, a.agent_id, a.name, a.machine, p.pool_name
  from (
    select coalesce(organization, organization_id) as org, agent_id, name, machine, pool_id from lake.agents where event is null
    union all
    -- Of one that no list showed, no machine is known.
    select coalesce(organization, organization_id), agent_id, agent_name, null, pool_id from lake.jobs where agent_id is not null
  ) a
  left join pool_names p on p.org = a.org and p.pool_id = a.pool_id
  where a.name is not null
), borne as (
  -- What is stated holds for every agent, machine and pool that fits: in names only `*` stands for others.
  select b.org, coalesce(b.agent_id, g.agent_id) as agent_id, coalesce(g.name, b.agent_name) as agent_name, b.identity_id, b.identity_name, b.role, b."from", b.until
  from registered b
  left join known g
    on b.role <> 'registrant' and g.org = b.org and (b.agent_id is null or g.agent_id = b.agent_id)
    and lower(g.name) like lower(replace(replace(replace(replace(coalesce(b.agent_name, '*'), '\', '\\'), '%', '\%'), '_', '\_'), '*', '%'))
    and lower(coalesce(g.machine, '')) like lower(replace(replace(replace(replace(coalesce(b.machine, '*'), '\', '\\'), '%', '\%'), '_', '\_'), '*', '%'))
    and (b.role <> 'stated' or lower(coalesce(g.pool_name, '')) like lower(replace(replace(replace(replace(coalesce(b.pool_name, '*'), '\', '\\'), '%', '\%'), '_', '\_'), '*', '%')))
  where b.role = 'registrant' or g.name is not null
), ran as (
  select coalesce(organization, organization_id) as org, agent_name, project_id, pipeline_id, min(received) as at
  from lake.jobs where pipeline_id is not null group by 1, 2, 3, 4
), pipelines as (
  select org, agent_name, project_id, unnest(make_array('pipeline ' || cast(pipeline_id as varchar), 'all pipelines of ' || project_id)) as identity, at from ran
), every as (
  select organization as org, make_array(alias, name) as names, 'itself' as role, id as identity, name as identity_name,
    cast(null as timestamp) as "from", cast(null as timestamp) as until
  from known_as
  union all
  select coalesce(organization, organization_id),
    case when kind = 'connection' then make_array(resource_id, resource_name) else make_array(holder_id, holder_name) end,
    case when kind = 'connection' then 'connection' else 'itself' end, holder_id, holder_name,
    case when kind = 'connection' then "from" end, case when kind = 'connection' then until end
  from grants
  union all
  -- A token has the rights of its owner, within its scopes; a job those of whom it acts as.
  select org, case role when 'itself' then make_array(actor, actor_name) when 'token' then make_array(token, token_name) else make_array(agent_name) end,
    role, identity, actor_name, case when role <> 'itself' then at end, null
  from (select *, unnest(make_array('itself', 'token', 'job')) as role from actors)
  union all
  select b.org, make_array(b.agent_name, cast(b.agent_id as varchar)), b.role, coalesce(a.identity, k.id, b.identity_id),
    coalesce(a.actor_name, k.name, b.identity_name), b."from", b.until
  from borne b
  left join known_as k on k.organization = b.org and k.alias = b.identity_id
  left join actors a on a.org = b.org and a.token = b.identity_id
  union all
  select org, make_array(agent_name), 'pipeline', identity, null, at, null from pipelines
  -- A build service is what the pipelines of its project act as.
  union all
  select a.org, make_array(a.actor, a.actor_name), 'pipeline', r.identity, null, r.at, null
  from actors a
  join pipelines r on r.org = a.org and r.project_id = a.project_id
  where a.actor_kind = 'project_build_service' and a.project = split_part(a.actor_name, ' Build Service (', 1)
), each as (
  select *, unnest(names) as who from every where identity is not null
)
select org as organization, who, role, identity, max(identity_name) as identity_name, min("from") as "from",
  case when max(case when until is null then 1 else 0 end) = 0 then max(until) end as until
from each
where who is not null
group by org, who, role, identity
