//! What the simulated organisation's REST API answers at a moment, with its moods: a pure function.
//!
//! As unkind as the service is known to be. Audit records come up to half an hour late and out of order,
//! and are gone after ninety days; a page has two shapes, a token that is text or number, an invalid
//! escape now and then, and may be empty though there is more. Answers are errors, other people's pages,
//! broken off or never come. The same moment and request give the same answer.

use serde_json::{Value as Json, json};

use super::present::list;
use super::world::{POOLS, project};
use super::{SimEvent, Spelling, World, mix};
use crate::model::{Ticks, Time};

/// How the service behaves.
#[derive(Debug, Clone, Default)]
pub struct Moods {
    pub seed: u64,
    /// The `authorization` header that is accepted; empty accepts all but tokens that expired.
    pub authorization: String,
    /// For how long a token is good that this service gives out, whatever it says of it.
    pub token_life: Ticks,
    /// One in so many answers is unkind, each in its own way; 0 means none.
    pub unkind_one_in: u64,
    /// One in so many is never finished; 0 means none.
    pub stalls_one_in: u64,
    /// Most records of a page, whatever is asked for; 0 means as many as are asked for.
    pub page: usize,
    /// The most by which an audit record is late.
    pub lag: Ticks,
}

/// What is asked.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The path, which begins with the organisation.
    pub path: String,
    pub query: String,
    pub authorization: String,
}

/// What is answered.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
    pub manner: Manner,
}

/// How an answer comes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Manner {
    #[default]
    Whole,
    /// The connection breaks in the middle of the body.
    Broken,
    /// It never comes.
    Stalled,
}

/// Audit records are deleted after so long.
const KEPT: Ticks = Ticks::days(90);
const BEARER: &str = "Bearer simulated-";

impl World {
    /// Answers a request as of a moment.
    pub fn answer(&self, at: Time, moods: &Moods, request: &Request) -> Reply {
        // The organisation comes first in every address but that of tokens.
        let path = request.path.trim_start_matches('/');
        if path == "msi/token" {
            return token(at);
        }
        if !moods.accept(&request.authorization, at) {
            return Reply { status: 401, ..Reply::default() };
        }
        let path = path.split_once('/').map_or("", |(_, rest)| rest);
        let dice = moods.dice(&format!("{at} {} {}", request.path, request.query));
        let body = match path {
            "_apis/audit/auditlog" => Some(self.audit(at, moods, &request.query, dice)),
            _ => self.present(at, path, &request.query).map(|body| body.to_string()),
        };
        let Some(body) = body else {
            let says = json!({"message": "there is no such thing", "typeKey": "NotFound"});
            return Reply { status: 404, ..json_reply(says.to_string()) };
        };
        let hits = |one_in: u64, dice: u64| one_in > 0 && dice.is_multiple_of(one_in);
        if hits(moods.stalls_one_in, mix(dice ^ 1)) {
            return Reply { manner: Manner::Stalled, ..json_reply(body) };
        }
        if hits(moods.unkind_one_in, mix(dice ^ 2)) {
            unkind(mix(dice ^ 3), at, body)
        } else {
            json_reply(body)
        }
    }

