//! A payload that could not be understood, kept whole so that it can be replayed.

use std::borrow::Cow;

use super::{RecordHash, Time};

/// A refused payload. Its key is its hash, so the same bytes are refused once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject<'a> {
    pub reason: Reason,
    /// What exactly was wrong: a lowercase fragment that ends with the remedy where there is one.
    pub says: String,
    /// Byte offset of the refused payload within the (inflated) body it came in.
    pub position: u64,
    pub observed: Time,
    /// All of it, byte for byte.
    pub raw: Cow<'a, [u8]>,
    pub hash: RecordHash,
}

/// Why a payload was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Not JSON (nor CSV with the portal's header), or JSON that breaks off.
    Syntax,
    /// Not UTF-8.
    Encoding,
    /// A gzip body that is damaged or cut short.
    Compression,
    /// Larger or deeper than the limits.
    Limit,
    /// An audit record with no id.
    NoId,
    /// An audit record whose timestamp is absent, unreadable or implausible.
    BadTime,
    /// An audit record without an action.
    NoAction,
    /// Well formed, but of no known shape.
    UnknownShape,
    /// An event id already stored with another time, action or actor.
    IdConflict,
    /// Older than the lake's retention.
    Expired,
}

impl Reason {
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::Syntax => "syntax",
            Reason::Encoding => "encoding",
            Reason::Compression => "compression",
            Reason::Limit => "limit",
            Reason::NoId => "no_id",
            Reason::BadTime => "bad_time",
            Reason::NoAction => "no_action",
            Reason::UnknownShape => "unknown_shape",
            Reason::IdConflict => "id_conflict",
            Reason::Expired => "expired",
        }
    }
}
