//! The runs of an organisation, listed project by project and followed to their end.

use super::look::{Faults, How, Look};
use super::rest::{RestError, Service};
use super::runs::{Told, told};
use super::{escape, heard};
use crate::model::{Ticks, Time};

/// How far back ended builds are listed at first.
const AT_FIRST: Ticks = Ticks::days(1);
/// And at most, after a long time in which nobody looked.
const FURTHEST: Ticks = Ticks::days(7);
/// How far a list goes back behind the one before it: clocks differ, and an end is written down late.
const OVERLAP: Ticks = Ticks::seconds(300);

impl Look<'_> {
    /// The projects, as they were listed last or are now.
    pub(super) async fn projects(&self) -> Result<Vec<String>, RestError> {
        let list = self.may(Service::Core, "_apis/projects?$top=1000").await?;
        let projects: Vec<String> =
            list.iter().filter_map(|project| Some(project["id"].as_str()?.to_owned())).collect();
        self.state().projects.clone_from(&projects);
        Ok(projects)
    }

    /// Which builds of each project are under way, and which ended since the last look: of a run whose jobs
    /// are all on the server no pool tells.
    pub(super) async fn builds(&self) -> Result<(), RestError> {
        let mut faults = Faults::default();
        let listed = self.state().projects.clone();
        let projects = if listed.is_empty() { self.projects().await? } else { listed };
        let asked = self.now();
        let last = self.state().builds;
        let from = last.filter(|last| *last <= asked).unwrap_or(asked - AT_FIRST).max(asked - FURTHEST);
        let mut all = !projects.is_empty();
        for project in projects {
            let done = self.builds_of(&project, from - OVERLAP, asked).await;
            let remedy = "a run of it that no pool has a request of is not known, and what it did may be told of somebody else; give the identity that collects the permission View builds in the project";
            let done = self.unless_dark(&format!("the builds of project {project}"), remedy, done);
            all &= faults.note(done)?.flatten().is_some();
        }
        faults.end()?;
        let mut state = self.state();
        state.builds = Some(asked);
        if all {
            // Where days were passed over, nothing is said of them.
            let since = state.unsaid_builds.filter(|_| last.is_some_and(|last| from <= last));
            state.unsaid_builds = since.or(Some(from));
            state.runs.listed(asked);
        } else {
            state.unsaid_builds = None;
        }
        Ok(())
    }

    async fn builds_of(&self, project: &str, since: Time, asked: Time) -> Result<(), RestError> {
        let since = escape(&since.to_string());
        for query in [
            "statusFilter=inProgress,notStarted,postponed,cancelling".to_owned(),
            format!("statusFilter=completed&minTime={since}&queryOrder=finishTimeAscending"),
        ] {
            let path = format!("{project}/_apis/build/builds?{query}");
            // Where nothing runs, there is nothing to keep, minute after minute.
            let how = How { keeps_empty: false, ..How::default() };
            let list = self.pages(Service::Core, &path, how).await?;
            self.state().runs.builds(&list.items, project, asked);
        }
        Ok(())
    }

    /// The runs that are due: what they say of themselves, and their timelines, which know the names and
    /// attempts of jobs, and those that ran on the server.
    pub(super) async fn runs(&self) -> Result<(), RestError> {
        let due = self.state().runs.due(self.now());
        for run in due {
            let Some((project, listed)) = self.state().runs.begin(run) else { continue };
            let asked = self.now();
            let told = match self.run(run, &project, listed).await {
                Ok(told) => told,
                Err(error @ RestError::Pipeline { .. }) => return Err(error),
                // It may not be listed as news again, so it must not be forgotten.
                Err(error) => {
                    tracing::debug!(%error, run, "a run is asked for again in the next round");
                    Told::Failed
                }
            };
            let now = self.now();
            // Of a project that is not listed no more than its requests is ever told.
            if told == Told::Gone && self.state().projects.contains(&project) {
                self.state().unsaid_builds = Some(now);
            }
            if !self.state().runs.end(run, told, asked, now) {
                self.state().unsaid_builds = Some(now);
                let organization = self.organization;
                tracing::warn!(
                    organization,
                    run,
                    "a run was given up: what its jobs are called, and which ran on the server, is not known; see the log at level debug for why it was not answered"
                );
            }
        }
        // Nothing is said of the time in which one was under way that is not read; one that goes on is read
        // seldomer the longer nothing is new.
        let span = {
            let state = self.state();
            state.unsaid_builds.zip(state.runs.read())
        };
        if let Some((from, until)) = span.filter(|(from, until)| from < until) {
            self.say(heard("runs", self.organization, None, from, until)).await?;
            self.state().unsaid_builds = Some(until);
        }
        Ok(())
    }

    /// Asks for a run; first whether it ended, so that its timeline is that of its end.
    async fn run(&self, run: i64, project: &str, listed: Told) -> Result<Told, RestError> {
        let path = format!("{project}/_apis/build/builds/{run}");
        let told = match listed {
            Told::Ended(_) => listed,
            _ => match self.had(Service::Core, &path).await? {
                Some(build) => told(&build.body),
                None => return Ok(Told::Gone),
            },
        };
        let timeline = self.had(Service::Core, &format!("{path}/timeline")).await?;
        Ok(timeline.map_or(Told::Gone, |_| told))
    }
}