    /// What is there, and what is remembered of it.
    fn present(&self, at: Time, path: &str, query: &str) -> Option<Json> {
        let own = &self.own;
        let parts: Vec<&str> = path.split('/').collect();
        let pool = |id: &str| POOLS.iter().position(|(pool, _)| id.parse() == Ok(*pool));
        let top = value(query, "$top").and_then(|top| top.parse().ok()).unwrap_or(usize::MAX);
        let place = |id: &str| id.parse().is_ok_and(|id| own.is_place(id, at));
        let other = |id: &str| own.other_run(false, id.parse().ok()?);
        let home = |id: &str| (0..own.plan.projects).find(|home| project(*home).0 == id);
        let run = |id: &str| {
            let run = usize::try_from(id.parse::<i64>().ok()? - super::world::Builder::run_id(0)).ok()?;
            (run < own.plan.runs).then_some(run)
        };
        Some(match parts.as_slice() {
            ["_apis", "distributedtask", "pools"] if value(query, "poolType") == Some("deployment") => {
                own.deployment_pools()
            }
            ["_apis", "distributedtask", "pools"] => own.pools(at),
            ["_apis", "distributedtask", "pools", id, "agents"] if place(id) => {
                list(own.others_in(id.parse().ok()?, at))
            }
            ["_apis", "distributedtask", "pools", id, "jobrequests"] if place(id) => {
                own.requests_of_place(id.parse().ok()?, at, top)
            }
            ["_apis", "distributedtask", "pools", "13", "agents"] => list(vec![own.target()]),
            ["_apis", "distributedtask", "pools", "13", "jobrequests"] => own.requests_of_targets(at),
            ["_apis", "distributedtask", "pools", id, "agents"] => own.agents(pool(id)?, at),
            ["_apis", "distributedtask", "pools", id, "jobrequests"] => own.requests(pool(id)?, at, top),
            ["_apis", "distributedtask", "elasticpools"] => own.elastic_pools(),
            ["_apis", "distributedtask", "elasticpools", id, "nodes"] if place(id) => {
                list(own.other_nodes(at))
            }
            ["_apis", "distributedtask", "elasticpools", id, "nodes"] => own.nodes(pool(id)?, at),
            ["_apis", "distributedtask", "agentclouds"] => list(Vec::new()),
            ["_apis", "projects"] => own.projects(),
            [id, "_apis", "distributedtask", "queues"] => own.queues(home(id)?),
            [id, "_apis", "distributedtask", "deploymentgroups"] => own.deployment_groups(home(id)?),
            [_, "_apis", "distributedtask", "deploymentgroups", "1", "targets"] => own.targets(),
            [id, "_apis", "serviceendpoint", "endpoints"] => own.endpoints(home(id)?),
            [_, "_apis", "serviceendpoint", _, "executionhistory"] => own.uses(at),
            [id, "_apis", "build", "builds"] => {
                let since = value(query, "minTime").and_then(|text| Time::parse(&text.replace("%3A", ":")));
                own.builds(home(id)?, at, value(query, "statusFilter") == Some("completed"), since)
            }
            [_, "_apis", "build", "builds", id, "timeline"] if other(id).is_some() => {
                own.other_build(other(id)?, at)?;
                own.other_timeline(other(id)?, at)
            }
            [_, "_apis", "build", "builds", id] if other(id).is_some() => own.other_build(other(id)?, at)?,
            [_, "_apis", "build", "builds", id, "timeline"] => {
                own.build(run(id)?, at)?;
                own.timeline(run(id)?, at)
            }
            [_, "_apis", "build", "builds", id] => own.build(run(id)?, at)?,
            ["_apis", "securityroles", "scopes", _, "roleassignments", "resources", id] => {
                own.pool_roles(POOLS[pool(id)?].0)
            }
            ["_apis", "graph", "users"] => own.users(),
            ["_apis", "graph", "groups"] => own.groups(),
            ["_apis", "graph", "memberships", group] => own.members(group, at),
            [_, "_apis", "pipelines", "pipelinepermissions", "endpoint", _] => own.pipeline_permissions(),
            ["_apis", "graph", "serviceprincipals"] => own.service_principals(),
            ["_apis", "tokens", "pats"] => own.tokens(),
            _ => return None,
        })
    }

    /// A page of the audit log: the newest first, the token says where the page ended.
    fn audit(&self, at: Time, moods: &Moods, query: &str, dice: u64) -> String {
        let time = |name| value(query, name).and_then(|text| Time::parse(&text.replace("%3A", ":")));
        let from = time("startTime").unwrap_or(at - KEPT).max(at - KEPT);
        let mut until = time("endTime").unwrap_or(at);
        let asked: usize = value(query, "batchSize").and_then(|n| n.parse().ok()).unwrap_or(200);
        let size = if moods.page == 0 { asked } else { asked.min(moods.page) }.max(1);
        let token = value(query, "continuationToken").unwrap_or_default();
        let digits: String = token.chars().filter(char::is_ascii_digit).collect();
        if let Ok(ended) = digits.parse() {
            until = until.min(Time(ended));
        }
        let is_there = |event: &&SimEvent| event.occurred + moods.delay(&event.id) <= at;
        let mut rows: Vec<&SimEvent> = self
            .events()
            .iter()
            .rev()
            .filter(|event| event.occurred >= from && event.occurred < until)
            .filter(is_there)
            .collect();
        // A page ends between two moments, never within one.
        let end = rows.get(size - 1).map_or(rows.len(), |last| {
            rows.iter().position(|row| row.occurred < last.occurred).unwrap_or(rows.len())
        });
        // Empty, though there is more: but not twice in the same place.
        let is_empty = moods.unkind_one_in > 0 && dice % 7 == 3 && !token.ends_with('e') && !rows.is_empty();
        let more = is_empty || end < rows.len();
        rows.truncate(if is_empty { 0 } else { end });
        let ended = rows.last().map_or(until, |row| row.occurred).0;
        let token = match dice % 2 {
            _ if is_empty => json!(format!("p{ended}e")),
            0 => json!(ended),
            _ => json!(format!("p{ended}")),
        };
        let records: Vec<Json> = rows.into_iter().map(record).collect();
        let page = json!({"decoratedAuditLogEntries": records, "continuationToken": token, "hasMore": more});
        let page = if dice.is_multiple_of(3) { json!({"value": page}) } else { page };
        // A field note: now and then an escape that JSON does not know.
        if dice.is_multiple_of(5) {
            page.to_string().replacen("was modified", r"was \modified", 1)
        } else {
            page.to_string()
        }
    }
}

