//! A question reads what can match and nothing else: days, files, row groups, filters, pages.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use crate::lake::{Scratch, audit_record};

/// Rows of a day: enough for a file to carry filters, and for a column to have several pages.
const A_DAY: u32 = 24_000;

#[test]
fn a_question_reads_only_what_can_match() {
    let scratch = Scratch::new();
    for day in 5..8 {
        let record =
            |n| audit_record((day - 5) * A_DAY + n).replace("2026-03-05T", &format!("2026-03-0{day}T"));
        let text: String = (0..A_DAY).map(|n| record(n) + "\n").collect();
        scratch.ingest(&scratch.file(&format!("{day}.ndjson"), text));
    }
    assert_eq!(scratch.count("select count(*) from lake.events"), i64::from(3 * A_DAY));
    let plan = |filter: &str| {
        scratch.ok(&[
            "sql",
            "--format",
            "json",
            &format!("explain analyze select event_id, raw from lake.events where {filter}"),
        ])
    };
    // `name=total -> matched`, read off the scan.
    let pruned = |plan: &str, name: &str| -> (u64, u64) {
        let said = plan.split(&format!("{name}=")).nth(1).unwrap_or_else(|| panic!("no {name} in {plan}"));
        let mut numbers = said.split(|c: char| !c.is_ascii_digit()).filter(|n| !n.is_empty());
        let mut next = || numbers.next().unwrap().parse().unwrap();
        (next(), next())
    };

    // One file may be read in ranges by several threads.
    let files = |plan: &str| -> BTreeSet<String> {
        plan.split("part-").skip(1).map(|rest| rest.chars().take(32).collect()).collect()
    };

    // An id: every day is asked, and the filters of all but one say no.
    let one = plan("event_id = 'a1000000-0000-4000-8000-000000000007'");
    let (asked, left) = pruned(&one, "row_groups_pruned_bloom_filter");
    assert!(asked >= 1 && left == 1, "{one}");
    let none = plan("event_id = 'a1000000-0000-4000-8000-ffffffffffff'");
    assert!(none.contains("output_rows=0"), "{none}");

    // A moment: one file by its bounds, and within it the pages that hold it.
    let moment = plan("occurred >= '2026-03-06T14:10:00Z' and occurred < '2026-03-06T14:10:05Z'");
    assert_eq!(files(&moment).len(), 1, "{moment}");
    let (pages, left) = pruned(&moment, "page_index_pages_pruned");
    assert!(left < pages, "{moment}");

    // A day is its partition, and nothing is read for one that is not there.
    assert_eq!(files(&plan("date = '2026-03-07'")).len(), 1);
    assert!(files(&plan("date = '2026-03-09'")).is_empty());

    // Each filter is worked out once and in the order of the statement: what a rare value leaves is little to read.
    let ordered = "explain select count(*) from lake.events where agent_name = 'rare' and executor = 'agent'";
    let ordered = scratch.ok(&["sql", "--format", "json", ordered]);
    let at = |column: &str| ordered.match_indices(column).map(|(at, _)| at).collect::<Vec<_>>();
    assert_eq!(
        (at(" agent_name@").len() + at("=agent_name@").len(), at(" executor@").len()),
        (1, 1),
        "{ordered}"
    );
    assert!(at("agent_name@") < at(" executor@"), "{ordered}");

    // Of events and what revises them, the fewer are held in memory while the others are read: a join of the engine
    // holds its left side.
    let joined = scratch.ok(&["sql", "--format", "json", "explain select grade from actions"]);
    assert!(joined.contains("join_type=Right"), "{joined}");
}

/// What `one` has and `other` has not.
fn lacking(scratch: &Scratch, one: &str, other: &str) -> i64 {
    scratch
        .count(&format!("select count(*) from (select * from ({one}) a except select * from ({other}) b) x"))
}

