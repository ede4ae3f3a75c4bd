//! Bytes to events, facts and rejects; nothing fails, nothing is dropped.
//!
//! Invariants:
//! 1. Every record of a payload leaves as exactly one event, fact or reject (the proof that a
//!    source was heard is drawn beside the records it came with).
//! 2. Forms are told apart by content, never by file name.
//! 3. No input panics, recurses without bound or allocates more than a small multiple of its size.
//! 4. A fact's raw record, decoded again with its address, gives the same fact.

mod address;
mod audit;
mod avro;
mod capture;
mod cursor;
mod cut;
mod data;
mod export;
mod facts;
mod frame;
mod hide;
mod holdings;
mod inflate;
mod inventory;
mod json;
mod redact;
mod scan;
mod shape;

pub use cut::{cut, cut_under, header_length, is_whole};
pub use facts::idle_since;
pub use holdings::holdings;
pub use inflate::inflate;
pub use json::member;

use std::borrow::Cow;

use crate::model::{Event, Fact, Org, Reason, RecordHash, Reject, Time};
use address::Address;

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

impl Default for Limits {
    fn default() -> Limits {
        Limits { body: 256 << 20, record: 16 << 20, depth: 128 }
    }
}

/// Everything a payload held.
#[derive(Debug, Default)]
pub struct Decoded<'a> {
    pub events: Vec<Event<'a>>,
    pub facts: Vec<Fact<'a>>,
    pub rejects: Vec<Reject<'a>>,
}

/// Decodes an inflated body.
pub fn decode<'a>(body: &'a [u8], delivery: &Delivery<'_>) -> Decoded<'a> {
    let mut sink = Sink::new(*delivery);
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if export::is_csv(body) {
        export::walk(body, &mut sink);
    } else if avro::is_container(body) {
        capture::walk(body, &mut sink);
    } else if inventory::is_table(body) {
        inventory::walk(body, &mut sink);
    } else {
        frame::walk(body, &mut sink);
    }
    sink.out
}

/// The text of a record without its secrets, for what is stored outside the lake.
pub fn without_secrets(text: String) -> String {
    redact::redact(&text).unwrap_or(text)
}

/// The same of a text that is no JSON, or not all of it.
pub fn hidden(text: &str) -> Cow<'_, str> {
    let clean = hide::hide(text.as_bytes()).and_then(|clean| String::from_utf8(clean).ok());
    clean.map_or(Cow::Borrowed(text), Cow::Owned)
}

/// Whether the head of a file looks like audit records rather than facts about the world, which
/// are better learnt first.
pub fn is_audit(prefix: &[u8]) -> bool {
    const WORDS: [&[u8]; 4] =
        [b"\"actionid\"", b"\"operationname\"", b"decoratedauditlogentries", b"azuredevopsauditevent"];
    let prefix = prefix.strip_prefix(b"\xef\xbb\xbf").unwrap_or(prefix).to_ascii_lowercase();
    export::is_csv(&prefix) || WORDS.iter().any(|w| memchr::memmem::find(&prefix, w).is_some())
}

/// Where decoded records go, with what is known of the place they come from.
struct Sink<'a, 'd> {
    out: Decoded<'a>,
    delivery: Delivery<'d>,
    /// When what is being read was observed, and whether that is stated with it.
    observed: Time,
    stated: bool,
    address: Address,
    /// Offset of the top-level value being read.
    position: usize,
    /// How deep envelopes lie inside each other.
    nested: usize,
    /// Whether a secret was masked in something refused: its envelope is not kept in its place then.
    hid: bool,
}

/// Envelopes inside envelopes beyond this are no form anybody sends.
const MOST_NESTED: usize = 8;

impl<'a, 'd> Sink<'a, 'd> {
    fn new(delivery: Delivery<'d>) -> Sink<'a, 'd> {
        let address = delivery.url.map(Address::parse).unwrap_or_default();
        Sink {
            out: Decoded::default(),
            delivery,
            observed: delivery.observed,
            stated: false,
            address,
            position: 0,
            nested: 0,
            hid: false,
        }
    }

    /// Decodes text that does not live as long as the payload (unescaped, mended, redacted) with
    /// `each`, and takes what it gave with `raw` as the record when it is one whole record.
    fn owned<'t, T: ?Sized>(
        &mut self,
        whole: Option<&'a [u8]>,
        text: &'t T,
        each: impl FnOnce(&'t T, &mut Sink<'t, '_>),
    ) {
        let mut inner = Sink {
            out: Decoded::default(),
            delivery: self.delivery,
            observed: self.observed,
            stated: self.stated,
            address: self.address.clone(),
            position: self.position,
            nested: self.nested,
            hid: false,
        };
        each(text, &mut inner);
        let count = inner.out.events.len() + inner.out.facts.len() + inner.out.rejects.len();
        let whole = whole.filter(|_| count == 1);
        for event in inner.out.events {
            let mut event = event.into_owned();
            if let Some(raw) = whole {
                event.raw = Cow::Borrowed(raw);
                event.hash = RecordHash::of(raw);
            }
            self.out.events.push(event);
        }
        self.out.facts.extend(inner.out.facts.into_iter().map(Fact::into_owned));
        self.hid |= inner.hid;
        let whole = whole.filter(|raw| !inner.hid && hide::hide(raw).is_none());
        for reject in inner.out.rejects {
            let raw = whole.map_or_else(|| Cow::Owned(reject.raw.into_owned()), Cow::Borrowed);
            self.out.rejects.push(Reject { hash: RecordHash::of(&raw), raw, ..reject });
        }
    }

    /// Refuses a record, which is kept whole but for its secrets.
    fn reject(&mut self, reason: Reason, says: impl Into<String>, raw: &'a [u8]) {
        let clean = hide::hide(raw);
        self.hid |= clean.is_some();
        let raw = clean.map_or(Cow::Borrowed(raw), Cow::Owned);
        self.out.rejects.push(Reject {
            reason,
            says: says.into(),
            position: self.position as u64,
            observed: self.observed,
            hash: RecordHash::of(&raw),
            raw,
        });
    }

    /// The organisation as address and operator know it.
    fn organization(&self) -> Org {
        Org {
            id: None,
            name: self.address.organization.clone().or_else(|| self.delivery.organization.map(str::to_owned)),
        }
    }

    fn count(&self) -> usize {
        self.out.events.len() + self.out.facts.len() + self.out.rejects.len()
    }
}

#[cfg(test)]
mod tests;
