//! One organisation as it is looked at: what is remembered between two looks, and how a list is fetched.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde_json::{Value as Json, json};
use tokio::sync::mpsc;

use super::listing::Seen;
use super::rest::{Answer, Client, RestError, Service};
use super::runs::Runs;
use super::{Payload, Position, escape, hand_over};
use crate::model::{RecordHash, Ticks, Time};

/// An unchanged answer is handed over again after so long, as proof that it was looked at.
pub(super) const REPEAT: Ticks = Ticks::seconds(60);
/// Between two times at which it is saved where this process is.
const SAVED: Ticks = Ticks::seconds(10);
/// Runs under way that are saved.
const MOST_RUNS: usize = 10_000;

pub(super) struct Look<'c> {
    pub client: &'c Client,
    pub organization: &'c str,
    pub agents_every: Ticks,
    partition: String,
    intake: &'c mpsc::Sender<Payload>,
    state: Mutex<State>,
}

/// What is remembered between two rounds.
#[derive(Default)]
pub(super) struct State {
    pub pools: BTreeMap<i64, Pool>,
    /// What an earlier process knew of pools that were not listed yet.
    pub restored: BTreeMap<i64, Json>,
    /// By address, what was handed over last, when, and for how long that need not be repeated.
    pub sent: BTreeMap<String, (RecordHash, Time, Ticks)>,
    pub runs: Runs,
    /// Up to when the builds of all projects are listed, and since when it is not said that they are read.
    pub builds: Option<Time>,
    pub unsaid_builds: Option<Time>,
    pub projects: Vec<String>,
    /// When the agents of a pool were last listed.
    pub agents: BTreeMap<i64, Time>,
    /// When the members of groups were last listed.
    pub memberships: Option<Time>,
    /// Lists that may not be read, so that each is said once.
    dark: BTreeSet<String>,
    saved: Option<Time>,
}

/// A pool, and what its lists showed.
pub(super) struct Pool {
    /// Which list has it.
    pub kind: usize,
    /// Whether Azure runs its machines.
    pub is_hosted: bool,
    pub seen: Seen,
    /// Requests that ended before an earlier process saw.
    pub known: Option<Time>,
}

/// How a list is fetched.
pub(super) struct How<'h> {
    /// For how long the same answer is not handed over again.
    pub repeat: Ticks,
    /// Whether what the pages had so far will do.
    pub is_enough: &'h (dyn Fn(&[Json]) -> bool + Sync),
    /// Whether a list of nothing is handed over, too.
    pub keeps_empty: bool,
}

impl Default for How<'_> {
    fn default() -> Self {
        How { repeat: REPEAT, is_enough: &|_| false, keeps_empty: true }
    }
}

/// The pages of a list.
pub(super) struct List {
    pub items: Vec<Json>,
    /// Whether it was handed over: not when it says what the last one said a moment ago.
    pub is_news: bool,
    pub pages: usize,
    /// Whether no further page was left.
    pub is_end: bool,
    /// The last page.
    pub body: Json,
}

/// The first of the parts of a round that failed; the others go on.
#[derive(Default)]
pub(super) struct Faults(Option<RestError>);

impl Faults {
    pub fn note<T>(&mut self, done: Result<T, RestError>) -> Result<Option<T>, RestError> {
        match done {
            Ok(value) => Ok(Some(value)),
            // Without a pipeline or a sign-in nothing else goes well either.
            Err(error @ (RestError::Pipeline { .. } | RestError::Record { .. })) => Err(error),
            Err(error @ (RestError::Credential(_) | RestError::Refused { .. })) => Err(error),
            Err(error) => {
                tracing::debug!(%error, "a part of a round was not seen; the others go on");
                self.0.get_or_insert(error);
                Ok(None)
            }
        }
    }

    pub fn end(self) -> Result<(), RestError> {
        self.0.map_or(Ok(()), Err)
    }
}

