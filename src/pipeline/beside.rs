//! What bears on some days and is of none of them: jobs that ran through them, agents seen before and after, pools.

use std::collections::{BTreeSet, HashSet};

use datafusion::arrow::array::{Array as _, AsArray as _};
use datafusion::arrow::datatypes::{Date32Type, Int64Type};

use super::stored::{agents, each_batch, session};
use crate::attribute::Engine;
use crate::model::Date;
use crate::query::quoted;
use crate::query::{QueryError, Session};
use crate::schema::FileSet;
use crate::store::Lake;

/// How far back a job that still runs is looked for.
const LONGEST_JOB_DAYS: i32 = 40;

/// How far back a run is looked for of which no record tells the end: so long it is taken to be under way.
const LONGEST_OPEN_RUN_DAYS: i32 = 2;

/// Days and keys of the records of jobs that ran into a span of days, or out of it, and have a record that is
/// of none of them: they began before its end, and their end is after it or not known.
pub(super) async fn long_jobs(lake: &Lake, lo: Date, hi: Date) -> Result<Vec<(Date, String)>, QueryError> {
    let (from, until) = (lo.start(), hi.start());
    let (earliest, latest) = (lo.plus_days(-LONGEST_JOB_DAYS), hi.plus_days(LONGEST_JOB_DAYS));
    let around = format!("j.date between date '{earliest}' and date '{latest}'");
    let (org, began) = ("coalesce(j.organization_id, j.organization)", "coalesce(j.received, j.assigned)");
    let session = session(lake, &[])?;
    let mut through = Vec::new();
    let sql = format!(
        "select {org}, j.request_id, max(j.finished) is null, min(j.date), max(j.date) from lake.jobs j
         where {around} and j.request_id is not null group by {org}, j.request_id
         having min({began}) < '{until}' and (max(j.finished) is null or max(j.finished) >= '{until}')"
    );
    each_batch(&session, &sql, |batch| {
        let requests = batch.column(1).as_primitive::<Int64Type>();
        let (first, last) =
            (batch.column(3).as_primitive::<Date32Type>(), batch.column(4).as_primitive::<Date32Type>());
        let (orgs, open) = (batch.column(0).as_string::<i32>(), batch.column(2).as_boolean());
        through.extend((0..batch.num_rows()).map(|row| Through {
            organization: orgs.is_valid(row).then(|| orgs.value(row).to_owned()),
            request: requests.value(row),
            is_open: open.value(row),
            days: (Date(first.value(row)), Date(last.value(row))),
        }));
    })
    .await?;
    through.retain(|job| job.days.0 < lo || job.days.1 >= hi);
    let mut over = HashSet::new();
    for some in through.chunks(500) {
        let open: Vec<String> =
            some.iter().filter(|job| job.is_open).map(|job| job.request.to_string()).collect();
        if open.is_empty() {
            continue;
        }
        // An agent works at one request at a time: one whose end was never told was over when its agent
        // took the next, which need not be of these days either.
        let sql = format!(
            "with open as (
               select {org} as org, j.request_id, min({began}) as began, min(j.pool_id) as pool_id,
                 min(j.agent_id) as agent_id
               from lake.jobs j where {around} and j.request_id in ({})
               group by {org}, j.request_id having min(j.agent_id) = max(j.agent_id)
             )
             select distinct o.org, o.request_id from open o
             join lake.jobs j on {org} = o.org and j.pool_id = o.pool_id and j.agent_id = o.agent_id
             where {around} and j.request_id <> o.request_id and {began} > o.began and {began} < '{from}'",
            open.join(",")
        );
        each_batch(&session, &sql, |batch| {
            let (orgs, requests) =
                (batch.column(0).as_string::<i32>(), batch.column(1).as_primitive::<Int64Type>());
            over.extend((0..batch.num_rows()).map(|row| (orgs.value(row).to_owned(), requests.value(row))));
        })
        .await?;
    }
    through.retain(|job| !over.contains(&(job.organization.clone().unwrap_or_default(), job.request)));
    let mut keys = runs_through(&session, lo, hi).await?;
    for some in through.chunks(500) {
        let requests: Vec<String> = some.iter().map(|job| job.request.to_string()).collect();
        let first = some.iter().map(|job| job.days.0).min().unwrap_or(lo);
        let last = some.iter().map(|job| job.days.1).max().unwrap_or(hi);
        let sql = format!(
            "select j.date, j.key from lake.jobs j \
             where j.date between date '{first}' and date '{last}' and j.request_id in ({})",
            requests.join(",")
        );
        keys.extend(dated_keys(&session, &sql).await?);
    }
    Ok(keys)
}

