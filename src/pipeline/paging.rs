//! What the lake knows already, brought to the engine before it decides.
//!
//! The engine starts empty and is told the facts of the days around an event the first time such an
//! event comes, whoever wrote them: this process before a restart, or another one beside it. When it
//! holds more than its share of memory its owner starts it empty again: the days needed next come back.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use datafusion::arrow::array::{AsArray as _, RecordBatch};
use datafusion::arrow::datatypes::Date32Type;

use super::Settings;
use super::beside::{SIGHTINGS, long_jobs, pools, sightings, spans};
use super::revise::Projects;
use super::stored::{deleted_pools, each_batch, heard, records, registrations, session, tokens};
use crate::attribute::Engine;
use crate::model::{Date, Org, Ticks, Time};
use crate::query::QueryError;
use crate::query::quoted;
use crate::schema::{DataFile, FileSet, Value};
use crate::store::{Lake, Writer};

/// Whether an event itself names a job request for the others of its correlation. The column of the verdict
/// does not say it: it holds what was concluded, and nothing of a request that was not known yet.
pub(super) const NAMES_REQUEST: &str = "(correlation_id is not null and data ilike '%requestid%')";

/// The engine, with what of the lake it has been told.
pub(super) struct Attributor {
    pub engine: Engine,
    settings: Settings,
    /// Days around an event whose facts matter.
    reach: i32,
    /// Files by their path, which no two tables share.
    told: HashSet<String>,
    /// Days that were brought.
    days: BTreeSet<Date>,
    /// Writers whose rows the engine was told when they were decoded.
    own: Vec<String>,
    /// Which ids the name of a project stood for.
    projects: Projects,
    /// Pools, by organisation and id, of which the engine was told who is in them.
    pub(super) listed: HashSet<(String, i64)>,
}

impl Attributor {
    /// For who decodes what these writers commit, and tells the engine then.
    pub fn beside(settings: &Settings, writers: &[Writer], projects: Projects) -> Attributor {
        let own = writers.iter().map(|writer| writer.id().to_owned()).collect();
        let mut attributor = Attributor { own, ..Attributor::new(settings) };
        attributor.pair(projects);
        attributor
    }

    /// Tells the engine which ids names of projects stood for, which no day around an event tells.
    pub fn pair(&mut self, projects: Projects) {
        for (name, ids) in &projects {
            let Some((organization, project)) = name.split_once('/') else { continue };
            let is_id = crate::model::is_guid(organization);
            let organization = Some(organization.to_owned());
            let organization = match is_id {
                true => Org { id: organization, name: None },
                false => Org { id: None, name: organization },
            };
            for (id, at) in &ids.0 {
                self.engine.project(&organization, project, Time::from_unix_micros(*at), id);
            }
        }
        self.projects = projects;
    }

    /// Tells the engine which organisations these events name by id and name: what came without an
    /// event may have named it by one of them alone.
    pub fn tie(&mut self, events: &RecordBatch) {
        let column = |name: &str| events.column_by_name(name)?.as_string_opt::<i32>();
        let (Some(ids), Some(names)) = (column("organization_id"), column("organization")) else { return };
        let both: BTreeSet<(&str, &str)> =
            ids.iter().zip(names.iter()).filter_map(|(id, name)| id.zip(name)).collect();
        for (id, name) in both {
            self.engine.organization(&Org { id: Some(id.to_owned()), name: Some(name.to_owned()) });
        }
    }

    /// For who only reads the lake.
    pub fn new(settings: &Settings) -> Attributor {
        Attributor {
            engine: Engine::new(settings.tolerance),
            settings: settings.clone(),
            reach: (settings.tolerance.window.0 / Ticks::days(1).0) as i32 + 1,
            told: HashSet::new(),
            days: BTreeSet::new(),
            own: Vec::new(),
            projects: Projects::new(),
            listed: HashSet::new(),
        }
    }

    /// Whether the engine holds more than its share of memory.
    pub fn is_full(&self) -> bool {
        self.engine.held() > self.settings.max_jobs
    }

