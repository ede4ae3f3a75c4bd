//! What rows tell about each other: the job request of a correlation, the id of a project's name, since
//! when the sighting of an agent stands.

use std::collections::BTreeMap;

use datafusion::arrow::array::{Array as _, AsArray as _};
use datafusion::arrow::datatypes::{Date32Type, Int64Type, TimestampMicrosecondType};

use super::ReviseError;
use super::news::{at, rows, stamp};
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
    let naming = format!(
        "known > {} and (grade = 'exact' or request_id is null) and {NAMES_REQUEST} and correlation_id is not null",
        at(since)
    );
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

/// Takes in the projects whose name stands for another id by what events known since `seen` say.
pub(super) async fn projects(
    session: &Session,
    seen: i64,
    ids: &mut BTreeMap<String, (i64, String)>,
    touched: &mut Touched,
) -> Result<(), ReviseError> {
    let sql = format!(
        "select coalesce(organization_id, organization, '') || '/' || project, project, project_id, \
         max(occurred), writer, min(seq), max(known) from lake.events \
         where known > {} and project is not null and project_id is not null \
         group by organization_id, organization, project, project_id, writer",
        at(seen)
    );
    for batch in rows(session, &sql).await? {
        let text = |column: usize, row: usize| batch.column(column).as_string::<i32>().value(row);
        let occurred = batch.column(3).as_primitive::<TimestampMicrosecondType>();
        for row in 0..batch.num_rows() {
            let newer = (occurred.value(row), text(2, row).to_owned());
            let slot = ids.entry(text(0, row).to_owned()).or_default();
            if slot.1 != newer.1 && *slot < newer {
                touched.project(text(1, row), stamp(&batch, row, seen));
            }
            if *slot < newer {
                *slot = newer;
            }
        }
    }
    Ok(())
}

/// Of the touched agents, those whose sighting also stands for the time before it, and since when: since
/// it was created for one never seen before `seen`, since its registration for one not seen after that.
pub(super) async fn sightings(
    session: &Session,
    seen: i64,
    touched: &mut Touched,
) -> Result<(), ReviseError> {
    let agents: Vec<String> = touched.names().agents.keys().map(i64::to_string).collect();
    if agents.is_empty() {
        return Ok(());
    }
    let (agents, seen) = (agents.join(","), at(seen));
    let sql = format!(
        "with seen as ( \
           select agent_id, min(known) > {seen} as is_new, min(created) as created, \
             max(case when known <= {seen} then observed end) as last \
           from lake.agents where agent_id in ({agents}) \
           group by coalesce(organization, organization_id), agent_id \
         ), registered as ( \
           select agent_id, max(\"from\") as at from lake.bindings \
           where role = 'registrant' and agent_id in ({agents}) group by agent_id \
         ) \
         select s.agent_id, case when s.is_new then s.created else r.at end \
         from seen s left join registered r on r.agent_id = s.agent_id where s.is_new or r.at > s.last"
    );
    for batch in rows(session, &sql).await? {
        let agents = batch.column(0).as_primitive::<Int64Type>();
        let since = batch.column(1).as_primitive::<TimestampMicrosecondType>();
        for row in 0..batch.num_rows() {
            let since = if since.is_valid(row) { Time::from_unix_micros(since.value(row)) } else { EVER };
            touched.stands_since(agents.value(row), since);
        }
    }
    Ok(())
}
