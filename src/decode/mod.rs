//! Bytes to events, facts and rejects; nothing fails, nothing is dropped.
//!
//! Invariants:
//! 1. Every record of a payload leaves as exactly one event, fact or reject (a job request inside
//!    an agents listing, or the proof that a source was heard, is drawn beside its record).
//! 2. Forms are told apart by content, never by file name.
//! 3. No input panics, recurses without bound or allocates more than a small multiple of its size.

use crate::model::{Event, Fact, Reject, Time};

/// What is known about a payload besides its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// When this program received it; a capture line's own `observed` wins.
    pub observed: Time,
    /// The REST address it was fetched from, when known; a capture line's own `url` wins.
    pub url: Option<&'a str>,
    /// The organisation's name, stated by the operator for bodies that do not name it.
    pub organization: Option<&'a str>,
    pub limits: Limits,
}

/// Sizes that are bounded before they are believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one payload after inflation.
    pub body: usize,
    /// Bytes of one record.
    pub record: usize,
    /// Nesting of a record's JSON.
    pub depth: usize,
}

/// Everything a payload held.
#[derive(Debug, Default)]
pub struct Decoded<'a> {
    pub events: Vec<Event<'a>>,
    pub facts: Vec<Fact<'a>>,
    pub rejects: Vec<Reject<'a>>,
}
