//! Hostile statements, with what must come of each through every door.
//!
//! | wall | where it stands | cases |
//! |---|---|---|
//! | statements that read, by kind; one at a time | `query::session::options`, `serve::postgres::statement` | [`writes`] |
//! | no file, no URL, no setting of others | the functions and tables that a session has | [`readers`], [`settings`] |
//! | rows of organisations and projects, masks, lists as counts, the log of queries | `query::scope`, a leaf below every view | [`escapes`] |
//! | size: bytes, depth, items, columns, sets of groups, tables through views and `with` | `query::size`, before planning | [`too_large`] |
//! | memory that the engine accounts for, and room to spill | `query::session::Share` | [`memory`], [`bombs`] |
//! | memory that it does not: values made by functions, constants, the process | `query::made`, `query::joined`, `query::bounded`, `query::yielding`, `serve::watch` | [`functions`], [`memory`], [`bombs`] |
//! | time, rows, queries at once, operators that give way, threads of one's own | `serve::gate`, `query::yielding` | [`endless`] |
//! | faults of the engine itself | `serve::gate::unbroken` | [`faults`] |

/// What must come of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is not answered: one of these SQLSTATEs, and of these statuses.
    Refused(&'static [&'static str], &'static [u16]),
    /// It ends by itself or by one of the bounds, whichever it meets first.
    Bounded,
    /// It has more memory or disk than it may, which is told in these words.
    Memory(&'static str),
    /// One count, of which whoever is out of scope sees nothing; whoever sees all sees some.
    Hidden,
    /// Whatever is said, the server is well; no fault of its own.
    Harmless,
}

/// A statement, and what must come of it.
pub type Case = (Outcome, String);

fn all(outcome: Outcome, statements: &[&str]) -> Vec<Case> {
    statements.iter().map(|sql| (outcome, (*sql).to_owned())).collect()
}

/// What changes something, or tries to.
pub fn writes() -> Vec<Case> {
    let only_reads = Outcome::Refused(&["25006", "42601", "0A000", "42P01", "26000"], &[400]);
    all(
        only_reads,
        &[
            "drop table lake.events",
            "drop view actions",
            "drop schema lake cascade",
            "delete from lake.events",
            "update lake.events set actor_name = 'x'",
            "insert into lake.events select * from lake.events",
            "insert into queries_log select * from queries_log",
            "insert into lake.events select * from lake.events returning *",
            "merge into lake.events e using lake.facts f on e.seq = f.seq when matched then delete",
            "truncate table lake.events",
            "truncate lake.events",
            "create table t as select 1",
            "create temporary table t as select 1",
            "create unlogged table t (a int)",
            "create view v as select 1",
            "create or replace view actions as select 1",
            "create schema s",
            "create database d",
            "create function f() returns int return 1",
            "create role eve superuser",
            "create external table t stored as csv location '/etc/passwd'",
            "create extension dblink",
            "alter table lake.events drop column raw",
            "alter role ada superuser",
            "grant all on lake.events to eve",
            "select * into t from actions",
            "with gone as (delete from lake.events returning *) select * from gone",
            "explain analyze insert into lake.events select * from lake.events",
            "explain analyze delete from lake.events",
            "explain analyze create table t as select 1",
            "DrOp/**/TaBlE lake.events",
            "/* select 1 */ drop table lake.events -- select 1",
            "drop table lake.events;select 1",
            "do $$ begin drop table lake.events; end $$",
            "call pg_reload_conf()",
            "lock table lake.events",
            "vacuum lake.events",
            "analyze lake.events",
            "reindex table lake.events",
            "cluster lake.events",
            "comment on table lake.events is 'x'",
            "refresh materialized view actions",
            "notify x",
            "copy lake.events from '/etc/passwd'",
            "copy lake.events from stdin",
            "copy lake.events from program 'id'",
            "prepare p as delete from lake.events",
            // What was refused is not kept under its name.
            "execute p",
        ],
    )
}