    /// Tells the engine what it has not heard of a day, an engine that is full after it starts empty.
    pub async fn tell_of(&mut self, day: Date, lake: &Lake) -> Result<(), QueryError> {
        if self.is_full() {
            let projects = std::mem::take(&mut self.projects);
            *self = Attributor::new(&self.settings);
            self.pair(projects);
        }
        self.bring(&BTreeSet::from([day]), lake).await
    }

    /// Tells the engine what it has not heard of these days. When that fails, all is read again by the
    /// next call: nothing is taken for told that was not.
    pub async fn bring(&mut self, days: &BTreeSet<Date>, lake: &Lake) -> Result<(), QueryError> {
        forget_gone(&mut self.told, &lake.pin());
        let told = self.tell(days, lake).await;
        if told.is_err() {
            self.told.clear();
            self.days.clear();
        }
        told
    }

    async fn tell(&mut self, days: &BTreeSet<Date>, lake: &Lake) -> Result<(), QueryError> {
        let (lo, hi) = match (days.first(), days.last()) {
            (Some(first), Some(last)) => (first.plus_days(-self.reach), last.plus_days(self.reach + 1)),
            _ => return Ok(()),
        };
        let facts = self.unheard(lake.files("facts"), days);
        let events = self.unheard(lake.files("events"), days);
        if self.days.is_empty() {
            self.addresses(lake).await?;
        }
        let mut far = if days.is_subset(&self.days) { Vec::new() } else { long_jobs(lake, lo, hi).await? };
        let part = self.unheard(lake.files("pools"), days);
        if !part.files.is_empty() {
            far.extend(pools(lake, part).await?);
        }
        let agents = self.unheard(lake.files("agents"), days);
        sightings(lake, agents, &spans(&self.days, self.reach), &mut self.engine).await?;
        let fresh = days.difference(&self.days).copied().collect();
        sightings(lake, lake.files("agents"), &spans(&fresh, self.reach), &mut self.engine).await?;
        self.days.extend(days);
        let (engine, organization) = (&mut self.engine, self.settings.organization.as_deref());
        if !facts.files.is_empty() {
            let sql =
                format!("select url, observed, raw, key from lake.facts where kind not in ({SIGHTINGS})");
            records(&session(lake, &[facts])?, &sql, organization, |decoded, _| {
                decoded.facts.iter().for_each(|fact| engine.learn(fact));
            })
            .await?;
        }
        for some in far.chunks(500) {
            let keys: Vec<String> = some.iter().map(|(_, key)| quoted(key)).collect();
            let days: BTreeSet<String> = some.iter().map(|(day, _)| format!("date '{day}'")).collect();
            let days: Vec<String> = days.into_iter().collect();
            let sql = format!(
                "select url, observed, raw, key from lake.facts where date in ({}) and key in ({})",
                days.join(","),
                keys.join(",")
            );
            records(&session(lake, &[])?, &sql, organization, |decoded, _| {
                decoded.facts.iter().for_each(|fact| engine.learn(fact));
            })
            .await?;
        }
        if !events.files.is_empty() {
            // What events tell of the world around them: names of projects, correlated jobs.
            let sql = format!(
                "select cast(null as varchar), observed, raw from lake.events \
                 where action like 'Library.Agent%' or {NAMES_REQUEST}"
            );
            records(&session(lake, &[events])?, &sql, organization, |decoded, _| {
                decoded.events.iter().for_each(|event| engine.learn_event(event));
            })
            .await?;
        }
        // Registrations, tokens and the ends of pools count for ever, whenever they were reported.
        for (table, rows, tell) in [
            ("bindings", "role = 'registrant'", registrations as fn(&RecordBatch, &mut Engine)),
            ("identities", "true", tokens),
            ("holdings", "resource_kind = 'pool' and says = 'deleted'", deleted_pools),
        ] {
            let part = self.unheard(lake.files(table), days);
            if !part.files.is_empty() {
                let sql = format!("select * from lake.{table} where {rows}");
                each_batch(&session(lake, &[part])?, &sql, |batch| tell(batch, &mut self.engine)).await?;
            }
        }
        // What was heard comes last: it says that there was nothing but what is known by then.
        let coverage = self.unheard(lake.files("coverage"), days);
        if !coverage.files.is_empty() {
            heard(lake, coverage, &mut self.engine).await?;
        }
        Ok(())
    }

