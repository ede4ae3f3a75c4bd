//! What rows tell about each other: the job request of a correlation, the id of a project's name, the
//! first sighting of an agent.

use std::collections::BTreeMap;

use datafusion::arrow::array::{Array as _, AsArray as _};
use datafusion::arrow::datatypes::{Date32Type, Int64Type, TimestampMicrosecondType};

use super::ReviseError;
use super::news::{at, rows, stamp};
use crate::attribute::{Stamp, Touched};
use crate::model::Date;
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
        "known > {} and grade = 'exact' and request_id is not null and correlation_id is not null",
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

/// The touched agents that were seen for the first time after `seen`, each in its organisation.
pub(super) async fn first_seen(
    session: &Session,
    seen: i64,
    touched: &Touched,
) -> Result<Vec<i64>, ReviseError> {
    let agents: Vec<String> = touched.names().agents.keys().map(i64::to_string).collect();
    if agents.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "select distinct agent_id from ( \
           select agent_id from lake.agents where agent_id in ({}) \
           group by coalesce(organization, organization_id), agent_id having min(known) > {})",
        agents.join(","),
        at(seen)
    );
    let mut first = Vec::new();
    for batch in rows(session, &sql).await? {
        first.extend(batch.column(0).as_primitive::<Int64Type>().iter().flatten());
    }
    Ok(first)
}