/// What reads outside the tables.
pub fn readers() -> Vec<Case> {
    let nothing = Outcome::Refused(&["42P01", "42883", "25006", "42601", "0A000"], &[400]);
    all(
        nothing,
        &[
            "select * from '/etc/passwd'",
            "select * from \"/etc/passwd\"",
            "select * from 'file:///etc/passwd'",
            "select * from 'http://127.0.0.1:1/x.csv'",
            "select * from 'https://example.org/x.parquet'",
            "select * from 's3://bucket/x.parquet'",
            "select * from read_csv('/etc/passwd')",
            "select * from read_parquet('/etc/passwd')",
            "select * from parquet_metadata('/etc/passwd')",
            "select * from metadata_cache()",
            "select * from statistics_cache()",
            "select * from list_files_cache()",
            "select pg_read_file('/etc/passwd')",
            "select pg_read_binary_file('/etc/passwd')",
            "select pg_ls_dir('/')",
            "select lo_import('/etc/passwd')",
            "select * from dblink('host=127.0.0.1', 'select 1') as t(a int)",
            "select query_to_xml('select 1', true, true, '')",
            "select pg_sleep(1000)",
            "select getenv('HOME')",
            "select pg_terminate_backend(1)",
            "select pg_cancel_backend(1)",
            "copy (select 1) to '/tmp/agentrail-hostile.csv'",
            "copy lake.events to '/tmp/agentrail-hostile.parquet'",
            "copy (select 1) to program 'id'",
            "load '/tmp/x.so'",
        ],
    )
}

/// What changes a setting that is not one's own, or more than one may.
pub fn settings() -> Vec<Case> {
    let refused = Outcome::Refused(&["42704", "22023", "0A000", "42601", "25006"], &[400]);
    all(
        refused,
        &[
            "set datafusion.execution.batch_size = 1",
            "set datafusion.catalog.information_schema = false",
            "set datafusion.execution.target_partitions = 1000000",
            "set datafusion.runtime.memory_limit = '100G'",
            "set datafusion.runtime.temp_directory = '/etc'",
            "set datafusion.sql_parser.recursion_limit = 1000000",
            "set transaction_read_only = off",
            "set session authorization eve",
            "set role ada",
            "set server_version = '9'",
            "set local statement_timeout = 'never'",
            "select set_config('transaction_read_only', 'off', false)",
            "select set_config('datafusion.execution.batch_size', '1', false)",
        ],
    )
}

/// Ways around a scope. Each counts rows of an organisation that the asker does not see, or fails over them.
pub fn escapes() -> Vec<Case> {
    all(
        Outcome::Hidden,
        &[
            "select count(*) from actions",
            "select count(*) from public.actions",
            "select count(*) from agentrail.public.actions",
            "select count(*) from \"agentrail\".\"lake\".\"events\"",
            "select count(*) from lake.events where details like '%'",
            "select count(*) from lake.facts",
            "select count(*) from jobs",
            "select count(*) from runs",
            "select count(*) from agents",
            "select count(*) from agents_now",
            "select count(*) from pools",
            "select count(*) from identities",
            "select count(*) from known_as",
            "select count(*) from bindings",
            "select count(*) from grants",
            "select count(*) from coverage",
            "select count(*) from actions_as_known(now())",
            "select count(*) from jobs_received(timestamp '2000-01-01', now())",
            "select count(*) from jobs_of_run(9000700)",
            "select count(*) from jobs_of_agent('linux-build-01', timestamp '2000-01-01', now())",
            "select count(*) from actions_of_run(700)",
            "select count(*) from actions_of_agent('linux-build-01', timestamp '2000-01-01', now())",
            "select count(*) from jobs_of_pool(11, timestamp '2000-01-01', now())",
            "select count(*) from busy_of_pool(11, timestamp '2000-01-01', now())",
            "select count(*) from agent_at('contoso', 'linux-build-01', timestamp '2026-03-05T12:00:00Z')",
            "select count(*) from (select * from actions union all select * from actions) a",
            "with a as (select * from lake.events), b as (select * from a) select count(*) from b",
            "with recursive r as (select seq, 1 as n from lake.events union all select seq, n + 1 from r where n < 2) select count(*) from r",
            "select (select count(*) from lake.events)",
            "select count(*) from generate_series(1, 1) g(v) where exists (select 1 from lake.events)",
            "select count(*) from generate_series(1, 1) g(v) where v <= (select count(*) from lake.events)",
            "select count(*) from generate_series(1, 1) g(v) where 'contoso' in (select organization from lake.events)",
            "select count(*) from generate_series(1, 1) g(v) left join lake.events e on true where e.seq is not null",
            "select count(*) from generate_series(1, 1) g(v) full join lake.events e on false where e.seq is not null",
            "select count(*) from lake.events a join lake.events b on a.event_id = b.event_id or true",
            "select count(*) from lake.events a left anti join lake.jobs b on a.seq = b.seq",
            "select coalesce(max(n), 0) from (select row_number() over () as n from lake.events)",
            "select coalesce(sum(n), 0) from (select count(*) over (partition by organization) as n from lake.events)",
            "select count(*) from lake.events group by grouping sets (())",
            "select count(*) from lake.events where organization_id is null or organization_id is not null or true",
            "select count(*) from lake.events where not (organization = 'fabrikam')",
            "select cardinality(coalesce(array_agg(event_id), make_array())) from lake.events",
            "select length(coalesce(string_agg(raw, ''), '')) from lake.events",
            "select count(*) from (select unnest(evidence) from lake.events)",
            "select count(*) from (select unnest(candidates) from actions)",
            "select count(*) from (select unnest(subjects) from actions)",
            "select approx_distinct(event_id) from lake.events",
            // On a row of others these would fail, and say what is in it.
            "select count(*) from lake.events where cast(details as bigint) > 0",
            "select count(*) from lake.events where 1 / (case when organization = 'contoso' then 0 else 1 end) > 0",
            "select count(*) from (select cast(action as int) as n from lake.events where action like '%') where n > 0",
            "select count(*) from lake.events e join lake.jobs j on cast(e.action as int) = j.request_id",
            "select count(*) from lake.events where arrow_cast(actor_name, 'Int64') = 1 and seq > 0",
            "select count(*) from lake.events where json_member(raw, 'x') is null and cast(details as bigint) > 0 or seq is not null",
            "select count(*) from queries_log where person <> 'otto'",
            "select count(*) from lake.queries_log where person = 'root'",
        ],
    )
}

