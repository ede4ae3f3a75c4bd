//! What rows tell about each other: the job request of a correlation, the id of a project's name, since
//! when the sighting of an agent stands.

use datafusion::arrow::array::{Array as _, AsArray as _};
use datafusion::arrow::datatypes::{Date32Type, Int64Type, TimestampMicrosecondType};

use super::ReviseError;
use super::news::{Projects, at, rows, stamp};
use crate::attribute::{EVER, Stamp, Touched};
use crate::model::{Date, Time};
use crate::pipeline::paging::NAMES_REQUEST;
use crate::query::Session;

/// Records of one call are written within a day of each other.
const APART_DAYS: i32 = 1;

/// Takes in the correlations of which a record known since `since` names a job request and another
/// record does not.
pub(super) async fn correlations(
    session: &Session,
    since: i64,
    touched: &mut Touched,
) -> Result<(), ReviseError> {
    let naming =
        format!("known > {} and (grade = 'exact' or request_id is null) and {NAMES_REQUEST}", at(since));
    let days = rows(session, &format!("select min(date), max(date) from lake.events where {naming}")).await?;
    let day = |column: usize| {
        let column = days.first()?.column(column).as_primitive::<Date32Type>();
        (!column.is_empty() && column.is_valid(0)).then(|| Date(column.value(0)))
    };
    let (Some(first), Some(last)) = (day(0), day(1)) else { return Ok(()) };
    let sql = format!(
        "select distinct correlation_id from lake.events \
         where date between '{}' and '{}' and grade <> 'exact' \
         and correlation_id in (select correlation_id from lake.events where {naming})",
        first.plus_days(-APART_DAYS),
        last.plus_days(APART_DAYS)
    );
    for batch in rows(session, &sql).await? {
        let correlations = batch.column(0).as_string::<i32>();
        // Few, so who told which is not worth asking.
        let told = Stamp { writer: "", seq: i64::MAX, news: true };
        correlations.iter().flatten().for_each(|correlation| touched.correlation(correlation, told));
    }
    Ok(())
}

/// Takes in the projects whose name stands for a further id by what events known since `since` say; those
/// known until `seen` were looked at before.
pub(super) async fn projects(
    session: &Session,
    since: i64,
    seen: i64,
    projects: &mut Projects,
    touched: &mut Touched,
) -> Result<(), ReviseError> {
    let news = at(seen);
    let sql = format!(
        "select coalesce(organization_id, organization, '') || '/' || project, project, project_id, \
         max(occurred), writer, min(seq), max(known) from lake.events \
         where known > {} and project is not null and project_id is not null \
         group by organization_id, organization, project, project_id, writer, known > {news}",
        at(since)
    );
    for batch in rows(session, &sql).await? {
        let text = |column: usize, row: usize| batch.column(column).as_string::<i32>().value(row);
        let occurred = batch.column(3).as_primitive::<TimestampMicrosecondType>();
        for row in 0..batch.num_rows() {
            let ids = &mut projects.entry(text(0, row).to_owned()).or_default().0;
            let stamp = stamp(&batch, row, seen);
            let (id, at) = (text(2, row), occurred.value(row));
            // One known before bears on verdicts that came since, which may not know it.
            if !ids.contains_key(id) || !stamp.news {
                touched.project(text(1, row), stamp);
            }
            let last = ids.entry(id.to_owned()).or_insert(at);
            *last = at.max(*last);
        }
    }
    Ok(())
}

/// Takes in the pools of agents whose registration became known after `seen`, where no record named the pool
/// before: it may have been there at any time. What tells first which pool one is that is called by its name
/// alone, settles what that left open.
pub(super) async fn pools(session: &Session, seen: i64, touched: &mut Touched) -> Result<(), ReviseError> {
    let (seen_at, called) =
        (at(seen), "select {} from lake.bindings where role = 'registrant' and pool_id is null");
    let strange = format!(
        "with named as (
           select coalesce(organization_id, organization) as org, \
           coalesce(cast(pool_id as varchar), 'called ' || lower(pool_name)) as pool, known, writer, seq \
           from lake.bindings where role = 'registrant'
         ), fresh as (select org, pool from named group by org, pool having min(known) > {seen_at})
         select n.writer, n.seq, n.known from named n join fresh f on n.org = f.org and n.pool = f.pool
         where n.pool not in ( \
           select cast(pool_id as varchar) from lake.pools where pool_id is not null and queue_id is null \
           union all select 'called ' || lower(name) from lake.pools where name is not null and queue_id is null)"
    );
    for batch in rows(session, &strange).await? {
        (0..batch.num_rows()).for_each(|row| touched.pool(EVER, stamp(&batch, row, seen)));
    }
    // Of those the first word alone counts; few are called so, so who told which is not worth asking.
    for (table, of_pool, known_by, name) in [
        ("pools", "queue_id is null", "lower(name)", "lower(pool_name)"),
        ("agents", "pool_id is not null", "agent_id", "agent_id"),
    ] {
        let called = called.replace("{}", name);
        let sql = format!(
            "select 1 from lake.{table} where {of_pool} and {known_by} in ({called}) \
             group by coalesce(organization_id, organization), {known_by} having min(known) > {seen_at} limit 1"
        );
        if rows(session, &sql).await?.iter().any(|batch| batch.num_rows() > 0) {
            touched.settles(Stamp { writer: "", seq: i64::MAX, news: true });
        }
    }
    Ok(())
}

