//! What is held for people between two calls: questions to be fetched, statements that were prepared, queries
//! that run; each under a handle that nobody guesses, for its person alone, within bounds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::statement::Statement;
use crate::serve::Person;

/// How long a question waits to be fetched.
const FETCH_TIME: Duration = Duration::from_secs(300);
/// How long a statement stays prepared after its last use.
pub(super) const PREPARED_TIME: Duration = Duration::from_secs(3600);
/// Questions, and prepared statements, of one person.
const MOST: usize = 100;
/// Bytes of both together, of one person.
const MOST_BYTES: usize = 8 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Fetched once.
    Question,
    Prepared,
}

struct Held {
    owner: Arc<Person>,
    kind: Kind,
    statement: Statement,
    until: Instant,
}

/// Why nothing more is held.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Full {
    #[error("hold a statement with its values: together they are of more than {MOST_BYTES} bytes")]
    Large,
    #[error("draw random numbers")]
    Random,
}

/// The queries that run, each with its person and what stops it.
type AllRunning = Mutex<HashMap<Bytes, (Arc<Person>, CancellationToken)>>;

#[derive(Default)]
pub(super) struct Holder {
    held: Mutex<HashMap<Bytes, Held>>,
    running: Arc<AllRunning>,
}

/// A query that runs; it is forgotten with this value.
pub(super) struct Running {
    handle: Bytes,
    all: Arc<AllRunning>,
    pub cancel: CancellationToken,
}