fn chain(of: &str, by: &str, count: usize) -> String {
    vec![of; count].join(by)
}

/// `with c0 as (first), c1 as (body over c0), ...` and `last` over the last of them.
fn steps(count: usize, first: &str, body: &str, last: &str) -> String {
    let mut sql = format!("with c0 as ({first})");
    for n in 1..=count {
        sql.push_str(&format!(", c{n} as ({})", body.replace("{p}", &format!("c{}", n - 1))));
    }
    format!("{sql} select {last} from c{count}")
}

fn many(of: &str, count: usize) -> String {
    (0..count).map(|n| of.replace("{n}", &n.to_string())).collect::<Vec<_>>().join(", ")
}

/// What cannot be planned in a time, or overflows a stack, told before.
pub fn too_large() -> Vec<Case> {
    let refused = Outcome::Refused(&["54001"], &[422]);
    let statements = [
        format!("select {}", chain("1", "+", 20_000)),
        format!("select {}", chain("'a'", "||", 20_000)),
        format!("select {}", chain("1", "-", 20_000)),
        format!("select count(*) from lake.events where {}", chain("seq=1", " or ", 12_000)),
        format!("select count(*) from lake.events where {}", chain("seq=1", "/**/and\n", 9_000)),
        chain("select 1,2", " union all ", 5_000),
        chain("(select 1)", " intersect ", 5_000),
        format!("select 1{}", "::int".repeat(20_000)),
        format!("select make_array(1){}", "[1]".repeat(5_000)),
        format!("select 1{}", " is null".repeat(9_000)),
        format!("select count(*) from lake.events where seq in ({})", many("{n}", 21_000)),
        format!("select count(*) from (values {}) v", many("(1)", 25_000)),
        format!("select length('{}')", "x".repeat(200_000)),
        format!("select 1 /* {} */", "x".repeat(200_000)),
        format!("select {} from lake.events", many("1 as c{n}", 1_700)),
        format!("select count(*) from lake.events group by cube({})", many("c{n}", 20)),
        format!("select 1 from t group by {}", many("rollup(a{n}, b{n})", 12)),
        steps(30, "select 1 as x", "select 1 as x from {p} a, {p} b", "count(*)"),
        steps(30, "select 1 as x", "select 1 as x from {p} union all select 1 from {p}", "count(*)"),
        format!("select count(*) from {}", many("lake.events e{n}", 500)),
        format!("select count(*) from {}", many("actions a{n}", 100)),
        format!("select count(*) from {}", many("trace('x') t{n}", 100)),
    ];
    statements.map(|sql| (refused, sql)).into()
}