impl Moods {
    fn dice(&self, text: &str) -> u64 {
        text.bytes().fold(mix(self.seed), |dice, byte| mix(dice ^ u64::from(byte)))
    }

    /// By how much a record is late: most by little.
    fn delay(&self, id: &str) -> Ticks {
        let (dice, longest) = (self.dice(id), self.lag.0);
        let share = if dice.is_multiple_of(5) { longest } else { longest / 10 };
        Ticks((mix(dice) % 1000) as i64 * (share / 1000))
    }

    fn accept(&self, header: &str, at: Time) -> bool {
        match header.strip_prefix(BEARER).and_then(|issued| issued.parse().ok()) {
            Some(issued) => at < Time(issued) + self.token_life,
            None => self.authorization.is_empty() || header == self.authorization,
        }
    }
}

/// A token of a managed identity, as App Service gives it out; it says that it is good for a day.
fn token(at: Time) -> Reply {
    let second = at.0 / Ticks::seconds(1).0;
    let token = BEARER.trim_start_matches("Bearer ");
    json_reply(
        json!({
            "access_token": format!("{token}{}", at.0), "expires_on": (second + 86_400).to_string(),
            "resource": "499b84ac-1321-427f-aa17-267ca6975798", "token_type": "Bearer",
        })
        .to_string(),
    )
}

fn value<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| key.replace("%24", "$") == name).map(|(_, value)| value)
}

fn json_reply(body: String) -> Reply {
    let headers = vec![("content-type", "application/json; charset=utf-8".to_owned())];
    Reply { status: 200, headers, body, ..Reply::default() }
}