impl Drop for Running {
    fn drop(&mut self) {
        locked(&self.all).remove(&self.handle);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Holder {
    /// Holds a question until it is fetched. Of too many, the one is let go that was held for longest.
    pub fn ask(&self, owner: &Arc<Person>, statement: Statement, now: Instant) -> Result<Bytes, Full> {
        self.hold(owner, statement, Kind::Question, now)
    }

    /// Holds a statement that is prepared. Of too many, the one is let go that was used least of late.
    pub fn prepare(&self, owner: &Arc<Person>, statement: Statement, now: Instant) -> Result<Bytes, Full> {
        self.hold(owner, statement, Kind::Prepared, now)
    }

    fn hold(
        &self,
        owner: &Arc<Person>,
        statement: Statement,
        kind: Kind,
        now: Instant,
    ) -> Result<Bytes, Full> {
        let mut bytes = [0; 24];
        getrandom::fill(&mut bytes).map_err(|_| Full::Random)?;
        let mut held = locked(&self.held);
        held.retain(|_, one| one.until > now);
        // A program that closes nothing takes the place of its own person alone.
        loop {
            let of_one = held.iter().filter(|(_, one)| one.owner.key == owner.key);
            let of_kind = of_one.clone().filter(|(_, one)| one.kind == kind);
            let size: usize = of_one.clone().map(|(_, one)| one.statement.size()).sum();
            let oldest = if size + statement.size() > MOST_BYTES {
                of_one.min_by_key(|(_, one)| one.until)
            } else if of_kind.clone().count() >= MOST {
                of_kind.min_by_key(|(_, one)| one.until)
            } else {
                break;
            };
            let oldest = oldest.map(|(handle, _)| handle.clone()).ok_or(Full::Large)?;
            held.remove(&oldest);
        }
        let handle = Bytes::copy_from_slice(&bytes);
        let time = if kind == Kind::Question { FETCH_TIME } else { PREPARED_TIME };
        held.insert(handle.clone(), Held { owner: owner.clone(), kind, statement, until: now + time });
        Ok(handle)
    }

    /// Takes a question out to run it.
    pub fn fetch(&self, handle: &Bytes, person: &Arc<Person>, now: Instant) -> Option<(Statement, Running)> {
        let mut held = locked(&self.held);
        let is_own =
            |one: &&Held| one.owner.key == person.key && one.kind == Kind::Question && one.until > now;
        held.get(handle).filter(is_own)?;
        let statement = held.remove(handle)?.statement;
        let cancel = CancellationToken::new();
        locked(&self.running).insert(handle.clone(), (person.clone(), cancel.clone()));
        Some((statement, Running { handle: handle.clone(), all: self.running.clone(), cancel }))
    }

    fn prepared<T>(
        &self,
        handle: &Bytes,
        person: &Arc<Person>,
        now: Instant,
        with: impl FnOnce(&mut Statement) -> T,
    ) -> Option<T> {
        let mut held = locked(&self.held);
        let one = held.get_mut(handle)?;
        if one.owner.key != person.key || one.kind != Kind::Prepared || one.until <= now {
            return None;
        }
        one.until = now + PREPARED_TIME;
        Some(with(&mut one.statement))
    }

    /// A statement that was prepared, with the values that were bound last.
    pub fn recall(&self, handle: &Bytes, person: &Arc<Person>, now: Instant) -> Option<Statement> {
        self.prepared(handle, person, now, |statement| statement.clone())
    }

    pub fn bind(
        &self,
        handle: &Bytes,
        person: &Arc<Person>,
        values: Vec<datafusion::common::ScalarValue>,
        now: Instant,
    ) -> Result<Option<()>, Full> {
        let size: usize = values.iter().map(datafusion::common::ScalarValue::size).sum();
        let held = locked(&self.held);
        let others = held.iter().filter(|(own, one)| *own != handle && one.owner.key == person.key);
        let others: usize = others.map(|(_, one)| one.statement.size()).sum();
        drop(held);
        if others + size > MOST_BYTES {
            return Err(Full::Large);
        }
        Ok(self.prepared(handle, person, now, |statement| statement.values = values))
    }

    /// Lets go of a statement that was prepared; of others nothing is told.
    pub fn close(&self, handle: &Bytes, person: &Arc<Person>) {
        let mut held = locked(&self.held);
        if held.get(handle).is_some_and(|one| one.owner.key == person.key && one.kind == Kind::Prepared) {
            held.remove(handle);
        }
    }

    /// Stops a query of this person, or takes back a question; whether there was one.
    pub fn cancel(&self, handle: &Bytes, person: &Arc<Person>) -> bool {
        if let Some((_, cancel)) =
            locked(&self.running).get(handle).filter(|(owner, _)| owner.key == person.key)
        {
            cancel.cancel();
            return true;
        }
        let mut held = locked(&self.held);
        let is_own =
            held.get(handle).is_some_and(|one| one.owner.key == person.key && one.kind == Kind::Question);
        is_own && held.remove(handle).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(text: &str) -> Statement {
        Statement::of(text)
    }

    fn person(name: &str) -> Arc<Person> {
        Arc::new(Person { key: name.to_owned(), ..Person::local() })
    }

    #[test]
    fn a_handle_is_of_its_person_for_its_time_and_a_question_is_fetched_once() {
        let (holder, now, ada, eve) = (Holder::default(), Instant::now(), person("ada"), person("eve"));
        let asked = holder.ask(&ada, statement("select 1"), now).unwrap();
        let prepared = holder.prepare(&ada, statement("select $1"), now).unwrap();
        assert!(holder.fetch(&asked, &eve, now).is_none() && holder.fetch(&prepared, &ada, now).is_none());
        assert!(holder.recall(&prepared, &eve, now).is_none() && holder.recall(&asked, &ada, now).is_none());
        assert!(!holder.cancel(&asked, &eve) && !holder.cancel(&prepared, &ada));
        holder.close(&prepared, &eve);
        holder.close(&asked, &ada);
        assert!(holder.recall(&prepared, &ada, now + PREPARED_TIME).is_none());
        assert!(holder.fetch(&asked, &ada, now + FETCH_TIME).is_none());
        let (_, running) = holder.fetch(&asked, &ada, now).unwrap();
        assert!(holder.fetch(&asked, &ada, now).is_none());
        assert!(!holder.cancel(&asked, &eve) && holder.cancel(&asked, &ada) && running.cancel.is_cancelled());
        drop(running);
        assert!(!holder.cancel(&asked, &ada));
        assert!(holder.bind(&prepared, &ada, vec![1.into()], now).unwrap().is_some());
        let large = "x".repeat(MOST_BYTES);
        assert_eq!(holder.bind(&prepared, &ada, vec![large.as_str().into()], now), Err(Full::Large));
        assert_eq!(holder.recall(&prepared, &ada, now).unwrap().values.len(), 1);
        holder.close(&prepared, &ada);
        assert!(holder.recall(&prepared, &ada, now).is_none());
    }

    #[test]
    fn what_is_held_is_bounded_by_number_and_by_size() {
        let (holder, now, ada) = (Holder::default(), Instant::now(), person("ada"));
        let asked: Vec<Bytes> = (0..=MOST)
            .map(|n| holder.ask(&ada, statement("select 1"), now + Duration::from_millis(n as u64)).unwrap())
            .collect();
        assert!(holder.fetch(&asked[0], &ada, now).is_none() && holder.fetch(&asked[1], &ada, now).is_some());
        let prepared = |person: &Arc<Person>, text: &str, now| holder.prepare(person, statement(text), now);
        let first = prepared(&ada, "select 1", now).unwrap();
        let others = prepared(&person("eve"), "select 1", now).unwrap();
        for n in 1..MOST as u64 {
            prepared(&ada, "select 1", now + Duration::from_millis(n)).unwrap();
        }
        assert!(holder.recall(&first, &ada, now).is_some() && holder.fetch(&asked[2], &ada, now).is_some());
        prepared(&ada, "select 1", now + Duration::from_secs(1)).unwrap();
        assert!(
            holder.recall(&first, &ada, now).is_none()
                && holder.recall(&others, &person("eve"), now).is_some()
        );
        // What is large makes room for itself, if there can be enough.
        let large = "x".repeat(MOST_BYTES / 2);
        let one = prepared(&ada, &large, now + Duration::from_secs(2)).unwrap();
        assert!(holder.recall(&one, &ada, now).is_some() && prepared(&ada, &large, now).is_ok());
        assert!(holder.recall(&one, &ada, now).is_none() && holder.fetch(&asked[3], &ada, now).is_none());
        assert_eq!(prepared(&ada, &large.repeat(2), now), Err(Full::Large));
        assert!(holder.recall(&others, &person("eve"), now).is_some());
    }
}