/// Functions that make long values: refused where they are called, or not there at all.
pub fn functions() -> Vec<Case> {
    all(
        Outcome::Refused(&["42601", "42883"], &[400]),
        &[
            "select repeat('x', 2000000000)",
            "select lpad('x', 2000000000)",
            "select rpad('x', 2000000000)",
            "select range(1, 10000000000)",
            "select generate_series(timestamp '2000-01-01', timestamp '2200-01-01', interval '1 second')",
            "select array_repeat(1, 10000000000)",
            "select array_resize(make_array(1), 10000000000)",
            "select array_repeat(1, 2)",
            "select list_resize(make_array(1), 2)",
            "select levenshtein(repeat('a', 10000), repeat('b', 10000) || value) from generate_series(1, 10000)",
        ],
    )
}

/// One for each bound of memory, which must be what it ends by.
pub fn memory() -> Vec<Case> {
    let pool = "Additional allocation failed";
    let made = "made by one function";
    let text = "select repeat('x', 10000) as x";
    vec![
        (Outcome::Memory(pool), "select array_agg(repeat('x', 10000)) from generate_series(1, 100000)".to_owned()),
        (Outcome::Memory("used disk space"), "select count(distinct lpad(cast(value as varchar), 10000, 'x')) from generate_series(1, 1000000)".to_owned()),
        (Outcome::Memory(made), steps(30, text, "select x || x as x from {p}", "max(length(x))")),
        (Outcome::Memory(made), steps(3, text, "select replace(x, 'x', x) as x from {p}", "max(length(x))")),
    ]
}

/// What takes memory, told or not told to the engine.
pub fn bombs() -> Vec<Case> {
    let text = "select repeat('x', 10000) as x";
    let statements = [
        steps(6, text, &format!("select concat({}) as x from {{p}}", many("x", 50)), "max(length(x))"),
        steps(30, "select make_array(1, 2) as x", "select array_concat(x, x) as x from {p}", "max(cardinality(x))"),
        steps(4, "select 'x' as x", "select replace(x, 'x', repeat('x', 10000)) as x from {p}", "max(length(x))"),
        steps(4, "select 'x' as x", "select regexp_replace(x, 'x', repeat('x', 10000), 'g') as x from {p}", "max(length(x))"),
        steps(8, "select repeat('x', 10) as x", "select array_to_string(string_to_array(x, 'x'), repeat('x', 10000)) as x from {p}", "max(length(x))"),
        "select length(string_agg(repeat('x', 10000), '')) from generate_series(1, 1000000)".to_owned(),
        "select array_agg(repeat('x', 10000)) from generate_series(1, 100000)".to_owned(),
        "select max(a) from (select array_agg(repeat(md5(cast(value as varchar)), 300)) as a from generate_series(1, 100000) group by value % 7)".to_owned(),
        format!("select count(distinct '{}' || value) from generate_series(1, 1000000)", "x".repeat(100_000)),
        format!("select {} from (select '{}' as x from generate_series(1, 100000)) t", many("x as c{n}", 100), "x".repeat(90_000)),
        format!("select make_array({}) from generate_series(1, 100000)", many("repeat('x', 10000)", 1_000)),
        format!("select named_struct({}) from generate_series(1, 100000)", many("'a{n}', repeat('x', 10000)", 1_000)),
        format!("select {} from generate_series(1, 100000) t(v)", many("lpad(cast(v as varchar), 10000, 'x') as c{n}", 1_500)),
        "select cardinality(flatten(array_agg(range(1, 10000)))) from generate_series(1, 100000)".to_owned(),
        "select count(distinct lpad(cast(value as varchar), 10000, 'x')) from generate_series(1, 1000000)".to_owned(),
        "select count(distinct md5(cast(value as varchar))) from generate_series(1, 1000000000)".to_owned(),
        "select median(value) from generate_series(1, 1000000000)".to_owned(),
        "select array_sort(range(1, 4000000)) from generate_series(1, 1000)".to_owned(),
        "select count(*) from (select unnest(range(1, 4000000)) from generate_series(1, 100000))".to_owned(),
        "with recursive r as (select 1 as n, repeat('x', 10000) as x union all select n + 1, x from r) select count(*) from r".to_owned(),
        "select max(s) from (select count(*) over (partition by value % 3) as s from generate_series(1, 50000000))".to_owned(),
        "select max(x) from (select md5(cast(value as varchar)) as x from generate_series(1, 100000000) order by 1)".to_owned(),
        "select count(*) from lake.events a, lake.events b, lake.events c where a.raw || b.raw || c.raw like '%zzz%'".to_owned(),
    ];
    statements.map(|sql| (Outcome::Bounded, sql)).into()
}