impl<'c> Look<'c> {
    pub fn new(
        client: &'c Client,
        organization: &'c str,
        intake: &'c mpsc::Sender<Payload>,
        agents_every: Ticks,
        positions: &dyn Fn(&str) -> Option<String>,
    ) -> Look<'c> {
        let partition = format!("agent_api/{organization}");
        let saved =
            positions(&partition).and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let state = Mutex::new(State::restored(&saved, agents_every, client.clock.now()));
        Look { client, organization, agents_every, partition, intake, state }
    }

    pub fn now(&self) -> Time {
        self.client.clock.now()
    }

    /// Whether a moment is so long ago; one that lies ahead is, as the clock was set back since.
    pub fn is_past(&self, at: Time, length: Ticks) -> bool {
        let since = self.now().0 - at.0;
        since < 0 || since >= length.0
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn pools(&self, which: impl Fn(&Pool) -> bool) -> Vec<i64> {
        self.state().pools.iter().filter(|(_, pool)| which(pool)).map(|(id, _)| *id).collect()
    }

    /// `None` for what the identity may not see, or the organisation does not have. That, and what
    /// follows from it, is said once.
    pub fn unless_dark<T>(
        &self,
        what: &str,
        follows: &str,
        done: Result<T, RestError>,
    ) -> Result<Option<T>, RestError> {
        let organization = self.organization;
        match done {
            Err(error) if is_absent(&error) => {
                if self.state().dark.insert(what.to_owned()) {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        organization,
                        "{what} may not be read, so {follows}"
                    );
                }
                Ok(None)
            }
            Err(error) => Err(error),
            Ok(value) => {
                if self.state().dark.remove(what) {
                    tracing::info!(organization, "{what} can be read again");
                }
                Ok(Some(value))
            }
        }
    }

    /// A list that the identity may lack the permission for, or the organisation the feature.
    pub async fn may(&self, service: Service, path: &str) -> Result<Vec<Json>, RestError> {
        Ok(self.had(service, path).await?.map(|list| list.items).unwrap_or_default())
    }

    /// What is had at a path, if anything.
    pub async fn had(&self, service: Service, path: &str) -> Result<Option<List>, RestError> {
        match self.list(service, path).await {
            Err(error) if is_absent(&error) => {
                tracing::debug!(%error, "not to be had here");
                Ok(None)
            }
            other => other.map(Some),
        }
    }

    pub async fn list(&self, service: Service, path: &str) -> Result<List, RestError> {
        self.pages(service, path, How::default()).await
    }

    /// The pages of a list, handed over.
    pub async fn pages(&self, service: Service, path: &str, how: How<'_>) -> Result<List, RestError> {
        let base = self.client.url(service, self.organization, path);
        let mut url = base.clone();
        let mut list = List { items: Vec::new(), is_news: false, pages: 0, is_end: true, body: Json::Null };
        loop {
            let answer = self.client.get(&url).await?;
            // Kept as it came; but what cannot be read is not an empty list.
            let read = serde_json::from_slice::<Json>(&answer.body);
            let is_empty =
                read.as_ref().is_ok_and(|body| body["value"].as_array().is_some_and(Vec::is_empty));
            let is_nothing = read.as_ref().is_ok_and(Json::is_null);
            if !is_nothing && (how.keeps_empty || !is_empty) {
                list.is_news |= self.send(&url, &answer, how.repeat).await?;
            }
            list.body = read.map_err(|e| RestError::Body { url: url.clone(), says: e.to_string() })?;
            list.pages += 1;
            for name in ["value", "patTokens"] {
                list.items.extend(list.body[name].as_array().into_iter().flatten().cloned());
            }
            let own = list.body["continuationToken"].as_str().map(str::to_owned);
            let Some(token) = answer.continuation.or(own).filter(|t| !t.is_empty()) else { return Ok(list) };
            let between = if base.contains('?') { '&' } else { '?' };
            let next = format!("{base}{between}continuationToken={}", escape(&token));
            if next == url {
                return Ok(list);
            }
            if (how.is_enough)(&list.items) {
                list.is_end = false;
                return Ok(list);
            }
            url = next;
        }
    }

    /// Hands an answer over, unless it says what the last one said a moment ago; says whether it did.
    async fn send(&self, url: &str, answer: &Answer, repeat: Ticks) -> Result<bool, RestError> {
        let hash = RecordHash::of(&answer.body);
        let last = self.state().sent.get(url).copied();
        if last.is_some_and(|(last, at, repeat)| last == hash && !self.is_past(at, repeat)) {
            return Ok(false);
        }
        self.hand_over(answer.line.clone(), None).await?;
        self.state().sent.insert(url.to_owned(), (hash, self.now(), repeat));
        Ok(true)
    }

    /// Hands over a line of our own, which a recording keeps as well.
    pub async fn say(&self, line: Json) -> Result<(), RestError> {
        let line = Bytes::from(line.to_string());
        self.client.record(&line).await?;
        self.hand_over(line, None).await
    }

    /// Saves where this process is, now and then.
    pub async fn save(&self) -> Result<(), RestError> {
        let now = self.now();
        let value = {
            let mut state = self.state();
            if state.saved.is_some_and(|at| !self.is_past(at, SAVED)) {
                return Ok(());
            }
            state.saved = Some(now);
            state.to_save().to_string()
        };
        let position = Position { partition: self.partition.clone(), value };
        self.hand_over(Bytes::new(), Some(position)).await
    }

    async fn hand_over(&self, line: Bytes, position: Option<Position>) -> Result<(), RestError> {
        hand_over(&*self.client.clock, self.intake, line, &self.partition, position).await
    }
}

impl State {
    /// What the next process must know to go on: of each pool what its lists showed, and which runs have
    /// not ended. All that is handed over already.
    fn to_save(&self) -> Json {
        let seen = self.pools.iter().filter(|(_, pool)| pool.seen.complete().is_some());
        let seen = seen.map(|(id, pool)| (id.to_string(), pool.seen.saved()));
        let before = self.restored.iter().map(|(id, saved)| (id.to_string(), saved.clone()));
        let pools: serde_json::Map<String, Json> = before.chain(seen).collect();
        let runs = self.runs.open().take(MOST_RUNS).map(|(run, project)| (run.to_string(), project.into()));
        let runs: serde_json::Map<String, Json> = runs.collect();
        let time = |at: Option<Time>| at.map(|at| at.to_string());
        json!({"pools": pools, "builds": time(self.builds), "unsaid_builds": time(self.unsaid_builds), "runs": runs})
    }

    fn restored(saved: &Json, every: Ticks, now: Time) -> State {
        let time = |name: &str| saved[name].as_str().and_then(Time::parse).filter(|at| *at <= now);
        let (builds, unsaid_builds) = (time("builds"), time("unsaid_builds"));
        let mut runs = Runs::new(every, builds);
        for (run, project) in saved["runs"].as_object().into_iter().flatten() {
            if let (Ok(run), Some(project)) = (run.parse(), project.as_str()) {
                runs.note(run, project, now);
            }
        }
        let pools = saved["pools"].as_object().into_iter().flatten();
        let restored = pools.filter_map(|(id, saved)| Some((id.parse().ok()?, saved.clone()))).collect();
        State { restored, builds, unsaid_builds, runs, ..State::default() }
    }
}

/// Whether the identity may not see it, or the organisation does not have it.
fn is_absent(error: &RestError) -> bool {
    matches!(error, RestError::Refused { status: 403, .. } | RestError::Status { status: 400 | 404, .. })
}