/// The ways in which the service is unkind.
fn unkind(dice: u64, at: Time, body: String) -> Reply {
    let only = |status, headers| Reply { status, headers, ..Reply::default() };
    let seconds = |wait: i64| (at.0 / Ticks::seconds(1).0 + wait).to_string();
    match dice % 10 {
        0 => only(429, vec![("retry-after", (dice / 10 % 4).to_string())]),
        1 => only(429, vec![("retry-after", http_date(at + Ticks::seconds(3)))]),
        2 => {
            let spent = [("x-ratelimit-remaining", "0".to_owned()), ("x-ratelimit-reset", seconds(4))];
            let mut reply = json_reply(body);
            reply.headers.extend(spent);
            reply
        }
        3 => only(503, Vec::new()),
        4 => Reply { body: "{}".to_owned(), ..only(500, Vec::new()) },
        5 => Reply {
            body: "<html>Sign in</html>".to_owned(),
            ..only(203, vec![("content-type", "text/html".to_owned())])
        },
        6 => Reply {
            body: "<html>Sign in</html>".to_owned(),
            ..only(200, vec![("content-type", "text/html; charset=utf-8".to_owned())])
        },
        7 => only(401, Vec::new()),
        8 => Reply { manner: Manner::Broken, ..json_reply(body) },
        // Cut by somebody in between, though the connection ends as it should.
        _ => {
            let cut = (0..body.len() / 2).rev().find(|end| body.is_char_boundary(*end)).unwrap_or_default();
            json_reply(body[..cut].to_owned())
        }
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`; the first of January 1970 was a Thursday.
fn http_date(at: Time) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let date = at.date();
    let (year, month, day) = date.civil();
    let name = DAYS[date.0.rem_euclid(7) as usize];
    let clock = at.to_string();
    format!("{name}, {day:02} {} {year} {} GMT", MONTHS[(month - 1) as usize], &clock[11..19])
}

fn record(event: &SimEvent) -> Json {
    let mut text = Vec::new();
    event.write(Spelling::Rest, &mut text);
    serde_json::from_slice(&text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::Plan;
    use super::*;

    fn ask(world: &World, at: Time, moods: &Moods, path: &str, query: &str) -> Reply {
        let request =
            Request { path: format!("/contoso/{path}"), query: query.to_owned(), ..Request::default() };
        world.answer(at, moods, &request)
    }

    fn hour(hour: i64) -> Time {
        Plan::demo().day + Ticks::seconds(hour * 3600)
    }

    #[test]
    fn an_answer_knows_nothing_of_what_comes() {
        let world = World::build(&Plan::demo());
        let moods = Moods { lag: Ticks::seconds(1800), ..Moods::default() };
        let count = |at: Time, path: &str| {
            let body: Json = serde_json::from_str(&ask(&world, at, &moods, path, "").body).unwrap();
            let now = at.to_string();
            for value in body["value"].as_array().unwrap() {
                for name in ["queueTime", "assignTime", "receiveTime", "finishTime"] {
                    assert!(value[name].as_str().is_none_or(|time| time <= now.as_str()), "{value}");
                }
                assert_eq!(value["finishTime"].is_string(), value["result"].is_string());
            }
            body["value"].as_array().unwrap().len()
        };
        let agents = "_apis/distributedtask/pools/11/agents";
        assert_eq!((count(hour(0), agents), count(hour(1), agents)), (0, 4));
        let jobs = "_apis/distributedtask/pools/11/jobrequests";
        let listed: Vec<usize> = (6..19).map(|h| count(hour(h), jobs)).collect();
        assert!(listed.is_sorted() && listed[0] == 1 && listed[12] == 41, "{listed:?}");
        // A machine of the scale set is there for half a minute.
        let machines = "_apis/distributedtask/pools/12/agents";
        let busiest = (0..1200).map(|half| count(hour(7) + Ticks::seconds(half * 30), machines));
        assert_eq!(busiest.max(), Some(5));
    }

    #[test]
    fn the_audit_log_is_late_and_out_of_order_and_whole_in_the_end() {
        let world = World::build(&Plan::demo());
        let moods = Moods { lag: Ticks::seconds(1800), unkind_one_in: u64::MAX, page: 7, ..Moods::default() };
        let read = |at: Time| {
            let (mut ids, mut query) = (Vec::new(), String::new());
            for _ in 0..1000 {
                let body = ask(&world, at, &moods, "_apis/audit/auditlog", &query).body;
                let body: Json = serde_json::from_str(&body.replace(r"\modified", "modified")).unwrap();
                let page = if body["value"].is_object() { &body["value"] } else { &body };
                let rows = page["decoratedAuditLogEntries"].as_array().unwrap();
                ids.extend(
                    rows.iter().map(|r| r["id"].as_str().unwrap().split(';').nth(2).unwrap().to_owned()),
                );
                if page["hasMore"] == false {
                    return ids;
                }
                let token = &page["continuationToken"];
                let token = token.as_str().map_or_else(|| token.to_string(), str::to_owned);
                let next = format!("continuationToken={token}");
                assert_ne!(next, query);
                query = next;
            }
            panic!("the pages have no end");
        };
        let there = |at: Time| world.events().iter().filter(|e| e.occurred <= at).count();
        let (noon, end) = (read(hour(12)), read(hour(30)));
        assert!(noon.len() < there(hour(12)) && !noon.is_empty());
        assert_eq!(end.len(), world.events().len());
        let distinct: std::collections::BTreeSet<&String> = end.iter().collect();
        assert_eq!(distinct.len(), end.len());
        assert!(read(hour(30) + KEPT).is_empty());
    }

    #[test]
    fn builds_are_listed_while_they_run_and_once_they_ended() {
        let world = World::build(&Plan::demo());
        let list = |at: Time, query: &str| {
            let path = format!("{}/_apis/build/builds", project(0).0);
            let body = ask(&world, at, &Moods::default(), &path, query).body;
            let body: Json = serde_json::from_str(&body).unwrap();
            let ids = body["value"].as_array().unwrap().iter().map(|build| build["id"].as_i64().unwrap());
            ids.collect::<Vec<_>>()
        };
        let all = list(hour(30), "statusFilter=completed");
        let late = list(hour(30), &format!("statusFilter=completed&minTime={}", hour(12)));
        assert!(!late.is_empty() && late.len() < all.len());
        assert_eq!(list(hour(30), "statusFilter=inProgress,notStarted"), Vec::<i64>::new());
        let busy = (0..1200).find_map(|half| {
            let at = hour(7) + Ticks::seconds(half * 30);
            let runs = list(at, "statusFilter=inProgress,notStarted");
            (!runs.is_empty()).then_some((runs, list(at, "statusFilter=completed")))
        });
        let (runs, ended) = busy.unwrap();
        assert!(runs.iter().all(|run| all.contains(run) && !ended.contains(run)));
    }

    #[test]
    fn a_token_is_good_for_less_than_it_says() {
        let world = World::build(&Plan::quiet());
        let moods =
            Moods { token_life: Ticks::seconds(60), authorization: "Basic x".to_owned(), ..Moods::default() };
        let given: Json = serde_json::from_str(&token(hour(1)).body).unwrap();
        let status = |after| {
            let authorization = format!("Bearer {}", given["access_token"].as_str().unwrap());
            let path = "contoso/_apis/projects".to_owned();
            let request = Request { path, authorization, ..Request::default() };
            world.answer(hour(1) + Ticks::seconds(after), &moods, &request).status
        };
        assert_eq!((status(59), status(60)), (200, 401));
        assert_eq!(
            http_date(Time::parse("1994-11-06T08:49:37.5Z").unwrap()),
            "Sun, 06 Nov 1994 08:49:37 GMT"
        );
    }
}