/// What never ends by itself.
pub fn endless() -> Vec<Case> {
    all(
        Outcome::Bounded,
        &[
            "select count(*) from lake.events a, lake.events b, lake.events c, lake.events d where a.seq * b.seq > c.seq + d.seq",
            "with recursive r as (select 1 as n union all select n + 1 from r) select count(*) from r",
            "with recursive r as (select 1 as n union all select n + 1 from r, generate_series(1, 10)) select count(*) from r",
            "select count(*) from generate_series(1, 1000000000) a, generate_series(1, 1000000) b",
            "select count(*) from generate_series(1, 9223372036854775807)",
            "select count(*) from generate_series(1, 3000000) a(v), generate_series(1, 3000000) b(w) where a.v + b.w < 0",
            "select count(*) from generate_series(1, 9223372036854775807) where repeat('a', 5000) ~ '(a*)*b'",
            "select max(levenshtein(repeat('a', 10000), repeat('b', 9990) || value)) from generate_series(1, 100000)",
            "select arrow_cast(null, 'FixedSizeList(2000000000, Int64)')",
            "select * from generate_series(1, 100000000)",
            "explain analyze select count(*) from generate_series(1, 1000000000) a, generate_series(1, 1000000) b",
            "copy (select * from generate_series(1, 100000000)) to stdout",
        ],
    )
}

/// What once made the engine fail, or could.
pub fn faults() -> Vec<Case> {
    let mut cases = all(
        Outcome::Harmless,
        &[
            "",
            ";",
            ";;;",
            "select",
            "'",
            "select $1",
            "select $99999",
            "select 1 limit -1",
            "select 1 limit 9223372036854775807 offset 9223372036854775807",
            "select -9223372036854775808 / -1",
            "select 1 % 0",
            "select substr('abc', -9223372036854775808, 9223372036854775807)",
            "select left('abc', -9223372036854775808), right('abc', -9223372036854775808)",
            "select split_part('a,b', ',', -9223372036854775808)",
            "select chr(-1)",
            "select factorial(1000000000)",
            "select make_array(1)[9223372036854775807]",
            "select array_slice(make_array(1, 2, 3), -9223372036854775808, 9223372036854775807, -1)",
            "select to_timestamp(9223372036854775807), to_timestamp(-1e300)",
            "select now() + interval '999999999 years'",
            "select date_bin(interval '0 seconds', now())",
            "select generate_series(1, 10, 0)",
            "select count(*) from generate_series(9223372036854775800, 9223372036854775807)",
            "select nth_value(value, -9223372036854775808) over () from generate_series(1, 10)",
            "select lag(value, 9223372036854775807) over (order by value) from generate_series(1, 10)",
            "select ntile(9223372036854775807) over (order by value) from generate_series(1, 10)",
            "select approx_percentile_cont(value, 0.5, 1000000000) from generate_series(1, 1000)",
            "select count(*) from lake.events where action ~ '((((a{1,100}){1,100}){1,100}){1,100})'",
            "select arrow_cast('x', 'FixedSizeBinary(2000000000)')",
            "select \u{202e}1, '\u{1}', U&'\\0441'",
            "select * from actions where event_id = 'x' or '1'='1' -- '",
        ],
    );
    cases.extend([
        (Outcome::Harmless, format!("select {}1{}", "(".repeat(5_000), ")".repeat(5_000))),
        (Outcome::Harmless, format!("select {}true", "not ".repeat(500))),
        (Outcome::Harmless, format!("select {}1{}", "(select ".repeat(200), ")".repeat(200))),
        (Outcome::Harmless, format!("select {}1{}", "case when true then ".repeat(300), " end".repeat(300))),
        (Outcome::Harmless, format!("select json_member('{}', 'a')", "[".repeat(20_000))),
        (Outcome::Harmless, format!("select json_member('{{}}', '{}')", "a.".repeat(20_000))),
        (Outcome::Harmless, format!("select {}", chain("1", "+", 390))),
        (Outcome::Harmless, format!("select 1 where {}", chain("1=1", " or ", 450))),
        (Outcome::Harmless, chain("select 1", " union all ", 250)),
        (
            Outcome::Bounded,
            format!("select count(*) from lake.events where action like '{}b'", "%a".repeat(1_000)),
        ),
    ]);
    cases
}