/// How far back the beginning of a run is looked for whose timeline was read.
const LONGEST_RUN_DAYS: i32 = 40;

/// Takes in the builds of which it became known after `since`, and until a moment where there is more, that their
/// timelines were read: what they were at, from their beginning on. Those known until `seen` were looked at before.
pub(super) async fn timelines(
    session: &Session,
    (since, until): (i64, Option<i64>),
    seen: i64,
    touched: &mut Touched,
) -> Result<(), ReviseError> {
    let until = until.map_or_else(String::new, |until| format!(" and known <= {}", at(until)));
    let told = format!("kind = 'heard.timeline' and known > {}{until}", at(since));
    let first = format!("select cast(min(observed) as date) from lake.facts where {told}");
    let first = rows(session, &first).await?;
    let first = first.first().map(|batch| batch.column(0).as_primitive::<Date32Type>().clone());
    let Some(first) = first.filter(|day| day.len() == 1 && day.is_valid(0)).map(|day| Date(day.value(0)))
    else {
        return Ok(());
    };
    // Of all organisations that number a build so: one more look does no harm.
    let sql = format!(
        "with told as (
           select cast(split_part(key, '/', 3) as bigint) as run_id, max(observed) as observed, writer,
             min(seq) as seq, max(known) as known
           from lake.facts where {told} group by 1, writer, known > {}
         ), began as (
           select run_id, min(started) as started from lake.runs
           where run_kind = 'build' and started is not null and date >= date '{}'
           and run_id in (select run_id from told) group by run_id
         )
         select b.started, t.observed, t.writer, t.seq, t.known from told t join began b on b.run_id = t.run_id",
        at(seen),
        first.plus_days(-LONGEST_RUN_DAYS)
    );
    for batch in rows(session, &sql).await? {
        let time = |column: usize, row: usize| {
            Time::from_unix_micros(batch.column(column).as_primitive::<TimestampMicrosecondType>().value(row))
        };
        (0..batch.num_rows())
            .for_each(|row| touched.read(time(0, row), time(1, row), stamp(&batch, row, seen)));
    }
    Ok(())
}

/// Of the touched agents, since when their sightings stand: where none is before an event, the first after
/// it counts. Sightings known after `since` are read again.
pub(super) async fn sightings(
    session: &Session,
    since: i64,
    touched: &mut Touched,
) -> Result<(), ReviseError> {
    let agents: Vec<String> = touched.names().agents.keys().map(i64::to_string).collect();
    if agents.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "with own as ( \
           select coalesce(organization, organization_id) as org, agent_id, observed, created, known > {} as again \
           from lake.agents where event is null and agent_id in ({}) \
         ), news as ( \
           select org, agent_id, min(observed) as first from own where again group by org, agent_id \
         ) \
         select n.agent_id, coalesce(max(case when o.observed < n.first then o.observed end), min(o.created)) \
         from news n join own o on o.org = n.org and o.agent_id = n.agent_id group by n.org, n.agent_id",
        at(since),
        agents.join(",")
    );
    for batch in rows(session, &sql).await? {
        let agents = batch.column(0).as_primitive::<Int64Type>();
        let since = batch.column(1).as_primitive::<TimestampMicrosecondType>();
        for row in 0..batch.num_rows() {
            let since = if since.is_valid(row) { Time::from_unix_micros(since.value(row)) } else { EVER };
            touched.stands_since(agents.value(row), since);
        }
    }
    touched.who_is_counts();
    Ok(())
}
