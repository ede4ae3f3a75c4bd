--! title = "Service connections used, by pipeline and agent"
--! reads = ["actions"]
--! params = [
--!   { name = "since", type = "timestamp", doc = "From here on", default = "2000-01-01T00:00:00Z" },
--!   { name = "until", type = "timestamp", doc = "Up to here, exclusive", default = "2100-01-01T00:00:00Z" },
--! ]
--! returns = ["connection", "pipeline_id", "agent_name", "grade", "uses", "first", "last"]
--! tags = ["security"]
select json_name as connection, pipeline_id, agent_name, grade, count(*) as uses, min(occurred) as first, max(occurred) as last
from (
  select pipeline_id, agent_name, grade, occurred,
    coalesce(regexp_match(data, '"[Cc]onnectionName":"([^"]*)"')[1], '') as json_name
  from actions
  where action = 'Library.ServiceConnectionExecuted' and occurred >= $since and occurred < $until
)
group by json_name, pipeline_id, agent_name, grade
order by uses desc