#[test]
fn what_reads_a_part_of_the_lake_answers_as_the_view_of_all_of_it() {
    let scratch = Scratch::new();
    let out = scratch.path("out");
    scratch.ok(&["simulate", "--days", "3", "--events-per-day", "200", "--out", out.to_str().unwrap()]);
    for part in ["audit", "facts", "hooks"] {
        scratch.ingest(&out.join(format!("{part}.ndjson")));
    }
    // Columns of lists cannot be compared as sets.
    let action = "event_id, grade, executor, agent_name, run_id, run_kind, revision, array_length(evidence)";
    let mut pairs = Vec::new();
    let times = scratch.sql("select received from jobs where received is not null order by received");
    let time = |n: usize| times[n]["received"].as_str().unwrap();
    let spans = [("2026-03-02", "2027-03-09"), (time(times.len() / 3), time(times.len() / 2))];
    let at_work = |from: &str, until: &str| {
        format!(
            "coalesce(finished, received, assigned, queued) >= '{from}' \
             and coalesce(queued, assigned, received, finished) < '{until}'"
        )
    };
    for (from, until) in spans {
        pairs.push((
            format!("select * from jobs_received('{from}', '{until}')"),
            format!("select * from jobs where received >= '{from}' and received < '{until}'"),
        ));
        let pools = format!(
            "select pool_id from jobs where received >= '{from}' and received < '{until}' and pool_id is not null group by 1"
        );
        for pool in scratch.sql(&pools) {
            let pool = pool["pool_id"].as_i64().unwrap();
            pairs.push((
                format!("select * from jobs_of_pool({pool}, '{from}', '{until}')"),
                format!("select * from jobs where pool_id = {pool} and {}", at_work(from, until)),
            ));
            let busy = |of: &str| {
                format!(
                    "select key, agent_id, running, greatest(\"from\", '{from}') f, least(until, '{until}') u from {of} \
                     where pool_id = {pool} and until >= '{from}' and \"from\" < '{until}'"
                )
            };
            pairs.push((
                busy(&format!("busy_of_pool({pool}, '{from}', '{until}')")),
                format!("{} and not (running and \"from\" < '{from}')", busy("busy")),
            ));
        }
    }
    let runs = "select run_id from actions where run_id is not null and run_kind = 'build' group by 1 order by md5(cast(run_id as varchar)) limit 3";
    let runs: Vec<i64> = scratch.sql(runs).iter().map(|row| row["run_id"].as_i64().unwrap()).collect();
    for run in &runs {
        pairs.push((
            format!("select * from jobs_of_run({run})"),
            format!("select * from jobs where run_id = {run}"),
        ));
        pairs.push((
            format!("select {action} from actions_of_run({run})"),
            format!("select {action} from actions where run_id = {run}"),
        ));
        pairs.push((
            format!("select {action} from trace('{run}')"),
            format!("select {action} from actions where run_id = {run}"),
        ));
        pairs.push((
            format!("select {action} from trace('BUILD:{run}')"),
            format!("select {action} from actions where run_id = {run} and run_kind = 'build'"),
        ));
    }
    let agents = "select agent_id, agent_name from jobs where agent_id is not null group by 1, 2 order by md5(agent_name) limit 2";
    for agent in scratch.sql(agents) {
        for (column, value) in [("agent_id", &agent["agent_id"]), ("agent_name", &agent["agent_name"])] {
            let value = value.to_string().trim_matches('"').to_owned();
            for (from, until) in spans {
                pairs.push((
                    format!("select * from jobs_of_agent('{value}', '{from}', '{until}')"),
                    format!("select * from jobs where {column} = '{value}' and {}", at_work(from, until)),
                ));
                pairs.push((
                    format!("select {action} from actions_of_agent('{value}', '{from}', '{until}')"),
                    format!(
                        "select {action} from actions where {column} = '{value}' and occurred >= '{from}' and occurred < '{until}'"
                    ),
                ));
            }
        }
    }
    let one = "select event_id, correlation_id, agent_name from actions where agent_name is not null and revision > 0 order by event_id limit 1";
    let one = scratch.sql(one).remove(0);
    for column in ["event_id", "correlation_id", "agent_name"] {
        let value = one[column].as_str().unwrap();
        pairs.push((
            format!("select {action} from trace('{value}')"),
            format!("select {action} from actions where {column} = '{value}'"),
        ));
    }
    // What asks for a span of actions reads the revisions of that span alone.
    let days = |filter: &str| -> BTreeSet<String> {
        let plan = format!("explain select event_id, grade from actions {filter}");
        let plan = scratch.ok(&["sql", "--format", "json", &plan]);
        plan.split("/revisions/date=").skip(1).map(|rest| rest.chars().take(10).collect()).collect()
    };
    let all = days("");
    let first = all.first().unwrap();
    assert_eq!(
        days(&format!("where occurred <= '{first}T23:59:59.999999'")),
        BTreeSet::from([first.clone()])
    );
    assert!(all.len() > 1);
    // Of the busiest: more than the 40 that are asked for at once.
    let name = "select agent_name, count(*) as n from actions where agent_name is not null group by 1 order by 2 desc limit 1";
    let name = scratch.sql(name).remove(0);
    assert!(name["n"].as_u64() > Some(40));
    let name = name["agent_name"].as_str().unwrap();
    for limit in [3, 5000] {
        let trace = scratch.ok(&["trace", name, "--limit", &limit.to_string(), "--format", "json"]);
        let trace: Json = serde_json::from_str(&trace).unwrap();
        let began = "coalesce(queued, assigned, received, finished)";
        for (part, column, whole) in [
            ("actions", "occurred", format!("occurred from actions where agent_name = '{name}'")),
            ("jobs", "at", format!("{began} as at from jobs where agent_name = '{name}'")),
            (
                "possible",
                "occurred",
                format!(
                    "distinct event_id, occurred from (select *, unnest(candidates) as c from actions where agent_name is null) where c['agent_name'] = '{name}'"
                ),
            ),
        ] {
            let whole = scratch.sql(&format!("select {whole} order by {column} desc limit {limit}"));
            let moments =
                |rows: &[Json]| -> Vec<Json> { rows.iter().map(|row| row[column].clone()).collect() };
            let mut rows = trace[part].as_array().unwrap().clone();
            for row in rows.iter_mut().filter(|_| column == "at") {
                let times = ["queued", "assigned", "received", "finished"];
                row["at"] = times.iter().map(|time| row[*time].clone()).find(|time| !time.is_null()).unwrap();
            }
            assert!(!whole.is_empty());
            assert_eq!(moments(&rows), moments(&whole), "{limit} of {part}");
        }
    }
    for (part, whole) in &pairs {
        assert!(scratch.count(&format!("select count(*) from ({whole}) w")) > 0, "{whole}");
        assert_eq!((lacking(&scratch, part, whole), lacking(&scratch, whole, part)), (0, 0), "{part}");
    }
}
