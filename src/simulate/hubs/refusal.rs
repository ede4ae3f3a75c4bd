//! How the service says no, and the one way locks are taken.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use fe2o3_amqp_types::definitions::{Error, ErrorCondition};
use fe2o3_amqp_types::primitives::Symbol;

/// An error for the wire. Its condition is spelt out: clients tell errors apart by it alone.
pub fn refusal(condition: &str, description: impl Into<String>) -> Error {
    Error::new(ErrorCondition::Custom(Symbol::from(condition)), description.into(), None)
}

/// What the service says of an entity that it does not have.
pub fn not_found(name: &str) -> Error {
    let text = format!("The messaging entity '{name}' could not be found.");
    refusal("amqp:not-found", text)
}

/// What the service says of a partition that a hub does not have.
pub fn no_partition(partitions: usize, id: &str) -> Error {
    let last = partitions.saturating_sub(1);
    let text = format!(
        "The specified partition is invalid for an EventHub partition sender or receiver. It should be \
         between 0 and {last}, and it is '{id}'."
    );
    refusal("com.microsoft:argument-out-of-range", text)
}

/// What the service says when it has too much to do.
pub fn busy() -> Error {
    refusal(
        "com.microsoft:server-busy",
        "The request was terminated because the entity is being throttled. Error code : 50002. Please wait \
         4 seconds and try again.",
    )
}

/// The value under a lock. A panic elsewhere must not take every later test down with it.
pub fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Milliseconds since 1970.
pub fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
