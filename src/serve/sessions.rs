//! Who signed in on the page or by a handshake, and who guesses: both in memory, bounded, gone with the process.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::directory::Standing;
use super::users::token_hash;

/// A sign-in lasts a working day.
pub(super) const LASTS: Duration = Duration::from_secs(8 * 3600);
const MOST_SESSIONS: usize = 10_000;
/// Of one name; the one before them that was opened first ends.
const MOST_OF_ONE: usize = 500;
/// So many wrong sign-ins of a name from an address, or of an address, are taken in a window.
const GUESSES_OF_NAME: u32 = 10;
const GUESSES_OF_ADDRESS: u32 = 60;
const WINDOW: Duration = Duration::from_secs(60);
const MOST_GUESSERS: usize = 20_000;

/// The sign-ins: the hash of each id, whose it is and until when.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<String, (Standing, Instant)>>);

impl Sessions {
    /// Opens one; `None` where the system has no randomness, or too many are open.
    pub fn open(&self, standing: Standing, now: Instant) -> Option<String> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).ok()?;
        let id: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = all.iter().filter(|(_, (own, _))| own.key() == standing.key());
        // A program that signs in for each question and never signs out keeps nobody else out.
        if own.clone().count() >= MOST_OF_ONE
            && let Some(first) = own.min_by_key(|(_, (_, until))| *until).map(|(id, _)| id.clone())
        {
            all.remove(&first);
        }
        make_room(&mut all, MOST_SESSIONS, |(_, until)| *until > now);
        if all.len() >= MOST_SESSIONS {
            return None;
        }
        all.insert(token_hash(&id), (standing, now + LASTS));
        Some(id)
    }

    /// Whose it is.
    pub fn of(&self, id: &str, now: Instant) -> Option<Standing> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&token_hash(id)).filter(|(_, until)| *until > now).map(|(standing, _)| standing.clone())
    }

    pub fn close(&self, id: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&token_hash(id));
    }
}

/// Wrong sign-ins of late.
#[derive(Default)]
pub(super) struct Guesses(Mutex<HashMap<(String, String), (u32, Instant)>>);

impl Guesses {
    /// Counts a try of this name from this address; the seconds to wait where there were too many already.
    pub fn try_again(&self, name: &str, address: &str, now: Instant) -> Result<(), u64> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        make_room(&mut all, MOST_GUESSERS, |(_, since)| now.duration_since(*since) < WINDOW);
        if all.len() >= MOST_GUESSERS {
            all.clear();
        }
        for (of, most) in [(short(name), GUESSES_OF_NAME), (String::new(), GUESSES_OF_ADDRESS)] {
            let (count, since) = all.entry((of, address.to_owned())).or_insert((0, now));
            if now.duration_since(*since) >= WINDOW {
                (*count, *since) = (0, now);
            }
            if *count >= most {
                return Err((WINDOW - now.duration_since(*since)).as_secs() + 1);
            }
            // Counted before it is known to be wrong: else many at once would all be the first.
            *count += 1;
        }
        Ok(())
    }

    /// Takes back the try that was right.
    pub fn right(&self, name: &str, address: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for of in [short(name), String::new()] {
            if let Some((count, _)) = all.get_mut(&(of, address.to_owned())) {
                *count = count.saturating_sub(1);
            }
        }
    }
}

fn short(name: &str) -> String {
    name.chars().take(100).collect()
}

fn make_room<K: Eq + Hash, V>(all: &mut HashMap<K, V>, most: usize, keep: impl Fn(&V) -> bool) {
    if all.len() + 2 > most {
        all.retain(|_, value| keep(value));
        if all.len() + 2 > most {
            tracing::warn!(most, "more sign-ins than are kept");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::{Directory, Person};

    #[test]
    fn a_session_ends_with_its_time_or_when_it_is_closed() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let directory = Directory::open(None, [1; 32]).unwrap();
        let session = |name: &str| directory.standing(&Person { name: name.to_owned(), ..Person::local() });
        let open = |name: &str| sessions.open(session(name), now).unwrap();
        let (one, other) = (open("ada"), open("eve"));
        assert_ne!(one, other);
        assert_eq!(sessions.of(&one, now), Some(session("ada")));
        assert_eq!(sessions.of(&one, now + LASTS), None);
        assert_eq!(sessions.of(&token_hash(&one), now), None);
        sessions.close(&one);
        assert_eq!((sessions.of(&one, now), sessions.of("", now)), (None, None));
        assert_eq!(sessions.of(&other, now), Some(session("eve")));
    }

    #[test]
    fn the_sessions_of_one_name_are_bounded_and_the_oldest_ends() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let directory = Directory::open(None, [1; 32]).unwrap();
        let open = |name: &str, n: usize| {
            let standing = directory.standing(&Person { name: name.to_owned(), ..Person::local() });
            sessions.open(standing, now + Duration::from_millis(n as u64)).unwrap()
        };
        let other = open("eve", 0);
        let all: Vec<String> = (0..=MOST_OF_ONE).map(|n| open("ada", n)).collect();
        let is_open = |id: &String| sessions.of(id, now).is_some();
        assert!(!is_open(&all[0]) && all[1..].iter().all(is_open) && is_open(&other));
    }

    #[test]
    fn guesses_are_few_and_another_name_or_address_is_not_held_up() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        for _ in 0..GUESSES_OF_NAME {
            assert_eq!(guesses.try_again("ada", "a", now), Ok(()));
        }
        assert_eq!(guesses.try_again("ada", "a", now), Err(61));
        assert_eq!(guesses.try_again("eve", "a", now), Ok(()));
        assert_eq!(guesses.try_again("ada", "b", now), Ok(()));
        guesses.right("ada", "a");
        assert_eq!(guesses.try_again("ada", "a", now), Ok(()));
        assert_eq!(guesses.try_again("ada", "a", now + WINDOW), Ok(()));
        for n in 0..GUESSES_OF_ADDRESS {
            let _ = guesses.try_again(&format!("name {n}"), "c", now);
        }
        assert!(guesses.try_again("eve", "c", now).is_err());
    }
}