/// Days and keys of the records of runs that were under way in a span of days and before or after it, and of
/// their jobs: what they say together of what the run was at.
async fn runs_through(session: &Session, lo: Date, hi: Date) -> Result<Vec<(Date, String)>, QueryError> {
    let (from, until) = (lo.start(), hi.start());
    let (earliest, latest) = (lo.plus_days(-LONGEST_JOB_DAYS), hi.plus_days(LONGEST_JOB_DAYS));
    let open_since = lo.plus_days(-LONGEST_OPEN_RUN_DAYS).start();
    let sql = format!(
        "select run_id from lake.runs where date between date '{earliest}' and date '{latest}'
           and run_kind = 'build' and started is not null and run_id is not null
         group by coalesce(organization_id, organization), run_id
         having min(started) < '{until}' and (min(started) < '{from}' or max(finished) >= '{until}')
           and (max(finished) >= '{from}' or max(finished) is null and min(started) >= '{open_since}')"
    );
    let mut runs = Vec::new();
    each_batch(session, &sql, |batch| {
        runs.extend(batch.column(0).as_primitive::<Int64Type>().iter().flatten().map(|run| run.to_string()));
    })
    .await?;
    let mut keys = Vec::new();
    for some in runs.chunks(500) {
        for (table, which) in
            [("runs", "run_kind = 'build'"), ("jobs", "(run_kind is distinct from 'release')")]
        {
            let sql = format!(
                "select date, key from lake.{table} \
                 where date between date '{earliest}' and date '{latest}' and {which} and run_id in ({})",
                some.join(",")
            );
            keys.extend(dated_keys(session, &sql).await?);
        }
    }
    Ok(keys)
}

/// A request that ran into a span of days or out of it.
struct Through {
    organization: Option<String>,
    request: i64,
    /// Whether no record tells its end.
    is_open: bool,
    /// The first and the last day of its records.
    days: (Date, Date),
}

/// Days and keys of the records of pools and queues that lists ever had: they count whenever they came.
pub(super) async fn pools(lake: &Lake, part: FileSet) -> Result<Vec<(Date, String)>, QueryError> {
    let sql =
        "select cast(observed as date), key from lake.pools where queue_id is not null or key like 'pool/%'";
    dated_keys(&session(lake, &[part])?, sql).await
}

/// Days and keys of records.
async fn dated_keys(session: &Session, sql: &str) -> Result<Vec<(Date, String)>, QueryError> {
    let mut all = Vec::new();
    each_batch(session, sql, |batch| {
        let (days, keys) = (batch.column(0).as_primitive::<Date32Type>(), batch.column(1).as_string::<i32>());
        all.extend(days.iter().zip(keys).filter_map(|(day, key)| Some((Date(day?), key?.to_owned()))));
    })
    .await?;
    Ok(all)
}

/// Kinds of facts that say that an agent was seen.
pub(super) const SIGHTINGS: &str = "'agent', 'deployment_target'";

/// The days around these, in runs: from a first day until before a last one.
pub(super) fn spans(days: &BTreeSet<Date>, reach: i32) -> Vec<(Date, Date)> {
    let mut all: Vec<(Date, Date)> = Vec::new();
    for day in days {
        let (from, until) = (day.plus_days(-reach), day.plus_days(reach + 1));
        match all.last_mut().filter(|(_, end)| *end >= from) {
            Some((_, end)) => *end = until,
            None => all.push((from, until)),
        }
    }
    all
}

/// Tells the engine where agents were seen within these spans, and of those that were not seen in the
/// first day of one, the last time before it, of those not seen in its last days the first time after: an
/// agent is seen every day for years, and only the sightings around an event are evidence.
pub(super) async fn sightings(
    lake: &Lake,
    part: FileSet,
    spans: &[(Date, Date)],
    engine: &mut Engine,
) -> Result<(), QueryError> {
    if spans.is_empty() || part.files.is_empty() {
        return Ok(());
    }
    let session = session(lake, &[part])?;
    for (from, until) in spans {
        let second = from.plus_days(1).start();
        let last = until.plus_days(-1).start();
        let (from, until) = (from.start(), until.start());
        // A row with an event says that an agent is gone: that is no sighting.
        let of = |rows: String| format!("select * from lake.agents where event is null and {rows}");
        let within = of(format!("observed >= '{from}' and observed < '{until}'"));
        each_batch(&session, &within, |batch| agents(batch, engine)).await?;
        // The first sighting of a day stands for those like it, so of that day all are brought.
        let beside = format!(
            "select a.key from lake.agents a join (
               select agent_id,
                 case when count(case when observed >= '{from}' and observed < '{second}' then 1 end) = 0
                   then max(case when observed < '{from}' then observed end) end as before,
                 case when count(case when observed >= '{last}' and observed < '{until}' then 1 end) = 0
                   then min(case when observed >= '{until}' then observed end) end as after
               from lake.agents where event is null group by organization_id, organization, agent_id, pool_id
             ) b on a.agent_id = b.agent_id
             where a.event is null
               and (date_trunc('day', a.observed) = date_trunc('day', b.before) or a.observed = b.after)"
        );
        let mut keys = Vec::new();
        each_batch(&session, &beside, |batch| {
            keys.extend(batch.column(0).as_string::<i32>().iter().flatten().map(str::to_owned));
        })
        .await?;
        for keys in keys.chunks(500) {
            let keys: Vec<String> = keys.iter().map(|key| quoted(key)).collect();
            let those = of(format!("key in ({})", keys.join(",")));
            each_batch(&session, &those, |batch| agents(batch, engine)).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_close_to_each_other_are_one_span() {
        let day = |text: &str| Date::parse(text).unwrap();
        let days = ["2026-03-05", "2026-03-09", "2026-03-20"].map(day).into();
        let expected = [("2026-03-03", "2026-03-12"), ("2026-03-18", "2026-03-23")];
        assert_eq!(spans(&days, 2), expected.map(|(from, until)| (day(from), day(until))));
    }
}