    /// Tells the engine from which addresses agents were ever registered, which is in no table of its own:
    /// the days of their registrations are.
    async fn addresses(&mut self, lake: &Lake) -> Result<(), QueryError> {
        let session = session(lake, &[])?;
        let mut days = BTreeSet::new();
        let sql = "select distinct cast(\"from\" as date) from lake.bindings where role = 'registrant'";
        each_batch(&session, sql, |batch| {
            days.extend(batch.column(0).as_primitive::<Date32Type>().iter().flatten().map(Date));
        })
        .await?;
        if days.is_empty() {
            return Ok(());
        }
        let days: Vec<String> = days.iter().map(|day| format!("date '{day}'")).collect();
        let sql = format!(
            "select cast(null as varchar), observed, raw from lake.events \
             where action = 'Library.AgentAdded' and date in ({})",
            days.join(",")
        );
        records(&session, &sql, self.settings.organization.as_deref(), |decoded, _| {
            decoded.events.iter().for_each(|event| self.engine.learn_event(event));
        })
        .await
    }

    /// The files of `set` that hold these days, or no day, and that the engine does not know.
    fn unheard(&mut self, set: FileSet, days: &BTreeSet<Date>) -> FileSet {
        let column = set.table.column("writer").map(|(index, _)| index);
        let until = set.table.column("until").map(|(index, _)| index);
        let around = |file: &DataFile| {
            // A listing speaks for the time before it, at the most for all of it.
            if let Some(range) = file.ranges.iter().find(|r| until.is_some() && Some(r.column) == until) {
                let first = days.first().map(|day| day.start().unix_micros());
                return !matches!((&range.max, first), (Some(Value::Timestamp(max)), Some(first)) if *max < first);
            }
            file.date.is_none_or(|date| {
                days.range(date.plus_days(-self.reach)..=date.plus_days(self.reach)).next().is_some()
            })
        };
        let heard_itself = |file: &DataFile| {
            let is_own =
                |bound: &Option<Value>| matches!(bound, Some(Value::Text(w)) if self.own.contains(w));
            let wrote = file.ranges.iter().find(|r| Some(r.column) == column);
            wrote.is_some_and(|r| is_own(&r.min) && r.min == r.max)
        };
        let files: Vec<Arc<DataFile>> = set
            .files
            .iter()
            .filter(|file| around(file) && !heard_itself(file))
            .filter(|file| !self.told.contains(&file.path))
            .cloned()
            .collect();
        self.told.extend(files.iter().map(|file| file.path.clone()));
        FileSet { files: Arc::new(files), ..set }
    }
}

/// Names of files that are gone are dropped once there are so many of them.
const SPARE: usize = 1024;

/// Drops names of files that are in no table any more: files are merged all the time, and names would pile up.
fn forget_gone(told: &mut HashSet<String>, tables: &[FileSet]) {
    let there = tables.iter().map(|set| set.files.len()).sum::<usize>();
    if told.len() > 2 * there + SPARE {
        let names: HashSet<&str> =
            tables.iter().flat_map(|set| set.files.iter()).map(|file| file.path.as_str()).collect();
        told.retain(|path| names.contains(path.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::table;

    #[test]
    fn files_that_are_gone_are_not_remembered_for_ever() {
        let file = |path: &str| {
            Arc::new(DataFile { path: path.into(), bytes: 1, rows: 1, date: None, ranges: Vec::new() })
        };
        let (root, files) = (String::new(), Arc::new(vec![file("there")]));
        let set = FileSet { table: table("facts").unwrap(), root, version: 1, files };
        let mut told = HashSet::from(["there".to_owned()]);
        for n in 0..10 * SPARE {
            told.insert(n.to_string());
            forget_gone(&mut told, std::slice::from_ref(&set));
            assert!(told.len() <= SPARE + 2 && told.contains("there"));
        }
    }
}
